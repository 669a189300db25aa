package runner

import (
	"context"
	"hash/fnv"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// firstTick returns the first tick at or after now on the timeline of p. The
// timeline is absolute: the multiples of interval since 1970, shifted by a part
// of the interval that p and seed decide. So pairs are spread over the
// interval, and a restart goes on where the process before it stopped.
func firstTick(now time.Time, p probe.Pair, seed string, interval time.Duration) time.Time {
	h := fnv.New64a()
	for _, s := range []string{seed, p.Target, p.Module} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	shift := int64(h.Sum64() % uint64(interval))
	wait := (shift - now.UnixNano()%int64(interval) + int64(interval)) % int64(interval)
	return now.Add(time.Duration(wait))
}

// startTimeline sets the generation's first tick.
func (r *Runner) startTimeline(g *generation) {
	g.next = time.Time{}
	if g.pair.Interval > 0 {
		g.next = firstTick(time.Now(), g.pair.Pair, r.seed, g.pair.Interval)
	}
}

// scheduled is what observers are told about a pair's ticks.
type scheduled struct {
	pair   probe.Pair
	next   time.Time
	missed bool
}

// tell tells the observers; the caller holds deliver, and not mu.
func (r *Runner) tell(all []scheduled) {
	for _, s := range all {
		for _, o := range r.observers {
			o.Schedule(s.pair, s.next, s.missed)
		}
		if s.missed {
			r.log.Debug("tick missed", "target", s.pair.Target, "module", s.pair.Module)
		}
	}
}

// dispatch starts everything that is due. It returns when to look again (zero:
// when woken) and how many runs are in flight after that. Only Run's goroutine calls it, so nothing is started twice.
// probes and cleanUps are the contexts of runs and of follow-ups.
func (r *Runner) dispatch(probes, cleanUps context.Context) (next time.Time, inFlight int) {
	r.deliver.Lock()
	defer r.deliver.Unlock()
	r.mu.Lock()
	now := time.Now()
	var told []scheduled
	var contenders []contender
	for _, l := range r.lanes {
		if r.phase == phaseRunning {
			told = append(told, l.tick(now)...)
		}
		r.expire(l, now)
		if c, ok := r.contends(l, now); ok {
			contenders = append(contenders, c)
			continue
		}
		if ru := r.startable(l, now); ru != nil {
			r.start(probes, cleanUps, ru)
		}
		next = earlier(next, l.wakes(now, r.phase))
	}
	r.takeTurns(probes, cleanUps, contenders, now)
	for _, c := range contenders {
		next = earlier(next, c.wakes(now, r.phase))
	}
	inFlight = r.inFlight
	r.mu.Unlock()
	r.tell(told)
	return next, inFlight
}

// tick moves the timeline to the first tick after now, and has the lane want a
// run if the last tick before it is kept that way.
func (l *lane) tick(now time.Time) (told []scheduled) {
	g := l.gen
	if g == nil || g.next.IsZero() {
		return nil
	}
	for !now.Before(g.next) {
		due := g.next
		// Exact on the monotonic clock, so that nothing drifts; the wall clock's
		// reading is taken anew, since that one may have been set.
		g.next = now.Add(due.Add(g.pair.Interval).Sub(now))
		// Only the newest tick counts: those before it were overslept.
		kept := now.Before(g.next) && l.keep(due)
		told = append(told, scheduled{l.pair, g.next, !kept})
	}
	return told
}

// keep reports whether the tick that was due at due is kept: by a run that it
// starts, or by one that something else has started or wanted since the tick
// before it.
func (l *lane) keep(due time.Time) bool {
	before := due.Add(-l.gen.pair.Interval)
	if l.wanted != nil {
		return l.wanted.asked.After(before)
	}
	if l.joinable() != nil || l.tooSoon(due) {
		return l.asked.After(before)
	}
	l.wanted = newRun(probe.TriggerTick, due)
	return true
}

// startable takes from the lane what is to be started now; nil: nothing. A
// probe goes before a follow-up: in an outage follow-ups are many and slow, and
// must not keep the probes from seeing it.
func (r *Runner) startable(l *lane, now time.Time) *run {
	if l.current != nil || r.phase == phaseClosed {
		return nil
	}
	if ru := l.wanted; ru != nil {
		l.wanted = nil
		ru.gen = l.gen
		l.asked = ru.asked
		switch {
		case ru.trigger == probe.TriggerConfirm: // beside the others
		case ru.trigger == probe.TriggerTick && now.Sub(ru.asked) < jitter:
			l.floor = ru.asked
		default:
			l.floor = now
		}
		return ru.begin(l, now)
	}
	it := l.due(now, r.phase)
	if it == nil {
		return nil
	}
	ru := newRun(probe.TriggerFollowUp, now)
	ru.gen = l.configuration(it)
	ru.item = it
	copied := it.FollowUp
	ru.followUp = &copied
	if it.Kind == probe.FollowUpWatchRevocation {
		ru.makesWay() // there will be another look; what revokes would have to be sent again
	}
	return ru.begin(l, now)
}

// begin makes ru, whose generation is set, the run in flight.
func (ru *run) begin(l *lane, now time.Time) *run {
	ru.lane, ru.pair = l, ru.gen.pair
	ru.id, ru.start = probe.NewID(now), now
	if l.gen != nil {
		ru.next = l.gen.next
	}
	l.current = ru
	return ru
}

// start executes ru in a goroutine of its own.
func (r *Runner) start(probes, cleanUps context.Context, ru *run) {
	ctx := probes
	if ru.item != nil {
		ctx = cleanUps
	}
	r.inFlight++
	r.runs.Go(func() { r.perform(ctx, ru) })
}

// wakes returns when the lane next has something to do by itself; zero: never.
// What waits for the run in flight, or for one that holds its names, is seen when
// that one ends.
func (l *lane) wakes(now time.Time, p phase) time.Time {
	var t time.Time
	if l.gen != nil && p == phaseRunning {
		t = l.gen.next
	}
	if l.current != nil || l.blocked || p != phaseRunning {
		return t
	}
	for _, it := range l.items {
		t = earlier(t, it.Expires)
		switch {
		case l.configuration(it) == nil || l.yields(it, now):
		case l.waits(it, now):
			t = earlier(t, it.Expires.Add(-lastChance))
		default:
			t = earlier(t, it.when())
		}
	}
	return t
}

// earlier returns the earlier of two times; the zero time is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
