package prober

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// How polling is paced where the CA does not say (and within which bounds it
// may say).
const (
	pollFirst = 250 * time.Millisecond
	pollMost  = 3 * time.Second
	// maxRetryAfter bounds what the CA may ask for: one public CA sends 86,400 s.
	maxRetryAfter = 10 * time.Second
)

// pacer paces the polls of one object.
type pacer struct {
	next time.Duration // what the CA's silence means next; 0: the first time
}

// delay returns how long to sleep before the next poll: what the CA asked for,
// or 250 ms growing by half to 3 s where that is 0; never more than 10 s, nor
// than a third of what remains, so that a late answer is still seen. Only the
// last 250 ms of a run are slept through: a third of nothing would be a spin.
func (p *pacer) delay(retryAfter, remaining time.Duration) time.Duration {
	d := retryAfter
	if d <= 0 {
		if p.next == 0 {
			p.next = pollFirst
		}
		d = p.next
		p.next = min(p.next*3/2, pollMost)
	}
	return min(d, maxRetryAfter, max(remaining/3, pollFirst))
}

// look reads an object once. The state is what a failure will call the object's
// status if time runs out; empty: the waiting is over.
type look func(ctx context.Context) (state string, retryAfter time.Duration, err error)

// poll waits, looks, and does so again until the object is what it is waited
// for. state and retryAfter are of the answer that made it wait.
//
// It waits before it looks for the first time: an asynchronous CA, and it is
// one unless its answer already showed the object final, cannot be done after
// one round trip (Let's Encrypt validates in one to three seconds), so that an
// immediate look would be a request for nothing in each run. A caller whose
// answer did show it final looks by itself at once.
func (r *run) poll(ctx context.Context, object, state string, retryAfter time.Duration, look look) error {
	var p pacer
	for polls := 0; ; polls++ {
		if err := sleep(ctx, p.delay(retryAfter, remaining(ctx))); err != nil {
			return r.over(ctx, object, fmt.Sprintf("the %s was still %s after %d polls", object, state, polls))
		}
		next, asked, err := look(ctx)
		if r.cut(ctx, err) {
			// The time was spent on waiting; this poll never had a chance.
			return r.over(ctx, object, fmt.Sprintf("the %s was still %s after %d polls", object, state, polls))
		}
		if err != nil || next == "" {
			return err
		}
		state, retryAfter = next, asked
	}
}

// patience is how long a look must have been in flight, when the run's time is
// over, before the CA's silence is what the run ended of.
const patience = time.Second

// cut reports whether err is of an exchange that the end of ctx cut off before its
// absence could say anything. What failed then is what was waited for, not the
// look at it.
func (l *line) cut(ctx context.Context, err error) bool {
	f, ok := errors.AsType[*failure](err)
	if !ok || f.Kind != probe.FailureCall || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return false
	}
	call, ok := l.http.Call(f.Call)
	return ok && call.Error != nil && call.Error.Cause == probe.CauseTimeout && call.End-call.Start < patience
}

// remaining returns how much time ctx leaves.
func remaining(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return math.MaxInt64
	}
	return time.Until(deadline)
}

// sleep waits for d, or returns ctx.Err() as soon as ctx is over.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return ctx.Err()
	}
}
