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

// authz is a follow-up as a prober adds it.
func authz(id string) probe.FollowUp {
	return probe.FollowUp{ID: id, Kind: probe.FollowUpDeactivateAuthz, URL: "https://ca.example/authz/" + id}
}

// adding returns a run that takes a second and adds follow-ups, whose own runs
// do what followUp says.
func adding(t *testing.T, followUp func(context.Context, Job) probe.Facts, ids ...string) func(context.Context, Job) probe.Facts {
	return func(ctx context.Context, job Job) probe.Facts {
		if job.FollowUp != nil {
			return followUp(ctx, job)
		}
		for _, id := range ids {
			if err := job.FollowUps.Add(authz(id)); err != nil {
				t.Error(err)
			}
		}
		return lasting(time.Second)(ctx, job)
	}
}

func TestFollowUpsAreDone(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		h.run = adding(t, func(ctx context.Context, job Job) probe.Facts {
			if at, ok := ctx.Deadline(); !ok || at.Sub(job.Start) != 20*time.Second {
				t.Errorf("the follow-up's deadline is %v after its start", at.Sub(job.Start))
			}
			return lasting(2*time.Second)(ctx, job)
		}, "1", "2", "dropped")
		inner := h.run
		h.run = func(ctx context.Context, job Job) probe.Facts {
			facts := inner(ctx, job)
			if job.FollowUp == nil {
				if diff := cmp.Diff([]string{"1", "2", "dropped"}, store.keys(bucketFollowUps)); diff != "" {
					t.Errorf("not stored when Add returned: %s", diff)
				}
				if err := job.FollowUps.Drop("dropped"); err != nil {
					t.Error(err)
				}
			}
			return facts
		}
		h.start(configured(interval(0)))
		a, took := h.trigger(time.Minute)
		if !a.Fresh || took != time.Second {
			t.Errorf("the answer waited for the follow-ups: %v", took)
		}
		want := []probe.FollowUp{authz("1"), authz("2")}
		for i := range want {
			want[i].Pair, want[i].Parent, want[i].Created, want[i].Expires = pairA, a.Result.ID, h.begun, h.begun.Add(24*time.Hour)
		}
		if diff := cmp.Diff(want, a.Result.FollowUps); diff != "" {
			t.Error(diff)
		}
		h.sleepTo(time.Minute)
		seen := h.seen("observe")
		var got []string
		for _, e := range seen {
			got = append(got, fmt.Sprintln(e.At, e.Result.Trigger, e.Result.FollowUp, e.Result.Parent == a.Result.ID))
		}
		if diff := cmp.Diff([]string{
			"1s scrape  false\n",
			"3s follow_up deactivate_authz true\n",
			"5s follow_up deactivate_authz true\n",
		}, got); diff != "" {
			t.Error(diff)
		}
		if s := h.status(); len(s.Recent) != 3 || s.Last() != a.Result || s.Recent[0] != seen[2].Result {
			t.Errorf("recent: %v", s.Recent)
		}
		if keys := store.keys(bucketFollowUps); len(keys) != 0 {
			t.Errorf("done and still stored: %v", keys)
		}
		if diff := cmp.Diff([]string{"ca/a"}, store.keys(bucketResults)); diff != "" {
			t.Error(diff)
		}
	})
}

// TestFollowUpTimeout holds the cap of 30 s.
func TestFollowUpTimeout(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = adding(t, lasting(time.Hour), "1")
		h.start(configured(interval(0), func(p *config.Pair) { p.Timeout = 90 * time.Second }))
		h.trigger(time.Minute)
		h.sleepTo(50 * time.Second)
		if seen := h.seen("observe"); len(seen) != 2 || seen[1].Result.Duration != followUpTimeout {
			t.Errorf("observed %v", seen)
		}
	})
}

