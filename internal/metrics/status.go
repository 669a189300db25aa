package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// statusFamilies are about what a CA says of itself.
type statusFamilies struct {
	overall, component, incidents, incidentStart *prometheus.GaugeVec
}

func declareStatus(d *declarer) statusFamilies {
	return statusFamilies{
		overall: d.gauge(ofPair, "acme_status_overall",
			"How the CA says on its status page that it is: 1 for one of operational, maintenance, degraded, partial_outage, major_outage and unknown, which are words that we do not know, 0 for the others. Absent where the page does not say, as feeds do not.",
			"state"),
		component: d.gauge(ofPair, "acme_status_component_state",
			"How the CA says that a part of it is: 1 for one of the states, 0 for the others. Only of the components that the module names.",
			"component", "state"),
		incidents: d.gauge(ofPair, "acme_status_incidents",
			"Incidents that the status page tells of and that are not over, without planned maintenance; where the module names components, those that may be about one of them."),
		incidentStart: d.gauge(ofPair, "acme_status_incident_start_timestamp_seconds",
			"When the latest of these incidents was published. Absent while there is none."),
	}
}

// gauges are all of them.
func (f *statusFamilies) gauges() []*prometheus.GaugeVec {
	return []*prometheus.GaugeVec{f.overall, f.component, f.incidents, f.incidentStart}
}

// showStatus sets the pair's gauges to what the CA said. A run that could not read it
// leaves them as they were.
func (m *Metrics) showStatus(p *pair, r *probe.Result) {
	s := r.StatusPage
	if s == nil || !newer(&p.statusAt, r.End()) {
		return
	}
	f := &m.f.status
	for _, g := range f.gauges() {
		g.DeletePartialMatch(p.match())
	}
	for _, state := range probe.ServiceStates() {
		if s.Overall != "" {
			f.overall.WithLabelValues(p.labels(string(state))...).Set(truth(s.Overall == state))
		}
		for _, c := range s.Components {
			if c.Watched {
				f.component.WithLabelValues(p.labels(c.Name, string(state))...).Set(truth(c.State == state))
			}
		}
	}
	open, latest := 0, time.Time{}
	for _, a := range s.Announcements {
		if !a.End.IsZero() {
			continue
		}
		if open++; a.Start.After(latest) {
			latest = a.Start
		}
	}
	f.incidents.WithLabelValues(p.labels()...).Set(float64(open))
	if open > 0 {
		f.incidentStart.WithLabelValues(p.labels()...).Set(seconds(latest))
	}
}
