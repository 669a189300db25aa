package app

import (
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// incidents tells a tracker what the runner tells its observers: which pairs there
// are, in its turn between their runs.
type incidents struct{ *incident.Tracker }

// judge is the runner's Options.Incidents. What a CA says of itself is told here and
// not to an observer, for it may wait for a disk.
func (i incidents) judge(r *probe.Result) (confirm bool) {
	if r.StatusPage != nil {
		i.Announce(r.Target, r.StatusPage.Announcements)
	}
	return i.Tracker.Observe(r)
}

// Latest implements metrics.Incidents.
func (i incidents) Latest(target string) *probe.Incident {
	last := i.Incidents(incident.Filter{Kind: probe.IncidentTarget, Target: target, Limit: 1})
	if len(last) == 0 {
		return nil
	}
	return last[0]
}

// Apply implements runner.Configured.
func (i incidents) Apply(pairs []config.Pair) {
	var list []incident.Pair
	for n := range pairs {
		// What a CA says of itself is no evidence of how it is.
		if pairs[n].Module.Prober != probe.ProberStatusPage {
			list = append(list, tracked(&pairs[n]))
		}
	}
	i.Tracker.Apply(time.Now(), list)
}

// Observe implements runner.Observer: the tracker is told by judge.
func (i incidents) Observe(*probe.Result) {}

// Restore implements runner.Observer: the tracker keeps its own.
func (i incidents) Restore(*probe.Result) {}

// Schedule implements runner.Observer.
func (i incidents) Schedule(probe.Pair, time.Time, bool) {}

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