func TestFollowUpBackOff(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		h.run = adding(t, func(context.Context, Job) probe.Facts { return failed(probe.FailureCall) }, "1")
		h.start(configured(interval(0)))
		h.trigger(time.Minute)
		h.sleepTo(5 * time.Hour)
		var got []time.Duration
		starts := h.starts(probe.TriggerFollowUp)
		for i := 1; i < len(starts); i++ {
			got = append(got, starts[i]-starts[i-1])
		}
		want := []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour, time.Hour}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		stored := store.followUp(t, "1")
		if stored.Attempts != 10 || !stored.NotBefore.Equal(h.begun.Add(starts[9]+time.Hour)) {
			t.Errorf("stored %+v", stored)
		}
		h.sleepTo(48 * time.Hour)
		if starts := h.starts(probe.TriggerFollowUp); starts[len(starts)-1] >= 24*time.Hour {
			t.Errorf("tried at %v, after it has expired", starts[len(starts)-1])
		}
		if keys := store.keys(bucketFollowUps); len(keys) != 0 {
			t.Errorf("expired and still stored: %v", keys)
		}
	})
}

func TestBackOffAfter(t *testing.T) {
	for n, want := range map[int]time.Duration{-1: time.Minute, 0: time.Minute, 1: time.Minute, 2: 2 * time.Minute, 6: 32 * time.Minute, 7: time.Hour, 1 << 40: time.Hour} {
		if got := backOffAfter(n); got != want {
			t.Errorf("backOffAfter(%d) = %v, want %v", n, got, want)
		}
	}
}

// TestFollowUpGoesBehindProbes has many slow follow-ups, as in an outage: each
// probe waits for one of them at most, and nothing joins a follow-up.
func TestFollowUpGoesBehindProbes(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = adding(t, lasting(7*time.Second), "1", "2", "3", "4", "5", "6", "7", "8", "9")
		h.start(configured(interval(10*time.Second), func(p *config.Pair) { p.MinInterval = 3 * time.Second }))
		first := h.firstOf(10 * time.Second)
		h.sleepTo(first + 2*time.Second)
		if a, took := h.trigger(time.Minute); a.Fresh || took != 0 {
			t.Errorf("too soon, and a follow-up in flight: %+v after %v", a, took)
		}
		h.sleepTo(first + 99*time.Second)
		starts := h.starts(probe.TriggerTick)
		if len(starts) != 10 {
			t.Errorf("probes at %v, want one every 10 s", starts)
		}
		for i, s := range starts {
			if late := s - first - time.Duration(i)*10*time.Second; late < 0 || late > 7*time.Second {
				t.Errorf("probe %d is %v late", i, late)
			}
		}
		if missed := h.seen("missed"); len(missed) != 0 {
			t.Errorf("missed: %v", missed)
		}
	})
}

// TestRetryYieldsToTick has a follow-up whose next try falls shortly before a
// tick: it lets that one go first, but no second one.
func TestRetryYieldsToTick(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = adding(t, func(ctx context.Context, job Job) probe.Facts {
			lasting(2*time.Second)(ctx, job)
			return failed(probe.FailureCall)
		}, "1")
		inner := h.run
		h.run = func(ctx context.Context, job Job) probe.Facts {
			if job.Trigger == probe.TriggerTick {
				return lasting(35*time.Second)(ctx, job)
			}
			return inner(ctx, job)
		}
		h.start(configured(interval(time.Minute), func(p *config.Pair) { p.Timeout = 40 * time.Second }))
		first := h.firstOf(time.Minute)
		h.sleepTo(first + 41*time.Second)
		h.trigger(time.Minute) // until 42 s, its follow-up until 44 s; due again at 104 s
		h.sleepTo(first + 10*time.Minute)
		var got []time.Duration
		for _, s := range h.starts(probe.TriggerFollowUp)[:2] {
			got = append(got, s-first)
		}
		// The ticks are at 60 s and 120 s, and their runs end at 95 s and 155 s.
		if diff := cmp.Diff([]time.Duration{42 * time.Second, 155 * time.Second}, got); diff != "" {
			t.Error(diff)
		}
		for i, s := range h.starts(probe.TriggerTick) {
			if s-first != time.Duration(i)*time.Minute {
				t.Errorf("tick %d was at %v", i, s-first)
			}
		}
	})
}

