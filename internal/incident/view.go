package incident

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Filter chooses incidents. Zero fields choose all.
type Filter struct {
	Kind           probe.IncidentKind
	Target, Module string
	Condition      probe.Condition // the worst one
	Open           bool            // only those that go on
	Since, Until   time.Time       // those that have a part between them
	Limit          int             // at most so many
}

func (f Filter) wants(i *probe.Incident) bool {
	return (f.Kind == "" || f.Kind == i.Kind) &&
		(f.Target == "" || f.Target == i.Target) &&
		(f.Module == "" || f.Module == i.Module) &&
		(f.Condition == "" || f.Condition == i.Condition) &&
		(!f.Open || i.Open()) &&
		(f.Since.IsZero() || i.Open() || !i.End.Before(f.Since)) &&
		(f.Until.IsZero() || i.Start.Before(f.Until))
}

// newestFirst sorts incidents, those of targets before their members, and leaves
// out nil.
func newestFirst(all iter.Seq[*probe.Incident]) []*probe.Incident {
	list := slices.DeleteFunc(slices.Collect(all), func(i *probe.Incident) bool { return i == nil })
	slices.SortFunc(list, func(a, b *probe.Incident) int {
		return cmp.Or(b.Start.Compare(a.Start), -cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Module, b.Module), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// Incidents returns those that f chooses, newest first, also of targets that are no
// longer configured. They must not be changed.
func (t *Tracker) Incidents(f Filter) []*probe.Incident {
	t.mu.RLock()
	list := newestFirst(func(yield func(*probe.Incident) bool) {
		for _, i := range t.model.incidents {
			if f.wants(i) && !yield(i) {
				return
			}
		}
	})
	t.mu.RUnlock()
	if f.Limit > 0 && len(list) > f.Limit {
		list = list[:f.Limit]
	}
	return list
}

// Incident returns the one with the ID.
func (t *Tracker) Incident(id string) (*probe.Incident, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	i, ok := t.model.incidents[id]
	return i, ok
}

// State returns how each configured target and its pairs are at now, sorted by
// name. Time alone makes what is known unknown; nothing has to be called for that.
func (t *Tracker) State(now time.Time) []probe.TargetState {
	now = plain(now)
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.model.state(now)
}

func (m *model) state(now time.Time) []probe.TargetState {
	byTarget := map[string][]*pairRecord{}
	for _, name := range slices.SortedFunc(maps.Keys(m.pairs), comparePairs) {
		byTarget[name.Target] = append(byTarget[name.Target], m.pairs[name])
	}
	list := []probe.TargetState{}
	for _, name := range slices.Sorted(maps.Keys(byTarget)) {
		list = append(list, m.targetState(now, m.targets[name], byTarget[name]))
	}
	return list
}

func (m *model) targetState(now time.Time, t *targetRecord, pairs []*pairRecord) probe.TargetState {
	s := probe.TargetState{
		Target: t.Target, Environment: t.Environment, Incident: t.Open, Totals: t.Totals, Known: slices.Clone(t.Known),
	}
	unknown := t.unknown(now)
	up := 0
	for _, p := range pairs {
		ps := m.pairState(now, p, unknown)
		if ps.Condition == probe.ConditionUp {
			up++
		}
		s.LastEvidence = later(s.LastEvidence, p.LastEvidence)
		s.Pairs = append(s.Pairs, ps)
	}
	open := m.incidents[t.Open]
	switch {
	case unknown:
		s.Condition, s.Since = probe.ConditionUnknown, t.until()
		s.Why = m.whyUnknown(s.LastEvidence, pairs)
		if open != nil {
			s.Why += " Before that: " + open.Summary
		}
	case open != nil:
		s.Condition, s.Since = current(open)
		s.Why = m.whyOpen(open, s.Condition)
	default:
		s.Condition = probe.ConditionUp
		s.Since = later(t.Floor, t.Known[len(t.Known)-1].Start)
		s.Why = fmt.Sprintf("%d of %d modules are up and none is down.", up, len(pairs))
	}
	return s
}

// whyOpen says which pairs make the target what it is.
func (m *model) whyOpen(open *probe.Incident, condition probe.Condition) string {
	var modules []string
	var summary string
	for _, part := range open.Members {
		if !part.End.IsZero() || part.Critical != (condition == probe.ConditionDown) || slices.Contains(modules, part.Module) {
			continue
		}
		modules = append(modules, part.Module)
		if i := m.incidents[part.ID]; i != nil && summary == "" {
			summary = i.Summary
		}
	}
	are := "is"
	if len(modules) > 1 {
		are = "are"
	}
	return fmt.Sprintf("%s %s down: %s", enumerate(modules), are, summary)
}

// enumerate returns "a", "a and b" or "a, b and 3 more".
func enumerate(names []string) string {
	switch n := len(names); n {
	case 0:
		return "nothing"
	case 1:
		return names[0]
	case 2:
		return names[0] + " and " + names[1]
	default:
		return fmt.Sprintf("%s, %s and %d more", names[0], names[1], n-2)
	}
}

// whyUnknown says since when nobody has seen anything, and what came instead.
func (m *model) whyUnknown(lastEvidence time.Time, pairs []*pairRecord) string {
	var last *pairRecord
	for _, p := range pairs {
		if !p.LastRun.IsZero() && (last == nil || p.LastRun.After(last.LastRun)) {
			last = p
		}
	}
	if last == nil {
		return "Nothing has been probed yet."
	}
	why := "There has been no evidence yet."
	if !lastEvidence.IsZero() {
		why = "There has been no evidence since " + clock(lastEvidence) + "."
	}
	if c := classify(last.Last); c == silent || c == inconclusive {
		why += " The last run, of " + last.Module + ": " + last.Last.Summary
	}
	return why
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// pairState returns how a pair is. While its incident is open it is down, however
// long ago its last run was, unless nothing is known of its target.
func (m *model) pairState(now time.Time, p *pairRecord, unknown bool) probe.PairState {
	s := probe.PairState{
		Pair: p.Pair.Pair, Critical: p.Critical, LastEvidence: p.LastEvidence, LastSuccess: p.LastSuccess,
		Incident: p.Open, Totals: p.Totals,
	}
	open := m.incidents[p.Open]
	if open != nil {
		s.Totals.Down.Downtime += open.LastFailure.Sub(open.Start)
	}
	until := p.Seen.Add(p.window())
	switch {
	case !unknown && open != nil:
		s.Condition, s.Since, s.Why = probe.ConditionDown, open.Start, open.Summary
	case unknown || p.Seen.IsZero() || !until.After(now):
		s.Condition = probe.ConditionUnknown
		if !p.Seen.IsZero() {
			s.Since = until
		}
		s.Why = m.whyUnknown(p.LastEvidence, []*pairRecord{p})
	default:
		s.Condition, s.Since = probe.ConditionUp, later(p.UpSince, p.Floor)
		s.Why = "It passed at " + clock(p.LastSuccess) + "."
		if classify(p.Last) != success {
			s.Why += " The last run: " + p.Last.Summary
		}
	}
	return s
}
