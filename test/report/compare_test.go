package report

import (
	"fmt"

	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/report"
)

// glance is how far apart the times are at which the report looks at the state.
const glance = 30 * time.Second

// said is what a location says at a look: its last sample, if it is younger than a
// minute; empty: nothing.
func said(location string, t time.Time) string {
	of := t.Add(-offset(location)).Truncate(stateInterval).Add(offset(location))
	for ; t.Sub(of) < time.Minute; of = of.Add(-stateInterval) {
		if !of.After(t) && scraped(location, of) {
			return stateAt(location, of)
		}
	}
	return ""
}

// availability is the truth as it is accounted for.
func availability(from, to time.Time, among ...string) report.Availability {
	var a report.Availability
	for t := from; t.Before(to); t = t.Add(glance) {
		reporting, down := 0, 0
		for _, l := range among {
			switch said(l, t) {
			case "down":
				down++
				reporting++
			case "up":
				reporting++
			}
		}
		switch {
		case reporting == 0:
			a.Unknown += glance
		case 2*down > reporting:
			a.Down += glance
		default:
			a.Up += glance
		}
	}
	return a
}

// runsOf are the issuances of a location that its counters have taken in between two
// Mondays.
func runsOf(location string, from, to time.Time) []run {
	var list []run
	for at := from; at.Before(to); at = at.Add(interval) {
		if location != "syd" || at.Add(offset(location)).Before(death) {
			list = append(list, runAt(location, at.Add(-20*time.Second)))
		}
	}
	return list
}

// compare holds each number of the report to the truth.
func compare(t *testing.T, r *report.Report, mode string) {
	t.Helper()
	equal(t, "week", r.Period.Week, "2026-W24")
	equal(t, "histograms", r.Sources.Histograms, map[string]string{"classic": "classic", "native": "native", "both": "native"}[mode])
	equal(t, "rules", r.Sources.Rules, false)
	equal(t, "incidents from", r.Sources.Incidents, report.FromMetrics)
	equal(t, "targets", len(r.Targets), 2)
	equal(t, "first target", r.Targets[0].Target, hostile)
	compareHostile(t, &r.Targets[0])
	x := &r.Targets[1]
	equal(t, "availability", x.Availability, availability(monday, end, locations...))
	equal(t, "availability before", *x.Before, report.Availability{Up: monday.Sub(begin)})
	near(t, "time down", x.Availability.Down, outage.end.Sub(outage.start), glance)
	near(t, "time not known", x.Availability.Unknown, blackout.end.Sub(blackout.start), 2*glance)
	equal(t, "locations", len(x.Locations), len(locations))
	var all, before report.Runs
	for i, l := range x.Locations {
		equal(t, "location", l.Location, locations[i])
		equal(t, "availability of "+l.Location, l.Availability, availability(monday, end, l.Location))
		equal(t, "runs of "+l.Location, fmt.Sprint(l.Runs), fmt.Sprint(count(&all, runsOf(l.Location, monday, end))))
		count(&before, runsOf(l.Location, begin, monday))
	}
	equal(t, "runs", fmt.Sprint(x.Runs), fmt.Sprint(all))
	dead := x.Locations[4].Silent
	near(t, "death of syd", dead[len(dead)-1].Start.Sub(death), 0, 2*glance)
	equal(t, "end of syd's silence", dead[len(dead)-1].End, end)
	compareMeasures(t, x, mode)
	compareCharts(t, x, mode)
	compareRest(t, r, x)
}

// count adds up runs: of each issuance, and of the look at the directory with it.
func count(all *report.Runs, list []run) report.Runs {
	var here report.Runs
	for _, r := range list {
		for _, to := range []*report.Runs{&here, all} {
			switch {
			case r.fault != "":
				if to.Failures == nil {
					to.Failures = map[string]int64{}
				}
				to.Failures[r.fault] += 2
			case r.skip:
				to.Skipped++
				to.Success++
			default:
				to.Success += 2
			}
		}
	}
	return here
}

// compareHostile is of the target with a hostile name, which was seen for three hours.
func compareHostile(t *testing.T, x *report.Target) {
	t.Helper()
	equal(t, "environment", x.Environment, hostile)
	near(t, "time up", x.Availability.Up, 3*time.Hour, 2*glance)
	equal(t, "before", x.Before == nil && x.RunsBefore == nil && x.Latency == nil && x.Slowest == nil, true)
}

