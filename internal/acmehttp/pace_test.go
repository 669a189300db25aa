package acmehttp

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// A pause is when something waits and nothing is in flight, however many do.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Session{clock: clock{now: time.Now()}}
		// Each change and how long it lasts; those in which the pause goes on.
		for _, tt := range []struct {
			waits, flies int
			seconds      time.Duration
			paused       bool
		}{
			{0, 0, 1, false}, // polling: nobody waits
			{1, 0, 2, true},
			{1, 0, 4, true},
			{-1, 1, 8, false},  // one goes, the other waits
			{-1, 1, 16, false}, // both are in flight
			{0, -1, 32, false},
			{1, 0, 64, false}, // a third waits beside one in flight
			{0, -1, 128, true},
			{-1, 0, 256, false}, // it gave up
		} {
			before := s.Paused()
			s.pause.waits(&s.clock, tt.waits)
			s.pause.flies(&s.clock, tt.flies)
			time.Sleep(tt.seconds * time.Second)
			want := time.Duration(0)
			if tt.paused {
				want = tt.seconds * time.Second
			}
			if got := s.Paused() - before; got != want {
				t.Errorf("%+v: paused for %v, want %v", tt, got, want)
			}
		}
		if s.pause.since != 0 || s.pause.total != (2+4+128)*time.Second {
			t.Errorf("in the end %+v", s.pause)
		}
	})
}

// A request that the CA has asked us to hold back says so and until when, even if
// the time is over by then; it is recorded nowhere.
func TestHeld(t *testing.T) {
	until := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	for name, end := range map[string]bool{"in time": false, "too late": true} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := newAuthority(t).session(t, "https://ca.example", func(o *Options) {
				o.Pace = func(context.Context, probe.CallName, func()) error {
					if end {
						cancel()
					}
					return &probe.HeldError{Until: until}
				}
			})
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://ca.example/dir", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.RoundTrip(req)
			held, ok := errors.AsType[*probe.HeldError](err)
			if !ok || !held.Until.Equal(until) || !errors.Is(err, ErrPace) || len(s.Calls()) != 0 {
				t.Errorf("%v, want it held back; %d calls", err, len(s.Calls()))
			}
			if end {
				return
			}
			if _, err = do(ctx, s, http.MethodGet, "https://ca.example/dir"); err == nil || !errors.Is(err, ErrPace) {
				t.Errorf("the client says %v", err)
			} else if _, ok := errors.AsType[*probe.HeldError](err); !ok {
				t.Errorf("the client says %v", err)
			}
		})
	}
}
