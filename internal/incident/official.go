package incident

import (
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// When a CA has to have published an announcement for it to be taken for one of an
// incident of ours: people begin to write a while before or long after the first of our
// runs fails, and by night they write when it is over.
const (
	officialBefore = time.Hour      // before the start
	officialAfter  = 2 * time.Hour  // after the end
	officialLatest = 24 * time.Hour // after the start: who writes later writes of something else
)

// Announce takes in what the CA's status page says of incidents: those of the target
// have the announcement that was published nearest to their start. One that is
// known already is not published later: some pages have the time of the last change.
func (t *Tracker) Announce(target string, list []probe.Announcement) {
	if len(list) == 0 {
		return
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	c := t.model.change(t.rules)
	c.announce(target, list)
	t.publish(c)
}

func (c *change) announce(target string, list []probe.Announcement) {
	record := c.target(target)
	if record == nil {
		return
	}
	for _, i := range c.of.incidents {
		if i.Kind != probe.IncidentTarget || i.Target != target || i.Environment != record.Environment {
			continue
		}
		if o := official(i, list); o != nil && (i.Official == nil || *o != *i.Official) {
			announced := *i
			announced.Official = o
			c.incidents[i.ID] = &announced
		}
	}
}

// official is what has been said of the incident, by the list or before; nil: nothing.
func official(i *probe.Incident, list []probe.Announcement) *probe.Official {
	best := i.Official
	for _, a := range list {
		a.Start = plain(a.Start)
		o := &probe.Official{Start: a.Start, Name: a.Name, URL: a.URL, Lead: a.Start.Sub(i.Start)}
		switch {
		case !about(i, a.Start) || !sane(a.Start):
		case best == nil:
			best = o
		case same(best, o):
			if o.Start.Before(best.Start) {
				best = o
			}
		case o.Lead.Abs() < best.Lead.Abs():
			best = o
		}
	}
	return best
}

// about reports whether what was published at that time can be about the incident.
func about(i *probe.Incident, published time.Time) bool {
	until := i.Start.Add(officialLatest)
	if !i.Open() {
		until = earlier(until, i.End.Add(officialAfter))
	}
	return !published.Before(i.Start.Add(-officialBefore)) && !published.After(until)
}

// same reports whether two are the same announcement, read at different times.
func same(a, b *probe.Official) bool {
	if a.URL != "" || b.URL != "" {
		return a.URL == b.URL
	}
	return a.Name == b.Name
}

// restarted is what has been said of an incident whose start may have changed since;
// nil: nothing that can be about it any more.
func restarted(i *probe.Incident) *probe.Official {
	if i.Official == nil || !about(i, i.Official.Start) {
		return nil
	}
	o := *i.Official
	o.Lead = o.Start.Sub(i.Start)
	return &o
}
