package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// fakeIncidents says what it is told to.
type fakeIncidents struct {
	states []probe.TargetState
	latest map[string]*probe.Incident
	asked  time.Time
}

func (f *fakeIncidents) State(now time.Time) []probe.TargetState {
	f.asked = now
	return f.states
}

func (f *fakeIncidents) Latest(target string) *probe.Incident { return f.latest[target] }

// outage is a target that is down, and was degraded before.
func outage() *fakeIncidents {
	return &fakeIncidents{
		states: []probe.TargetState{{
			Target: "corp", Environment: "staging", Condition: probe.ConditionDown, LastEvidence: start.Add(90 * time.Second), Incident: "i",
			Totals: probe.Totals{
				Down:     probe.Total{Incidents: 2, Downtime: 90500 * time.Millisecond},
				Degraded: probe.Total{Incidents: 1, Downtime: time.Minute},
			},
		}},
		latest: map[string]*probe.Incident{"corp": {
			ID: "i", Kind: probe.IncidentTarget, Target: "corp", Environment: "staging", Condition: probe.ConditionDown, Start: start,
			Stage: probe.StepOrder, Reason: "http_5xx", Fault: probe.FaultCA, Official: &probe.Official{Start: start.Add(11 * time.Minute)},
		}},
	}
}

// past has the outage end.
func (f *fakeIncidents) past() *fakeIncidents {
	f.states[0].Condition, f.states[0].Incident = probe.ConditionUp, ""
	f.latest["corp"].End = start.Add(2 * time.Minute)
	return f
}

// incidentNames are the families that fakeIncidents has series of.
var incidentNames = []string{
	"acme_target_state", "acme_target_last_evidence_timestamp_seconds", "acme_incident_start_timestamp_seconds",
	"acme_incident_end_timestamp_seconds", "acme_incident_official_start_timestamp_seconds", "acme_incident_info", "acme_incidents_total", "acme_downtime_seconds_total",
}

func TestIncidents(t *testing.T) {
	f := outage()
	m, reg := newMetricsOf(t, Options{Incidents: f})
	m.Apply([]config.Pair{configured(issuing, "1")})
	at := float64(start.Unix())
	wanted := map[string]float64{
		"acme_target_state{state=up}":                                        0,
		"acme_target_state{state=degraded}":                                  0,
		"acme_target_state{state=down}":                                      1,
		"acme_target_state{state=unknown}":                                   0,
		"acme_target_last_evidence_timestamp_seconds{}":                      at + 90,
		"acme_incident_start_timestamp_seconds{}":                            at,
		"acme_incident_official_start_timestamp_seconds{}":                   at + 660,
		"acme_incident_info{fault=ca,kind=down,reason=http_5xx,stage=order}": 1,
		"acme_incidents_total{kind=down}":                                    2,
		"acme_incidents_total{kind=degraded}":                                1,
		"acme_downtime_seconds_total{kind=down}":                             90.5,
		"acme_downtime_seconds_total{kind=degraded}":                         60,
	}
	wantIncidents := func() {
		t.Helper()
		got := values(t, reg, incidentNames...)
		for series, v := range wanted {
			if w, ok := got[series]; !ok || w != v {
				t.Errorf("%s is %v (%v), want %v", series, w, ok, v)
			}
			delete(got, series)
		}
		if len(got) > 0 {
			t.Errorf("beside what is wanted: %v", got)
		}
	}
	before := time.Now()
	wantIncidents()
	if f.asked.Before(before) {
		t.Errorf("asked for the states as of %v, want the time of the scrape", f.asked)
	}

	f.past()
	wanted["acme_target_state{state=up}"], wanted["acme_target_state{state=down}"] = 1, 0
	wanted["acme_incident_end_timestamp_seconds{}"] = at + 120
	wantIncidents()
}

// What never happened is absent, and counts 0 from the start.
func TestNoIncidentsYet(t *testing.T) {
	for _, condition := range probe.Conditions() {
		f := &fakeIncidents{states: []probe.TargetState{{Target: "corp", Environment: "staging", Condition: condition}}}
		m, reg := newMetricsOf(t, Options{Incidents: f})
		m.Apply([]config.Pair{configured(issuing, "1")})
		got := values(t, reg, incidentNames...)
		for series, v := range got {
			if is := series == "acme_target_state{state="+string(condition)+"}"; is && v != 1 || !is && v != 0 {
				t.Errorf("%s: %s is %v", condition, series, v)
			}
		}
		if len(got) != 8 {
			t.Errorf("%s: %v, want the state and the counters", condition, got)
		}
	}
}

// What the source still says of a target that is not configured any more, or not
// so, is not shown.
func TestIncidentsOfRemovedTarget(t *testing.T) {
	f := outage()
	gone, other := f.states[0], f.states[0]
	gone.Target, other.Environment = "gone", string(config.Production)
	f.states = append(f.states, gone, other)
	f.latest["gone"] = &probe.Incident{Target: "gone", Environment: "staging"}
	m, reg := newMetricsOf(t, Options{Incidents: f})
	m.Apply([]config.Pair{configured(issuing, "1")})
	if left := seriesWith(t, reg, "target", "gone"); len(left) != 0 {
		t.Errorf("of a target that is not configured: %v", left)
	}
	if left := seriesWith(t, reg, "environment", "production"); len(left) != 0 {
		t.Errorf("of another environment: %v", left)
	}

	f.latest["corp"].Environment = string(config.Production) // from before a reload
	if got := values(t, reg, incidentNames...); len(got) != 9 {
		t.Errorf("with the incident of another environment: %v, want state, evidence and counters", got)
	}
	m.Apply(nil)
	if got := values(t, reg, incidentNames...); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestIncidentsAreRegisteredOnce(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: nameState, Help: "x"}, []string{"x"}))
	_, err := New(reg, Options{Incidents: &fakeIncidents{}})
	if err == nil || !strings.HasPrefix(err.Error(), "metrics: register acme_target_state: ") {
		t.Errorf("error %v", err)
	}
}

// The types are what rate() and rules take them for.
func TestIncidentTypes(t *testing.T) {
	m, reg := newMetricsOf(t, Options{Incidents: outage()})
	m.Apply([]config.Pair{configured(issuing, "1")})
	err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP acme_downtime_seconds_total Time that the target was down or degraded since it was configured. That of an incident that goes on counts to its last failed run, the rest when it ends. Survives restarts.
# TYPE acme_downtime_seconds_total counter
acme_downtime_seconds_total{environment="staging",kind="degraded",target="corp"} 60
acme_downtime_seconds_total{environment="staging",kind="down",target="corp"} 90.5
# HELP acme_incident_start_timestamp_seconds When the first failed run of the target's latest incident started: of the one that goes on, or else of the last one. Absent if none is known.
# TYPE acme_incident_start_timestamp_seconds gauge
acme_incident_start_timestamp_seconds{environment="staging",target="corp"} 1.795414623e+09
`), "acme_downtime_seconds_total", "acme_incident_start_timestamp_seconds")
	if err != nil {
		t.Error(err)
	}
}
