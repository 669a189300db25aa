package runner

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestTriggerStartsAndMakesAResult(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = func(ctx context.Context, job Job) probe.Facts {
			lasting(3*time.Second)(ctx, job)
			if at, ok := ctx.Deadline(); !ok || at.Sub(job.Start) != 20*time.Second {
				t.Errorf("the run's deadline is %v after its start", at.Sub(job.Start))
			}
			return probe.Facts{Steps: []probe.Step{{Name: probe.StepDirectory, OK: true}}}
		}
		h.start(configured(interval(0)))
		h.sleepTo(time.Hour)
		a, took := h.trigger(time.Minute)
		if !a.Fresh || took != 3*time.Second {
			t.Fatalf("answer %+v after %v", a, took)
		}
		want := &probe.Result{
			Version: probe.Version, ID: h.jobs[0].ID, Pair: pairA, Prober: probe.ProberValidate, Trigger: probe.TriggerScrape,
			ConfigHash: "one", Start: h.begun.Add(time.Hour), Duration: 3 * time.Second,
			Facts:   probe.Facts{Steps: []probe.Step{{Name: probe.StepDirectory, OK: true}}},
			Verdict: probe.Verdict{Outcome: probe.OutcomeSuccess, Summary: a.Result.Verdict.Summary},
		}
		if diff := cmp.Diff(want, a.Result); diff != "" {
			t.Error(diff)
		}
		if seen := h.seen("observe"); len(seen) != 1 || seen[0].Result != a.Result {
			t.Errorf("observed %v", seen)
		}
		if s := h.status(); len(s.Recent) != 1 || s.Last() != a.Result || s.Environment != "staging" || s.Prober != probe.ProberValidate || !s.Running.IsZero() {
			t.Errorf("status %+v", s)
		}
		if got, ok := h.r.Result(a.Result.ID); !ok || got != a.Result {
			t.Errorf("Result = %v, %v", got, ok)
		}
		if _, ok := h.r.Result("other"); ok {
			t.Error("there is a Result of another ID")
		}
	})
}

func TestTriggerJoins(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = lasting(15 * time.Second)
		h.start(configured())
		first := h.firstOf(time.Minute)
		h.sleepTo(first + 5*time.Second)
		if s := h.status(); !s.Running.Equal(h.begun.Add(first)) {
			t.Errorf("running since %v", s.Running)
		}
		var wg sync.WaitGroup
		answers := make([]probe.Answer, 10)
		for i := range answers {
			wg.Go(func() { answers[i], _ = h.trigger(time.Minute) })
		}
		wg.Wait()
		for _, a := range answers {
			if !a.Fresh || a.Result != answers[0].Result || a.Result.Trigger != probe.TriggerTick {
				t.Errorf("answer %+v of %+v", a, a.Result)
			}
		}
		if starts := h.starts(); len(starts) != 1 || time.Since(h.begun) != first+15*time.Second {
			t.Errorf("runs at %v, answered at %v", starts, time.Since(h.begun))
		}
	})
}

// TestTriggersAtOnce start one run among them.
func TestTriggersAtOnce(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = lasting(time.Second)
		h.start(configured(interval(0)))
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if a, took := h.trigger(time.Minute); !a.Fresh || took != time.Second {
					t.Errorf("answer %+v after %v", a, took)
				}
			})
		}
		wg.Wait()
		if starts := h.starts(); len(starts) != 1 {
			t.Errorf("runs at %v", starts)
		}
	})
}

