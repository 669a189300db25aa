package verdict_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
)

var update = flag.Bool("update", false, "write docs/verdicts.md")

func TestDocument(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "verdicts.md")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(verdict.Document()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(written), verdict.Document()); diff != "" {
		t.Errorf("%s is not what the code says; run go test ./internal/verdict -update (-file +code):\n%s", file, diff)
	}
}

// sound checks what holds for every verdict.
func sound(t *testing.T, f *probe.Facts) {
	t.Helper()
	before, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	v := verdict.Judge(f, verdict.Context{Prober: probe.ProberValidate})
	if after, err := json.Marshal(f); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the facts were changed, or cannot be marshaled any more: %v", err)
	}
	if again := verdict.Judge(f, verdict.Context{Prober: probe.ProberValidate}); again != v {
		t.Errorf("two verdicts on the same facts: %+v and %+v", v, again)
	}
	if v.Success() != (f.Failure == nil) {
		t.Errorf("outcome %s with failure %+v", v.Outcome, f.Failure)
	}
	if !utf8.ValidString(v.Summary) || len(v.Summary) > 500 || !strings.HasSuffix(v.Summary, ".") || strings.ContainsAny(v.Summary, "\n\r\t\x00\x1b") {
		t.Errorf("summary %q is not one bounded line with a period", v.Summary)
	}
	if v.Success() {
		if v.Stage != "" || v.Reason != "" || v.Fault != "" {
			t.Errorf("success with %+v", v)
		}
		return
	}
	if !slices.Contains(probe.Steps(), v.Stage) {
		t.Errorf("stage %q is not a step", v.Stage)
	}
	list := verdict.Reasons()
	i := slices.IndexFunc(list, func(d verdict.ReasonDoc) bool { return d.Reason == v.Reason })
	switch {
	case i < 0:
		t.Errorf("reason %q is not in the list", v.Reason)
	case v.Outcome != list[i].Outcome:
		t.Errorf("%s: outcome %s, the documentation has %s", v.Reason, v.Outcome, list[i].Outcome)
	case v.Outcome == probe.OutcomeSkipped && v.Fault != probe.FaultNone:
		t.Errorf("%s: skipped, with fault %s", v.Reason, v.Fault)
	case v.Outcome == probe.OutcomeFailure && !slices.Contains(list[i].Faults, v.Fault):
		t.Errorf("%s: fault %q, the documentation has %v", v.Reason, v.Fault, list[i].Faults)
	}
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func randomProblem(r *rand.Rand) *probe.Problem {
	if r.IntN(3) == 0 {
		return nil
	}
	return &probe.Problem{
		Type:   pick(r, "serverInternal", "rateLimited", "malformed", "dns", "caa", "badNonce", "", "\x00", "urn:x:y"),
		Detail: pick(r, "", "two\nlines", strings.Repeat("ä", 1000), "\xff\xfe", "https://x.example/?token=1"),
		Status: pick(r, 0, 200, 400, 429, 500, 503, -1),
	}
}

func randomFacts(r *rand.Rand) *probe.Facts {
	var f probe.Facts
	for range r.IntN(4) {
		c := probe.Call{
			Name:    pick(r, append(probe.Calls(), "other")...),
			Step:    pick(r, append(probe.Steps(), "", "other")...),
			URL:     pick(r, "", "https://a.example/x", "https://b.example/x", "::not a URL", "https://[::1"),
			Status:  pick(r, 0, 100, 200, 204, 301, 400, 429, 500, 503, 999, -5),
			Problem: randomProblem(r),
			Start:   pick(r, 0, time.Second, -time.Second),
			End:     pick(r, 0, time.Second, time.Minute),
		}
		if r.IntN(2) == 0 {
			c.Error = &probe.CallError{
				Phase:   pick(r, probe.PhaseRequest, probe.PhaseDNS, probe.PhaseConnect, probe.PhaseTLS, probe.PhaseResponse, probe.PhaseBody, "other"),
				Cause:   pick(r, probe.CauseTimeout, probe.CauseClosed, probe.CauseAddress, probe.CauseTooLarge, probe.CauseCanceled, probe.CauseOther, "other"),
				Message: pick(r, "", "broken\x1b[31m", strings.Repeat("x ", 500)),
			}
		}
		f.Calls = append(f.Calls, c)
	}
	if r.IntN(10) > 0 {
		f.Failure = &probe.Failure{
			Step: pick(r, append(probe.Steps(), "", "other")...),
			Kind: pick(r, probe.FailureCall, probe.FailureObject, probe.FailureProtocol, probe.FailureCertificate, probe.FailureTimeout,
				probe.FailureCanceled, probe.FailureUnsupported, probe.FailureClient, probe.FailureLocal, probe.FailureFlaw, probe.FailureNotApplicable, probe.FailureRefusal, "", "other"),
			Flaw:    pick(r, append(probe.Flaws(), "", "other")...),
			Refusal: pick(r, append(probe.Refusals(), "", "other")...),
			Call:    r.IntN(7) - 2,
			Object:  pick(r, "", "order", "challenge", "x\ny"),
			Problem: randomProblem(r),
			Detail:  pick(r, "", "words", strings.Repeat("words ", 300)),
		}
	}
	if r.IntN(4) == 0 {
		f.Refusal = &probe.Refusal{Expected: pick(r, "unauthorized", "caa", ""), Problem: randomProblem(r)}
		f.Perspectives = &probe.Perspectives{Networks: r.IntN(4), Minimum: r.IntN(4)}
	}
	if r.IntN(2) == 0 {
		f.Certificate = &probe.Certificate{}
		for _, c := range append(probe.Checks(), "other") {
			f.Certificate.Checks = append(f.Certificate.Checks, probe.CheckResult{Check: c, Passed: r.IntN(2) == 0})
		}
	}
	return &f
}

