package incident

import (
	"maps"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	// maxMembers bounds an incident of a target: beyond it, the oldest two of the
	// same module count as one, with what was between them.
	maxMembers = 200
	// maxKnown bounds the times that a target's record has; the oldest go first.
	maxKnown = 1000
)

// targetRecord is what is known of a target beyond its pairs; its JSON is the
// stored form. It is replaced, never changed, once others can see it.
type targetRecord struct {
	Version     int    `json:"version"`
	Target      string `json:"target"`
	Environment string `json:"environment"`
	Open        string `json:"open,omitempty"` // ID of the open incident
	// Floor is the end of the last incident: none starts before.
	Floor  time.Time        `json:"floor,omitzero"`
	Known  []probe.Interval `json:"known,omitempty"`
	Totals probe.Totals     `json:"totals"` // the time of the open incident is in it
	// Down and Degraded are the times of the closed incidents.
	Down     time.Duration `json:"down_ns"`
	Degraded time.Duration `json:"degraded_ns"`
}

// saw adds a time of which the condition is known, and for how long after it that
// will be so. decides: what was foreseen before does not hold any more.
func (t *targetRecord) saw(i probe.Interval, foreseen time.Duration, decides bool) {
	known := slices.Clone(t.Known)
	if n := len(known); decides && n > 0 && known[n-1].End.After(i.End) {
		known[n-1].End = later(i.End, known[n-1].Start)
	}
	known = union(append(known, probe.Interval{Start: i.Start, End: i.End.Add(foreseen)})...)
	old := i.End.Add(-historyAge)
	t.Known = slices.DeleteFunc(known, func(k probe.Interval) bool { return !k.End.After(old) })
	if n := len(t.Known) - maxKnown; n > 0 {
		t.Known = t.Known[n:]
	}
}

// until is when the condition will be known no longer, or since when it is not;
// zero: it never was.
func (t *targetRecord) until() time.Time {
	if len(t.Known) == 0 {
		return time.Time{}
	}
	return t.Known[len(t.Known)-1].End
}

// unknown reports whether nobody has looked lately.
func (t *targetRecord) unknown(now time.Time) bool { return !t.until().After(now) }

// absorb takes in an incident of a pair, which is new or has changed, and returns
// the target's as it is now; open is the one before, nil: there was none. find
// returns an incident of a pair, or nil.
func (t *targetRecord) absorb(part *probe.Incident, critical bool, open *probe.Incident, find func(id string) *probe.Incident) *probe.Incident {
	var i probe.Incident
	if open != nil {
		i = *open
	} else {
		start := later(part.Start, t.Floor.Add(1))
		i = probe.Incident{
			Version: probe.IncidentVersion, ID: newID(probe.IncidentTarget, probe.Pair{Target: t.Target}, start),
			Kind: probe.IncidentTarget, Target: t.Target, Environment: t.Environment,
		}
		t.Open = i.ID
	}
	i.Members = slices.Clone(i.Members)
	k := slices.IndexFunc(i.Members, func(m probe.Member) bool { return m.ID == part.ID })
	if k < 0 {
		i.Members = append(makeRoom(i.Members), probe.Member{
			ID: part.ID, Module: part.Module, Critical: critical, Start: later(part.Start, t.Floor.Add(1)),
		})
		k = len(i.Members) - 1
	}
	m := &i.Members[k]
	m.LastFailure = later(part.LastFailure, m.Start)
	m.Failures, m.Reasons, m.Flaps = part.Failures, part.Reasons, part.Flaps
	if !part.Open() {
		m.End = later(part.End, m.LastFailure)
	}
	summarize(&i, find)
	i.Official = restarted(&i)
	if !i.Open() && part.Withdrawn {
		i.Withdrawn = true
	}
	t.count(&i, open)
	if !i.Open() {
		t.Open, t.Floor = "", i.End
	}
	return &i
}

