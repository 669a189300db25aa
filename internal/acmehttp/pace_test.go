package acmehttp

import (
	"testing"
	"testing/synctest"
	"time"
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
