package runner

import (
	"context"
	"errors"
	"time"
)

// idle is how long Run sleeps when nothing is due; it is woken when that changes.
const idle = time.Hour

// Run starts runs when they are due, until ctx ends. Then triggers get
// [ErrStopping] and no new run starts; those in flight have the grace period to
// end, are canceled after it with [ErrStopping] as the cause, and have 5 s more
// to clean up. Follow-ups of runs that end meanwhile are done as long as there
// is time, and stay stored otherwise. Run returns nil when nothing that it has
// started is left. It can be called once.
func (r *Runner) Run(ctx context.Context) error {
	if err := r.begin(); err != nil {
		return err
	}
	// Nothing but their own timeouts and the stop below end runs.
	probes, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	cleanUps, abandon := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abandon(nil)

	timer := time.NewTimer(idle)
	defer timer.Stop()
	for ctx.Err() == nil {
		next, _ := r.dispatch(probes, cleanUps)
		timer.Reset(until(next))
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
	}
	r.stop()
	r.drain(probes, cleanUps, cut, abandon)
	r.runs.Wait()
	return nil
}

// until returns how long it is until t; idle for the zero time.
func until(t time.Time) time.Duration {
	if t.IsZero() {
		return idle
	}
	return time.Until(t)
}

// begin starts the timelines.
func (r *Runner) begin() error {
	r.deliver.Lock()
	defer r.deliver.Unlock()
	r.mu.Lock()
	if r.phase != phaseNew {
		r.mu.Unlock()
		return errors.New("run the runner: it was run already")
	}
	r.phase = phaseRunning
	var told []scheduled
	for p, l := range r.lanes {
		if l.gen != nil {
			r.startTimeline(l.gen)
			told = append(told, scheduled{pair: p, next: l.gen.next})
		}
	}
	r.mu.Unlock()
	r.tell(told)
	return nil
}

// stop refuses triggers from now on, and answers those whose run has not started.
func (r *Runner) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phase = phaseDraining
	for _, l := range r.lanes {
		if l.wanted != nil {
			l.wanted.err = ErrStopping
			close(l.wanted.done)
			l.wanted = nil
		}
	}
}

// drain waits until nothing is in flight, and cuts what takes too long: runs
// after the grace period, follow-ups cleanUpTime later.
func (r *Runner) drain(probes, cleanUps context.Context, cut, abandon context.CancelCauseFunc) {
	timer := time.NewTimer(max(r.grace, 0))
	defer timer.Stop()
	for {
		_, inFlight := r.dispatch(probes, cleanUps)
		if inFlight == 0 {
			return
		}
		select {
		case <-r.wake:
		case <-timer.C:
			if probes.Err() == nil {
				r.log.Warn("the grace period is over, runs are canceled", "in_flight", inFlight)
				cut(ErrStopping)
				timer.Reset(cleanUpTime)
				continue
			}
			abandon(ErrStopping)
			r.mu.Lock()
			r.phase = phaseClosed
			r.mu.Unlock()
		}
	}
}