// makeRoom makes one of the oldest two members of a module, if there are too many.
func makeRoom(all []probe.Member) []probe.Member {
	if len(all) < maxMembers {
		return all
	}
	for a := range all {
		for b := a + 1; b < len(all); b++ {
			x, y := all[a], all[b]
			if x.Module != y.Module || x.Critical != y.Critical || x.End.IsZero() || y.End.IsZero() {
				continue
			}
			y.Start = earlier(x.Start, y.Start)
			y.End, y.LastFailure = later(x.End, y.End), later(x.LastFailure, y.LastFailure)
			y.Failures += x.Failures
			y.Flaps += x.Flaps + 1
			y.Reasons = maps.Clone(y.Reasons)
			for reason, n := range x.Reasons {
				y.Reasons[reason] += n
			}
			all[b] = y
			return slices.Delete(all, a, a+1)
		}
	}
	return all
}

// summarize makes everything of a target's incident that its members make.
func summarize(i *probe.Incident, find func(id string) *probe.Incident) {
	i.Start, i.End, i.LastFailure = time.Time{}, time.Time{}, time.Time{}
	i.Failures, i.Flaps, i.Reasons = 0, 0, map[probe.Reason]int{}
	i.Condition = probe.ConditionDegraded
	first, blamed, open := 0, 0, false
	for k, m := range i.Members {
		if k > 0 && m.Start.Before(i.Members[first].Start) {
			first = k
		}
		if m.Critical && i.Condition != probe.ConditionDown {
			i.Condition, blamed = probe.ConditionDown, k
		}
		i.End, i.LastFailure = later(i.End, m.End), later(i.LastFailure, m.LastFailure)
		open = open || m.End.IsZero()
		i.Failures += m.Failures
		i.Flaps += m.Flaps
		for reason, n := range m.Reasons {
			i.Reasons[reason] += n
		}
	}
	i.Start = i.Members[first].Start
	if open {
		i.End = time.Time{}
	}
	if part := find(i.Members[first].ID); part != nil {
		i.LastSuccess = part.LastSuccess
	}
	if part := find(i.Members[blamed].ID); part != nil {
		i.Module, i.Stage, i.Reason, i.Fault, i.Summary = part.Module, part.Stage, part.Reason, part.Fault, part.Summary
	}
	down, degraded := split(i.Members, func(probe.Member) time.Time { return far })
	i.Phases = phases(down, degraded)
}

// split returns when the members make their target down, and when only degraded.
// What is open lasts as long as until says.
func split(members []probe.Member, until func(probe.Member) time.Time) (down, degraded intervals) {
	var critical, all []probe.Interval
	for _, m := range members {
		i := probe.Interval{Start: m.Start, End: m.End}
		if m.End.IsZero() {
			i.End = until(m)
		}
		all = append(all, i)
		if m.Critical {
			critical = append(critical, i)
		}
	}
	down = union(critical...)
	return down, union(all...).minus(down)
}

func phases(down, degraded intervals) []probe.IncidentPhase {
	var list []probe.IncidentPhase
	add := func(condition probe.Condition, all intervals) {
		for _, i := range all {
			p := probe.IncidentPhase{Condition: condition, Start: i.Start, End: i.End}
			if p.End.Equal(far) {
				p.End = time.Time{}
			}
			list = append(list, p)
		}
	}
	add(probe.ConditionDown, down)
	add(probe.ConditionDegraded, degraded)
	slices.SortFunc(list, func(a, b probe.IncidentPhase) int { return a.Start.Compare(b.Start) })
	return list
}

// count brings the totals up to i, which was before; nil: it is new. They never
// fall: what was counted as degraded stays so when it turns out that it was down.
func (t *targetRecord) count(i, before *probe.Incident) {
	switch {
	case before == nil && i.Condition == probe.ConditionDegraded:
		t.Totals.Degraded.Incidents++
	case before == nil || before.Condition != i.Condition:
		t.Totals.Down.Incidents++
	}
	down, degraded := split(i.Members, func(m probe.Member) time.Time { return m.LastFailure })
	t.Totals.Down.Downtime = max(t.Totals.Down.Downtime, t.Down+down.length())
	t.Totals.Degraded.Downtime = max(t.Totals.Degraded.Downtime, t.Degraded+degraded.length())
	if !i.Open() {
		t.Down, t.Degraded = t.Totals.Down.Downtime, t.Totals.Degraded.Downtime
	}
}

// current is the condition in the last phase of an open incident, and since when.
func current(i *probe.Incident) (probe.Condition, time.Time) {
	if len(i.Phases) == 0 { // a stored one that somebody has changed
		return i.Condition, i.Start
	}
	last := i.Phases[len(i.Phases)-1]
	return last.Condition, last.Start
}
