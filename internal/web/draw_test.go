package web

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// paths returns the elements of a picture that are drawn, by class.
func paths(svg string) map[string]string {
	found := map[string]string{}
	for _, part := range strings.Split(svg, `<path class="`)[1:] {
		class, rest, _ := strings.Cut(part, `" d="`)
		found[class], _, _ = strings.Cut(rest, `"`)
	}
	return found
}

func TestDrawBars(t *testing.T) {
	begin := time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)
	share := func(up, degraded, down, unknown time.Duration) incident.Share {
		return incident.Share{From: begin, To: begin.Add(time.Hour), Up: up, Degraded: degraded, Down: down, Unknown: unknown}
	}
	const m = time.Minute
	for name, c := range map[string]struct {
		share incident.Share
		want  map[string]string
		title string
	}{
		"up":            {share(60*m, 0, 0, 0), map[string]string{"up": "M0 40h2v120h-2z"}, ""},
		"unknown":       {share(0, 0, 0, 60*m), map[string]string{"unknown": "M0 150h2v10h-2z"}, ""},
		"half known":    {share(30*m, 0, 0, 30*m), map[string]string{"up": "M0 100h2v60h-2z"}, ""},
		"down":          {share(0, 0, 60*m, 0), map[string]string{"down": "M0 0h2v160h-2z"}, "down 1 h"},
		"a second down": {share(60*m-time.Second, 0, time.Second, 0), map[string]string{"up": "M0 70h2v90h-2z", "down": "M0 0h2v70h-2z"}, "down 1 s"},
		"degraded":      {share(30*m, 30*m, 0, 0), map[string]string{"up": "M0 100h2v60h-2z", "degraded": "M0 40h2v60h-2z"}, "degraded 30 min"},
		"all":           {share(15*m, 15*m, 15*m, 15*m), map[string]string{"up": "M0 130h2v30h-2z", "degraded": "M0 100h2v30h-2z", "down": "M0 0h2v100h-2z"}, "down 15 min, degraded 15 min, not known 15 min"},
		"no time":       {incident.Share{From: begin, To: begin}, map[string]string{"unknown": "M0 150h2v10h-2z"}, ""},
	} {
		svg := string(drawBars([]incident.Share{c.share}))
		if diff := cmp.Diff(c.want, paths(svg)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		title := ""
		if c.title != "" {
			title = "<title>2026-11-23 04:00 to 2026-11-23 05:00 UTC: " + c.title + "</title>"
		}
		if strings.Contains(svg, "<title>") != (title != "") || !strings.Contains(svg, title) {
			t.Errorf("%s: no %q in %s", name, title, svg)
		}
	}
}

func TestDurations(t *testing.T) {
	pair := probe.Pair{Target: "corp", Module: "nonce"}
	var recent []*probe.Result
	for i := range 120 {
		r := result(pair, fmt.Sprint(i), time.Now(), probe.OutcomeSuccess)
		r.Duration = time.Duration(i+1) * ms
		recent = append(recent, r)
	}
	recent[1].Verdict.Outcome = probe.OutcomeFailure
	recent[2].Verdict.Outcome = probe.OutcomeSkipped
	d := newDurations(summaries(recent))
	if d.Runs != "100 runs" || d.Said != ", median 52 ms, longest 100 ms, 1 failed, 1 skipped" {
		t.Errorf("%s%s", d.Runs, d.Said)
	}
	drawn := paths(string(d.Picture))
	if n := strings.Count(drawn["up"], "M"); n != 98 {
		t.Errorf("%d successes are drawn", n)
	}
	// The newest is at the right.
	if drawn["down"] != "M294 0h2v160h-2z" || drawn["degraded"] != "M291 130h2v30h-2z" || !strings.HasPrefix(drawn["up"], "M297 156h2v4h-2z") {
		t.Errorf("%s, %s, %s", drawn["down"], drawn["degraded"], drawn["up"][:30])
	}
	if d := newDurations(summaries(recent[1:2])); d.Runs != "1 run" || d.Said != ", 1 failed" {
		t.Errorf("%+v", d)
	}
	if d := newDurations(nil); d != (durationsView{}) {
		t.Errorf("of nothing: %+v", d)
	}
}