func TestTriggerTooSoon(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = lasting(time.Second)
		h.start(configured(interval(0)))
		one, _ := h.trigger(time.Minute)
		h.sleepTo(10*time.Second - 1)
		if a, took := h.trigger(time.Minute); a.Fresh || a.Result != one.Result || took != 0 {
			t.Errorf("a moment too soon: %+v after %v", a, took)
		}
		h.sleepTo(10 * time.Second)
		if a, took := h.trigger(time.Minute); !a.Fresh || a.Result == one.Result || took != time.Second {
			t.Errorf("in time: %+v after %v", a, took)
		}
		if diff := cmp.Diff([]time.Duration{0, 10 * time.Second}, h.starts()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestTriggerDeadline has a scrape whose deadline comes first: it gets what
// there is, and the run goes on.
func TestTriggerDeadline(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = lasting(15 * time.Second)
		h.start(configured(interval(0)))
		if a, took := h.trigger(4 * time.Second); a.Result != nil || a.Fresh || took != 4*time.Second {
			t.Errorf("with none yet: %+v after %v", a, took)
		}
		one, took := h.trigger(time.Minute)
		if !one.Fresh || took != 11*time.Second || !one.Result.Verdict.Success() {
			t.Errorf("the joiner: %+v after %v", one, took)
		}
		if a, took := h.trigger(4 * time.Second); a.Result != one.Result || a.Fresh || took != 4*time.Second {
			t.Errorf("with one: %+v after %v", a, took)
		}
		h.sleepTo(time.Minute)
		a, took := h.trigger(0)
		synctest.Wait()
		if a.Result == one.Result || a.Fresh || took != 0 || len(h.starts()) != 2 {
			t.Errorf("with a deadline that is over: %+v after %v, and runs at %v", a, took, h.starts())
		}
	})
}

// TestTimeout holds that a run ends with its module's timeout, whoever waits.
func TestTimeout(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = lasting(time.Hour)
		h.start(configured(interval(0)))
		a, took := h.trigger(time.Hour)
		if took != 20*time.Second || a.Result.Duration != 20*time.Second || a.Result.Failure == nil || a.Result.Failure.Kind != probe.FailureTimeout {
			t.Errorf("%+v after %v", a.Result, took)
		}
	})
}

func TestTriggerUnknown(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.start(configured())
		_, err := h.r.Trigger(h.t.Context(), probe.Pair{Target: "ca", Module: "b"}, probe.TriggerScrape)
		if !errors.Is(err, ErrUnknownPair) || err.Error() != `trigger "ca/b": not a configured pair` {
			t.Errorf("Trigger = %v", err)
		}
	})
}

func TestTriggerBeforeRun(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.r.Apply([]config.Pair{configured(interval(0))})
		if a, took := h.trigger(time.Second); a.Result != nil || took != time.Second {
			t.Errorf("without Run: %+v after %v", a, took)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if a, took := h.trigger(time.Minute); !a.Fresh || took != 5*time.Second {
				t.Errorf("before Run: %+v after %v", a, took)
			}
		})
		h.sleepTo(6 * time.Second)
		h.start(configured(interval(0)))
		wg.Wait()
	})
}

func TestPanic(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = func(context.Context, Job) probe.Facts { panic("oops") }
		h.start(configured(interval(0)))
		a, _ := h.trigger(time.Minute)
		f := a.Result.Failure
		if f == nil || f.Kind != probe.FailureLocal || f.Step != probe.StepSetup || f.Call != -1 || a.Result.Verdict.Fault != probe.FaultLocal {
			t.Errorf("failure %+v, verdict %+v", f, a.Result.Verdict)
		}
		h.run = nil
		h.sleepTo(time.Minute)
		if a, _ := h.trigger(time.Minute); !a.Fresh || !a.Result.Verdict.Success() {
			t.Errorf("afterwards: %+v", a)
		}
	})
}

// TestPairsDoNotWait has a hundred pairs that all hang.
func TestPairsDoNotWait(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = lasting(time.Hour)
		var pairs []config.Pair
		for i := range 100 {
			pairs = append(pairs, configured(named("ca", string(rune('A'+i)))))
		}
		h.start(pairs...)
		h.sleepTo(time.Minute)
		if n := len(h.starts()); n != 100 {
			t.Errorf("%d runs in the first minute, want 100", n)
		}
		all := h.r.Status()
		for i := 1; i < len(all); i++ {
			if all[i-1].Module >= all[i].Module {
				t.Errorf("status %d is not sorted", i)
			}
		}
	})
}

