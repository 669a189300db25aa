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
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// TestHistoryDoesNotWaitForTheDisk has a disk that takes a minute: the answer, the
// observers and the history do not.
func TestHistoryDoesNotWaitForTheDisk(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		store.onPut = func(bucket, _ string) {
			if bucket == bucketRuns {
				time.Sleep(time.Minute)
			}
		}
		h.start(configured(interval(0)))
		a, took := h.trigger(time.Hour)
		if took != 0 || len(h.seen("observe")) != 1 || !slices.Equal(h.history(), []string{a.Result.ID}) {
			t.Errorf("answered after %v, history %v", took, h.history())
		}
		if res, ok := h.r.Result(a.Result.ID); !ok || res != a.Result {
			t.Errorf("the Result is %+v", res)
		}
		if got := store.stored(t); len(got) != 0 {
			t.Errorf("stored already: %v", got)
		}
		h.sleepTo(time.Minute)
		if got := store.stored(t); len(got) != 1 || store.writes != 1 {
			t.Errorf("stored in %d commits: %v", store.writes, got)
		}
	})
}

// TestHistoryWithABrokenStore holds that runs which could not be written are shown,
// and that what could not be removed goes when that is possible again.
func TestHistoryWithABrokenStore(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		h.start(configured(interval(0)))
		before := h.repeat(100, pairA)
		used := h.r.historyUsed
		store.setBroken(errors.New("no space left on device"))
		during := h.repeat(30, pairA)
		if got := h.history(); !slices.Equal(got, append(slices.Clone(during), before[:70]...)) {
			t.Errorf("%d runs", len(got))
		}
		if got := store.stored(t); len(got) != 100 || h.r.historyUsed < used*69/100 || h.r.historyUsed > used*71/100 {
			t.Errorf("%d are stored, %d of %d bytes counted", len(got), h.r.historyUsed, used)
		}
		if res, ok := h.r.Result(during[25]); ok {
			t.Errorf("neither in memory nor stored: %+v", res)
		}
		store.setBroken(nil)
		after := h.repeat(1, pairA)
		if diff := cmp.Diff(reversed(append(after, before[:69]...)), store.stored(t)); diff != "" {
			t.Errorf("stored:\n%s", diff)
		}

		store.setBroken(errors.New("no space left on device"))
		h.r.Apply(nil)
		if got := store.stored(t); len(got) != 70 {
			t.Errorf("%d are stored", len(got))
		}
		store.setBroken(nil)
		h.r.Apply([]config.Pair{configured(interval(0))})
		if got := store.stored(t); len(got) != 0 {
			t.Errorf("left of what was removed: %v", got)
		}
	})
}

// TestHistoryLeavesOut holds that follow-ups and what the stop has cut have no place,
// and that a process that runs one pair once leaves the history alone.
func TestHistoryLeavesOut(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		cut := false
		h.run = func(ctx context.Context, job Job) probe.Facts {
			if cut {
				return lasting(time.Hour)(ctx, job)
			}
			if job.FollowUp == nil {
				if err := job.FollowUps.Add(authz(job.ID)); err != nil {
					t.Error(err)
				}
			}
			return probe.Facts{}
		}
		h.start(configured(interval(0), func(p *config.Pair) { p.Timeout = time.Hour }))
		ids := h.repeat(2, pairA)
		h.sleepTo(time.Hour)
		if got := len(h.status().Recent); got != 4 {
			t.Fatalf("%d recent runs, want two and their follow-ups", got)
		}
		cut = true
		go h.r.Trigger(context.Background(), pairA, probe.TriggerScrape)
		synctest.Wait()
		h.stop()
		if !slices.Equal(h.history(), ids) || !slices.Equal(store.stored(t), reversed(ids)) {
			t.Errorf("the history is %v, stored %v, want %v", h.history(), store.stored(t), ids)
		}

		command := newHarness(h.t, Options{Store: store, NoResults: true})
		defer func() { command.stop() }()
		command.start(configured(interval(0), hash("other")))
		command.repeat(1, pairA)
		if !slices.Equal(store.stored(t), reversed(ids)) {
			t.Errorf("the command has left %v", store.stored(t))
		}
	})
}

