package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// scripted returns a run whose outcomes are those of the letters, in turn: success,
// failure, skipped (x).
func scripted(letters string) func(context.Context, Job) probe.Facts {
	next := 0
	return func(context.Context, Job) probe.Facts {
		letter := letters[next]
		next++
		switch letter {
		case 'f':
			return failed(probe.FailureLocal)
		case 'x':
			return failed(probe.FailureUnsupported)
		}
		return probe.Facts{}
	}
}

// repeat has pairs run n times, one after the other, and returns the IDs of the
// first one's runs, newest first.
func (h *harness) repeat(n int, pairs ...probe.Pair) (ids []string) {
	h.t.Helper()
	for range n {
		time.Sleep(10 * time.Second)
		for i, p := range pairs {
			a, err := h.r.Trigger(h.t.Context(), p, probe.TriggerScrape)
			if err != nil || !a.Fresh {
				h.t.Fatalf("trigger %v: %+v, %v", p, a, err)
			}
			if i == 0 {
				ids = append(ids, a.Result.ID)
			}
		}
		synctest.Wait()
	}
	slices.Reverse(ids)
	return ids
}

// history returns the IDs of pairA's history.
func (h *harness) history() (ids []string) {
	for _, s := range h.r.History(pairA) {
		ids = append(ids, s.ID)
	}
	return ids
}

// stored returns the IDs of the stored history, oldest first, and sees to it that
// every line has its Result, and every Result its line.
func (m *memory) stored(t *testing.T) (ids []string) {
	t.Helper()
	if diff := cmp.Diff(m.keys(bucketHistory), m.keys(bucketRuns)); diff != "" {
		t.Errorf("lines and Results differ:\n%s", diff)
	}
	for _, key := range m.keys(bucketHistory) {
		ids = append(ids, key[strings.LastIndexByte(key, '/')+1:])
	}
	return ids
}

func reversed(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Reverse(ids)
	return ids
}

