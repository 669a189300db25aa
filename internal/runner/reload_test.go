package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func told(events []event) []string {
	var all []string
	for _, e := range events {
		s := e.What + " " + e.Pair
		if e.Hash != "" {
			s += " " + e.Hash
		}
		all = append(all, s)
	}
	return all
}

func TestReloadUnchanged(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = lasting(8 * time.Second)
		h.start(configured())
		first := h.firstOf(time.Minute)
		h.sleepTo(first + 20*time.Second)
		one := h.status().Last()
		h.seen()
		for i := range 5 { // one of them with a run in flight
			h.sleepTo(first + 21*time.Second + time.Duration(i)*11*time.Second)
			h.r.Apply([]config.Pair{configured(), configured(named("ca", "b"), interval(0))})
		}
		h.sleepTo(first + 3*time.Minute + 10*time.Second)
		if diff := cmp.Diff([]time.Duration{first, first + time.Minute, first + 2*time.Minute, first + 3*time.Minute}, h.starts()); diff != "" {
			t.Error(diff)
		}
		if s := h.status(); len(s.Recent) != 4 || s.Recent[3] != one {
			t.Errorf("history %v", s.Recent)
		}
		got := told(h.seen("observe", "schedule", "missed", "apply"))
		want := []string{"apply ca/a ca/b", "schedule ca/b", "apply ca/a ca/b", "apply ca/a ca/b", "apply ca/a ca/b", "schedule ca/a", "apply ca/a ca/b", "observe ca/a one",
			"schedule ca/a", "observe ca/a one", "schedule ca/a", "observe ca/a one"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestReloadInterval changes the interval and nothing else: a new timeline, the
// old history.
func TestReloadInterval(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.start(configured())
		first := h.firstOf(time.Minute)
		h.sleepTo(first + time.Second)
		h.r.Apply([]config.Pair{configured(interval(17 * time.Second))})
		next := firstTick(time.Now(), pairA, "", 17*time.Second).Sub(h.begun)
		if next-first < 10*time.Second { // too soon after the last start
			next += 17 * time.Second
		}
		h.sleepTo(next + 17*time.Second)
		if diff := cmp.Diff([]time.Duration{first, next, next + 17*time.Second}, h.starts()); diff != "" {
			t.Error(diff)
		}
		if s := h.status(); len(s.Recent) != 3 {
			t.Errorf("history %v", s.Recent)
		}
		h.r.Apply([]config.Pair{configured(interval(0))})
		if s := h.seen("schedule"); s[len(s)-1].Next != -1 {
			t.Errorf("without ticks, the last schedule is %v", s[len(s)-1])
		}
		h.sleepTo(time.Hour)
		if n := len(h.starts()); n != 3 {
			t.Errorf("%d runs, want 3", n)
		}
	})
}

// TestReloadChanged changes a pair while its run is in flight: who waits gets
// it, nobody else is told, and the new one waits for its end.
func TestReloadChanged(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = lasting(15 * time.Second)
		h.start(configured(interval(0)))
		var wg sync.WaitGroup
		wg.Go(func() {
			if a, took := h.trigger(time.Minute); !a.Fresh || took != 15*time.Second || a.Result.ConfigHash != "one" {
				t.Errorf("the old one's trigger: %+v after %v", a.Result, took)
			}
		})
		h.sleepTo(5 * time.Second)
		h.seen()
		h.r.Apply([]config.Pair{configured(interval(0), hash("two"))})
		if a, took := h.trigger(time.Minute); a.Result != nil || took != 0 {
			t.Errorf("too soon after the old one's start: %+v after %v", a, took)
		}
		h.sleepTo(12 * time.Second)
		if a, took := h.trigger(time.Minute); !a.Fresh || took != 18*time.Second || a.Result.ConfigHash != "two" {
			t.Errorf("the new one's trigger: %+v after %v", a.Result, took)
		}
		wg.Wait()
		if diff := cmp.Diff([]time.Duration{0, 15 * time.Second}, h.starts()); diff != "" {
			t.Error(diff)
		}
		want := []string{"apply ca/a", "schedule ca/a", "observe ca/a two"}
		if diff := cmp.Diff(want, told(h.seen("observe", "schedule", "apply"))); diff != "" {
			t.Error(diff)
		}
		if s := h.status(); len(s.Recent) != 1 {
			t.Errorf("history %v", s.Recent)
		}
	})
}

// TestReloadRemoved removes a pair with a run in flight and follow-ups to come:
// the run ends, its follow-ups are done, and no observer is told of either.
func TestReloadRemoved(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		h.run = func(ctx context.Context, job Job) probe.Facts {
			if job.FollowUp == nil {
				if err := job.FollowUps.Add(authz(job.ID)); err != nil {
					t.Error(err)
				}
			} else if job.Pair.Hash != "one" {
				t.Errorf("the follow-up is done under configuration %q", job.Pair.Hash)
			}
			return lasting(8*time.Second)(ctx, job)
		}
		other := configured(named("ca", "b"), interval(0))
		h.start(configured(interval(0)), other)
		h.trigger(time.Minute)
		h.sleepTo(30 * time.Second)
		if diff := cmp.Diff([]string{"ca/a"}, store.keys(bucketResults)); diff != "" {
			t.Error(diff)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if a, took := h.trigger(time.Minute); !a.Fresh || took != 8*time.Second {
				t.Errorf("its trigger: %+v after %v", a, took)
			}
		})
		h.sleepTo(32 * time.Second)
		h.seen()
		h.r.Apply([]config.Pair{other})
		if _, err := h.r.Trigger(h.t.Context(), pairA, probe.TriggerScrape); !errors.Is(err, ErrUnknownPair) {
			t.Errorf("Trigger = %v", err)
		}
		if all := h.r.Status(); len(all) != 1 || all[0].Pair != other.Pair {
			t.Errorf("status %v", all)
		}
		wg.Wait()
		h.sleepTo(2 * time.Minute)
		if diff := cmp.Diff([]time.Duration{0, 8 * time.Second, 30 * time.Second, 38 * time.Second}, h.starts()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"apply ca/b"}, told(h.seen("observe", "schedule", "missed", "apply"))); diff != "" {
			t.Error(diff)
		}
		if results, left := store.keys(bucketResults), store.keys(bucketFollowUps); len(results) != 0 || len(left) != 0 {
			t.Errorf("still stored: %v, %v", results, left)
		}
		if _, ok := h.r.lanes[pairA]; !ok {
			t.Error("the lane is forgotten before the next reload")
		}
		h.r.Apply([]config.Pair{other})
		if _, ok := h.r.lanes[pairA]; ok {
			t.Error("the lane is never forgotten")
		}
	})
}