// TestTickWaitsForFollowUp has a follow-up that outlasts several ticks: one of
// them starts a run after it, the others are missed.
func TestTickWaitsForFollowUp(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = adding(t, lasting(19*time.Second), "1")
		h.start(configured(interval(5*time.Second), func(p *config.Pair) { p.MinInterval = time.Second }))
		first := h.firstOf(5 * time.Second)
		h.sleepTo(first + 21*time.Second)
		if diff := cmp.Diff([]time.Duration{first, first + time.Second + 19*time.Second}, h.starts(probe.TriggerTick)); diff != "" {
			t.Error(diff)
		}
		var got []string
		for _, e := range h.seen("schedule", "missed")[1:] {
			got = append(got, fmt.Sprint(e.What, " ", e.At-first))
		}
		// The tick at 20 s comes at the same moment as the follow-up's end, and the
		// run that then starts is the one that the tick at 5 s has asked for.
		if diff := cmp.Diff([]string{"schedule 0s", "schedule 5s", "missed 10s", "missed 15s", "missed 20s"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestTriggerWaitsForFollowUp has a trigger while a follow-up is in flight.
func TestTriggerWaitsForFollowUp(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = adding(t, lasting(15*time.Second), "1")
		h.start(configured(interval(0)))
		one, _ := h.trigger(time.Minute)
		h.sleepTo(11 * time.Second)
		if a, took := h.trigger(2 * time.Second); a.Fresh || a.Result != one.Result || took != 2*time.Second {
			t.Errorf("with a deadline that comes first: %+v after %v", a, took)
		}
		if a, took := h.trigger(time.Minute); !a.Fresh || a.Result.FollowUp != "" || took != 4*time.Second {
			t.Errorf("%+v after %v", a, took)
		}
	})
}

func TestAddFailsWithoutStore(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		full := errors.New("no space left on device")
		h.run = func(_ context.Context, job Job) probe.Facts {
			if job.FollowUp != nil {
				t.Error("what was not stored is done")
			}
			store.setBroken(full)
			defer store.setBroken(nil)
			if err := job.FollowUps.Add(authz("1")); !errors.Is(err, full) || err.Error() != `keep follow-up "1": no space left on device` {
				t.Errorf("Add = %v", err)
			}
			return probe.Facts{}
		}
		h.start(configured(interval(0)))
		if a, _ := h.trigger(time.Minute); len(a.Result.FollowUps) != 0 {
			t.Errorf("follow-ups %v", a.Result.FollowUps)
		}
		h.sleepTo(time.Minute)
	})
}

// TestDropFails leaves the follow-up to be done.
func TestDropFails(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		h.run = adding(t, lasting(0), "1")
		inner := h.run
		h.run = func(ctx context.Context, job Job) probe.Facts {
			facts := inner(ctx, job)
			if job.FollowUp == nil {
				store.setBroken(errors.New("broken"))
				defer store.setBroken(nil)
				if err := job.FollowUps.Drop("1"); err == nil {
					t.Error("Drop: no error")
				}
			}
			return facts
		}
		h.start(configured(interval(0)))
		h.trigger(time.Minute)
		h.sleepTo(time.Minute)
		if got := h.starts(probe.TriggerFollowUp); len(got) != 1 {
			t.Errorf("follow-ups at %v, want one", got)
		}
	})
}

// TestStoreFailures holds that a broken store stops nothing.
func TestStoreFailures(t *testing.T) {
	store := newMemory()
	store.broken = errors.New("read-only file system")
	bubble(t, Options{Store: store}, func(h *harness) {
		h.start(configured())
		h.sleepTo(h.firstOf(time.Minute) + 10*time.Minute)
		if n := len(h.starts()); n != 11 {
			t.Errorf("%d runs, want 11", n)
		}
		if store.writes < 11 {
			t.Errorf("%d writes were tried, want 11", store.writes)
		}
	})
}

