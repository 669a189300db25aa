package controls

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// counted returns an Asker for the target t with one control that takes a while to
// answer, and dies with its third asking.
func counted(takes time.Duration) (*Asker, *int) {
	asked := new(int)
	c := &control{kind: probe.ControlName, target: "example.org", ask: func(ctx context.Context) (bool, *probe.CallError) {
		*asked++
		n := *asked
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return false, &probe.CallError{Phase: probe.PhaseDNS, Cause: probe.CauseTimeout}
		}
		return n < 3, nil
	}}
	return &Asker{of: map[string][]*control{"t": {c}}}, asked
}

// TestRest holds that an answer stands for 15 s, counted from when it was asked for.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, asked := counted(time.Second)
		gone, leave := context.WithCancel(t.Context())
		leave()
		got := a.Ask(gone, "t")
		if synctest.Wait(); got != nil || *asked != 0 {
			t.Errorf("who had left got %+v", got)
		}
		start := time.Now()
		for _, test := range []struct {
			at, asked time.Duration // since the start
			n         int
			alive     bool
		}{
			{0, 0, 1, true},
			{14999 * time.Millisecond, 0, 1, true},
			{15 * time.Second, 15 * time.Second, 2, true},
			{29 * time.Second, 15 * time.Second, 2, true},
			{40 * time.Second, 40 * time.Second, 3, false},
		} {
			time.Sleep(time.Until(start.Add(test.at)))
			got := a.Ask(t.Context(), "t")
			want := probe.Control{Kind: probe.ControlName, Target: "example.org", Alive: test.alive, Asked: start.Add(test.asked), Duration: time.Second}
			if len(got) != 1 || got[0] != want || *asked != test.n {
				t.Errorf("at %s, asked %d times: %+v", test.at, *asked, got)
			}
		}
	})
}

// TestJoin holds that who asks meanwhile gets the answer that is on its way, also
// when the first one has gone, and that the asking ends in time.
func TestJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, asked := counted(2 * time.Second)
		start := time.Now()
		first, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		answers := make(chan []probe.Control)
		go func() { answers <- a.Ask(first, "t") }()
		for range 3 {
			time.Sleep(100 * time.Millisecond)
			go func() { answers <- a.Ask(t.Context(), "t") }()
		}
		if got := <-answers; got != nil || time.Since(start) != time.Second {
			t.Errorf("who left after 1 s got %+v after %s", got, time.Since(start))
		}
		for range 3 {
			if got := <-answers; len(got) != 1 || !got[0].Alive || got[0].Duration != 2*time.Second {
				t.Errorf("who waited got %+v", got)
			}
		}
		if *asked != 1 || time.Since(start) != 2*time.Second {
			t.Errorf("asked %d times in %s", *asked, time.Since(start))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		a, _ := counted(time.Hour)
		start := time.Now()
		got := a.Ask(t.Context(), "t")
		if len(got) != 1 || got[0].Alive || got[0].Error == nil || time.Since(start) != Timeout {
			t.Errorf("after %s: %+v", time.Since(start), got)
		}
	})
}