// compareMeasures holds that the true quantile is between the ends of each one.
func compareMeasures(t *testing.T, x *report.Target, mode string) {
	t.Helper()
	names := func(list []report.Measure) (names []string) {
		for _, m := range list {
			names = append(names, m.Name)
		}
		return names
	}
	equal(t, "steps", fmt.Sprint(names(x.Steps)), "[order validation finalization download]")
	equal(t, "calls", fmt.Sprint(names(x.Calls)), "[new-order finalize]")
	for _, m := range slices.Concat(x.Steps, x.Calls) {
		var now, before []float64
		for i, l := range locations {
			here, was := durations(l, m.Name, monday, end), durations(l, m.Name, begin, monday)
			now, before = append(now, here...), append(before, was...)
			quantiles(t, m.Name+" at "+l, m.Locations[i].Quantiles, here, mode)
			quantiles(t, m.Name+" before at "+l, *m.Locations[i].Before, was, mode)
		}
		quantiles(t, m.Name, m.All, now, mode)
		quantiles(t, m.Name+" before", *m.Before, before, mode)
	}
	// A slow day in seven shows in the p95 beyond any bucket.
	final := x.Steps[2]
	if ratio, sure, ok := final.All.P95.Change(final.Before.P95); !ok || !sure || ratio < .5 {
		t.Errorf("p95 of finalization changed by %v (sure %v, ok %v), want more than half", ratio, sure, ok)
	}
}

// durations of a step or a call, sorted, in seconds.
func durations(location, name string, from, to time.Time) []float64 {
	var list []float64
	for _, r := range runsOf(location, from, to) {
		if took, ok := r.took[name]; ok {
			list = append(list, took)
		}
	}
	slices.Sort(list)
	return list
}

func quantiles(t *testing.T, what string, got report.Quantiles, durations []float64, mode string) {
	t.Helper()
	equal(t, what+": count", got.Count, int64(len(durations)))
	slices.Sort(durations)
	for q, have := range map[float64]report.Quantile{.5: got.P50, .95: got.P95, .99: got.P99} {
		want := time.Duration(durations[int(math.Ceil(q*float64(len(durations))))-1] * 1e9)
		if want < have.Low-time.Microsecond || !have.Beyond() && want > have.High+time.Microsecond {
			t.Errorf("%s: the %vth is %v, and not between %v and %v", what, 100*q, want, have.Low, have.High)
		}
		if have.Value < have.Low || have.Value > have.High {
			t.Errorf("%s: the %vth %v is not in its bucket", what, 100*q, have)
		}
		if mode != "classic" && math.Abs(have.Value.Seconds()/want.Seconds()-1) > .1 {
			t.Errorf("%s: the %vth is %v, want %v within 10 %%", what, 100*q, have.Value, want)
		}
	}
}

// compareCharts is of what is drawn.
func compareCharts(t *testing.T, x *report.Target, mode string) {
	t.Helper()
	equal(t, "hours", len(x.Heat), 168)
	var runs, failed int64
	for i, h := range x.Heat {
		equal(t, fmt.Sprint("hour ", h.Start), h.Availability, availability(h.Start, h.Start.Add(time.Hour), locations...))
		equal(t, "start", h.Start, monday.Add(time.Duration(i)*time.Hour))
		runs, failed = runs+h.Runs, failed+h.Failed
	}
	// increase() extrapolates, and what was counted while nobody scraped is in no hour.
	if all := x.Runs.Success + x.Runs.Failed(); math.Abs(float64(runs)/float64(all)-1) > .04 || math.Abs(float64(failed)/float64(x.Runs.Failed())-1) > .1 {
		t.Errorf("%d runs in all hours, %d of which failed; want about %d and %d", runs, failed, all, x.Runs.Failed())
	}
	l := x.Latency
	if l == nil || l.Prober != "issue" {
		t.Fatalf("latency %+v, want that of issue", l)
	}
	equal(t, "gaps", len(l.Gaps), 2)
	for i, want := range []report.Gap{{Kind: report.GapOutage, Span: report.Span{Start: outage.start, End: outage.end}}, {Kind: report.GapMissing, Span: report.Span{Start: blackout.start, End: blackout.end}}} {
		equal(t, "gap", l.Gaps[i].Kind, want.Kind)
		near(t, "start of a gap", l.Gaps[i].Start.Sub(want.Start), 0, 2*glance)
		near(t, "end of a gap", l.Gaps[i].End.Sub(want.End), 0, 2*glance)
	}
	few := 0
	for _, p := range l.Points {
		if p.Count < 100 {
			few++
		}
		if p.Count > 120 {
			t.Errorf("the point of %v is of %d runs, want 100 to 120", p.Start, p.Count)
		}
		for _, g := range l.Gaps {
			if p.Start.Before(g.End) && g.Start.Before(p.End) {
				t.Errorf("the point from %v to %v is in a gap", p.Start, p.End)
			}
		}
		var took []float64
		for _, location := range locations {
			if location != "syd" || p.End.Before(death) {
				took = append(took, durations(location, "run", p.Start.Truncate(interval).Add(interval), p.End.Add(interval))...)
			}
		}
		slices.Sort(took)
		within := map[bool]float64{true: .4, false: .12}[mode == "classic"]
		rank := func(q float64) float64 { return took[int(q*float64(len(took)))] }
		// A run in ten has a step that took four times as long: at the ends of the band one run more
		// or less is the difference between them.
		for _, one := range []struct {
			q, slack float64
			got      time.Duration
		}{{.1, .05, p.P10}, {.5, 0, p.P50}, {.9, .05, p.P90}} {
			low, high := rank(one.q-one.slack)*(1-within), rank(one.q+one.slack)*(1+within)
			if v := one.got.Seconds(); v < low || v > high {
				t.Errorf("the %vth of the point of %v is %v, want %.2f s to %.2f s", 100*one.q, p.Start, one.got, low, high)
			}
		}
		if p.P10 >= p.P50 || p.P50 >= p.P90 {
			t.Errorf("the point of %v is %v, %v, %v", p.Start, p.P10, p.P50, p.P90)
		}
	}
	if len(l.Points) < 80 || few > 3 {
		t.Errorf("%d points, %d of few runs", len(l.Points), few)
	}
}