// TestStopDoesFollowUps has runs that end within the grace period, or are cut at
// its end: their follow-ups are done before Run returns, in the time there is.
func TestStopDoesFollowUps(t *testing.T) {
	tests := []struct {
		name             string
		probe, followUp  time.Duration
		stopped          time.Duration // counted from the stop
		done, leftStored int
		tries            int
	}{
		{"all end in time", 10 * time.Second, 2 * time.Second, 14 * time.Second, 2, 0, 2},
		{"follow-ups into the clean-up", 24 * time.Second, 2 * time.Second, 28 * time.Second, 2, 0, 2},
		{"a run that is cut", time.Hour, 2 * time.Second, 29 * time.Second, 2, 0, 2},
		{"no time for the second", time.Hour, 3 * time.Second, 30 * time.Second, 1, 1, 2},
		{"no time for any", time.Hour, time.Hour, 30 * time.Second, 0, 2, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			store := newMemory()
			bubble(t, Options{Store: store}, func(h *harness) {
				done := 0
				h.run = func(ctx context.Context, job Job) probe.Facts {
					if job.FollowUp != nil {
						facts := lasting(test.followUp)(ctx, job)
						if facts.Failure == nil {
							done++
						}
						return facts
					}
					for _, id := range []string{"1", "2"} {
						if err := job.FollowUps.Add(authz(id)); err != nil {
							t.Error(err)
						}
					}
					return lasting(test.probe)(ctx, job)
				}
				h.start(configured(interval(0), func(p *config.Pair) { p.Timeout = 2 * time.Hour }))
				var wg sync.WaitGroup
				wg.Go(func() { h.trigger(time.Hour) })
				synctest.Wait()
				h.stop()
				if took := time.Since(h.begun); took != test.stopped {
					t.Errorf("stopped after %v, want %v", took, test.stopped)
				}
				wg.Wait()
				if left := store.keys(bucketFollowUps); done != test.done || len(left) != test.leftStored {
					t.Errorf("%d done and %v left, want %d and %d", done, left, test.done, test.leftStored)
				}
				if tries := h.starts(probe.TriggerFollowUp); len(tries) != test.tries {
					t.Errorf("tried at %v, want %d times", tries, test.tries)
				}
				for _, k := range store.keys(bucketFollowUps) {
					if f := store.followUp(t, k); f.Attempts != 0 {
						t.Errorf("left: %+v", f)
					}
				}
			})
		})
	}
}

// TestStopLeavesRetries holds that what has failed before does not keep the
// process from ending, even if it becomes due while a run does.
func TestStopLeavesRetries(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		h.run = adding(t, func(context.Context, Job) probe.Facts { return failed(probe.FailureCall) }, "1")
		h.start(configured(interval(0)))
		h.trigger(time.Minute) // its follow-up fails at 1 s, and is due at 61 s
		h.sleepTo(55 * time.Second)
		h.run = lasting(10 * time.Second)
		var wg sync.WaitGroup
		wg.Go(func() { h.trigger(time.Minute) })
		synctest.Wait()
		h.stop()
		wg.Wait()
		if took := time.Since(h.begun); took != 65*time.Second {
			t.Errorf("stopped at %v", took)
		}
		if tries := h.starts(probe.TriggerFollowUp); len(tries) != 1 {
			t.Errorf("tried at %v", tries)
		}
		if diff := cmp.Diff([]string{"1"}, store.keys(bucketFollowUps)); diff != "" {
			t.Error(diff)
		}
	})
}

// TestResultsLeaveChainsOut holds that a certificate that is to be revoked is stored,
// and given to who revokes it, and in no Result.
func TestResultsLeaveChainsOut(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		f := probe.FollowUp{ID: "1", Kind: probe.FollowUpRevoke, Revocation: &probe.Revocation{Serial: "2a", Chain: [][]byte{{1}, {2}}, Lists: []probe.ReadList{{URL: "http://ca.example/1.crl"}}}}
		done := false
		h.run = func(ctx context.Context, job Job) probe.Facts {
			if job.FollowUp != nil {
				done = len(job.FollowUp.Revocation.Chain) == 2
				return lasting(time.Second)(ctx, job)
			}
			if err := job.FollowUps.Add(f); err != nil {
				t.Error(err)
			}
			if n := len(store.followUp(t, "1").Revocation.Chain); n != 2 {
				t.Errorf("%d certificates are stored", n)
			}
			return lasting(time.Second)(ctx, job)
		}
		h.start(configured(interval(0)))
		a, _ := h.trigger(time.Minute)
		if diff := cmp.Diff(&probe.Revocation{Serial: "2a"}, a.Result.FollowUps[0].Revocation); diff != "" {
			t.Error(diff)
		}
		h.sleepTo(time.Minute)
		if !done {
			t.Error("the follow-up did not get the chain")
		}
	})
}
