package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Budget knows what is left of the CAs' rate limits. It is asked at every scrape.
type Budget interface {
	// Budgets returns at most one for each target, with at most one level for each
	// limit; one that is not known is absent.
	Budgets(now time.Time) []probe.Budget
	// OK reports whether the ledger of what was spent can be read and written.
	OK() bool
}

// unknownLimit is the label of a rate limit that we do not know, or that the CA
// did not name.
const unknownLimit = "unknown"

// limitLabel bounds the values of the label limit.
func limitLabel(limit string) string {
	if limit == probe.LimitRequests || slices.Contains(config.LimitNames(), config.LimitName(limit)) {
		return limit
	}
	return unknownLimit
}

// initialiseLimits creates the series of t that count what limits refuse, at zero: of
// those in force, and of all others, for a CA may have limits of which nobody has told
// us, and a series that is born at 1 has no increase().
func (m *Metrics) initialiseLimits(t *target) {
	names := []string{probe.LimitRequests, unknownLimit}
	for _, name := range config.LimitNames() {
		names = append(names, string(name))
	}
	for _, name := range names {
		m.f.limits.refused.WithLabelValues(t.name, t.environment, name)
	}
}

// countRefusal counts a run that a rate limit of the CA ended.
func (m *Metrics) countRefusal(t *target, r *probe.Result) {
	if t != nil && r.RateLimit != nil && r.RateLimit.Refused {
		m.f.limits.refused.WithLabelValues(t.name, t.environment, limitLabel(r.RateLimit.Limit)).Inc()
	}
}

// budgetCollector shows what is left at the time of the scrape.
type budgetCollector struct {
	metrics *Metrics
	budget  Budget
}

// Describe implements prometheus.Collector.
func (c *budgetCollector) Describe(descs chan<- *prometheus.Desc) {
	f := &c.metrics.f.limits
	descs <- f.remaining
	descs <- f.capacity
	descs <- f.ledgerOK
}

// Collect implements prometheus.Collector.
func (c *budgetCollector) Collect(out chan<- prometheus.Metric) {
	f := &c.metrics.f.limits
	ok := c.budget.OK()
	out <- prometheus.MustNewConstMetric(f.ledgerOK, prometheus.GaugeValue, truth(ok))
	if !ok {
		return
	}
	for _, b := range c.budget.Budgets(time.Now()) {
		if !c.metrics.shows(b.Target, b.Environment) {
			continue
		}
		for _, l := range b.Levels {
			labels := []string{b.Target, b.Environment, l.Limit}
			out <- prometheus.MustNewConstMetric(f.remaining, prometheus.GaugeValue, float64(l.Remaining), labels...)
			out <- prometheus.MustNewConstMetric(f.capacity, prometheus.GaugeValue, float64(l.Capacity), labels...)
		}
	}
}

// shows reports whether the target may have series.
func (m *Metrics) shows(name, environment string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.targets[name]
	return t != nil && t.environment == environment
}
