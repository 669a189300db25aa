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

	"golang.org/x/time/rate"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// ErrNoTime is returned by [Pacer.Wait] when a request would have to wait beyond
// its deadline.
var ErrNoTime = errors.New("it would have to wait beyond its deadline")

// Pacer keeps requests below half of what is published: the other half is for
// others behind the same address, and for what our clocks and the CA's make of a
// second. It is safe for concurrent use. A nil Pacer lets everything through.
type Pacer struct {
	limits map[probe.CallName]*rate.Limiter // those of the empty name are for the rest
}

// NewPacer returns a Pacer for the requests per second that a CA publishes, by
// call; those of the empty name are for all other calls together. A call for
// which nothing is published is let through.
func NewPacer(published map[probe.CallName]float64) *Pacer {
	p := &Pacer{limits: make(map[probe.CallName]*rate.Limiter, len(published))}
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

// Wait waits until a request for call may be sent. It returns the error of ctx
// if that ends first, and ErrNoTime at once if it will; then nothing is taken
// from those who wait after it.
func (p *Pacer) Wait(ctx context.Context, call probe.CallName) error {
	if p == nil {
		return nil
	}
	l := p.limits[call]
	if l == nil {
		if l = p.limits[""]; l == nil {
			return nil
		}
	}
	err := l.Wait(ctx)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("pace of %s: %w", call, ErrNoTime)
}
