// Package metrics declares every metric of the exporter, and nothing else
// does. It turns Results into series of the pairs that are configured, and
// sees to it that those of removed pairs go and stay away.
//
// It judges nothing: outcome, stage, reason and fault come from the Result's
// verdict.
package metrics

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Options say how metrics are exposed.
type Options struct {
	// Histograms is Classic, Native or Both; empty: Both.
	Histograms string
	// Budget is where what is left of the rate limits comes from; nil: the families
	// of it are absent.
	Budget Budget
	// Incidents is where the states of targets and their incidents come from; nil: the
	// families of them are absent.
	Incidents Incidents
	// Revocations is where those that do not show yet come from; nil: their family is
	// absent.
	Revocations Revocations
}

// Metrics keeps the series of all configured pairs. It observes a runner; all
// its methods are safe for concurrent use.
type Metrics struct {
	declared *declarer
	f        *families

	mu sync.Mutex // guards what is below
	// pairs and targets are those that may have series. What is not in them
	// gets none, so that a late Result cannot bring a removed pair back.
	pairs   map[probe.Pair]*pair
	targets map[string]*target
}

// New declares every metric and registers it with reg. It fails if
// Options.Histograms is unknown or a family is already registered.
func New(reg prometheus.Registerer, o Options) (*Metrics, error) {
	switch o.Histograms {
	case "":
		o.Histograms = Both
	case Classic, Native, Both:
	default:
		return nil, fmt.Errorf("metrics: histograms %q: want %s, %s or %s", o.Histograms, Classic, Native, Both)
	}
	d := newDeclarer(reg, o.Histograms)
	m := &Metrics{
		declared: d, f: declare(d),
		pairs:   make(map[probe.Pair]*pair),
		targets: make(map[string]*target),
	}
	if o.Budget != nil {
		d.register(nameRemaining, &budgetCollector{m, o.Budget})
	}
	if o.Incidents != nil {
		d.register(nameState, &incidentCollector{m, o.Incidents})
	}
	if o.Revocations != nil {
		d.register(namePending, &revocationCollector{m, o.Revocations})
	}
	if d.err != nil {
		return nil, fmt.Errorf("metrics: %w", d.err)
	}
	return m, nil
}

// Apply makes pairs the configured ones. New pairs get their series at zero;
// removed ones lose all of theirs. A pair whose configuration changed keeps its
// counters and histograms and loses the gauges that its former configuration
// measured; one whose prober or environment changed is a new one.
func (m *Metrics) Apply(pairs []config.Pair) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.applyTargets(pairs)
	wanted := make(map[probe.Pair]bool, len(pairs))
	for _, c := range pairs {
		wanted[c.Pair] = true
		next := newPair(c)
		old, ok := m.pairs[c.Pair]
		if ok && c.Interval == 0 {
			m.f.runs.nextDue.DeletePartialMatch(old.match())
		}
		switch {
		case ok && old.hash == next.hash && old.same(next):
			continue
		case ok && old.same(next):
			m.resetGauges(old)
		case ok:
			m.removePair(old)
		}
		m.pairs[c.Pair] = next
		m.initialise(next)
	}
	for name, p := range m.pairs {
		if !wanted[name] {
			m.removePair(p)
			delete(m.pairs, name)
		}
	}
}

// Observe counts and shows a finished run. A Result of a pair that is not
// configured, or not any more in this form, changes nothing.
func (m *Metrics) Observe(r *probe.Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.pairOf(r)
	if p == nil {
		return
	}
	if r.FollowUp != probe.FollowUpWatchRevocation { // which asks nothing of the API
		m.countCalls(p, r)
	}
	if r.FollowUp != "" {
		m.countFollowUp(p, r)
	} else {
		m.countRun(p, r)
		m.countValidation(p, r)
		m.countRefusal(m.targets[r.Target], r)
	}
	m.countChecks(p, r) // a follow-up may find what must not have been issued
	m.showTarget(m.targets[r.Target], r, true)
	m.show(p, r)
}

// Restore shows a run of before the start: it sets gauges, and counts nothing.
func (m *Metrics) Restore(r *probe.Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.pairOf(r)
	if p == nil {
		return
	}
	m.showTarget(m.targets[r.Target], r, false)
	m.show(p, r)
}

// RestoreCounts has the pair's counters of failed checks, and of what the CA gave that
// it had to refuse, go on where they were before the start. It must be called once for a
// pair, and before its first run. Checks that the pair does not make any more stay absent.
func (m *Metrics) RestoreCounts(name probe.Pair, failed map[probe.Check]uint64, misissued map[probe.Misissuance]uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.pairs[name]
	if p == nil {
		return
	}
	for _, check := range p.checks {
		m.f.issued.checkFailed.WithLabelValues(p.labels(string(check))...).Add(float64(failed[check]))
	}
	if p.expected != "" {
		for _, kind := range probe.Misissuances() {
			m.f.issued.misissued.WithLabelValues(p.labels(string(kind))...).Add(float64(misissued[kind]))
		}
	}
}

// RestoreMissing has the pair's counters of revocations that never showed go on where
// they were before the start. It must be called once for a pair, and before its first run.
func (m *Metrics) RestoreMissing(name probe.Pair, missing map[probe.RevocationVia]uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.pairs[name]
	if p == nil || !p.revokes {
		return
	}
	for via, n := range missing {
		m.f.revoked.missing.WithLabelValues(p.labels(string(via))...).Add(float64(n))
	}
}

// Schedule says when the pair's next run is due, zero: never, and whether a
// tick has just been missed.
func (m *Metrics) Schedule(name probe.Pair, next time.Time, missed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.pairs[name]
	if p == nil {
		return
	}
	if missed {
		m.f.runs.missed.WithLabelValues(p.labels()...).Inc()
	}
	if next.IsZero() {
		m.f.runs.nextDue.DeleteLabelValues(p.labels()...)
		return
	}
	m.f.runs.nextDue.WithLabelValues(p.labels()...).Set(seconds(next))
}

// Reloaded says that the configuration was loaded at the given time, or could
// not be.
func (m *Metrics) Reloaded(ok bool, at time.Time) {
	m.f.exporter.reloadOK.WithLabelValues().Set(truth(ok))
	if ok {
		m.f.exporter.reloadAt.WithLabelValues().Set(seconds(at))
	}
}

// pairOf returns the pair that r may be shown under, nil if there is none: a
// pair is its names plus the hash of its configuration.
func (m *Metrics) pairOf(r *probe.Result) *pair {
	p := m.pairs[r.Pair]
	if p == nil || p.hash != r.ConfigHash {
		return nil
	}
	return p
}

// seconds is t as Prometheus has it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// truth is 1 or 0.
func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
