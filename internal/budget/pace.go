// Package budget keeps us within what a CA allows: its pace, the requests per
// second of one address; its rate limits, of which a durable [Ledger] says what we
// have spent; and the [Plan] of what a configuration will spend of them.
//
// It knows numbers, names and calls. It makes no request, and which CA publishes
// which numbers, it is told.
package budget

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// ErrNoTime is returned by [Pacer.Wait] when a request would have to wait beyond
// its deadline.
var ErrNoTime = errors.New("it would have to wait beyond its deadline")

// Pacer keeps requests below half of what is published: the other half is for
// others behind the same address, and for what our clocks and the CA's make of a
// second. Where the CA's edge asks for fewer, it holds them back. It is safe for
// concurrent use. A nil Pacer lets everything through.
type Pacer struct {
	limits map[probe.CallName]*rate.Limiter // those of the empty name are for the rest

	mu     sync.Mutex                   // guards the field below
	paused map[probe.CallName]time.Time // until when, by class
}

// NewPacer returns a Pacer for the requests per second that a CA publishes, by
// call; those of the empty name are for all other calls together. A call for
// which nothing is published is let through.
func NewPacer(published map[probe.CallName]float64) *Pacer {
	p := &Pacer{
		limits: make(map[probe.CallName]*rate.Limiter, len(published)),
		paused: make(map[probe.CallName]time.Time),
	}
	for call, perSecond := range published {
		p.limits[call] = limiter(perSecond)
	}
	return p
}

// limiter returns a limiter that lets through, in any one second, no more than
// half of published: what it saves up and what it earns in a second are that
// half together. For less than 4 it lets single requests through.
func limiter(published float64) *rate.Limiter {
	half := published / 2
	burst := max(1, int(half/5))
	return rate.NewLimiter(rate.Limit(max(half-float64(burst), half/2)), burst)
}

// class returns what the edge counts the call among: its own kind if there are
// numbers for that, else the empty name, which is all the rest.
func (p *Pacer) class(call probe.CallName) probe.CallName {
	if p.limits[call] == nil {
		return ""
	}
	return call
}

// Wait waits until a request for call may be sent, and calls waiting, which may be
// nil, once before it does so. It returns the error of ctx if that ends first, and
// at once, if it will, a [probe.HeldError] or ErrNoTime; then nothing is taken from
// those who wait after it.
func (p *Pacer) Wait(ctx context.Context, call probe.CallName, waiting func()) error {
	if p == nil {
		return nil
	}
	if waiting == nil {
		waiting = func() {}
	}
	waiting = sync.OnceFunc(waiting)
	class := p.class(call)
	for {
		if err := p.hold(ctx, class, waiting); err != nil {
			return err
		}
		l := p.limits[class]
		if l == nil || l.Allow() {
			return nil
		}
		waiting()
		err := l.Wait(ctx)
		switch {
		case err == nil && p.pausedUntil(class).IsZero():
			return nil
		case err == nil: // it was paused meanwhile
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			return fmt.Errorf("pace of %s: %w", call, ErrNoTime)
		}
	}
}

// hold waits until the class is not paused.
func (p *Pacer) hold(ctx context.Context, class probe.CallName, waiting func()) error {
	for {
		until := p.pausedUntil(class)
		if until.IsZero() {
			return nil
		}
		if end, ok := ctx.Deadline(); ok && !until.Before(end) {
			return &probe.HeldError{Until: until}
		}
		waiting()
		timer := time.NewTimer(time.Until(until))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// pausedUntil is zero when the class is not paused.
func (p *Pacer) pausedUntil(class probe.CallName) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	until := p.paused[class]
	if !until.After(time.Now()) {
		return time.Time{}
	}
	return until
}

// Pause holds back the requests that the edge counts together with call. It never
// shortens a pause, and is forgotten when the process ends.
func (p *Pacer) Pause(call probe.CallName, until time.Time) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if class := p.class(call); until.After(p.paused[class]) {
		p.paused[class] = until
	}
}
