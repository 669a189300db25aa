package web

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// fakeIncidents are states and incidents as they are given.
type fakeIncidents struct {
	states    []probe.TargetState
	incidents []*probe.Incident // newest first
}

func (f *fakeIncidents) State(time.Time) []probe.TargetState { return f.states }

func (f *fakeIncidents) Incidents(incident.Filter) []*probe.Incident {
	return slices.Clone(f.incidents)
}

func (f *fakeIncidents) Incident(id string) (*probe.Incident, bool) {
	for _, i := range f.incidents {
		if i.ID == id {
			return i, true
		}
	}
	return nil, false
}

// hostilePages are those of hostileOptions that quote a CA the most.
var hostilePages = []string{"/incidents/i1", "/incidents/i2", "/runs/e1", "/?target=" + url.QueryEscape(hostile) + "&since=2026-11-23&limit=1"}

// hostileOptions are those of an exporter with busy pairs, in which everything that
// can come from elsewhere is hostile.
func hostileOptions(now time.Time) Options {
	o := options(&fakeRunner{statuses: busy(now)})
	kept := result(probe.Pair{Target: "letsencrypt", Module: "validate_http"}, "e1", now.Add(-4*time.Hour), probe.OutcomeFailure)
	kept.Verdict.Summary, kept.Account = hostile, "https://ca.example/"+hostile
	kept.Calls[0].Problem = &probe.Problem{Type: hostile, Detail: hostile}
	kept.Controls = []probe.Control{
		{Kind: probe.ControlURL, Target: "https://a.example/" + hostile, Alive: true, Duration: 12 * ms},
		{Kind: probe.ControlName, Target: "b.example", Duration: 3 * time.Second, Error: &probe.CallError{Phase: probe.PhaseDNS, Cause: probe.CauseTimeout, Message: hostile}},
	}
	kept.Lookups = []probe.Lookup{
		{Resolver: "192.0.2.1:53", Name: hostile, Type: "TXT", Found: true, Answer: "1 value"},
		{Resolver: "192.0.2.2:53", Name: "a.example", Type: "A/AAAA", Answer: hostile},
		{Resolver: "192.0.2.3:53", Name: "a.example", Type: "A/AAAA", Silent: true, Answer: "no answer"},
	}
	start := now.Add(-4 * time.Hour)
	part := &probe.Incident{
		Version: 1, ID: "i1", Kind: probe.IncidentPair, Target: "letsencrypt", Module: "validate_http", Condition: probe.ConditionDown,
		Start: start, End: now.Add(-2 * time.Hour), LastFailure: now.Add(-3 * time.Hour), Stage: hostile, Reason: hostile, Fault: hostile,
		Summary: "=" + hostile, Flaps: 2, Failures: 5, Reasons: map[probe.Reason]int{hostile: 4, "http_5xx": 1}, Withdrawn: true,
		Evidence: &probe.Evidence{First: probe.EvidenceRun{Result: kept, Dropped: 3}},
	}
	whole := &probe.Incident{
		Version: 1, ID: "i2", Kind: probe.IncidentTarget, Target: hostile, Environment: hostile, Module: hostile, Condition: probe.ConditionDegraded,
		Start: start.Add(-time.Minute), LastSuccess: start.Add(-90 * time.Second), LastFailure: now.Add(-time.Hour),
		Stage: probe.StepNonce, Reason: "http_5xx", Fault: probe.FaultCA, Summary: "\t@" + hostile, Failures: 1, Reasons: map[probe.Reason]int{hostile: 1},
		Official: &probe.Official{Start: start.Add(11 * time.Minute), Name: hostile, URL: "https://status.example/?" + hostile, Lead: 12 * time.Minute},
		Phases: []probe.IncidentPhase{
			{Condition: probe.ConditionDegraded, Start: start, End: start.Add(time.Hour)}, {Condition: probe.ConditionDown, Start: start.Add(time.Hour)},
		},
		Members: []probe.Member{
			{ID: "i1", Module: hostile, Critical: true, Start: start, LastFailure: start, Failures: 1, Reasons: map[probe.Reason]int{hostile: 1}, Flaps: 1},
			{ID: "gone", Module: "nonce", Start: start, End: now, LastFailure: start, Failures: 1, Reasons: map[probe.Reason]int{}},
		},
	}
	o.Incidents = &fakeIncidents{
		states: []probe.TargetState{
			{Target: "corp", Environment: "staging", Condition: probe.ConditionUnknown, Why: hostile, Pairs: []probe.PairState{
				{Pair: probe.Pair{Target: "corp", Module: "nonce"}, Condition: probe.ConditionUnknown, Why: hostile},
			}},
			{Target: "letsencrypt", Environment: "production", Condition: probe.ConditionDown, Since: start, Why: hostile, Incident: "i1", Pairs: []probe.PairState{
				{Pair: probe.Pair{Target: "letsencrypt", Module: "validate_http"}, Condition: probe.ConditionDown, Why: "The CA said: " + hostile},
			}},
		},
		incidents: []*probe.Incident{part, whole},
	}
	return o
}

func TestIncidentPagesGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(hostileOptions(time.Now()))
		for path, name := range map[string]string{
			"/": "incidents.html", "/incidents/i1": "incident_pair.html", "/incidents/i2": "incident_target.html", "/runs/e1": "evidence.html",
			historyURL(probe.Pair{Target: "corp", Module: "nonce"}): "runs.html", "/incidents.csv": "incidents.csv", "/incidents.atom": "incidents.atom",
			"/api/v1/targets": "targets.json", "/api/v1/incidents?limit=1": "incidents.json", "/api/v1/incidents/i1": "incident.json",
		} {
			w := get(t, h, path)
			if w.Code != 200 {
				t.Errorf("%s: %d", path, w.Code)
			}
			body := w.Body.String()
			if strings.HasSuffix(name, ".html") {
				body = bare(body)
			}
			golden(t, name, body)
		}
	})
}

