package incident

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

var errUnusable = errors.New("it is not what this version writes")

// The first and the last year in which something stored can have happened: far from
// where times and what is between them can no longer be told.
const firstYear, lastYear = 2000, 2200

// sane reports whether each of times is zero or one that can have been.
func sane(times ...time.Time) bool {
	for _, t := range times {
		if !t.IsZero() && (t.Year() < firstYear || t.Year() > lastYear) {
			return false
		}
	}
	return true
}

// decode reads the stored form of a value of this version.
func decode[V any](value []byte, version func(*V) int) (*V, error) {
	v := new(V)
	if err := json.Unmarshal(value, v); err != nil {
		return nil, err
	}
	if n := version(v); n != probe.IncidentVersion {
		return nil, fmt.Errorf("it has version %d, not %d", n, probe.IncidentVersion)
	}
	return v, nil
}

// decodeIncident reads the stored form of the incident key.
func decodeIncident(key string, value []byte) (*probe.Incident, error) {
	i, err := decode(value, func(i *probe.Incident) int { return i.Version })
	if err != nil {
		return nil, err
	}
	kind := i.Kind == probe.IncidentPair && i.Condition == probe.ConditionDown && len(i.Members) == 0 ||
		i.Kind == probe.IncidentTarget && len(i.Members) > 0
	condition := i.Condition == probe.ConditionDown || i.Condition == probe.ConditionDegraded
	if i.ID != key || key == "" || !kind || !condition || i.Target == "" || i.Reasons == nil || i.Failures < 0 || i.Flaps < 0 {
		return nil, errUnusable
	}
	if !ordered(i.Start, i.LastFailure, i.End) || !sane(i.LastSuccess) {
		return nil, errUnusable
	}
	if o := i.Official; o != nil && (o.Start.IsZero() || !sane(o.Start)) {
		return nil, errUnusable
	}
	for _, m := range i.Members {
		if m.ID == "" || m.Reasons == nil || !ordered(m.Start, m.LastFailure, m.End) {
			return nil, errUnusable
		}
	}
	var before time.Time
	for _, p := range i.Phases {
		if p.Start.IsZero() || p.Start.Before(before) || !sane(p.Start, p.End) || !p.End.IsZero() && p.End.Before(p.Start) {
			return nil, errUnusable
		}
		before = p.End
	}
	if e := i.Evidence; e != nil && (e.First.Result == nil || e.Last != nil && e.Last.Result == nil) {
		return nil, errUnusable
	}
	return i, nil
}

// ordered reports whether they can be the times of an incident; a zero end is open.
func ordered(start, lastFailure, end time.Time) bool {
	return !start.IsZero() && sane(start, lastFailure, end) && !lastFailure.Before(start) &&
		(end.IsZero() || !end.Before(lastFailure))
}

// decodePair reads the stored form of the record of the pair key.
func decodePair(key string, value []byte) (*pairRecord, error) {
	p, err := decode(value, func(p *pairRecord) int { return p.Version })
	if err != nil {
		return nil, err
	}
	if p.Pair.String() != key || p.Target == "" || p.Closing < 0 || p.Interval < 0 || p.Between < 0 || bad(p.Totals) {
		return nil, errUnusable
	}
	if !sane(p.LastRun, p.LastSuccess, p.LastEvidence, p.Seen, p.UpSince, p.Floor, p.ClosingAt) {
		return nil, errUnusable
	}
	for _, r := range p.Recent {
		failed := r.Class == conclusive || r.Class == inconclusive
		if !failed && r.Class != success || failed != (r.Verdict != nil) || r.Run != nil && r.Run.Result == nil || !sane(r.Start, r.End, r.Before) {
			return nil, errUnusable
		}
	}
	return p, nil
}

// decodeTarget reads the stored form of the record of the target key.
func decodeTarget(key string, value []byte) (*targetRecord, error) {
	t, err := decode(value, func(t *targetRecord) int { return t.Version })
	if err != nil {
		return nil, err
	}
	if t.Target != key || key == "" || bad(t.Totals) || t.Down < 0 || t.Degraded < 0 || !sane(t.Floor) {
		return nil, errUnusable
	}
	for _, i := range t.Known {
		if !sane(i.Start, i.End) {
			return nil, errUnusable
		}
	}
	t.Known = union(t.Known...)
	return t, nil
}

func bad(t probe.Totals) bool {
	return t.Down.Incidents < 0 || t.Down.Downtime < 0 || t.Degraded.Incidents < 0 || t.Degraded.Downtime < 0
}

// repair makes the model whole where something was not readable: each pair has its
// target, and a target is open with what it is made of, or nothing of it is. It
// reports whether there was something to do.
func (m *model) repair() (changed bool) {
	for name, p := range m.pairs {
		if m.targets[name.Target] == nil {
			m.targets[name.Target] = &targetRecord{Version: probe.IncidentVersion, Target: name.Target, Environment: p.Environment}
			changed = true
		}
	}
	for _, i := range m.incidents {
		if i.Open() && m.targets[i.Target] == nil {
			m.abandon(i.Target)
			changed = true
		}
	}
	for name := range m.targets {
		if !m.whole(name) {
			m.abandon(name)
			changed = true
		}
	}
	return changed
}

// open returns what is open of a target.
func (m *model) open(target string) (list []*probe.Incident) {
	for _, i := range m.incidents {
		if i.Open() && i.Target == target {
			list = append(list, i)
		}
	}
	return list
}

// whole reports whether what is open of a target is known to its records, and
// nothing else is.
func (m *model) whole(target string) bool {
	open := m.open(target)
	claimed := map[string]bool{}
	for name, p := range m.pairs {
		if name.Target != target || p.Open == "" {
			continue
		}
		claimed[p.Open] = true
		if i := m.incidents[p.Open]; i == nil || i.Kind != probe.IncidentPair || i.Target != target || i.Module != name.Module {
			return false
		}
	}
	t := m.targets[target]
	whole := m.incidents[t.Open]
	if (whole == nil) != (len(claimed) == 0) {
		return false
	}
	if whole == nil {
		return t.Open == "" && len(open) == 0
	}
	if whole.Kind != probe.IncidentTarget || whole.Target != target || !whole.Open() {
		return false
	}
	members := 0
	for _, part := range whole.Members {
		if part.End.IsZero() {
			members++
			if !claimed[part.ID] {
				return false
			}
		}
	}
	return members == len(claimed) && len(open) == members+1
}

// abandon closes everything that is open of a target, as withdrawn.
func (m *model) abandon(target string) {
	var floor time.Time
	for _, i := range m.open(target) {
		closed := *i
		closed.End, closed.Withdrawn = i.LastFailure, true
		closed.Phases = nil
		for _, p := range i.Phases {
			if p.End.IsZero() {
				p.End = later(p.Start, closed.End)
			}
			closed.Phases = append(closed.Phases, p)
		}
		closed.Members = nil
		for _, part := range i.Members {
			if part.End.IsZero() {
				part.End = part.LastFailure
			}
			closed.Members = append(closed.Members, part)
		}
		m.incidents[i.ID] = &closed
		floor = later(floor, closed.End)
	}
	for name, p := range m.pairs {
		if name.Target == target {
			p.Open, p.Closing, p.ClosingAt = "", 0, time.Time{}
			p.Floor = later(p.Floor, floor)
		}
	}
	if t := m.targets[target]; t != nil {
		t.Open, t.Floor = "", later(t.Floor, floor)
	}
}