// compareRest is of incidents, certificates, changes, budgets, and what is missing.
func compareRest(t *testing.T, r *report.Report, x *report.Target) {
	t.Helper()
	equal(t, "incidents", len(x.Incidents), 2)
	for i, want := range []struct {
		of       span
		said     string
		majority bool
	}{
		{outage, "down [fra iad sin sjc syd] order serverInternal ca", true},
		{glimpse, "down [iad sjc] directory connect_timeout unreachable", false},
	} {
		got := x.Incidents[i]
		equal(t, "start", got.Start, want.of.start)
		equal(t, "end", got.End, want.of.end)
		equal(t, "duration", got.Duration, want.of.end.Sub(want.of.start))
		equal(t, "incident", fmt.Sprint(got.Condition, " ", got.Locations, " ", got.Stage, " ", got.Reason, " ", got.Fault), want.said)
		equal(t, "majority", got.Majority, want.majority)
		equal(t, "uncertainty", got.Uncertainty == nil, true)
		equal(t, "the CA's own word", got.Official != nil, i == 0)
	}
	equal(t, "lead", x.Incidents[0].Official.Lead, told.Sub(outage.start))
	equal(t, "when the CA told of it", x.Incidents[0].Official.Start, told)
	compareSlowest(t, x, r.Sources.Histograms)
	var issued, issuedBefore int64
	for _, l := range locations {
		issued += int64(len(durations(l, "download", monday, end)))
		issuedBefore += int64(len(durations(l, "download", begin, monday)))
	}
	equal(t, "certificates", x.Certificates.Issued, issued)
	equal(t, "certificates before", *x.Certificates.Before, issuedBefore)
	equal(t, "checks", fmt.Sprint(x.Certificates.CheckFailures), "map[scts:15]") // 3 at each, and a restart
	equal(t, "changes", len(x.Changes), 1)
	equal(t, "time of the change", x.Changes[0].At, change.Add(offset("fra")))
	equal(t, "who saw it", fmt.Sprint(x.Changes[0].Locations), "[fra iad sjc]")
	equal(t, "budgets", len(x.Budget), len(locations)+1)
	for i, b := range x.Budget[:len(locations)] {
		least := 150.
		if b.Location == "fra" || b.Location == "syd" {
			least = 3
		}
		equal(t, "budget", fmt.Sprint(b.Location, " ", b.Limit, " ", b.Capacity, " ", *b.Lowest), fmt.Sprint(locations[i], " new_orders 300 ", least))
		last := end.Add(-interval).Add(offset(b.Location))
		if b.Location == "syd" {
			last = death.Add(-interval).Add(offset("syd"))
		}
		equal(t, "what is left at "+b.Location, *b.Remaining, leftAt(last)) // not what another exporter had before
	}
	if b := x.Budget[len(locations)]; b.Limit != "unknown" || b.Location != "fra" || b.Limited != 2 || b.Remaining != nil || b.Lowest != nil {
		t.Errorf("%+v, want two refused runs at fra, and nothing left or spent", b)
	}
	var kinds []string
	for _, m := range r.Missing {
		if m.Target != hostile {
			kinds = append(kinds, string(m.Kind)+" "+m.Location)
		}
	}
	equal(t, "missing", fmt.Sprint(kinds), "[time  location fra location iad location sin location sjc location syd incidents ]")
}