// TestHistory holds that the last Results are kept, and the last probe among
// many follow-ups.
func TestHistory(t *testing.T) {
	g := &generation{}
	last := &probe.Result{ID: "probe"}
	g.add(&probe.Result{ID: "before"})
	g.add(last)
	for range historyLen + 5 {
		g.add(&probe.Result{FollowUp: probe.FollowUpDeactivateAuthz})
	}
	s := probe.Status{Recent: g.recent}
	if len(g.recent) != historyLen || s.Last() != last || g.last != last {
		t.Errorf("%d are kept, the last is %+v", len(g.recent), s.Last())
	}
	for range historyLen + 5 {
		g.add(&probe.Result{})
	}
	if len(g.recent) != historyLen || g.recent[0] != g.last || g.recent[historyLen-1].ID != "" {
		t.Errorf("%d are kept", len(g.recent))
	}
}

// TestStopWithinGrace has a run in flight, somebody who waits for it, and
// somebody who comes too late.
func TestStopWithinGrace(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = lasting(15 * time.Second)
		h.start(configured(interval(0)))
		var wg sync.WaitGroup
		wg.Go(func() {
			if a, took := h.trigger(time.Minute); !a.Fresh || took != 15*time.Second || !a.Result.Verdict.Success() {
				t.Errorf("answer %+v after %v", a, took)
			}
		})
		h.sleepTo(5 * time.Second)
		wg.Go(func() {
			time.Sleep(time.Second)
			if _, err := h.r.Trigger(h.t.Context(), pairA, probe.TriggerScrape); !errors.Is(err, ErrStopping) {
				t.Errorf("Trigger while stopping = %v", err)
			}
		})
		h.stop()
		if took := time.Since(h.begun); took != 15*time.Second {
			t.Errorf("stopped at %v", took)
		}
		wg.Wait()
		if _, err := h.r.Trigger(h.t.Context(), pairA, probe.TriggerScrape); !errors.Is(err, ErrStopping) {
			t.Errorf("Trigger after the stop = %v", err)
		}
		if err := h.r.Run(h.t.Context()); err == nil {
			t.Error("Run can be called twice")
		}
	})
}

// TestStopAnswersWaiters has a trigger whose run cannot start any more.
func TestStopAnswersWaiters(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = adding(t, lasting(18*time.Second), "1")
		h.start(configured(interval(0)))
		h.trigger(time.Minute)
		h.sleepTo(15 * time.Second)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := h.r.Trigger(h.t.Context(), pairA, probe.TriggerScrape); !errors.Is(err, ErrStopping) || time.Since(h.begun) != 16*time.Second {
				t.Errorf("Trigger = %v at %v", err, time.Since(h.begun))
			}
		})
		h.sleepTo(16 * time.Second)
		h.stop()
		wg.Wait()
		if starts := h.starts(); len(starts) != 2 || time.Since(h.begun) != 19*time.Second {
			t.Errorf("runs at %v, stopped at %v", starts, time.Since(h.begun))
		}
	})
}

func TestStopAfterGrace(t *testing.T) {
	for grace, want := range map[time.Duration]time.Duration{0: 25 * time.Second, 7 * time.Second: 7 * time.Second, -1: 0} {
		store := newMemory()
		bubble(t, Options{GracePeriod: grace, Store: store}, func(h *harness) {
			h.run = lasting(time.Hour)
			h.start(configured(interval(0), func(p *config.Pair) { p.Timeout = time.Hour }))
			var wg sync.WaitGroup
			wg.Go(func() {
				a, took := h.trigger(time.Hour)
				if took != want || a.Result.Failure == nil || a.Result.Failure.Kind != probe.FailureCanceled {
					t.Errorf("grace %v: %+v after %v", grace, a, took)
				}
			})
			synctest.Wait()
			h.stop()
			if took := time.Since(h.begun); took != want {
				t.Errorf("grace %v: stopped at %v", grace, took)
			}
			wg.Wait()
			if keys := store.keys(bucketResults); len(keys) != 0 {
				t.Errorf("the run that was cut is stored as the last one: %v", keys)
			}
		})
	}
}
