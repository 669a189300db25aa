package incident

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	// historyAge and historyLen bound the closed incidents that are kept, evidenceLen
	// those that have their evidence.
	historyAge  = 90 * 24 * time.Hour
	historyLen  = 10_000
	evidenceLen = 500
)

// model is everything that is known. What the maps point to never changes.
type model struct {
	pairs     map[probe.Pair]*pairRecord
	targets   map[string]*targetRecord
	incidents map[string]*probe.Incident
}

func newModel() *model {
	return &model{
		pairs:     map[probe.Pair]*pairRecord{},
		targets:   map[string]*targetRecord{},
		incidents: map[string]*probe.Incident{},
	}
}

// change is what becomes of a model. A nil value: it is removed.
type change struct {
	of        *model
	rules     Rules
	pairs     map[probe.Pair]*pairRecord
	targets   map[string]*targetRecord
	incidents map[string]*probe.Incident
}

func (m *model) change(rules Rules) *change {
	return &change{
		of: m, rules: rules,
		pairs: map[probe.Pair]*pairRecord{}, targets: map[string]*targetRecord{}, incidents: map[string]*probe.Incident{},
	}
}

// apply makes the change.
func (m *model) apply(c *change) {
	merge(m.pairs, c.pairs)
	merge(m.targets, c.targets)
	merge(m.incidents, c.incidents)
}

func merge[K comparable, V any](to, from map[K]*V) {
	for k, v := range from {
		if v == nil {
			delete(to, k)
		} else {
			to[k] = v
		}
	}
}

func get[K comparable, V any](changed, before map[K]*V, k K) *V {
	if v, ok := changed[k]; ok {
		return v
	}
	return before[k]
}

func (c *change) pair(p probe.Pair) *pairRecord { return get(c.pairs, c.of.pairs, p) }

func (c *change) target(name string) *targetRecord { return get(c.targets, c.of.targets, name) }

// incident returns nil for the empty ID.
func (c *change) incident(id string) *probe.Incident { return get(c.incidents, c.of.incidents, id) }

// observe takes in a run, and reports whether it wants to be confirmed.
func (c *change) observe(r *probe.Result) (confirm bool) {
	before := c.pair(r.Pair)
	if before == nil || r.FollowUp != "" && r.Misissued() == "" || r.ID != "" && r.ID == before.LastID {
		return false
	}
	p := *before
	part, from := p.observe(r, c.rules, c.incident(p.Open))
	c.pairs[r.Pair] = &p
	if t := *c.target(r.Target); !from.IsZero() {
		known, decides := c.foreseen(&p)
		t.saw(probe.Interval{Start: from, End: p.Seen}, known, decides)
		c.targets[r.Target] = &t
	}
	if part != nil {
		c.absorb(part, p.Critical)
		if _, old := c.of.incidents[part.ID]; !old {
			c.prune(p.LastRun)
		}
	}
	return p.Open == "" && classify(r.Verdict) == conclusive
}

// foreseen is how long after a run of p its target is known: as long as the pair
// that ticks fastest has for its next runs, among those that have lately seen
// anything. A slow pair that passed just before our own line broke does not vouch
// for the target until its next run. The same holds among pairs that are only
// scraped; beside one that ticks, such a run adds little to what is foreseen, and
// decides nothing.
func (c *change) foreseen(p *pairRecord) (known time.Duration, decides bool) {
	known = p.window()
	for name, q := range c.of.pairs {
		ticks := q.Interval > 0
		switch {
		case name.Target != p.Target || name == p.Pair.Pair:
		case ticks == (p.Interval > 0):
			if !q.Seen.Before(p.Seen.Add(-p.window())) {
				known = min(known, q.window())
			}
		case ticks && q.Seen.Add(q.window()).After(p.Seen):
			return windowLeast, false
		}
	}
	return known, true
}

// absorb puts in an incident of a pair, and what it makes of its target's.
func (c *change) absorb(part *probe.Incident, critical bool) {
	c.incidents[part.ID] = part
	t := *c.target(part.Target)
	whole := t.absorb(part, critical, c.incident(t.Open), c.incident)
	c.incidents[whole.ID] = whole
	c.targets[part.Target] = &t
}

// configure makes pairs the ones there are. A pair keeps what is known of it as
// long as its names and its environment stay.
func (c *change) configure(now time.Time, pairs []Pair) {
	configured := map[probe.Pair]Pair{}
	for _, p := range pairs {
		configured[p.Pair] = p
	}
	for _, name := range slices.SortedFunc(maps.Keys(c.of.pairs), comparePairs) {
		p := c.of.pairs[name]
		if in, ok := configured[name]; ok && in.Environment == c.of.targets[name.Target].Environment {
			continue
		}
		if open := c.incident(p.Open); open != nil {
			gone := *p
			c.absorb(gone.withdraw(open), p.Critical)
		}
		c.pairs[name] = nil
	}
	for name, t := range c.of.targets {
		if !slices.ContainsFunc(pairs, func(p Pair) bool { return p.Target == name && p.Environment == t.Environment }) {
			c.targets[name] = nil
		}
	}
	for name, p := range configured {
		next := pairRecord{Version: probe.IncidentVersion}
		if before := c.pair(name); before != nil {
			if before.Pair == p {
				continue
			}
			next = *before
		}
		next.Pair = p
		c.pairs[name] = &next
		if c.target(p.Target) == nil {
			c.targets[p.Target] = &targetRecord{Version: probe.IncidentVersion, Target: p.Target, Environment: p.Environment}
		}
	}
	c.foresee(now)
}

// foresee shortens what is foreseen to be known to what the pairs that there are
// now can say.
func (c *change) foresee(now time.Time) {
	all := maps.Clone(c.of.pairs)
	merge(all, c.pairs)
	targets := maps.Clone(c.of.targets)
	merge(targets, c.targets)
	for name, before := range targets {
		end := now
		for _, p := range all {
			if p.Target == name && !p.Seen.IsZero() {
				end = later(end, p.Seen.Add(p.window()))
			}
		}
		if !before.until().After(end) {
			continue
		}
		t := *before
		t.Known = slices.Clone(t.Known)
		last := &t.Known[len(t.Known)-1]
		last.End = later(end, last.Start)
		c.targets[name] = &t
	}
}

func comparePairs(a, b probe.Pair) int {
	return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Module, b.Module))
}

// prune removes closed incidents, and evidence, that are too old or too many.
func (c *change) prune(now time.Time) {
	all := maps.Clone(c.of.incidents)
	merge(all, c.incidents)
	evidence := 0
	for k, i := range newestFirst(maps.Values(all)) {
		if i.Open() {
			continue
		}
		if k >= historyLen || i.End.Before(now.Add(-historyAge)) {
			c.incidents[i.ID] = nil
			continue
		}
		if i.Evidence == nil {
			continue
		}
		if evidence++; evidence > evidenceLen {
			bare := *i
			bare.Evidence = nil
			c.incidents[i.ID] = &bare
		}
	}
}
