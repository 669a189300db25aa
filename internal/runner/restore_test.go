package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestRestore(t *testing.T) {
	for _, order := range []string{"restore first", "apply first"} {
		t.Run(order, func(t *testing.T) {
			store := newMemory()
			synctest.Test(t, func(t *testing.T) {
				testRestore(t, store, order == "restore first")
			})
		})
	}
}

func testRestore(t *testing.T, store *memory, restoreFirst bool) {
	now := time.Now()
	put := func(module string, change func(*probe.Result)) {
		res := &probe.Result{Version: probe.Version, ID: "id-" + module, Pair: probe.Pair{Target: "ca", Module: module}, ConfigHash: "one", Start: now.Add(-5 * time.Second)}
		change(res)
		if err := store.Put(bucketResults, "ca/"+module, kept{Last: res}); err != nil {
			t.Fatal(err)
		}
	}
	put("a", func(r *probe.Result) {})
	put("changed", func(r *probe.Result) { r.ConfigHash = "old" })
	put("removed", func(r *probe.Result) {})
	put("version", func(r *probe.Result) { r.Version++ })
	put("future", func(r *probe.Result) { r.Start = now.Add(time.Hour) })
	put("gone-version", func(r *probe.Result) { r.Version++ })
	if err := store.Put(bucketResults, "ca/garbage", "garbage"); err != nil {
		t.Fatal(err)
	}
	var pairs []config.Pair
	for _, m := range []string{"a", "changed", "version", "future", "garbage", "new"} {
		pairs = append(pairs, configured(interval(0), named("ca", m)))
	}

	h := newHarness(t, Options{Store: store})
	defer func() { h.stop() }()
	restore := func() {
		if err := h.r.Restore(); err != nil {
			t.Error(err)
		}
	}
	if restoreFirst {
		restore()
	}
	h.r.Apply(pairs)
	if !restoreFirst {
		restore()
	}
	want := []string{"apply ca/a ca/changed ca/version ca/future ca/garbage ca/new", "restore ca/a one"}
	if diff := cmp.Diff(want, told(h.seen("apply", "restore", "observe"))); diff != "" {
		t.Error(diff)
	}
	if s := h.status(); s.Last() == nil || s.Last().ID != "id-a" {
		t.Errorf("status %+v", s)
	}
	h.start(pairs...)
	for module, wantFresh := range map[string]bool{"a": false, "changed": false, "version": true, "future": true, "garbage": true, "new": true} {
		a, err := h.r.Trigger(t.Context(), probe.Pair{Target: "ca", Module: module}, probe.TriggerScrape)
		if err != nil || a.Fresh != wantFresh || (a.Result == nil) != (module == "changed") {
			t.Errorf("%s: %+v, %v", module, a, err)
		}
	}
	h.sleepTo(5 * time.Second)
	if a, _ := h.trigger(time.Minute); !a.Fresh {
		t.Errorf("10 s after the start before the restart: %+v", a)
	}
	synctest.Wait()
	keys := []string{"ca/a", "ca/changed", "ca/future", "ca/garbage", "ca/new", "ca/version"}
	if diff := cmp.Diff(keys, store.keys(bucketResults)); diff != "" {
		t.Error(diff)
	}
}