// compareChosen holds that a target that was chosen is reported on as among all, and that nothing is known
// of one that is not there.
func compareChosen(t *testing.T, r *report.Report, among *report.Target) {
	t.Helper()
	if len(r.Targets) != 1 || fmt.Sprint(r.Targets[0].Availability, r.Targets[0].Runs, r.Targets[0].Steps[0].All) != fmt.Sprint(among.Availability, among.Runs, among.Steps[0].All) {
		t.Errorf("%d targets, want %s alone, as it was among others", len(r.Targets), target)
	}
	if m := r.Missing[0]; m.Kind != report.MissingAll || m.Target != "nobody" || !strings.HasPrefix(m.Text, "Nothing is known of nobody: ") {
		t.Errorf("the first that is missing is %+v", m)
	}
}

// compareSlowest holds that the location is named whose finalizations took longest: the step that
// takes longest anywhere. In classic histograms all locations are in one bucket.
func compareSlowest(t *testing.T, x *report.Target, histograms string) {
	t.Helper()
	if histograms == "classic" {
		equal(t, "slowest", x.Slowest, nil)
		return
	}
	slowest, longest := "", 0.0
	for _, l := range locations {
		list := durations(l, "finalization", monday, end)
		if median := list[(len(list)-1)/2]; median > longest {
			slowest, longest = l, median
		}
	}
	s := x.Slowest
	if s == nil || s.Location != slowest || s.Measure != "finalization" || s.P50.Low.Seconds() > longest || s.P50.High.Seconds() < longest || s.Others >= s.P50.High {
		t.Errorf("slowest %+v, want finalization at %s with %.2f s", s, slowest, longest)
	}
}

// compareRules is of the report from recorded votes, and with an exporter's own incidents:
// all else is as without.
func compareRules(t *testing.T, r, without *report.Report) {
	t.Helper()
	equal(t, "rules", r.Sources.Rules, true)
	x, y := &r.Targets[1], &without.Targets[1]
	// A vote that was recorded can be as old as a sample may be.
	near(t, "time down", x.Availability.Down, y.Availability.Down, time.Minute)
	near(t, "time not known", x.Availability.Unknown, y.Availability.Unknown, 2*time.Minute)
	near(t, "time of syd not known", x.Locations[4].Availability.Unknown, y.Locations[4].Availability.Unknown, 2*time.Minute)
	equal(t, "runs", fmt.Sprint(x.Runs), fmt.Sprint(y.Runs))
	equal(t, "order", fmt.Sprint(x.Steps[0].All), fmt.Sprint(y.Steps[0].All))

	equal(t, "incidents from", x.IncidentsFrom, report.FromBoth)
	equal(t, "incidents", len(x.Incidents), 2)
	first := x.Incidents[0]
	equal(t, "start", first.Start, outage.start.Add(-time.Minute))
	equal(t, "lead", first.Official.Lead, told.Sub(outage.start)+time.Minute)
	if first.Uncertainty == nil || *first.Uncertainty != time.Minute || first.From != report.FromBoth || first.Summary != "The CA failed." || len(first.Locations) != 5 {
		t.Errorf("the first incident is %+v", first)
	}
	if c := x.Changes; len(c) != 1 || !c[0].Terms() || c[0].Fields[0] != (report.Field{Field: "terms_of_service", From: "https://ca.example/1", To: hostile}) || fmt.Sprint(c[0].Locations) != "[fra iad sjc]" {
		t.Errorf("changes %+v, want one of the terms of service, which three locations saw", c)
	}
	if !slices.ContainsFunc(r.Missing, func(m report.Missing) bool {
		return m.Text == "Incidents at iad, sin, sjc, syd are from metrics: one that is shorter than two scrapes can be missing."
	}) {
		t.Errorf("missing %+v does not say whose incidents are from metrics", r.Missing)
	}
	if len(r.Sources.Exporters) != 3 || r.Sources.Exporters[0].Error != "" || r.Sources.Exporters[1].Error == "" {
		t.Errorf("exporters %+v, want one that answered and one that did not", r.Sources.Exporters)
	}
	if unknown := r.Sources.Exporters[2]; !slices.ContainsFunc(r.Missing, func(m report.Missing) bool {
		return m.Target == target && strings.HasPrefix(m.Text, "It is not known of which location "+unknown.URL+" is")
	}) {
		t.Errorf("missing %+v does not say that nobody knows where %s is", r.Missing, unknown.URL)
	}
	if !slices.ContainsFunc(r.Missing, func(m report.Missing) bool {
		return m.Kind == report.MissingIncidents && m.Text == "http://127.0.0.1:1 did not tell its incidents and changes ("+r.Sources.Exporters[1].Error+"): they are from metrics."
	}) {
		t.Errorf("missing %+v does not say which exporter did not answer", r.Missing)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	same := any(got) == any(want)
	if a, ok := any(got).(time.Time); ok {
		same = a.Equal(any(want).(time.Time))
	}
	if !same {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func near(t *testing.T, what string, got, want, within time.Duration) {
	t.Helper()
	if (got - want).Abs() > within {
		t.Errorf("%s: %v, want %v within %v", what, got, want, within)
	}
}
