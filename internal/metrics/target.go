package metrics

import (
	"reflect"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// target is a CA that has a configured pair. Metrics.mu guards it.
type target struct {
	name, environment, url string

	directory   *directory // as seen last; nil: not yet
	directoryAt time.Time  // when that run started
	apiAt       time.Time  // when the run that saw its certificate started
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
				m.initialiseLimits(old, c.Target) // a limit may be new
				continue
			}
			m.removeTarget(old)
		}
		m.targets[next.name] = next
		m.initialiseLimits(next, c.Target)
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
		m.f.target.apiNotAfter.WithLabelValues(t.name, t.environment).Set(seconds(r.API.NotAfter))
	}
	if r.Directory == nil || !newer(&t.directoryAt, r.Start) {
		return
	}
	before, now := t.directory, newDirectory(r.Directory)
	t.directory = now
	if count && before != nil && !reflect.DeepEqual(before, now) {
		m.f.target.changes.WithLabelValues(t.name, t.environment).Inc()
		m.f.target.lastChange.WithLabelValues(t.name, t.environment).Set(seconds(r.Start))
	}
}

// directory is what of a directory counts as a change, in a comparable form.
type directory struct {
	endpoints, profiles, caa []string
	terms                    string
	externalAccount          bool
}

// newDirectory leaves out endpoints that no RFC knows: Let's Encrypt puts a
// field of random name into every answer, lest clients get used to a fixed set.
func newDirectory(d *probe.Directory) *directory {
	known := []string{"newNonce", "newAccount", "newOrder", "newAuthz", "revokeCert", "keyChange", "renewalInfo"}
	return &directory{
		endpoints: sorted(slices.DeleteFunc(slices.Clone(d.Endpoints), func(e string) bool {
			return !slices.Contains(known, e)
		})),
		profiles:        sorted(d.Profiles),
		caa:             sorted(d.CAAIdentities),
		terms:           d.TermsOfService,
		externalAccount: d.ExternalAccountRequired,
	}
}

// sorted returns a sorted copy, nil if there is nothing in it.
func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }
