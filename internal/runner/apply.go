package runner

import (
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Apply makes pairs the configured ones. A pair with the hash that it had keeps
// its history, its run in flight and, if its interval is the same, its
// timeline; one with another hash is new, except that the least interval counts
// from its last start and that it waits for its old run to end. When Apply
// returns, no observer is told anything of the old ones any more; their
// follow-ups are still done, under the old configuration.
func (r *Runner) Apply(pairs []config.Pair) {
	r.deliver.Lock()
	r.mu.Lock()
	now := time.Now()
	r.applied = true
	configured := make(map[probe.Pair]bool, len(pairs))
	var told []scheduled
	for _, p := range pairs {
		configured[p.Pair] = true
		if r.configure(p) {
			told = append(told, scheduled{pair: p.Pair, next: r.lanes[p.Pair].gen.next})
		}
	}
	var obsolete []string
	for p, l := range r.lanes {
		if l.gen != nil && !configured[p] {
			obsolete = append(obsolete, p.String())
			r.forgetAll(l.gen)
			l.retire()
		}
		if l.gen == nil && l.current == nil && len(l.items) == 0 && now.After(l.rests) {
			delete(r.lanes, p)
		}
	}
	restored, unused := r.adopt()
	running := r.phase == phaseRunning
	r.mu.Unlock()

	for _, o := range r.observers {
		if c, ok := o.(Configured); ok {
			c.Apply(pairs)
		}
	}
	r.tellRestored(restored)
	if running { // else Run tells it
		r.tell(told)
	}
	r.deliver.Unlock()

	r.wakeUp()
	r.keepObserved()
	r.reportUnconfigured()
	r.clean(append(obsolete, unused...)...)
}

// configure puts p in force and reports whether its timeline is a new one.
func (r *Runner) configure(p config.Pair) bool {
	l := r.lane(p.Pair)
	if l.gen != nil && l.gen.pair.Hash == p.Hash {
		same := l.gen.pair.Interval == p.Interval
		l.gen.pair = p
		if same {
			return false
		}
	} else {
		if l.gen != nil {
			r.forgetAll(l.gen)
		}
		l.gen = &generation{pair: p}
	}
	if r.phase == phaseRunning {
		r.startTimeline(l.gen)
	}
	return true
}

// lane returns the lane of p, and makes it if there is none.
func (r *Runner) lane(p probe.Pair) *lane {
	l := r.lanes[p]
	if l == nil {
		l = &lane{pair: p, items: make(map[string]*item)}
		r.lanes[p] = l
	}
	return l
}

// retire takes the configuration away. Who waits for a run that has not started
// gets an answer now.
func (l *lane) retire() {
	l.rests = l.floor.Add(l.gen.pair.MinInterval)
	l.gen = nil
	if l.wanted != nil {
		l.wanted.err = ErrUnknownPair
		close(l.wanted.done)
		l.wanted = nil
	}
}
