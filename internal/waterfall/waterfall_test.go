package waterfall

import (
	"bytes"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const ms = time.Millisecond

var start = time.Date(2026, 11, 23, 6, 17, 3, 120e6, time.UTC)

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wanted, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(wanted), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// call returns an answered call over an open connection.
func call(step probe.StepName, name probe.CallName, status int, at, answer, body time.Duration) probe.Call {
	ready := at + ms/10
	return probe.Call{
		Name: name, Step: step, Method: "POST", URL: "https://ca.example/acme/" + string(name) + "/1234567890", Status: status,
		Start: at, Ready: ready, FirstByte: ready + answer, End: ready + answer + body,
		Connection: probe.Connection{Reused: true, Family: probe.IPv4, HTTPVersion: "HTTP/2.0"},
	}
}

// issued is an issuance with a retry.
func issued() *probe.Result {
	first := call(probe.StepDirectory, probe.CallDirectory, 200, 2*ms, 38*ms, 4*ms)
	first.Method = "GET"
	first.Ready, first.FirstByte, first.End = 72*ms, 110*ms, 114*ms
	first.Connection = probe.Connection{
		DNS:     &probe.Span{Start: 2 * ms, Duration: 12 * ms},
		Connect: &probe.Span{Start: 14 * ms, Duration: 21 * ms},
		TLS:     &probe.Span{Start: 35 * ms, Duration: 37 * ms},
		Family:  probe.IPv4, Remote: "192.0.2.1:443", HTTPVersion: "HTTP/2.0", TLSVersion: "TLS 1.3", KeyExchange: "X25519MLKEM768",
	}
	nonce := call(probe.StepNonce, probe.CallNewNonce, 200, 115*ms, 21*ms, 0)
	nonce.Method = "HEAD"
	refused := call(probe.StepOrder, probe.CallNewOrder, 400, 140*ms, 25*ms, ms)
	refused.Problem = &probe.Problem{Type: "badNonce", Detail: "Unable to validate JWS :: JWS has an invalid anti-replay nonce", Status: 400}
	again := call(probe.StepOrder, probe.CallNewOrder, 201, 170*ms, 60*ms, ms)
	again.Attempt, again.RetryCause = 1, "bad_nonce"
	poll := call(probe.StepFinalization, probe.CallOrder, 200, 1650*ms, 40*ms, ms)
	after := 3 * time.Second
	poll.RetryAfter = &after
	r := &probe.Result{
		Version: probe.Version, ID: "20261123T061703Z-abcdefghij", Pair: probe.Pair{Target: "letsencrypt-staging", Module: "issue_dns"},
		Prober: probe.ProberIssue, Trigger: probe.TriggerTick, Start: start, Duration: 1820 * ms,
		Verdict: probe.Verdict{Outcome: probe.OutcomeSuccess, Summary: "A certificate for 1 name was issued and is what was asked for."},
	}
	r.Steps = []probe.Step{
		{Name: probe.StepSetup, Duration: 1500 * time.Microsecond, OK: true},
		{Name: probe.StepDirectory, Start: 2 * ms, Duration: 113 * ms, OK: true},
		{Name: probe.StepNonce, Start: 115 * ms, Duration: 22 * ms, OK: true},
		{Name: probe.StepOrder, Start: 140 * ms, Duration: 92 * ms, OK: true},
		{Name: probe.StepAuthorization, Start: 233 * ms, Duration: 35 * ms, OK: true},
		{Name: probe.StepValidation, Identifier: "x7k2.fra.acme-probe.example", Start: 270 * ms, Duration: 950 * ms, OK: true},
		{Name: probe.StepFinalization, Start: 1225 * ms, Duration: 470 * ms, OK: true},
		{Name: probe.StepDownload, Start: 1700 * ms, Duration: 60 * ms, OK: true},
		{Name: probe.StepCertificate, Start: 1761 * ms, Duration: 3 * ms, OK: true},
	}
	r.Calls = []probe.Call{
		first, nonce, refused, again,
		call(probe.StepAuthorization, probe.CallAuthz, 200, 234*ms, 32*ms, ms),
		call(probe.StepValidation, probe.CallChallenge, 200, 270*ms, 44*ms, ms),
		call(probe.StepValidation, probe.CallAuthz, 200, 570*ms, 30*ms, ms),
		call(probe.StepValidation, probe.CallAuthz, 200, 1180*ms, 38*ms, ms),
		call(probe.StepFinalization, probe.CallFinalize, 200, 1225*ms, 380*ms, ms),
		poll,
		call(probe.StepDownload, probe.CallCertificate, 200, 1700*ms, 30*ms, 28*ms),
	}
	for i, at := range []time.Duration{410, 480, 520, 700} {
		r.Visits = append(r.Visits, probe.Visit{
			At: at * ms, Challenge: probe.DNS01, Family: []probe.Family{probe.IPv4, probe.IPv6}[i%2], Network: i + 1,
			Remote: netip.MustParseAddr("198.51.100.77"), Asked: "TXT", Answered: "1 value", OK: i != 2,
		})
	}
	r.Directory = &probe.Directory{Endpoints: []string{"newNonce", "newAccount", "newOrder"}, Profiles: []string{"classic", "shortlived"}}
	r.API = &probe.APICertificate{Issuer: "CN=E8,O=Let's Encrypt,C=US", NotAfter: start.Add(40 * 24 * time.Hour)}
	r.Certificate = &probe.Certificate{
		Serial: "2c4f9d31aa07", Issuer: "CN=(STAGING) Puzzling Parsnip E7", Names: []string{"x7k2.fra.acme-probe.example"},
		NotBefore: start.Add(-time.Hour), NotAfter: start.Add(90*24*time.Hour - time.Hour), Chain: 2,
	}
	for _, c := range probe.Checks() {
		r.Certificate.Checks = append(r.Certificate.Checks, probe.CheckResult{Check: c, Passed: true})
	}
	r.Certificate.Transparency = &probe.Transparency{Count: 2, Operators: []string{"A", "B"}, Policy: probe.PolicyMet}
	r.FollowUps = []probe.FollowUp{{Kind: probe.FollowUpDeactivateAuthz, URL: "https://ca.example/acme/authz/1"}}
	return r
}

// unreachable is a run whose only call could not connect.
func unreachable() *probe.Result {
	return &probe.Result{
		ID: "20261123T061703Z-bbbbbbbbbb", Pair: probe.Pair{Target: "corp", Module: "directory"}, Prober: probe.ProberDirectory,
		Trigger: probe.TriggerCommand, Start: start, Duration: 5004 * ms,
		Facts: probe.Facts{
			Steps: []probe.Step{{Name: probe.StepDirectory, Duration: 5004 * ms}},
			Calls: []probe.Call{{
				Name: probe.CallDirectory, Step: probe.StepDirectory, Method: "GET", URL: "https://ca.corp.example/directory", End: 5003 * ms,
				Connection: probe.Connection{DNS: &probe.Span{Duration: 700 * ms}, Connect: &probe.Span{Start: 700 * ms, Duration: 4303 * ms}},
				Error:      &probe.CallError{Phase: probe.PhaseConnect, Cause: probe.CauseTimeout, Message: "dial tcp 192.0.2.9:443: i/o timeout"},
			}},
			Failure: &probe.Failure{Step: probe.StepDirectory, Kind: probe.FailureCall},
		},
		Verdict: probe.Verdict{
			Outcome: probe.OutcomeFailure, Stage: probe.StepDirectory, Reason: "connect_timeout", Fault: probe.FaultUnknown,
			Summary: "The directory could not be fetched: no connection to ca.corp.example within 5 s.",
		},
	}
}

// hostile is a run at a CA that tries to write to our terminal and our pages.
func hostile() *probe.Result {
	r := unreachable()
	r.Pair = probe.Pair{Target: "evil", Module: "order"}
	r.Prober = probe.ProberOrder
	c := call(probe.StepOrder, probe.CallNewOrder, 403, 10*ms, 20*ms, ms)
	c.Problem = &probe.Problem{
		Type:   "</td><script>alert(1)</script>",
		Detail: "\x1b[2J\x1b]0;owned\a line one\r\nline two \u202egnp.exe " + strings.Repeat("x", 150),
		Subproblems: []probe.Subproblem{
			{Type: "caa", Detail: `"><img src=x onerror=alert(2)>`, Identifier: "a.example"},
		},
	}
	r.Steps = []probe.Step{{Name: probe.StepOrder, Identifier: "<b>\x1b[31m", Duration: 40 * ms}}
	r.Calls = []probe.Call{c}
	r.Duration = 45 * ms
	r.Failure = &probe.Failure{Object: "order", Problem: c.Problem}
	r.Certificate = &probe.Certificate{
		Issuer: "CN=</style><script>alert(3)</script>", Names: []string{"<i>"}, Serial: "00",
		Checks: []probe.CheckResult{{Check: probe.CheckNames, Detail: "got \x00<script>"}},
	}
	r.Verdict.Summary = "The CA said <script>alert(4)</script> \x1b[0m."
	return r
}

// empty is a run that did nothing at all.
func empty() *probe.Result {
	return &probe.Result{
		ID: "20261123T061703Z-cccccccccc", Pair: probe.Pair{Target: "corp", Module: "nonce"}, Prober: probe.ProberNonce,
		Trigger: probe.TriggerScrape, Start: start,
		Verdict: probe.Verdict{Outcome: probe.OutcomeSkipped, Reason: "canceled", Summary: "The exporter stopped."},
	}
}

// elsewhere is a run whose records were at name servers elsewhere.
func elsewhere() *probe.Result {
	r := issued()
	r.ID, r.Module, r.Visits = "20261123T061703Z-eeeeeeeeee", "issue_corp_dns", nil
	const step = 640 * ms
	r.Duration += step
	for i := range r.Steps {
		if r.Steps[i].Start >= 270*ms {
			r.Steps[i].Start += step
		}
	}
	for i := range r.Calls {
		if c := &r.Calls[i]; c.Start >= 270*ms {
			c.Start, c.Ready, c.FirstByte, c.End = c.Start+step, c.Ready+step, c.FirstByte+step, c.End+step
		}
	}
	i := slices.IndexFunc(r.Steps, func(s probe.Step) bool { return s.Name == probe.StepValidation })
	r.Steps = slices.Insert(r.Steps, i, probe.Step{
		Name: probe.StepPublication, Identifier: r.Steps[i].Identifier, Start: 270 * ms, Duration: 638 * ms, OK: true,
	})
	r.FollowUps = append(r.FollowUps, probe.FollowUp{Kind: probe.FollowUpWithdrawRecords, Records: []probe.Record{
		{Name: "_acme-challenge.www.corp.example", Value: "secret"}, {Name: "_acme-challenge.d.corp.example", Value: "b"},
		{Name: "_acme-challenge.www.corp.example", Value: "c"}, {Name: "_acme-challenge.c.corp.example", Value: "d"},
		{Name: "_acme-challenge.b.corp.example", Value: "e"},
	}})
	return r
}

// unpublished is a run whose record one of the name servers never had.
func unpublished() *probe.Result {
	r := elsewhere()
	r.ID = "20261123T061703Z-ffffffffff"
	r.Steps, r.Calls, r.Certificate = r.Steps[:6], r.Calls[:5], nil
	publication := &r.Steps[5]
	publication.OK, publication.Duration = false, 42*time.Second
	r.Duration = publication.End() + 10*ms
	r.FollowUps = r.FollowUps[1:]
	r.Failure = &probe.Failure{
		Step: probe.StepPublication, Kind: probe.FailureTimeout, Call: -1, Object: "challenge", Identifier: "www.corp.example",
		Detail: "ns2.corp.example (192.0.2.54:53) has no such record of _acme-challenge.www.corp.example, which ns1.corp.example (192.0.2.53:53) has",
		Advice: "see that 192.0.2.53:53 notifies ns2.corp.example of changes of corp.example, and that it may transfer the zone; or have a longer timeout, if it is only slow",
	}
	r.Verdict = probe.Verdict{
		Outcome: probe.OutcomeFailure, Stage: probe.StepPublication, Reason: "publication_incomplete", Fault: probe.FaultLocal,
		Summary: "issue: publication failed: not every name server of the zone had the record in time (challenge, for www.corp.example: " + r.Failure.Detail[:90] + "…).",
	}
	return r
}

// withdrawal is a follow-up that asks no CA for anything.
func withdrawal() *probe.Result {
	r := &probe.Result{
		ID: "20261123T061705Z-gggggggggg", Pair: probe.Pair{Target: "letsencrypt-staging", Module: "issue_corp_dns"}, Prober: probe.ProberIssue,
		Parent: elsewhere().ID, FollowUp: probe.FollowUpWithdrawRecords, Trigger: probe.TriggerFollowUp, Start: start, Duration: 31 * ms,
		Verdict: probe.Verdict{Outcome: probe.OutcomeSuccess, Summary: "withdraw_records passed."},
	}
	r.Steps = []probe.Step{{Name: probe.StepPublication, Duration: 30 * ms, OK: true}}
	return r
}

func results() map[string]*probe.Result {
	followUp := unreachable()
	followUp.Parent, followUp.FollowUp, followUp.Trigger = "20261123T061600Z-parent", probe.FollowUpDeactivateAuthz, probe.TriggerFollowUp
	return map[string]*probe.Result{
		"issued": issued(), "unreachable": unreachable(), "hostile": hostile(), "empty": empty(), "followup": followUp,
		"elsewhere": elsewhere(), "unpublished": unpublished(), "withdrawal": withdrawal(),
	}
}

func TestTextGolden(t *testing.T) {
	for name, r := range results() {
		for suffix, o := range map[string]TextOptions{
			"80":    {},
			"120":   {Width: 120},
			"color": {Color: true},
			"urls":  {URLs: true},
		} {
			if name != "issued" && suffix != "80" {
				continue
			}
			t.Run(name+"/"+suffix, func(t *testing.T) {
				var b bytes.Buffer
				if err := Text(&b, r, o); err != nil {
					t.Fatal(err)
				}
				golden(t, name+"."+suffix+".txt", b.Bytes())
			})
		}
	}
}

func TestTextFitsTheTerminal(t *testing.T) {
	for name, r := range results() {
		for _, width := range []int{60, 80, 100, 200} {
			var b bytes.Buffer
			if err := Text(&b, r, TextOptions{Width: width, URLs: true}); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(b.String()) {
				line = strings.TrimSuffix(line, "\n")
				if n := utf8.RuneCountInString(line); n > width {
					t.Errorf("%s at %d columns: a line of %d: %q", name, width, n, line)
				}
				if strings.ContainsAny(line, "\x1b\r\a\x00\u202e") {
					t.Errorf("%s: a control character in %q", name, line)
				}
			}
		}
	}
}

func TestTextWithColorSaysTheSame(t *testing.T) {
	var plain, colored bytes.Buffer
	if err := Text(&plain, issued(), TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := Text(&colored, issued(), TextOptions{Color: true}); err != nil {
		t.Fatal(err)
	}
	var stripped strings.Builder
	for i, part := range strings.Split(colored.String(), "\x1b[") {
		if i > 0 {
			_, part, _ = strings.Cut(part, "m")
		}
		stripped.WriteString(part)
	}
	if diff := cmp.Diff(plain.String(), stripped.String()); diff != "" {
		t.Errorf("without its colors (-plain +colored):\n%s", diff)
	}
}

func TestURLsAndAddressesAreNotShown(t *testing.T) {
	var b bytes.Buffer
	if err := Text(&b, issued(), TextOptions{}); err != nil {
		t.Fatal(err)
	}
	fragment, err := HTML(issued())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"https://", "198.51.100.77"} {
		if strings.Contains(b.String(), s) {
			t.Errorf("the text shows %s", s)
		}
		if strings.Contains(string(fragment.Body), s) {
			t.Errorf("the page shows %s", s)
		}
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestTextReportsAWriteError(t *testing.T) {
	if err := Text(brokenWriter{}, issued(), TextOptions{}); !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
}

// One request about several names is one request, and networks are numbered for
// each name.
func TestVisitsOfSeveralNames(t *testing.T) {
	r := &probe.Result{}
	for _, name := range []string{"a.example", "b.example"} {
		r.Visits = append(r.Visits,
			probe.Visit{At: 5 * ms, Identifier: name, Family: probe.IPv4, Network: 1, Asked: "CAA"},
			probe.Visit{At: time.Duration(len(r.Visits)+7) * ms, Identifier: name, Family: probe.IPv6, Network: 2, Asked: "TXT", OK: true})
	}
	const want = "3 requests from 2 networks, 1 over ip4, 2 over ip6; 2 got the challenge's answer"
	if got := visits(r); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestTransparency holds what a line says of SCTs.
func TestTransparency(t *testing.T) {
	for _, tt := range []struct {
		seen probe.Transparency
		want string
		bad  bool
	}{
		{probe.Transparency{Count: 2}, "2 SCTs", false},
		{probe.Transparency{Count: 2, Operators: []string{"A", "B"}, Policy: probe.PolicyMet}, "2 SCTs of 2 operators, Chrome's policy met", false},
		{
			probe.Transparency{Count: 1, Operators: []string{"A"}, Policy: probe.PolicyMissed, Detail: "SCTs of 1 logs count, and 2 are needed"},
			"1 SCT of 1 operator, Chrome's policy not met: SCTs of 1 logs count, and 2 are needed", true,
		},
		{
			probe.Transparency{Count: 1, Policy: probe.PolicyUnknown, Detail: "the list of logs is of 2026-08-23, more than 70 days old"},
			"1 SCT of 0 operators, Chrome's policy not known to be met: the list of logs is of 2026-08-23, more than 70 days old", false,
		},
		{probe.Transparency{Unreadable: true, Detail: "the SCTs cannot be read: the list is empty"}, "the SCTs cannot be read: the list is empty", true},
	} {
		r := &probe.Result{Facts: probe.Facts{Certificate: &probe.Certificate{Transparency: &tt.seen}}}
		i := slices.IndexFunc(facts(r), func(f Fact) bool { return f.Label == "transparency" })
		if i < 0 {
			t.Fatalf("%s: no line", tt.want)
		}
		if f := facts(r)[i]; f.Value != tt.want || f.Bad != tt.bad {
			t.Errorf("%+v, want %q", f, tt.want)
		}
	}
}

// Of renewals and of a directory that has changed the run says what, for a bounded
// number of certificates.
func TestFactsOfCA(t *testing.T) {
	r := &probe.Result{}
	r.Directory = &probe.Directory{Change: &probe.DirectoryChange{Fields: []probe.FieldChange{{Field: "profiles", From: "long", To: "short"}}}}
	r.Renewals = []probe.Renewal{
		{File: "www.pem", Start: start, End: start.Add(48 * time.Hour)},
		{Start: start, End: start.Add(48 * time.Hour), Due: true, ExplanationURL: "https://ca.example/why"},
	}
	want := []Fact{
		{Label: "directory", Value: "0 endpoints"},
		{Label: "directory changed", Value: "profiles: long → short"},
		{Label: "renewal", Value: "www.pem: from 2026-11-23 to 2026-11-25"},
		{Label: "renewal", Value: "the last certificate: from 2026-11-23 to 2026-11-25: due, see https://ca.example/why", Bad: true},
	}
	if diff := cmp.Diff(want, facts(r)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	r.Renewals = make([]probe.Renewal, 100)
	if list := facts(r); len(list) != 2+shownRenewals+1 || list[len(list)-1].Value != "and 90 more" {
		t.Errorf("%d facts, the last %+v", len(list), list[len(list)-1])
	}
}

// TestRetriedCalls holds that what ended well is not bad, however often it was made
// again, and that what did not is.
func TestRetriedCalls(t *testing.T) {
	// A call is its attempt and its status; those of a case are made one after another.
	for name, tt := range map[string]struct {
		calls   [][2]int
		retried []bool
		bad     []bool
	}{
		"once":             {[][2]int{{0, 400}, {1, 201}}, []bool{true, false}, []bool{false, false}},
		"three times":      {[][2]int{{0, 400}, {1, 400}, {2, 400}, {3, 201}}, []bool{true, true, true, false}, make([]bool, 4)},
		"in vain":          {[][2]int{{0, 400}, {1, 400}, {2, 500}}, make([]bool, 3), []bool{true, true, true}},
		"not made again":   {[][2]int{{0, 400}, {0, 201}}, make([]bool, 2), []bool{true, false}},
		"one poll of many": {[][2]int{{0, 200}, {0, 400}, {1, 200}, {0, 500}}, []bool{false, true, false, false}, []bool{false, false, false, true}},
		"no answer":        {[][2]int{{0, 400}, {1, 0}}, make([]bool, 2), []bool{true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			r := new(probe.Result)
			for i, c := range tt.calls {
				made := call(probe.StepOrder, probe.CallNewOrder, c[1], time.Duration(i+1)*time.Second, ms, ms)
				made.Attempt = c[0]
				r.Calls = append(r.Calls, made)
				// Another one of the same name at the same time.
				other := call(probe.StepOrder, probe.CallNewOrder, 200, made.Start+ms, ms, ms)
				other.URL += "/other"
				r.Calls = append(r.Calls, other)
			}
			slices.Reverse(r.Calls) // they are recorded as they end
			var retried, bad []bool
			for _, row := range Rows(r) {
				if !strings.HasSuffix(row.URL, "/other") {
					retried, bad = append(retried, row.Retried), append(bad, row.Bad)
				}
				told := slices.ContainsFunc(row.Notes, func(n Note) bool { return strings.Contains(n.Text, "made again") })
				if told != row.Retried {
					t.Errorf("retried %v, and told %v: %+v", row.Retried, told, row.Notes)
				}
			}
			if !slices.Equal(retried, tt.retried) || !slices.Equal(bad, tt.bad) {
				t.Errorf("retried %v, bad %v", retried, bad)
			}
		})
	}
}
