package web

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// past is an exporter whose only pair has twenty runs in memory, and a hundred more
// beside ten earlier failures on disk, newest first.
func past(now time.Time) (Options, []*probe.Result) {
	pair := probe.Pair{Target: "corp", Module: "nonce"}
	var all []*probe.Result
	for i := range 120 {
		outcome := probe.OutcomeSuccess
		if i >= 100 {
			outcome = probe.OutcomeFailure
		}
		all = append(all, result(pair, fmt.Sprintf("r%d", i), now.Add(-time.Duration(i+1)*time.Minute), outcome))
	}
	followUp := result(pair, "f1", now.Add(-time.Second), probe.OutcomeSuccess)
	followUp.FollowUp, followUp.Parent = probe.FollowUpDeactivateAuthz, "r0"
	r := &fakeRunner{
		statuses: []probe.Status{{Pair: pair, Recent: append([]*probe.Result{followUp}, all[:20]...)}},
		before:   summaries(all[20:]), stored: all[20:],
	}
	r.before[30].Dropped = 7 // of r50
	return options(r), all
}

// TestRunsOfThePast holds that what is on disk alone is listed, drawn and found like
// what is in memory, and that failures from before the last runs are told apart.
func TestRunsOfThePast(t *testing.T) {
	o, all := past(time.Now())
	h := New(o)
	page := bare(fetch(t, h, historyURL(all[0].Pair)))
	last, before, ok := strings.Cut(page, "<h2>Failures before that</h2>")
	if !ok || !strings.Contains(last, "The last runs, newest first: 100 runs, median 120 ms, longest 120 ms.") {
		t.Errorf("what it says of its runs: %s", page)
	}
	for i, r := range all {
		part := last
		if i >= shownRuns {
			part = before
		}
		if link := `<a href="/runs/` + r.ID + `">`; strings.Count(part, link) != 1 || strings.Count(page, link) != 1 {
			t.Errorf("%s is not listed once in its part", r.ID)
		}
	}
	if strings.Contains(page, "/runs/f1") {
		t.Error("a follow-up is listed among the runs")
	}
	if index := fetch(t, h, "/"); !strings.Contains(index, ">100 runs</a>, median 120 ms, longest 120 ms</small>") {
		t.Error("the index does not have the last 100 runs")
	}
	for id, want := range map[string][]string{
		"r0":   {`<a href="/runs/r1" rel="prev">`, `<a href="/runs/f1">follow-up`},
		"r19":  {`<a href="/runs/r20" rel="prev">`, `<a href="/runs/r18" rel="next">`},
		"r50":  {`<a href="/runs/r51" rel="prev">`, `<a href="/runs/r49" rel="next">`, "too large to be kept whole: 7 of its"},
		"r119": {`<a href="/runs/r118" rel="next">`},
	} {
		page := fetch(t, h, "/runs/"+id)
		for _, text := range want {
			if !strings.Contains(page, text) {
				t.Errorf("%s: no %s", id, text)
			}
		}
		if id != "r50" && strings.Contains(page, "too large") {
			t.Errorf("%s: something was left out", id)
		}
	}
}

// TestWhyIsSaidOnce holds that the index says why a module is down beside its last
// run only where that has failed for another reason, or not at all.
func TestWhyIsSaidOnce(t *testing.T) {
	const why = "The order failed at ca.example: the CA reports an internal error, of a.example."
	last := func(outcome probe.Outcome, reason probe.Reason) pairView {
		return pairView{Module: "order", Outcome: string(outcome), Reason: reason, Summary: "The order failed, of b.example."}
	}
	down := probe.PairState{Pair: probe.Pair{Module: "order"}, Condition: probe.ConditionDown, Incident: "i1", Why: why}
	s := &server{Options: Options{Incidents: &fakeIncidents{incidents: []*probe.Incident{{ID: "i1", Reason: "server_internal"}}}}}
	for name, c := range map[string]struct {
		last pairView
		pair probe.PairState
		want string
	}{
		"the same reason":  {last(probe.OutcomeFailure, "server_internal"), down, ""},
		"another reason":   {last(probe.OutcomeFailure, "edge_5xx"), down, why},
		"a first success":  {last(probe.OutcomeSuccess, ""), down, why},
		"no run":           {pairView{Module: "order"}, down, why},
		"up":               {last(probe.OutcomeSuccess, ""), probe.PairState{Pair: down.Pair, Condition: probe.ConditionUp, Why: "It passed."}, ""},
		"unknown":          {last(probe.OutcomeSuccess, ""), probe.PairState{Pair: down.Pair, Condition: probe.ConditionUnknown, Why: "There has been no evidence."}, "There has been no evidence."},
		"unknown, quoted":  {last(probe.OutcomeFailure, "dns_timeout"), probe.PairState{Pair: down.Pair, Condition: probe.ConditionUnknown, Why: "The last run: The order failed, of b.example."}, ""},
		"a pair of others": {pairView{Module: "nonce"}, down, ""},
	} {
		s.judge(&c.last, &probe.TargetState{Pairs: []probe.PairState{c.pair}})
		if c.last.Why != c.want {
			t.Errorf("%s: %q, want %q", name, c.last.Why, c.want)
		}
	}
}

// TestMisissuedIsShown holds that the page of a run has the certificate that had to be
// refused, and shows no resolver's word for what has to be there.
func TestMisissuedIsShown(t *testing.T) {
	pair := probe.Pair{Target: "corp", Module: "refused"}
	r := result(pair, "r1", time.Now().Add(-time.Minute), probe.OutcomeFailure)
	r.Refusal = &probe.Refusal{Expected: "unauthorized"}
	r.Certificate = &probe.Certificate{Serial: "0a", PEM: "-----BEGIN CERTIFICATE-----\n<b>AAAA</b>\n"}
	r.Lookups = []probe.Lookup{{Resolver: "192.0.2.53:53", Name: "_validation-persist.a.example", Type: "TXT"}}
	page := fetch(t, New(options(&fakeRunner{statuses: []probe.Status{{Pair: pair, Recent: []*probe.Result{r}}}})), "/runs/r1")
	if !strings.Contains(page, "<h2>The certificate that had to be refused</h2>") || !strings.Contains(page, "-----BEGIN CERTIFICATE-----\n&lt;b&gt;AAAA") {
		t.Errorf("no certificate in %s", page)
	}
	if strings.Contains(page, "How the world sees our names") {
		t.Error("what resolvers do not have is shown as missing")
	}
}
