package acmehttp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// ErrPace is the error of a request that was not sent because our own pace would
// have held it back for longer than it may take. Beneath it is a [probe.HeldError]
// if the CA has asked for that.
var ErrPace = errors.New("held back by our own pace")

// pause sums up the time in which a session had nothing in flight because our own
// pace held back what was to be sent. It is guarded by Session.mu.
type pause struct {
	waiting, flying int
	since           time.Duration // when the present one began; 0: there is none
	total           time.Duration // of those that are over
}

// waits counts requests that wait for their turn.
func (p *pause) waits(c *clock, more int) {
	p.waiting += more
	p.update(c)
}

// flies counts requests in flight.
func (p *pause) flies(c *clock, more int) {
	p.flying += more
	p.update(c)
}

func (p *pause) update(c *clock) {
	switch paused := p.waiting > 0 && p.flying == 0; {
	case paused && p.since == 0:
		p.since = c.elapsed()
	case !paused && p.since != 0:
		p.total += c.elapsed() - p.since
		p.since = 0
	}
}

// Paused returns for how long, so far, nothing was in flight because our own pace
// held back what was to be sent. It is no time of the CA's: who measures a span of
// several calls takes away by how much it grew meanwhile.
func (s *Session) Paused() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pause.since != 0 {
		return s.pause.total + s.clock.elapsed() - s.pause.since
	}
	return s.pause.total
}

// wait waits until our own pace lets a request for call through. The caller says
// when one that has waited does so no longer.
func (s *Session) wait(ctx context.Context, call probe.CallName) (waited bool, err error) {
	pace := s.transport.options.Pace
	if pace == nil {
		return false, nil
	}
	err = pace(ctx, call, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pause.waits(&s.clock, 1)
		waited = true
	})
	if err != nil {
		// That the CA has asked for it is more than that our time is over.
		if _, held := errors.AsType[*probe.HeldError](err); !held && ctx.Err() != nil {
			return waited, refuse(probe.CauseCanceled, "the time was over while our own pace held the request back")
		}
		return waited, fmt.Errorf("%w: %w", ErrPace, err)
	}
	return waited, nil
}
