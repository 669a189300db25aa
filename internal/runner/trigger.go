package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Trigger asks for a run of p and waits for its Result, but not longer than
// ctx. It joins the run in flight, or starts one unless that would be sooner
// than min_interval after the last start. When ctx ends first (the run goes on)
// or it is too soon, the answer is the last Result, Fresh false; Result is nil
// when there has been none under p's configuration.
//
// A trigger before [Runner.Run] waits for it. The errors wrap [ErrUnknownPair]
// and [ErrStopping]; the end of ctx is not an error.
func (r *Runner) Trigger(ctx context.Context, p probe.Pair, by probe.Trigger) (probe.Answer, error) {
	ru, err := r.join(ctx, p, by)
	if err != nil {
		return probe.Answer{}, fmt.Errorf("trigger %q: %w", p, err)
	}
	if ru != nil {
		select {
		case <-ru.done:
			if ru.err != nil {
				return probe.Answer{}, fmt.Errorf("trigger %q: %w", p, ru.err)
			}
			return probe.Answer{Result: ru.result, Fresh: true}, nil
		case <-ctx.Done():
		}
	}
	return probe.Answer{Result: r.last(p)}, nil
}

// join returns the run that a trigger now waits for; nil: none, it has to take
// the last Result.
func (r *Runner) join(ctx context.Context, p probe.Pair, by probe.Trigger) (*run, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.lanes[p]
	switch {
	case r.phase > phaseRunning:
		return nil, ErrStopping
	case l == nil || l.gen == nil:
		return nil, ErrUnknownPair
	case ctx.Err() != nil:
		return nil, nil
	}
	if ru := l.joinable(); ru != nil {
		return ru, nil
	}
	now := time.Now()
	if l.tooSoon(now) {
		return nil, nil
	}
	l.wanted = newRun(by, now)
	if l.current != nil && l.current.makeWay != nil {
		l.current.makeWay()
	}
	r.wakeUp()
	return l.wanted, nil
}

// last returns the last Result of p that is not a follow-up's; nil: none.
func (r *Runner) last(p probe.Pair) *probe.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.lanes[p]; l != nil && l.gen != nil {
		return l.gen.last
	}
	return nil
}
