package report

import (
	"fmt"
	"testing"
	"time"
)

// TestUnsaid makes a report of a week that has just begun. What is to come is no silence; a location,
// or all of them, that cannot say how a target is, is there with its runs; and what has none is named.
func TestUnsaid(t *testing.T) {
	t.Parallel()
	now := time.Now()
	p := Period{Since: now.Add(-30 * time.Hour).Truncate(time.Hour).UTC(), Timezone: "UTC"}
	p.Until = p.Since.AddDate(0, 0, 7)
	until := func(v func(time.Time) float64, labels ...string) fakeSeries {
		s := always(0, append([]string{"job", "acme", "instance", "a:18555"}, labels...)...)
		s.at = func(at time.Time) (float64, bool) { return v(at), at.Before(now) }
		return s
	}
	constant := func(v float64) func(time.Time) float64 { return func(time.Time) float64 { return v } }
	minutes := func(at time.Time) float64 { return float64(at.Unix() / 60) }
	series := map[string][]fakeSeries{
		"acme_exporter_build_info": {until(constant(1), "location", "fra"), until(constant(1), "location", "iad")},
	}
	for _, s := range []struct {
		target, location, state string
		runs                    []string
	}{
		{"ca", "fra", "up", []string{"success", ""}}, {"ca", "iad", "unknown", []string{"failure", "local"}},
		{"own", "fra", "unknown", []string{"failure", "client"}},
		{"idle", "fra", "unknown", nil},
	} {
		of := []string{"target", s.target, "environment", "production", "location", s.location}
		for _, state := range []string{"up", "unknown"} {
			v := constant(map[bool]float64{true: 1}[state == s.state])
			series["acme_target_state{"] = append(series["acme_target_state{"], until(v, append(of, "__name__", "acme_target_state", "state", state)...))
		}
		if s.runs != nil {
			series[familyRuns] = append(series[familyRuns], until(minutes, append(of, "__name__", familyRuns, "outcome", s.runs[0], "fault", s.runs[1])...))
		}
	}
	r, err := Make(t.Context(), Options{Period: p, Prometheus: serveSeries(t, series)})
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]int{}
	for _, m := range r.Missing {
		missing[fmt.Sprint(m.Kind, " ", m.Target, " ", m.Location)]++
	}
	for _, want := range []string{"period  ", "nothing own ", "nothing idle ", "location ca iad"} {
		if missing[want] != 1 {
			t.Errorf("%q is missing %d times, want once: %v", want, missing[want], r.Missing)
		}
	}
	if missing["time ca "] != 0 || missing["location ca fra"] != 0 {
		t.Errorf("what is to come is missing: %v", r.Missing)
	}
	if len(r.Targets) != 2 || r.Targets[0].Target != "ca" || r.Targets[1].Target != "own" || !r.Unfinished() {
		t.Fatalf("%d targets, want ca and own, and that the period is not over", len(r.Targets))
	}
	ca, own := r.Targets[0], r.Targets[1]
	past := now.Sub(p.Since)
	if a := ca.Availability; (a.Up-past).Abs() > 2*glance || a.Unknown > 2*glance || len(ca.Heat) != int((past+time.Hour-1)/time.Hour) {
		t.Errorf("%+v and %d hours, want it up for %v", a, len(ca.Heat), past)
	}
	if len(ca.Locations) != 2 || ca.Locations[1].Runs.Failures["local"] == 0 || ca.Locations[1].Availability.Up != 0 {
		t.Errorf("%+v, want fra, and iad with nothing but its runs", ca.Locations)
	}
	if n := own.Runs.Failures["client"]; n < 1700 || n > 1900 || own.Availability.Up != 0 || (own.Availability.Unknown-past).Abs() > 2*glance {
		t.Errorf("%d failed runs, %+v; want some 1,800 and nothing that is known", n, own.Availability)
	}
}