func TestRestoreFollowUps(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		put := func(id string, change func(*probe.FollowUp)) {
			f := authz(id)
			f.Pair, f.Parent, f.Created, f.Expires = pairA, "parent", h.begun.Add(-time.Hour), h.begun.Add(time.Hour)
			change(&f)
			if err := store.Put(bucketFollowUps, id, f); err != nil {
				t.Fatal(err)
			}
		}
		put("2", func(f *probe.FollowUp) {})
		put("1", func(f *probe.FollowUp) { f.Created = f.Created.Add(-time.Minute); f.Expires = time.Time{} })
		put("rests", func(f *probe.FollowUp) { f.NotBefore = h.begun.Add(10 * time.Minute); f.Attempts = 3 })
		put("clock", func(f *probe.FollowUp) {
			f.NotBefore = h.begun.Add(10 * 24 * time.Hour)
			f.Expires = h.begun.Add(20 * 24 * time.Hour)
		})
		put("expired", func(f *probe.FollowUp) { f.Expires = h.begun.Add(-time.Second) })
		put("removed", func(f *probe.FollowUp) { f.Module = "removed" })
		put("back", func(f *probe.FollowUp) { f.Module = "back" })
		if err := store.Put(bucketFollowUps, "garbage", "garbage"); err != nil {
			t.Fatal(err)
		}
		var got []string
		h.run = func(_ context.Context, job Job) probe.Facts {
			got = append(got, fmt.Sprint(job.FollowUp.ID, " ", time.Since(h.begun)))
			return probe.Facts{}
		}
		if err := h.r.Restore(); err != nil {
			t.Fatal(err)
		}
		h.start(configured(interval(0), hash("new")))
		h.sleepTo(30 * time.Minute)
		h.r.Apply([]config.Pair{configured(interval(0), hash("new")), configured(interval(0), named("ca", "back"))})
		h.sleepTo(2 * time.Hour)
		want := []string{"1 0s", "2 0s", "rests 10m0s", "back 30m0s", "clock 1h0m0s"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"garbage"}, store.keys(bucketFollowUps)); diff != "" {
			t.Error(diff)
		}
		var parents []string
		for _, e := range h.seen("observe") {
			parents = append(parents, e.Result.Parent)
		}
		if len(parents) != 5 || slices.Contains(parents, "") {
			t.Errorf("parents %v", parents)
		}
	})
}

func TestRestoreFails(t *testing.T) {
	store := newMemory()
	store.broken = errors.New("broken")
	if err := New(Options{Store: store}).Restore(); !errors.Is(err, store.broken) {
		t.Errorf("Restore = %v", err)
	}
	if err := New(Options{}).Restore(); err != nil {
		t.Errorf("Restore without a store = %v", err)
	}
}

// TestRestoreDoesNotMissATick has a pair whose least interval is its interval
// and whose last tick before the restart was as late as timers are: the next one
// is not too soon.
func TestRestoreDoesNotMissATick(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		first := h.firstOf(time.Minute)
		for _, trigger := range []probe.Trigger{probe.TriggerTick, probe.TriggerScrape} {
			res := &probe.Result{Version: probe.Version, Pair: pairA, ConfigHash: "one", Trigger: trigger, Start: h.begun.Add(first - time.Minute + 5*time.Millisecond)}
			if trigger == probe.TriggerScrape {
				res.Pair.Module = "b"
			}
			if err := store.Put(bucketResults, res.Pair.String(), kept{Last: res}); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.r.Restore(); err != nil {
			t.Fatal(err)
		}
		slow := func(p *config.Pair) { p.MinInterval = time.Minute }
		h.start(configured(slow), configured(slow, named("ca", "b"), interval(0)))
		h.sleepTo(first)
		if diff := cmp.Diff([]time.Duration{first}, h.starts()); diff != "" {
			t.Error(diff)
		}
		if a, err := h.r.Trigger(h.t.Context(), probe.Pair{Target: "ca", Module: "b"}, probe.TriggerScrape); err != nil || a.Fresh {
			t.Errorf("too soon after a scrape: %+v, %v", a, err)
		}
	})
}

// TestRestoreLastSuccess: a pair that was failing before the restart is still
// known to have succeeded, and when.
func TestRestoreLastSuccess(t *testing.T) {
	store := newMemory()
	synctest.Test(t, func(t *testing.T) {
		before := newHarness(t, Options{Store: store})
		failing := false
		before.run = func(context.Context, Job) probe.Facts {
			if failing {
				return probe.Facts{Failure: &probe.Failure{Step: probe.StepDirectory, Kind: probe.FailureLocal, Call: -1}}
			}
			return probe.Facts{}
		}
		before.start(configured(interval(0)))
		success, _ := before.trigger(time.Minute)
		for range 2 {
			failing = true
			time.Sleep(time.Minute)
			before.trigger(time.Minute)
		}
		last, _ := before.trigger(time.Minute)
		before.stop()

		after := newHarness(t, Options{Store: store})
		defer after.stop()
		after.start(configured(interval(0)))
		if err := after.r.Restore(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range after.seen("restore") {
			got = append(got, e.Result.ID)
		}
		if diff := cmp.Diff([]string{success.Result.ID, last.Result.ID}, got); diff != "" {
			t.Error(diff)
		}
		if s := after.status(); s.Last() == nil || s.Last().ID != last.Result.ID {
			t.Errorf("last %+v", s.Last())
		}
	})
}
