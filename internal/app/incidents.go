package app

import (
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// incidents tells a tracker what the runner tells its observers: which pairs there
// are, in its turn between their runs. The tracker has every change on disk before
// anybody sees it, so that it is told by Keep, and not where every timeline waits.
type incidents struct {
	*incident.Tracker

	applying sync.Mutex // held until the pairs are the tracker's: what is newer comes later

	waiting sync.Mutex // guards the field below; never held while something is stored
	next    *applied   // what the tracker is to be told; nil: it knows
}

// applied are pairs, and since when they are the configured ones.
type applied struct {
	at    time.Time
	pairs []incident.Pair
}

func newIncidents(t *incident.Tracker) *incidents { return &incidents{Tracker: t} }

// judge is the runner's Options.Incidents. What a CA says of itself is told here and
// not to an observer, for it may wait for a disk.
func (i *incidents) judge(r *probe.Result) (confirm bool) {
	if r.StatusPage != nil {
		i.Announce(r.Target, r.StatusPage.Announcements)
	}
	return i.Tracker.Observe(r)
}

// Latest implements metrics.Incidents.
func (i *incidents) Latest(target string) *probe.Incident {
	last := i.Incidents(incident.Filter{Kind: probe.IncidentTarget, Target: target, Limit: 1})
	if len(last) == 0 {
		return nil
	}
	return last[0]
}

// Apply implements runner.Configured.
func (i *incidents) Apply(pairs []config.Pair) {
	var list []incident.Pair
	for n := range pairs {
		// What a CA says of itself is no evidence of how it is.
		if pairs[n].Module.Prober != probe.ProberStatusPage {
			list = append(list, tracked(&pairs[n]))
		}
	}
	i.waiting.Lock()
	defer i.waiting.Unlock()
	i.next = &applied{at: time.Now(), pairs: list}
}

// Keep implements runner.Keeper: when it returns, the tracker knows the pairs of the
// last Apply. It comes before the tracker is told of any of their runs.
func (i *incidents) Keep() {
	i.applying.Lock()
	defer i.applying.Unlock()
	i.waiting.Lock()
	next := i.next
	i.next = nil
	i.waiting.Unlock()
	if next != nil {
		i.Tracker.Apply(next.at, next.pairs)
	}
}

// Observe implements runner.Observer: the tracker is told by judge.
func (i *incidents) Observe(*probe.Result) {}

// Restore implements runner.Observer: the tracker keeps its own.
func (i *incidents) Restore(*probe.Result) {}

// Schedule implements runner.Observer.
func (i *incidents) Schedule(probe.Pair, time.Time, bool) {}

// tracked is what a tracker has to know of a pair.
func tracked(p *config.Pair) incident.Pair {
	// That it does not refuse does not keep it from issuing.
	critical := incident.Critical(p.Module.Prober) && p.Module.Expected() == ""
	if p.Module.Critical != nil {
		critical = *p.Module.Critical
	}
	return incident.Pair{
		Pair: p.Pair, Environment: string(p.Target.Environment),
		Interval: p.Interval, Critical: critical,
	}
}

// rules are the thresholds of a configuration.
func rules(c config.Incidents) incident.Rules {
	confirmations := c.Failures - 1
	if confirmations == 0 {
		confirmations = -1 // none; 0 is the default
	}
	return incident.Rules{
		Confirmations: confirmations, Inconclusive: c.Inconclusive, InconclusiveOf: c.InconclusiveOf, Successes: c.Successes,
	}
}