func TestRandomFacts(t *testing.T) {
	r := rand.New(rand.NewPCG(8555, 1))
	reasons := map[probe.Reason]bool{}
	for range 700 {
		f := randomFacts(r)
		reasons[verdict.Judge(f, verdict.Context{}).Reason] = true
		if sound(t, f); t.Failed() {
			text, _ := json.MarshalIndent(f, "", " ")
			t.Fatalf("for %s", text)
		}
	}
	if len(reasons) < 30 {
		t.Errorf("only %d reasons were met; the generator does not reach the code", len(reasons))
	}
}

func FuzzJudge(f *testing.F) {
	r := rand.New(rand.NewPCG(8555, 2))
	for range 20 {
		seed, err := json.Marshal(randomFacts(r))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Add([]byte(`{"failure":{"kind":"call","call":-9223372036854775808}}`))
	f.Add([]byte(`{"failure":{"kind":"object","call":0,"problem":{"type":"dns"}},"calls":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var facts probe.Facts
		if json.Unmarshal(data, &facts) == nil {
			sound(t, &facts)
		}
	})
}

func TestSummaries(t *testing.T) {
	token := strings.Repeat("Zm9vYmFy", 6)
	withdrawn := verdict.Judge(&probe.Facts{}, verdict.Context{Prober: probe.ProberIssue, FollowUp: probe.FollowUpWithdrawRecords})
	if want := "withdraw_records passed."; withdrawn.Summary != want {
		t.Errorf("%q, want %q", withdrawn.Summary, want)
	}
	for want, facts := range map[string]*probe.Facts{
		"issue passed at acme.example: 1 call.": {Calls: []probe.Call{directoryCall()}},
		`issue: order failed at acme.example: the CA has an internal error (new-order, HTTP 500, serverInternal: Error creating new order).`: failed(probe.FailureCall, probe.StepOrder,
			answered(probe.CallNewOrder, probe.StepOrder, 500, &probe.Problem{Type: "serverInternal", Detail: "Error creating new order."})),
		`issue: validation failed at acme.example: the CA has an internal error (challenge, serverInternal: Could not communicate with VA).`: object(probe.StepValidation, "challenge",
			&probe.Problem{Type: "serverInternal", Detail: "Could not\ncommunicate  with VA", Status: 500}),
		`issue: directory failed at acme.example: the connection was refused (new-nonce: it broke).`: failed(probe.FailureCall, probe.StepDirectory,
			broken(probe.CallNewNonce, probe.StepDirectory, probe.PhaseConnect, probe.CauseRefused)),
		`issue: order was given up at acme.example: the CA's rate limit is used up (new-order, HTTP 429, rateLimited: paused, see https://portal.example/unpause?… and …).`: failed(probe.FailureCall, probe.StepOrder,
			answered(probe.CallNewOrder, probe.StepOrder, 429, &probe.Problem{Type: "rateLimited", Detail: "paused, see https://portal.example/unpause?jwt=eyJhbGciOi.eyJz and " + token})),
		`issue: setup failed: the exporter itself could not do its part (port taken).`: {Failure: &probe.Failure{Step: probe.StepSetup, Kind: probe.FailureLocal, Call: -1, Detail: "port taken"}},
		`issue: publication failed: the configuration and the zone elsewhere do not go together (challenge, for www.example.org: 192.0.2.53:53 knows no key probe-fra): give the server the key probe-fra. or correct key_name.`: publication(probe.FailureClient),
	} {
		got := verdict.Judge(facts, verdict.Context{Prober: probe.ProberIssue}).Summary
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