// TestHistoryWithoutAStore holds that there is one all the same, until the end.
func TestHistoryWithoutAStore(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.start(configured(interval(0)))
		ids := h.repeat(120, pairA)
		if diff := cmp.Diff(ids[:100], h.history()); diff != "" {
			t.Error(diff)
		}
		if _, ok := h.r.Result(ids[historyLen-1]); !ok {
			t.Error("a recent Result is not there")
		}
		if res, ok := h.r.Result(ids[historyLen]); ok {
			t.Errorf("an older one is: %+v", res)
		}
		if h.r.History(probe.Pair{Target: "no", Module: "such"}) != nil {
			t.Error("a pair that is not configured has one")
		}
	})
}

// TestRestoreHistory holds what becomes of what is not as it should be.
func TestRestoreHistory(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		put := func(id string, start time.Duration, change func(*line)) {
			res := &probe.Result{Version: probe.Version, ID: id, Pair: pairA, ConfigHash: "one", Start: h.begun.Add(start)}
			l := line{Version: probe.Version, ConfigHash: "one", Size: 100, RunSummary: probe.Summarize(res)}
			change(&l)
			key := historyKey(pairA, id)
			if err := store.Commit(state.Change{Bucket: bucketHistory, Key: key, Value: l}, state.Change{Bucket: bucketRuns, Key: key, Value: packed(t, res)}); err != nil {
				t.Fatal(err)
			}
		}
		put("1", -5*time.Minute, func(*line) {})
		put("2", -time.Minute, func(*line) {})
		put("3", -3*time.Minute, func(*line) {})
		put("future", time.Hour, func(*line) {})
		put("version", -time.Minute, func(l *line) { l.Version++ })
		put("id", -time.Minute, func(l *line) { l.ID = "1" })
		put("size", -time.Minute, func(l *line) { l.Size = -1 << 30 })
		put("hash", -time.Minute, func(l *line) { l.ConfigHash = "two" })
		for _, key := range []string{"ca/a/garbage", "no slash"} {
			if err := store.Commit(state.Change{Bucket: bucketHistory, Key: key, Value: "garbage"}, state.Change{Bucket: bucketRuns, Key: key, Value: 1}); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.r.Restore(); err != nil {
			t.Fatal(err)
		}
		h.start(configured(interval(0)))
		if diff := cmp.Diff([]string{"2", "3", "1", "future"}, h.history()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"1", "2", "3", "future"}, store.stored(t)); diff != "" {
			t.Errorf("stored:\n%s", diff)
		}
		// The store came to be, or was read, once more.
		id := h.repeat(1, pairA)[0]
		used := h.r.historyUsed
		if err := h.r.Restore(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{id, "2", "3", "1", "future"}, h.history()); diff != "" || h.r.historyUsed != used {
			t.Errorf("%d bytes, before %d:\n%s", h.r.historyUsed, used, diff)
		}
		for i := range 120 { // more than there can be
			put(fmt.Sprintf("0-%03d", i), -time.Hour+time.Duration(i)*time.Second, func(*line) {})
		}
		if err := h.r.Restore(); err != nil {
			t.Fatal(err)
		}
		if got := store.stored(t); len(h.history()) != 100 || len(got) != 100 || !slices.Contains(got, "0-119") || slices.Contains(got, "0-000") {
			t.Errorf("of too many there are %d, stored %v", len(h.history()), got)
		}
		if res, ok := h.r.Result("3"); !ok || res.ID != "3" {
			t.Errorf("the Result of 3 is %+v", res)
		}
		// What the line promises and is not there, is another's or damaged.
		if err := store.Commit(state.Change{Bucket: bucketRuns, Key: "ca/a/1"}, state.Change{Bucket: bucketRuns, Key: "ca/a/2", Value: packed(t, probe.Result{Version: probe.Version, ID: "3"})}); err != nil {
			t.Fatal(err)
		}
		if err := store.Put(bucketRuns, "ca/a/3", "not compressed"); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"1", "2", "3"} {
			if res, ok := h.r.Result(id); ok {
				t.Errorf("the Result of %s is %+v", id, res)
			}
		}
	})
}
