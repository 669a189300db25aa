package runner

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// keeper is an observer with a disk, which hangs while slow is open.
type keeper struct {
	observer
	mu   sync.Mutex
	slow chan struct{} // nil: it does not hang
	kept int           // how often Keep has returned
}

func (k *keeper) Keep() {
	k.mu.Lock()
	slow := k.slow
	k.mu.Unlock()
	if slow != nil {
		<-slow
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept++
}

func (k *keeper) hang() (goOn func()) {
	slow := make(chan struct{})
	k.mu.Lock()
	defer k.mu.Unlock()
	k.slow = slow
	return func() {
		k.mu.Lock()
		k.slow = nil
		k.mu.Unlock()
		close(slow)
	}
}

// TestKeeperHoldsUpNobody has an observer's disk hang: who waits for a run gets its
// Result, the timelines go on, and a reload is told. Only the pair's own next run
// waits, and so does the stop.
func TestKeeperHoldsUpNobody(t *testing.T) {
	k := &keeper{observer: observer{func(*probe.Result) {}}}
	bubble(t, Options{Observers: []Observer{k}}, func(h *harness) {
		h.run = lasting(time.Second)
		b := configured(named("ca", "b"))
		h.start(configured(interval(0)), b)
		goOn := k.hang()
		h.seen("apply", "schedule")
		if a, took := h.trigger(time.Minute); !a.Fresh || took != time.Second {
			t.Errorf("fresh %v after %s", a.Fresh, took)
		}
		h.sleepTo(2 * time.Minute)
		h.mu.Lock()
		ran := map[string]int{}
		for _, j := range h.jobs {
			ran[j.Pair.Pair.Module]++
		}
		h.mu.Unlock()
		if ran["a"] != 1 || ran["b"] != 1 {
			t.Errorf("runs: %v", ran)
		}
		reloaded := make(chan struct{})
		go func() {
			defer close(reloaded)
			h.r.Apply([]config.Pair{configured(interval(0)), b, configured(named("ca", "c"))})
		}()
		h.sleepTo(4 * time.Minute)
		var applied, ticks int
		for _, e := range h.seen("apply", "schedule", "missed") {
			switch {
			case e.What == "apply":
				applied++
			case e.Pair == "ca/b":
				ticks++
			}
		}
		if applied != 1 || ticks < 3 {
			t.Errorf("applied %d times, %d ticks of another pair", applied, ticks)
		}
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			h.stop()
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case <-stopped:
			t.Error("the stop does not wait for what is to be stored")
		default:
		}
		goOn()
		<-stopped
		<-reloaded
		if k.kept < 5 { // two pairs applied, and the runs of a, b and c
			t.Errorf("kept %d times", k.kept)
		}
	})
}

// TestKeepComesAfterTheAnswer holds the order of a run's end: the observers, the
// answer, what they store, and only then the pair's next run.
func TestKeepComesAfterTheAnswer(t *testing.T) {
	k := &keeper{observer: observer{func(*probe.Result) {}}}
	bubble(t, Options{Observers: []Observer{k}}, func(h *harness) {
		h.run = func(_ context.Context, job Job) probe.Facts {
			if job.FollowUp == nil {
				if err := job.FollowUps.Add(probe.FollowUp{ID: "1", Kind: probe.FollowUpRevoke}); err != nil {
					t.Error(err)
				}
			}
			return probe.Facts{}
		}
		h.start(configured(interval(0)))
		goOn := k.hang()
		h.trigger(time.Minute)
		h.sleepTo(time.Second)
		if n := len(h.starts()); n != 1 {
			t.Errorf("%d runs while the first one is being stored", n)
		}
		goOn()
		h.sleepTo(2 * time.Second)
		if n := len(h.starts(probe.TriggerFollowUp)); n != 1 || k.kept != 3 {
			t.Errorf("%d follow-ups, kept %d times", n, k.kept)
		}
	})
}
