package runner

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// fixed makes a pair order those names in every run, and only when asked.
func fixed(module string, names ...string) config.Pair {
	return configured(named("ca", module), interval(0), func(p *config.Pair) {
		p.MinInterval = 0
		p.Module = &config.Module{
			Prober:   probe.ProberValidate,
			Validate: &config.Validate{Names: config.Names{Mode: config.NamesFixed, List: names}},
		}
	})
}

// ask triggers the pair without waiting for its run.
func (h *harness) ask(p config.Pair) {
	go func() { _, _ = h.r.Trigger(h.t.Context(), p.Pair, probe.TriggerScrape) }()
	synctest.Wait()
}

// modules returns the modules of the runs so far, in the order of their starts.
func (h *harness) modules() (all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, j := range h.jobs {
		all = append(all, j.Pair.Pair.Module)
	}
	return all
}

// Runs with a name in common take turns in the order in which they were asked
// for; others, of other names or of another target, do not wait.
func TestTurns(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = lasting(5 * time.Second)
		first, second := fixed("first", "a.example", "b.example"), fixed("second", "b.example", "c.example")
		third, fourth := fixed("third", "c.example"), fixed("fourth", "d.example")
		elsewhere, random := fixed("elsewhere", "a.example"), fixed("random", "a.example")
		elsewhere.Pair.Target = "other"
		random.Module.Validate.Names.Mode = config.NamesRandom
		all := []config.Pair{first, second, third, fourth, elsewhere, random}
		h.start(all...)
		for _, p := range all {
			h.ask(p)
			time.Sleep(time.Millisecond)
		}
		// The third could start, but came later than the second.
		want := []string{"first", "fourth", "elsewhere", "random"}
		if got := h.modules(); !slices.Equal(got, want) {
			t.Errorf("at once started %v, want %v", got, want)
		}
		h.sleepTo(5*time.Second + time.Millisecond)
		if got := h.modules(); !slices.Equal(got, append(want, "second")) {
			t.Errorf("after one run %v", got)
		}
		h.sleepTo(10*time.Second + time.Millisecond)
		if got := h.modules(); !slices.Equal(got, append(want, "second", "third")) {
			t.Errorf("after two runs %v", got)
		}
		h.sleepTo(time.Minute)
		for _, e := range h.seen("observe") {
			if e.Result.Duration != 5*time.Second {
				t.Errorf("%s lasted %v: the wait was in it", e.Pair, e.Result.Duration)
			}
		}
		if len(h.r.held) != 0 {
			t.Errorf("held after all: %v", h.r.held)
		}
	})
}

// A follow-up holds its pair's names too, waits for a run of another pair and is
// waited for, and nothing spins meanwhile.
func TestFollowUpHoldsNames(t *testing.T) {
	for _, tt := range []struct {
		name string
		rest time.Duration // of a follow-up before it may be done
		want []string
	}{
		{"due before two asks", 0, []string{"one", "one", "two", "two"}},
		{"due while two runs", 4 * time.Second, []string{"one", "two", "one", "two"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(h *harness) {
				active := 0
				h.run = func(ctx context.Context, job Job) probe.Facts {
					h.mu.Lock()
					if active++; active > 1 {
						t.Errorf("%d runs hold the same name", active)
					}
					h.mu.Unlock()
					if job.FollowUp == nil {
						err := job.FollowUps.Add(probe.FollowUp{Kind: probe.FollowUpDeactivateAuthz, NotBefore: time.Now().Add(tt.rest)})
						if err != nil {
							t.Error(err)
						}
					}
					facts := lasting(3*time.Second)(ctx, job)
					h.mu.Lock()
					active--
					h.mu.Unlock()
					return facts
				}
				one, two := fixed("one", "a.example"), fixed("two", "a.example")
				h.start(one, two)
				h.ask(one)
				time.Sleep(time.Second)
				h.ask(two)
				h.sleepTo(time.Minute)
				if got := h.modules(); !slices.Equal(got, tt.want) {
					t.Errorf("runs of %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// The stop answers who waits for a turn, and does the follow-ups one by one.
func TestStopWhileWaitingForATurn(t *testing.T) {
	bubble(t, Options{GracePeriod: time.Minute}, func(h *harness) {
		h.run = func(ctx context.Context, job Job) probe.Facts {
			if job.FollowUp == nil {
				if err := job.FollowUps.Add(probe.FollowUp{Kind: probe.FollowUpDeactivateAuthz}); err != nil {
					t.Error(err)
				}
			}
			return lasting(3*time.Second)(ctx, job)
		}
		one, two := fixed("one", "a.example"), fixed("two", "a.example")
		h.start(one, two)
		h.ask(one)
		failed := make(chan error, 1)
		go func() {
			_, err := h.r.Trigger(h.t.Context(), two.Pair, probe.TriggerScrape)
			failed <- err
		}()
		synctest.Wait()
		begun := time.Now()
		h.stop()
		if err := <-failed; err == nil {
			t.Error("the trigger that waited got an answer")
		}
		if took := time.Since(begun); took != 6*time.Second {
			t.Errorf("the stop took %v, want the run's 3s and its follow-up's", took)
		}
		if got, want := h.modules(), []string{"one", "one"}; !slices.Equal(got, want) {
			t.Errorf("runs of %v, want %v", got, want)
		}
	})
}
