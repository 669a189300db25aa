package runner

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
)

// held are the names that runs in flight hold. A CA has one authorization for an
// account and a name, whichever order it is of: two runs that have a name in
// common would validate, reuse and deactivate under each other's hands.
// Runner.mu guards it.
type held map[heldName]bool

// heldName is a name that an account, the target's, orders again and again.
type heldName struct{ target, name string }

// namesOf returns what a run of the pair holds; nil: nothing, for its names are
// new in each run.
func namesOf(p config.Pair) []heldName {
	fixed := p.FixedNames()
	names := make([]heldName, len(fixed))
	for i, name := range fixed {
		names[i] = heldName{p.Pair.Target, name}
	}
	return names
}

// free reports whether none of the names is held.
func (h held) free(names []heldName) bool {
	return !slices.ContainsFunc(names, func(n heldName) bool { return h[n] })
}

func (h held) take(names []heldName) {
	for _, n := range names {
		h[n] = true
	}
}

func (h held) release(names []heldName) {
	for _, n := range names {
		delete(h, n)
	}
}

// contender is a lane with something to start, and names to hold meanwhile.
type contender struct {
	*lane
	names []heldName
	asked time.Time
}

// contends returns the lane as a contender; not ok: it has nothing to start, or
// nothing to wait for.
func (r *Runner) contends(l *lane, now time.Time) (c contender, ok bool) {
	l.blocked = false
	if l.current != nil || r.phase == phaseClosed {
		return c, false
	}
	gen := l.gen
	if l.wanted != nil {
		c.asked = l.wanted.asked
	} else {
		it := l.due(now, r.phase)
		if it == nil {
			return c, false
		}
		if it.patient() {
			return c, false // it validates nothing
		}
		c.asked, gen = it.when(), l.configuration(it)
	}
	c.lane, c.names = l, namesOf(gen.pair)
	return c, len(c.names) > 0
}

// takeTurns starts what the contenders want, as far as their names are free: who
// has waited the longest first, and nobody overtakes one who waits for the same
// name. The others are seen again when a run ends.
func (r *Runner) takeTurns(probes, cleanUps context.Context, all []contender, now time.Time) {
	slices.SortFunc(all, func(a, b contender) int {
		return cmp.Or(a.asked.Compare(b.asked), cmp.Compare(a.pair.String(), b.pair.String()))
	})
	waited := make(held)
	for _, c := range all {
		if !r.held.free(c.names) || !waited.free(c.names) {
			c.blocked = true
			waited.take(c.names)
			continue
		}
		if ru := r.startable(c.lane, now); ru != nil {
			ru.names = c.names
			r.held.take(c.names)
			r.start(probes, cleanUps, ru)
		}
	}
}
