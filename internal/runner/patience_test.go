package runner

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestWatchPatience has a pair be scraped all the time, and watch a list that is slow, or
// hangs: a look that had to make way has twice the time the next time, so that a slow
// list is seen, and goes on being seen; what hangs takes 30 s one time in four.
func TestWatchPatience(t *testing.T) {
	seconds := func(all ...int) (list []time.Duration) {
		for _, s := range all {
			list = append(list, time.Duration(s)*time.Second)
		}
		return list
	}
	for _, tt := range []struct {
		name  string
		takes time.Duration
		looks []time.Duration // how long the first of them last
	}{
		{"quick", 4 * time.Second, seconds(4, 4, 4, 4)},
		{"slow", 9 * time.Second, seconds(5, 9, 9, 9)},
		{"very slow", 28 * time.Second, seconds(5, 10, 20, 28, 28, 28)},
		{"hangs", time.Hour, seconds(5, 10, 20, 30, 5, 10, 20, 30, 5)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(h *harness) {
				left := false
				var looks []time.Duration // guarded by h.mu
				lasted := func() []time.Duration {
					h.mu.Lock()
					defer h.mu.Unlock()
					return slices.Clone(looks[:min(len(looks), len(tt.looks))])
				}
				h.run = func(ctx context.Context, job Job) probe.Facts {
					if job.FollowUp != nil {
						begun := time.Now()
						defer func() {
							h.mu.Lock()
							defer h.mu.Unlock()
							looks = append(looks, time.Since(begun))
						}()
						select {
						case <-ctx.Done():
							return failed(probe.FailureCanceled)
						case <-time.After(tt.takes):
							return notYet(job)
						}
					}
					if !left {
						left = true
						if err := job.FollowUps.Add(watching("1")); err != nil {
							t.Error(err)
						}
					}
					return probe.Facts{}
				}
				h.start(configured(interval(0), func(p *config.Pair) { p.Timeout, p.MinInterval = time.Minute, 500*time.Millisecond }))
				for at := time.Duration(0); at < time.Hour && len(lasted()) < len(tt.looks); at += time.Second {
					h.sleepTo(at)
					h.trigger(900 * time.Millisecond)
				}
				if got := lasted(); !slices.Equal(got, tt.looks) {
					t.Errorf("looks lasted %v, want %v", got, tt.looks)
				}
			})
		})
	}
}