// TestHistoryHasTheLast compares what is kept with what a naive reading of the rule keeps,
// before and after a restart.
func TestHistoryHasTheLast(t *testing.T) {
	letters := make([]byte, 400)
	for i := range letters {
		letters[i] = "sssfx"[rand.IntN(5)]
	}
	for name, script := range map[string]string{
		"few":               "sfs",
		"failures long ago": strings.Repeat("f", 60) + strings.Repeat("s", 120),
		"only failures":     strings.Repeat("f", 130),
		"only successes":    strings.Repeat("s", 130),
		"skipped":           strings.Repeat("x", 130),
		"any":               string(letters),
	} {
		t.Run(name, func(t *testing.T) {
			store := newMemory()
			var want []string
			var before []probe.RunSummary
			bubble(t, Options{Store: store}, func(h *harness) {
				h.run = scripted(script)
				h.start(configured(interval(0)))
				failures := 0
				for i, id := range h.repeat(len(script), pairA) {
					isFailure := script[len(script)-1-i] == 'f'
					if isFailure {
						failures++
					}
					if i < 100 || isFailure && failures <= 50 {
						want = append(want, id)
					}
				}
				if diff := cmp.Diff(want, h.history()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(reversed(want), store.stored(t)); diff != "" {
					t.Errorf("stored:\n%s", diff)
				}
				if got := len(h.status().Recent); got != min(len(script), historyLen) {
					t.Errorf("%d recent Results", got)
				}
				before = h.r.History(pairA)
			})
			bubble(t, Options{Store: store}, func(h *harness) {
				time.Sleep(24 * time.Hour) // each bubble's clock starts at the same time
				if err := h.r.Restore(); err != nil {
					t.Fatal(err)
				}
				h.start(configured(interval(0)))
				if diff := cmp.Diff(before, h.r.History(pairA)); diff != "" {
					t.Errorf("after a restart:\n%s", diff)
				}
				for _, s := range h.r.History(pairA) {
					s.Nth = 0
					if res, ok := h.r.Result(s.ID); !ok || !cmp.Equal(probe.Summarize(res), s) || res.Pair != pairA {
						t.Errorf("the Result of %s is %+v, %v", s.ID, res, ok)
					}
				}
				id := h.repeat(1, pairA)[0]
				if got := h.history(); got[0] != id || len(got) < min(len(want)+1, 100) || len(got) > len(want)+1 {
					t.Errorf("after one more run: %v", got)
				}
				store.stored(t)
				if len(h.r.stale) != 0 {
					t.Errorf("still to be removed: %v", h.r.stale)
				}
			})
		})
	}
}

// TestEvictedRunsAreCounted holds that failures of long ago do not come to be among the
// last runs because successes between them were evicted: neither now nor after a
// restart.
func TestEvictedRunsAreCounted(t *testing.T) {
	const failures, successes, room = 60, 130, 70
	store := newMemory()
	check := func(h *harness, newest uint64) {
		h.t.Helper()
		runs := h.r.History(pairA)
		failed := 0
		for i, s := range runs {
			if s.Verdict.Outcome == probe.OutcomeFailure {
				failed++
			}
			if i > 0 && s.Nth >= runs[i-1].Nth {
				h.t.Errorf("the run %d comes after %d", s.Nth, runs[i-1].Nth)
			}
		}
		if runs[0].Nth != newest {
			h.t.Errorf("the newest is %d, want %d", runs[0].Nth, newest)
		}
		if oldest := runs[len(runs)-1].Nth; failed != historyFailures || oldest != failures-historyFailures+1 {
			h.t.Errorf("%d failures, from %d on", failed, oldest)
		}
		if passed := len(runs) - failed; passed < 10 || passed > 30 {
			h.t.Errorf("%d successes, want about %d", passed, room-historyFailures)
		}
	}
	bubble(t, Options{Store: store}, func(h *harness) {
		h.run = scripted(strings.Repeat("f", failures) + strings.Repeat("s", successes))
		h.start(configured(interval(0)))
		h.repeat(10, pairA)
		h.r.historyCap = h.r.historyUsed / 10 * room
		h.repeat(failures-10+successes, pairA)
		check(h, failures+successes)
	})
	bubble(t, Options{Store: store}, func(h *harness) {
		time.Sleep(24 * time.Hour) // each bubble's clock starts at the same time
		// The store comes late: the process has had a run of its own.
		h.start(configured(interval(0)))
		h.repeat(1, pairA)
		if err := h.r.Restore(); err != nil {
			t.Fatal(err)
		}
		check(h, failures+successes+1)
		h.repeat(1, pairA)
		check(h, failures+successes+2)
	})
}

// TestHistoryOfALargeRun holds that a run is the same in memory and from the store,
// unless it is so large that it is bounded there.
func TestHistoryOfALargeRun(t *testing.T) {
	for _, calls := range []int{400, 4000} {
		store := newMemory()
		bubble(t, Options{Store: store}, func(h *harness) {
			h.run = func(context.Context, Job) probe.Facts {
				var f probe.Facts
				for i := range calls {
					f.Calls = append(f.Calls, probe.Call{Name: probe.CallAuthz, URL: fmt.Sprint("https://ca.example/authz/", i)})
				}
				f.Failure = &probe.Failure{Step: probe.StepValidation, Kind: probe.FailureLocal, Call: 200}
				return f
			}
			h.start(configured(interval(0)))
			id := h.repeat(1, pairA)[0]
			whole, ok := h.r.Result(id)
			if !ok || len(whole.Calls) != calls {
				t.Fatalf("the recent Result has %d calls", len(whole.Calls))
			}
			h.run = nil
			h.repeat(historyLen, pairA)
			s := h.r.History(pairA)[historyLen]
			res, ok := h.r.Result(id)
			if !ok || s.ID != id || len(res.Calls)+s.Dropped != calls || res.Calls[res.Failure.Call].URL != "https://ca.example/authz/200" {
				t.Fatalf("%d were dropped, and %d of %d calls are left", s.Dropped, len(res.Calls), calls)
			}
			if calls == 400 && marshaled(t, res) != marshaled(t, whole) {
				t.Errorf("stored is %s, it was %s", marshaled(t, res), marshaled(t, whole))
			}
			if calls == 4000 && (s.Dropped == 0 || len(marshaled(t, res)) > runSize) {
				t.Errorf("%d were dropped, %d bytes are left", s.Dropped, len(marshaled(t, res)))
			}
			if about, _ := store.Get(bucketHistory, historyKey(pairA, id)); s.Dropped > 0 && !strings.Contains(string(about), fmt.Sprintf(`"dropped":%d`, s.Dropped)) {
				t.Errorf("the stored line does not say how many were dropped: %s", about)
			}
			if value, _ := store.Get(bucketRuns, historyKey(pairA, id)); len(value) == 0 || len(value) > len(marshaled(t, res))/5 {
				t.Errorf("%d bytes are stored, of %d", len(value), len(marshaled(t, res)))
			}
			if res, ok := h.r.Result("20000101T000000Z-x"); ok {
				t.Errorf("a run that never was: %+v", res)
			}
			store.setBroken(errors.New("input/output error"))
			if res, ok := h.r.Result(id); ok {
				t.Errorf("what cannot be read: %+v", res)
			}
		})
	}
}

func marshaled(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// packed is v as Results are stored.
func packed(t *testing.T, v any) compressed { return pack([]byte(marshaled(t, v))) }

// TestHistoryWithReload holds that the history of a configuration goes with it, in
// memory and in the store, and only that.
func TestHistoryWithReload(t *testing.T) {
	for name, reload := range map[string][]config.Pair{
		"removed": {configured(interval(0), named("ca", "b"))},
		"changed": {configured(interval(0), named("ca", "b")), configured(interval(0), hash("two"))},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " restart=", restart), func(t *testing.T) {
				store := newMemory()
				pairB := probe.Pair{Target: "ca", Module: "b"}
				bubble(t, Options{Store: store}, func(h *harness) {
					h.start(configured(interval(0)), configured(interval(0), named("ca", "b")))
					kept := h.repeat(5, pairB, pairA)
					if restart {
						h.stop()
						other := newHarness(h.t, Options{Store: store})
						defer func() { other.stop() }()
						if err := other.r.Restore(); err != nil {
							t.Fatal(err)
						}
						other.start(reload...)
						h = other
					} else {
						h.r.Apply(reload)
					}
					if got := h.history(); len(got) != 0 {
						t.Errorf("left: %v", got)
					}
					if diff := cmp.Diff(reversed(kept), store.stored(t)); diff != "" {
						t.Errorf("stored:\n%s", diff)
					}
					if h.r.historyUsed != h.r.lanes[pairB].gen.history.size || h.r.historyUsed == 0 {
						t.Errorf("%d bytes are used", h.r.historyUsed)
					}
					h.repeat(1, pairB)
					if name == "changed" {
						if id := h.repeat(1, pairA)[0]; !slices.Equal(h.history(), []string{id}) {
							t.Errorf("under the new configuration: %v", h.history())
						}
					}
				})
			})
		}
	}
}