func TestDrawSmall(t *testing.T) {
	r := result(probe.Pair{Target: "corp", Module: "nonce"}, "r1", time.Now(), probe.OutcomeSuccess)
	r.Duration = 100 * ms
	r.Calls = append(r.Calls, probe.Call{Name: probe.CallNewOrder, Step: probe.StepOrder, Start: 50 * ms, End: 90 * ms})
	r.Steps = append(r.Steps, probe.Step{Name: probe.StepOrder, Start: 50 * ms, Duration: 50 * ms})
	drawn, retried := drawSmall(r)
	svg := string(drawn)
	if retried != 0 {
		t.Errorf("%d were made again", retried)
	}
	want := map[string]string{
		"step": "M0 0h1000v6h-1000z", "failed": "M500 8h500v6h-500zM500 8h400v6h-400z", "answer": "M100 1h700v4h-700z", "body": "M800 1h100v4h-100z",
	}
	if diff := cmp.Diff(want, paths(svg)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(svg, `class="small rows2" viewBox="0 0 1000 14"`) {
		t.Error(svg)
	}
	if svg, _ := drawSmall(&probe.Result{}); svg != "" {
		t.Errorf("of nothing: %s", svg)
	}
}

// TestDrawRetried holds that a call that was made again with success is drawn as that,
// and is told in words beside it.
func TestDrawRetried(t *testing.T) {
	r := result(probe.Pair{Target: "corp", Module: "nonce"}, "r1", time.Now(), probe.OutcomeSuccess)
	r.Duration = 100 * ms
	refused := probe.Call{Name: probe.CallNewOrder, Step: probe.StepOrder, Status: 400, Start: 50 * ms, End: 60 * ms}
	again := refused
	again.Attempt, again.Status, again.Start, again.End = 1, 201, 70*ms, 80*ms
	r.Steps = []probe.Step{{Name: probe.StepOrder, Start: 50 * ms, Duration: 50 * ms, OK: true}}
	for _, tt := range []struct {
		calls  []probe.Call
		failed bool
	}{
		{[]probe.Call{refused, again}, false},
		{[]probe.Call{refused}, true},
	} {
		r.Calls = tt.calls
		drawn, _ := drawSmall(r)
		found := paths(string(drawn))
		if (found["failed"] != "") != tt.failed || (found["retried"] == "M500 0h100v6h-100z") == tt.failed {
			t.Errorf("%d calls: %v", len(tt.calls), found)
		}
		page := fetch(t, New(options(&fakeRunner{statuses: []probe.Status{{Pair: r.Pair, Recent: []*probe.Result{r}}}})), "/")
		if said := strings.Contains(page, "<small>1 call made again, with success</small>"); said == tt.failed {
			t.Errorf("%d calls: told that they were made again: %v", len(tt.calls), said)
		}
	}
}

// TestLastRunsOfMany holds that failures from before the last runs are not among them
// where successes between them are no longer kept.
func TestLastRunsOfMany(t *testing.T) {
	var history []probe.RunSummary
	add := func(outcome probe.Outcome, newest, oldest uint64) {
		for n := newest; n >= oldest; n-- {
			history = append(history, probe.RunSummary{Nth: n, Duration: time.Second, Verdict: probe.Verdict{Outcome: outcome}})
		}
	}
	add(probe.OutcomeSuccess, 200, 180)
	add(probe.OutcomeFailure, 103, 95) // those from 101 on are among the last
	last, before := split(history)
	if len(last) != 24 || last[23].Nth != 101 || len(before) != 6 || before[0].Nth != 100 {
		t.Errorf("%d are the last runs, %d before: %+v", len(last), len(before), last)
	}
	if d := newDurations(history); d.Runs != "24 runs" || d.Said != ", median 1000 ms, longest 1000 ms, 3 failed" {
		t.Errorf("%s%s", d.Runs, d.Said)
	}
}
