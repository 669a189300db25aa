package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Incidents knows how the targets are. It is asked at every scrape.
type Incidents interface {
	// State returns at most one for each target.
	State(now time.Time) []probe.TargetState
	// Latest returns the target's incident that goes on, or else the last one of its
	// kind [probe.IncidentTarget]; nil: none is known.
	Latest(target string) *probe.Incident
}

// incidentCollector shows how the targets are at the time of the scrape: time
// alone makes what is known unknown.
type incidentCollector struct {
	metrics   *Metrics
	incidents Incidents
}

// Describe implements prometheus.Collector.
func (c *incidentCollector) Describe(descs chan<- *prometheus.Desc) {
	f := &c.metrics.f.incidents
	for _, d := range []*prometheus.Desc{f.state, f.lastEvidence, f.start, f.end, f.info, f.official, f.incidents, f.downtime} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (c *incidentCollector) Collect(out chan<- prometheus.Metric) {
	for _, s := range c.incidents.State(time.Now()) {
		if !c.metrics.shows(s.Target, s.Environment) {
			continue
		}
		c.showState(out, &s)
		// One of a former environment is not this target's.
		if i := c.incidents.Latest(s.Target); i != nil && i.Environment == s.Environment {
			c.showIncident(out, i)
		}
	}
}

// showState shows how a target is, and what it has been through.
func (c *incidentCollector) showState(out chan<- prometheus.Metric, s *probe.TargetState) {
	f := &c.metrics.f.incidents
	for _, condition := range probe.Conditions() {
		out <- gaugeOf(f.state, truth(s.Condition == condition), s.Target, s.Environment, string(condition))
	}
	if !s.LastEvidence.IsZero() {
		out <- gaugeOf(f.lastEvidence, seconds(s.LastEvidence), s.Target, s.Environment)
	}
	for _, t := range []struct {
		kind  probe.Condition
		total probe.Total
	}{{probe.ConditionDown, s.Totals.Down}, {probe.ConditionDegraded, s.Totals.Degraded}} {
		labels := []string{s.Target, s.Environment, string(t.kind)}
		out <- prometheus.MustNewConstMetric(f.incidents, prometheus.CounterValue, float64(t.total.Incidents), labels...)
		out <- prometheus.MustNewConstMetric(f.downtime, prometheus.CounterValue, t.total.Downtime.Seconds(), labels...)
	}
}

// showIncident shows the latest incident of a target.
func (c *incidentCollector) showIncident(out chan<- prometheus.Metric, i *probe.Incident) {
	f := &c.metrics.f.incidents
	out <- gaugeOf(f.start, seconds(i.Start), i.Target, i.Environment)
	if !i.Open() {
		out <- gaugeOf(f.end, seconds(i.End), i.Target, i.Environment)
	}
	if i.Official != nil {
		out <- gaugeOf(f.official, seconds(i.Official.Start), i.Target, i.Environment)
	}
	out <- gaugeOf(f.info, 1, i.Target, i.Environment, string(i.Condition), string(i.Stage), string(i.Reason), string(i.Fault))
}

func gaugeOf(d *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}
