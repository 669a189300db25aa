package runner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestRule throws ticks, triggers, follow-ups and reloads of random kinds at a
// few pairs for half an hour, and holds the rule: never two runs of a pair at once
// (the harness looks), none sooner than min_interval, no waiter beyond its
// deadline, no run canceled, no Result of an old configuration.
func TestRule(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, Options{Store: newMemory()}, func(h *harness) { testRule(h, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

const rulePairs = 4

// rulePair returns a pair whose parameters follow from its number, so that a
// reload cannot shorten its least interval.
func rulePair(i, version int) config.Pair {
	return configured(named("ca", fmt.Sprint(i)), hash(fmt.Sprintf("%04d", version)), func(p *config.Pair) {
		p.Interval = time.Duration(i) * 7 * time.Second // the first has none
		p.MinInterval = time.Duration(i*5) * time.Second
		p.Timeout = 12 * time.Second
	})
}

func testRule(h *harness, random *rand.Rand) {
	t := h.t
	var mu sync.Mutex // guards random and version
	chance := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	h.run = func(ctx context.Context, job Job) probe.Facts {
		if job.FollowUp == nil && chance(3) == 0 {
			if err := job.FollowUps.Add(authz(job.ID)); err != nil {
				t.Error(err)
			}
		}
		facts := lasting(time.Duration(1+chance(15000))*time.Millisecond)(ctx, job)
		if errors.Is(context.Cause(ctx), ErrStopping) || errors.Is(context.Cause(ctx), context.Canceled) {
			t.Errorf("a run was canceled: %v", context.Cause(ctx))
		}
		return facts
	}
	pairs := make([]config.Pair, rulePairs)
	for i := range pairs {
		pairs[i] = rulePair(i, 0)
	}
	h.start(pairs...)

	var waiters sync.WaitGroup
	reloads := 0
	for time.Since(h.begun) < 30*time.Minute {
		time.Sleep(time.Duration(chance(4000)) * time.Millisecond)
		if chance(50) == 0 {
			reloads++
			pairs[chance(rulePairs)].Hash = fmt.Sprintf("%04d", reloads)
			some := pairs[:rulePairs-chance(2)]
			h.r.Apply(some)
			for i, p := range pairs {
				e := event{What: "applied", Pair: p.Pair.String(), Hash: p.Hash}
				if i >= len(some) {
					e.Hash = "removed"
				}
				h.note(e)
			}
		}
		p, deadline := pairs[chance(rulePairs)].Pair, time.Duration(chance(20000))*time.Millisecond
		waiters.Go(func() { testTrigger(h, p, deadline) })
	}
	waiters.Wait()
	h.stop()
	checkStarts(h)
	checkObserved(h)
	if reloads == 0 || len(h.jobs) < 50 {
		t.Errorf("%d reloads and %d runs: not much of a test", reloads, len(h.jobs))
	}
}

func testTrigger(h *harness, p probe.Pair, deadline time.Duration) {
	ctx, cancel := context.WithTimeout(h.t.Context(), deadline)
	defer cancel()
	begun := time.Now()
	a, err := h.r.Trigger(ctx, p, probe.TriggerScrape)
	if took := time.Since(begun); took > deadline {
		h.t.Errorf("answered after %v, the deadline was %v", took, deadline)
	}
	switch {
	case errors.Is(err, ErrUnknownPair):
	case err != nil:
		h.t.Error(err)
	case a.Fresh && a.Result.End().Before(begun):
		h.t.Errorf("a fresh Result ended before the trigger")
	case a.Result != nil && (a.Result.Pair != p || a.Result.FollowUp != ""):
		h.t.Errorf("the answer of %v is %+v", p, a.Result)
	}
}

// checkStarts holds the least interval between the starts of each pair's
// probes, and that follow-ups came after their parents.
func checkStarts(h *harness) {
	last := map[probe.Pair]time.Time{}
	ids := map[string]bool{}
	for _, j := range h.jobs {
		ids[j.ID] = true
		if j.FollowUp != nil {
			if !ids[j.FollowUp.Parent] {
				h.t.Errorf("follow-up %s has an unknown parent", j.ID)
			}
			continue
		}
		if before, ok := last[j.Pair.Pair]; ok && j.Start.Sub(before) < j.Pair.MinInterval {
			h.t.Errorf("%v started %v after the last start, the least is %v", j.Pair.Pair, j.Start.Sub(before), j.Pair.MinInterval)
		}
		last[j.Pair.Pair] = j.Start
	}
}

// checkObserved holds that nothing of an old configuration is observed once its
// reload has returned.
func checkObserved(h *harness) {
	inForce := map[string]string{}
	for _, e := range h.seen("applied", "observe") {
		switch {
		case e.What == "applied":
			inForce[e.Pair] = e.Hash
		case e.Hash != inForce[e.Pair] && inForce[e.Pair] != "":
			h.t.Errorf("%s: a Result of configuration %q at %v, in force is %q", e.Pair, e.Hash, e.At, inForce[e.Pair])
		}
	}
}
