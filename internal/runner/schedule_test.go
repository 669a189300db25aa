package runner

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// firstOf returns when pairA first ticks after the start.
func (h *harness) firstOf(interval time.Duration) time.Duration {
	return firstTick(h.begun, pairA, "", interval).Sub(h.begun)
}

// TestTicksDoNotDrift has runs of uneven length, and asks for starts that are
// exact multiples after all.
func TestTicksDoNotDrift(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		n := 0
		h.run = func(ctx context.Context, job Job) probe.Facts {
			n++
			return lasting(time.Duration(n%7)*1234567*time.Microsecond)(ctx, job)
		}
		h.start(configured())
		first := h.firstOf(time.Minute)
		h.sleepTo(24*time.Hour + first)
		starts := h.starts(probe.TriggerTick)
		if len(starts) != 24*60+1 {
			t.Fatalf("%d ticks in a day and one more, want %d", len(starts), 24*60+1)
		}
		for i, s := range starts {
			if want := first + time.Duration(i)*time.Minute; s != want {
				t.Fatalf("run %d started at %v, want %v", i, s, want)
			}
		}
		for i, e := range h.seen("schedule", "missed") {
			if want := first + time.Duration(i)*time.Minute; e.What != "schedule" || e.Next != want {
				t.Fatalf("schedule %d is %v, want next %v", i, e, want)
			}
		}
		if got := h.status(); !got.NextDue.Equal(h.begun.Add(first + 24*time.Hour + time.Minute)) {
			t.Errorf("next due %v", got.NextDue)
		}
	})
}

func TestFirstTick(t *testing.T) {
	now := time.Date(2026, 11, 23, 6, 17, 42, 123456789, time.UTC)
	counts := make([]int, 10)
	for i := range 1000 {
		p := probe.Pair{Target: "ca", Module: fmt.Sprint(i)}
		for _, interval := range []time.Duration{time.Second, time.Minute, 7 * time.Minute, 24 * time.Hour} {
			first := firstTick(now, p, "host", interval)
			if wait := first.Sub(now); wait < 0 || wait >= interval {
				t.Fatalf("%v: first tick after %v of %v", p, wait, interval)
			}
			// The restart goes on where the process before it stopped.
			later := now.Add(5*interval + interval/3)
			if again := firstTick(later, p, "host", interval); again.Sub(first)%interval != 0 {
				t.Fatalf("%v: %v and %v are not on one timeline of %v", p, first, again, interval)
			}
			if !firstTick(first, p, "host", interval).Equal(first) {
				t.Fatalf("%v: a tick is not its own first", p)
			}
		}
		counts[firstTick(now, p, "host", time.Minute).Sub(now)/(6*time.Second)]++
	}
	for i, n := range counts {
		if n < 60 || n > 140 {
			t.Errorf("%d of 1000 pairs have their first tick in tenth %d of the interval: %v", n, i, counts)
		}
	}
	if firstTick(now, pairA, "fra", time.Hour).Equal(firstTick(now, pairA, "nyc", time.Hour)) {
		t.Error("two hosts tick together")
	}
}

// TestMissedTicks has runs that take longer than the interval: the ticks
// meanwhile are counted, and none is made up for.
func TestMissedTicks(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = lasting(25 * time.Second)
		h.start(configured(interval(10*time.Second), func(p *config.Pair) { p.Timeout = time.Minute }))
		first := h.firstOf(10 * time.Second)
		h.sleepTo(first + 65*time.Second)
		if diff := cmp.Diff([]time.Duration{first, first + 30*time.Second, first + 60*time.Second}, h.starts()); diff != "" {
			t.Error(diff)
		}
		var got []string
		for _, e := range h.seen("schedule", "missed")[1:] {
			got = append(got, fmt.Sprint(e.What, " ", e.At-first))
		}
		want := []string{"schedule 0s", "missed 10s", "missed 20s", "schedule 30s", "missed 40s", "missed 50s", "schedule 1m0s"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestOversleptTicks looks at a lane late, as after the suspension of a machine:
// the ticks overslept are counted, and the newest is kept.
func TestOversleptTicks(t *testing.T) {
	now := time.Now()
	r := New(Options{})
	r.Apply([]config.Pair{configured()})
	l := r.lanes[pairA]
	l.gen.next = now
	var got []string
	for _, s := range l.tick(now.Add(150 * time.Second)) {
		got = append(got, fmt.Sprint(s.missed, " ", s.next.Sub(now)))
	}
	if diff := cmp.Diff([]string{"true 1m0s", "true 2m0s", "false 3m0s"}, got); diff != "" {
		t.Error(diff)
	}
	if l.wanted == nil || !l.wanted.asked.Equal(now.Add(2*time.Minute)) {
		t.Errorf("wanted is %+v", l.wanted)
	}
	if again := l.tick(now.Add(150 * time.Second)); len(again) != 0 {
		t.Errorf("and again: %v", again)
	}
}

// TestTickAndScrape has a scrape shortly before a tick: the run that it started
// is the tick's too, whether it is still in flight or too young for another.
func TestTickAndScrape(t *testing.T) {
	for _, takes := range []time.Duration{time.Second, 8 * time.Second} {
		bubble(t, Options{}, func(h *harness) {
			h.run = lasting(takes)
			h.start(configured())
			first := h.firstOf(time.Minute)
			h.sleepTo(first + 55*time.Second)
			if a, took := h.trigger(time.Minute); !a.Fresh || took != takes {
				t.Errorf("the scrape: %+v after %v", a, took)
			}
			h.sleepTo(first + 130*time.Second)
			if diff := cmp.Diff([]time.Duration{first, first + 55*time.Second, first + 120*time.Second}, h.starts()); diff != "" {
				t.Error(diff)
			}
			if missed := h.seen("missed"); len(missed) != 0 {
				t.Errorf("missed: %v", missed)
			}
		})
	}
}

// TestIntervalBelowMinInterval has every other tick too soon after the last start.
func TestIntervalBelowMinInterval(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.start(configured(interval(6 * time.Second)))
		first := h.firstOf(6 * time.Second)
		h.sleepTo(first + 25*time.Second)
		if diff := cmp.Diff([]time.Duration{first, first + 12*time.Second, first + 24*time.Second}, h.starts()); diff != "" {
			t.Error(diff)
		}
		if missed := h.seen("missed"); len(missed) != 2 {
			t.Errorf("missed: %v, want 2", missed)
		}
	})
}