// TestReloadWhileStoring removes a pair between its last Result's publication
// and its storing: it must not stay in the store.
func TestReloadWhileStoring(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		store.onPut = func(string, string) { h.r.Apply(nil) }
		h.start(configured(interval(0)))
		if a, _ := h.trigger(time.Minute); !a.Fresh {
			t.Errorf("answer %+v", a)
		}
		synctest.Wait()
		if keys := store.keys(bucketResults); len(keys) != 0 || len(store.stored(t)) != 0 || store.writes != 3 {
			t.Errorf("stored after %d writes: %v", store.writes, keys)
		}
	})
}

// TestReloadAnswersWaiters removes a pair somebody waits for, and changes another.
func TestReloadAnswersWaiters(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		b := probe.Pair{Target: "ca", Module: "b"}
		h.run = func(ctx context.Context, job Job) probe.Facts {
			if job.FollowUp == nil {
				if err := job.FollowUps.Add(authz(job.ID)); err != nil {
					t.Error(err)
				}
				return probe.Facts{}
			}
			return lasting(18*time.Second)(ctx, job)
		}
		h.start(configured(interval(0)), configured(interval(0), named("ca", "b")))
		for _, p := range []probe.Pair{pairA, b} {
			if _, err := h.r.Trigger(h.t.Context(), p, probe.TriggerScrape); err != nil {
				t.Error(err)
			}
		}
		h.sleepTo(11 * time.Second)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := h.r.Trigger(h.t.Context(), pairA, probe.TriggerScrape); !errors.Is(err, ErrUnknownPair) || time.Since(h.begun) != 12*time.Second {
				t.Errorf("the removed: %v at %v", err, time.Since(h.begun))
			}
		})
		wg.Go(func() {
			a, err := h.r.Trigger(h.t.Context(), b, probe.TriggerScrape)
			if err != nil || !a.Fresh || a.Result.ConfigHash != "two" || time.Since(h.begun) != 18*time.Second {
				t.Errorf("the changed: %+v, %v at %v", a.Result, err, time.Since(h.begun))
			}
		})
		h.sleepTo(12 * time.Second)
		h.r.Apply([]config.Pair{configured(interval(0), named("ca", "b"), hash("two"))})
		wg.Wait()
	})
}

// TestReloadBringsBack removes a pair and adds it again: the least interval
// counts from its last start all the same.
func TestReloadBringsBack(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.start(configured(interval(0)))
		h.trigger(time.Minute)
		h.sleepTo(time.Second)
		h.r.Apply(nil)
		h.r.Apply(nil)
		h.r.Apply([]config.Pair{configured(interval(0))})
		if a, took := h.trigger(time.Minute); a.Result != nil || took != 0 {
			t.Errorf("too soon: %+v after %v", a, took)
		}
		h.sleepTo(10 * time.Second)
		if a, _ := h.trigger(time.Minute); !a.Fresh {
			t.Errorf("in time: %+v", a)
		}
	})
}

// TestReloadDuringDelivery runs reloads against deliveries: after Apply has
// returned nothing of the old configuration may come.
func TestReloadDuringDelivery(t *testing.T) {
	var mu sync.Mutex
	inForce := ""
	var late []string
	r := New(Options{
		Execute: func(context.Context, Job) probe.Facts { return probe.Facts{} },
		Observers: []Observer{observer{func(res *probe.Result) {
			mu.Lock()
			defer mu.Unlock()
			if res.ConfigHash < inForce {
				late = append(late, res.ConfigHash+" after "+inForce)
			}
		}}},
	})
	fast := func(p *config.Pair) { p.MinInterval = 0 }
	r.Apply([]config.Pair{configured(interval(0), hash("0000"), fast)})
	ctx, cancel := context.WithCancel(t.Context())
	var run, triggers sync.WaitGroup
	run.Go(func() { r.Run(ctx) })
	stop := make(chan struct{})
	for range 2 {
		triggers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := r.Trigger(ctx, pairA, probe.TriggerScrape); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for i := 1; i <= 500; i++ {
		h := fmt.Sprintf("%04d", i)
		r.Apply([]config.Pair{configured(interval(0), hash(h), fast)})
		mu.Lock()
		inForce = h
		mu.Unlock()
	}
	close(stop)
	triggers.Wait()
	cancel()
	run.Wait()
	if len(late) != 0 {
		t.Errorf("%d Results came late: %v", len(late), late[:min(len(late), 5)])
	}
}