// TestIndexOfScenes holds that the index says in words how each target is.
func TestIndexOfScenes(t *testing.T) {
	for name, wanted := range map[string][]string{
		"healthy": {`<title>acme_exporter</title>`, `<span class="badge up">2 up</span>`, "3 of 3 modules are up and none is down."},
		"outage": {
			`<title>1 down · acme_exporter</title>`, `<span class="badge down">1 down</span>`, `<span class="badge degraded">1 degraded</span>`,
			"validate is down: The order failed", "issue is down: The order failed", "<strong>goes on</strong>",
		},
		"after":   {`<span class="badge up">2 up</span>`, "3 of 3 modules are up"},
		"unknown": {`<title>1 unknown · acme_exporter</title>`, `<span class="badge unknown">1 unknown</span>`, "There has been no evidence since", "otherwise up, not known 3 h"},
	} {
		synctest.Test(t, func(t *testing.T) {
			body := get(t, New(scene(name, time.Now()).options()), "/").Body.String()
			for _, words := range wanted {
				if !strings.Contains(body, words) {
					t.Errorf("%s: the index does not say %q", name, words)
				}
			}
		})
	}
}

func TestRefresh(t *testing.T) {
	h := New(scene("healthy", time.Now()).options())
	w := get(t, h, "/?target=corp&refresh=60")
	if w.Header().Get("Refresh") != "60" || !strings.Contains(w.Body.String(), `every 60 s. <a href="/?target=corp">`) {
		t.Errorf("Refresh %q", w.Header().Get("Refresh"))
	}
	w = get(t, h, "/?target=corp")
	if w.Header().Get("Refresh") != "" || !strings.Contains(w.Body.String(), `<a href="/?refresh=30&amp;target=corp">`) {
		t.Errorf("Refresh %q where nobody asked for it", w.Header().Get("Refresh"))
	}
}

func TestParseFilter(t *testing.T) {
	day := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for query, want := range map[string]incident.Filter{
		"":                         {Kind: probe.IncidentTarget},
		"target=&since=&open=":     {Kind: probe.IncidentTarget},
		"kind=all&target=a":        {Target: "a"},
		"kind=pair&module=m":       {Kind: probe.IncidentPair, Module: "m"},
		"condition=down&open=1":    {Kind: probe.IncidentTarget, Condition: probe.ConditionDown, Open: true},
		"since=2026-11-23&limit=7": {Kind: probe.IncidentTarget, Since: day, Limit: 7},
		"until=2026-11-23":         {Kind: probe.IncidentTarget, Until: day.AddDate(0, 0, 1)},
		"since=2026-11-23T01:02Z":  {},
		"since=2026-11-23T03:02:03%2B01:00&until=2026-11-23T01:02": {Kind: probe.IncidentTarget, Since: day.Add(2*time.Hour + 2*time.Minute + 3*time.Second), Until: day.Add(62 * time.Minute)},
		"kind=host": {}, "condition=up": {}, "open=maybe": {}, "limit=0": {}, "limit=10001": {}, "limit=1e3": {}, "until=now": {},
		"target=a&target=b": {},
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parseFilter(values)
		if want == (incident.Filter{}) {
			if err == nil {
				t.Errorf("%s: no error", query)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", query, err)
		}
		if diff := cmp.Diff(want, f.Filter); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
		again, err := url.Parse(f.url("/x"))
		if err != nil {
			t.Fatal(err)
		}
		if g, err := parseFilter(again.Query()); err != nil || !cmp.Equal(f.Filter, g.Filter) {
			t.Errorf("%s: %s is another filter: %+v, %v", query, again, g.Filter, err)
		}
	}
}

// TestIncidentRow holds what a row of the table is, and that no word of it is taken for
// markup.
func TestIncidentRow(t *testing.T) {
	start := time.Date(2026, 11, 23, 6, 17, 3, 0, time.UTC)
	i := &probe.Incident{
		ID: `a/"b`, Kind: probe.IncidentPair, Target: "<corp>", Module: `"issue"`, Condition: "down", Start: start, Stage: "<i>", Reason: "&", Fault: `'ca'`,
	}
	const began = `<time datetime="2026-11-23T06:17:03Z">2026-11-23 06:17:03 UTC</time>`
	const row = `<tr role="row">
<th role="rowheader" scope="row"><span class="badge down">down</span> <a href="/incidents/a%2F%22b" aria-label="&lt;corp&gt; / &#34;issue&#34;, down since 2026-11-23 06:17:03 UTC">&lt;corp&gt; / &#34;issue&#34;</a></th>
<td role="cell" data-label="Start">` + began + `</td>
<td role="cell" data-label="End">END</td>
<td role="cell" data-label="Duration">1 h</td>
<td role="cell" data-label="Uncertainty">not known</td>
<td role="cell" data-label="Stage">&lt;i&gt;</td>
<td role="cell" data-label="Reason"><code>&amp;</code></td>
<td role="cell" data-label="Fault">&#39;ca&#39;</td>
</tr>`
	check := func(end string) {
		t.Helper()
		got := string(newIncidentRow(i, start.Add(time.Hour)).html())
		if diff := cmp.Diff(strings.ReplaceAll(row, "END", end), got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	check("<strong>goes on</strong>")
	i.End = start.Add(time.Hour)
	ended := strings.NewReplacer("06:17", "07:17").Replace(began)
	check(ended)
	i.Withdrawn = true
	check(ended + "<small>withdrawn</small>")
}