// incompressible returns a text that takes some n bytes when it is stored.
func incompressible(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + rand.IntN(64))
	}
	return string(b)
}

// TestHistoryIsBounded has one pair with much and one with little: the former loses
// successes, oldest first, and only when it has none left failures.
func TestHistoryIsBounded(t *testing.T) {
	store := newMemory()
	pairB := probe.Pair{Target: "ca", Module: "b"}
	bubble(t, Options{Store: store}, func(h *harness) {
		large, failing := true, false
		h.run = func(_ context.Context, job Job) probe.Facts {
			var f probe.Facts
			if job.Pair.Pair == pairA && large {
				f.Directory = &probe.Directory{Website: incompressible(10_000)}
			}
			if failing {
				f.Failure = failed(probe.FailureLocal).Failure
			}
			return f
		}
		h.start(configured(interval(0)), configured(interval(0), named("ca", "b")))
		failing = true
		a := h.repeat(3, pairA, pairB)
		most := h.r.lanes[pairA].gen.history.size/3*6 + h.r.lanes[pairB].gen.history.size/3*20
		h.r.historyCap = most
		failing = false
		a = append(h.repeat(4, pairA, pairB), a...)
		failing = true
		a = append(h.repeat(2, pairA, pairB), a...)
		if diff := cmp.Diff(slices.Concat(a[:3], a[6:]), h.history()); diff != "" {
			t.Errorf("successes first:\n%s", diff)
		}
		a = append(h.repeat(6, pairA, pairB), a...)
		if diff := cmp.Diff(a[:6], h.history()); diff != "" {
			t.Errorf("then the oldest failures:\n%s", diff)
		}
		if got := len(h.r.History(pairB)); got != 15 {
			t.Errorf("the pair that has little has %d of 15", got)
		}
		large = false
		h.repeat(1, pairA, pairB) // its commit removes what was too much
		total := 0
		for _, bucket := range []string{bucketHistory, bucketRuns} {
			for key, value := range store.content[bucket] {
				total += len(key) + len(value)
			}
		}
		if total != h.r.historyUsed || total > most || total < most*2/3 {
			t.Errorf("%d bytes are stored and %d counted", total, h.r.historyUsed)
		}
		store.stored(t)

		h.stop()
		after := newHarness(h.t, Options{Store: store})
		defer func() { after.stop() }()
		after.r.historyCap = most / 2
		if err := after.r.Restore(); err != nil {
			t.Fatal(err)
		}
		after.start(configured(interval(0)), configured(interval(0), named("ca", "b")))
		if used := after.r.historyUsed; used > most/2 || used < most/3 || len(after.r.History(pairB)) != 16 {
			t.Errorf("after a restart with less: %d bytes, %d runs", used, len(after.r.History(pairB)))
		}
		if got, want := len(store.stored(t)), len(after.history())+16; got != want {
			t.Errorf("%d are stored, want %d", got, want)
		}
	})
}