// TestMinIntervalOfInterval has ticks that are late by less and less, and a
// least interval as long as the interval: none may be swallowed. Only one that
// is late by more than timers are may be.
func TestMinIntervalOfInterval(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		late           []time.Duration
		starts, missed int
	}{
		{[]time.Duration{50 * time.Millisecond, 40 * time.Millisecond, 99 * time.Millisecond, 0, 1}, 5, 0},
		{[]time.Duration{0, 2 * time.Second, time.Second, 0, 0}, 4, 1},
	} {
		r := New(Options{})
		r.phase = phaseRunning
		r.Apply([]config.Pair{configured(interval(10 * time.Second))})
		l := r.lanes[pairA]
		l.gen.next = now
		starts, missed := 0, 0
		for i, late := range test.late {
			at := now.Add(time.Duration(i)*10*time.Second + late)
			for _, s := range l.tick(at) {
				if s.missed {
					missed++
				}
			}
			if ru := r.startable(l, at); ru != nil {
				starts++
				l.current = nil
			}
		}
		if starts != test.starts || missed != test.missed {
			t.Errorf("ticks late by %v: %d starts and %d missed, want %d and %d", test.late, starts, missed, test.starts, test.missed)
		}
	}
}

func TestNoInterval(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.start(configured(interval(0)))
		h.sleepTo(24 * time.Hour)
		if starts := h.starts(); len(starts) != 0 {
			t.Errorf("started at %v", starts)
		}
		if diff := cmp.Diff([]event{{What: "schedule", Pair: "ca/a", Next: -1}}, h.seen("schedule", "missed")); diff != "" {
			t.Error(diff)
		}
		if s := h.status(); !s.NextDue.IsZero() || s.Interval != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

// TestFailedChecksSlowNoRun holds that a certificate that is not right, and the run that
// confirms it, move no tick and take the place of none.
func TestFailedChecksSlowNoRun(t *testing.T) {
	confirm := func(r *probe.Result) bool { return r.Trigger != probe.TriggerConfirm }
	bubble(t, Options{Incidents: confirm}, func(h *harness) {
		h.run = func(ctx context.Context, job Job) probe.Facts {
			facts := lasting(3*time.Second)(ctx, job)
			facts.Certificate = &probe.Certificate{Checks: []probe.CheckResult{{Check: probe.CheckSCTs, Detail: "none"}}}
			facts.Failure = &probe.Failure{Step: probe.StepCertificate, Kind: probe.FailureCertificate, Call: -1, Object: "certificate"}
			return facts
		}
		h.start(configured())
		first := h.firstOf(time.Minute)
		h.sleepTo(time.Hour + first + 30*time.Second)
		ticks := h.starts(probe.TriggerTick)
		if len(ticks) != 61 {
			t.Errorf("%d ticks in an hour and one more, want 61", len(ticks))
		}
		for i, s := range ticks {
			if want := first + time.Duration(i)*time.Minute; s != want {
				t.Fatalf("run %d started at %v, want %v", i, s, want)
			}
		}
		if n := len(h.starts(probe.TriggerConfirm)); n != len(ticks) {
			t.Errorf("%d runs confirm %d failures", n, len(ticks))
		}
		if missed := h.seen("missed"); len(missed) > 0 {
			t.Errorf("missed %v", missed)
		}
		if v := h.status().Last().Verdict; v.Reason != "certificate_scts" || v.Fault != probe.FaultCA {
			t.Errorf("verdict %+v", v)
		}
	})
}
