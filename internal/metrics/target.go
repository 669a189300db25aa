package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// target is a CA that has a configured pair. Metrics.mu guards it.
type target struct {
	name, environment, url string

	apiAt     time.Time // when the run that saw its certificate started
	changedAt time.Time // when its directory was seen to change last
}

// applyTargets makes the targets of pairs the ones that may have series.
func (m *Metrics) applyTargets(pairs []config.Pair) {
	wanted := make(map[string]bool)
	for _, c := range pairs {
		if wanted[c.Pair.Target] {
			continue
		}
		wanted[c.Pair.Target] = true
		next := &target{name: c.Pair.Target}
		if c.Target != nil {
			next.environment, next.url = string(c.Target.Environment), c.Target.DirectoryURL
		}
		if old, ok := m.targets[next.name]; ok {
			if old.environment == next.environment && old.url == next.url {
				continue
			}
			m.removeTarget(old)
		}
		m.targets[next.name] = next
		m.initialiseLimits(next)
		m.f.target.changes.WithLabelValues(next.name, next.environment)
		for _, phase := range []probe.Phase{probe.PhaseDNS, probe.PhaseConnect, probe.PhaseTLS} {
			m.f.calls.connection.WithLabelValues(next.name, next.environment, string(phase))
		}
	}
	for name, t := range m.targets {
		if !wanted[name] {
			m.removeTarget(t)
			delete(m.targets, name)
		}
	}
}

// removeTarget deletes every series of t; those of its pairs go with them.
func (m *Metrics) removeTarget(t *target) {
	m.declared.remove(ofTarget, prometheus.Labels{"target": t.name, "environment": t.environment})
}

// showTarget sets the target's gauges to what r saw of it. Runs of different
// pairs overlap, so that what an earlier one saw may come later: it is ignored.
func (m *Metrics) showTarget(t *target, r *probe.Result, count bool) {
	if t == nil {
		return
	}
	if r.API != nil && newer(&t.apiAt, r.Start) {
		m.f.target.apiNotBefore.WithLabelValues(t.name, t.environment).Set(seconds(r.API.NotBefore))
		m.f.target.apiNotAfter.WithLabelValues(t.name, t.environment).Set(seconds(r.API.NotAfter))
	}
	if count && r.Directory != nil && r.Directory.Change != nil {
		m.f.target.changes.WithLabelValues(t.name, t.environment).Inc()
		m.showDirectoryChange(t, r.Directory.Change.At)
	}
}

// showDirectoryChange says when the target's directory has changed last.
func (m *Metrics) showDirectoryChange(t *target, at time.Time) {
	if newer(&t.changedAt, at) {
		m.f.target.lastChange.WithLabelValues(t.name, t.environment).Set(seconds(at))
	}
}

// RestoreDirectory has the target's counter of changes go on where it was before the
// start, and says when the last one was. It must be called once for a target, and
// before its first run.
func (m *Metrics) RestoreDirectory(name string, changes uint64, last time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.targets[name]
	if t == nil {
		return
	}
	m.f.target.changes.WithLabelValues(t.name, t.environment).Add(float64(changes))
	m.showDirectoryChange(t, last)
}
