package runner

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// of is a module of that prober, with one challenge where it solves.
func of(p probe.Prober) func(*config.Pair) {
	return func(c *config.Pair) {
		c.Module = &config.Module{Prober: p, Validate: &config.Validate{Challenge: probe.HTTP01}, Issue: &config.Issue{Challenge: probe.HTTP01}}
	}
}

// rejected are the facts of a run that the CA calls malformed.
func rejected() probe.Facts {
	return probe.Facts{
		Account: "https://ca.example/acct/1",
		Calls:   []probe.Call{{Name: probe.CallNewOrder, Method: "POST", URL: "https://ca.example/o", Status: 400, Problem: &probe.Problem{Type: "malformed"}}},
		Failure: &probe.Failure{Step: probe.StepOrder, Kind: probe.FailureCall},
	}
}

// A failure is confirmed at once, in little time, and neither the timeline nor the
// least interval notices.
func TestConfirm(t *testing.T) {
	for prober, timeout := range map[probe.Prober]time.Duration{probe.ProberDirectory: 5 * time.Second, probe.ProberIssue: 55 * time.Second} {
		var told []probe.Trigger
		o := Options{Incidents: func(r *probe.Result) bool {
			told = append(told, r.Trigger)
			return r.Trigger != probe.TriggerConfirm && !r.Verdict.Success()
		}}
		bubble(t, o, func(h *harness) {
			var failing atomic.Bool
			h.run = func(ctx context.Context, job Job) probe.Facts {
				at, _ := ctx.Deadline()
				want := 90 * time.Second
				if job.Trigger == probe.TriggerConfirm {
					want = timeout
				}
				if got := at.Sub(job.Start); got != want {
					t.Errorf("%s, %s: the deadline is %v after the start, want %v", prober, job.Trigger, got, want)
				}
				lasting(2*time.Second)(ctx, job)
				if failing.Load() {
					return failed(probe.FailureProtocol)
				}
				return probe.Facts{}
			}
			h.start(configured(of(prober), func(p *config.Pair) {
				p.Interval, p.MinInterval, p.Timeout = 5*time.Minute, 5*time.Minute, 90*time.Second
			}))
			first := h.firstOf(5 * time.Minute)
			h.sleepTo(first + time.Minute)
			if got := h.starts(probe.TriggerConfirm); len(got) != 0 {
				t.Fatalf("a success is confirmed at %v", got)
			}
			failing.Store(true)
			h.sleepTo(first + 16*time.Minute)
			wantTicks := []time.Duration{first, first + 5*time.Minute, first + 10*time.Minute, first + 15*time.Minute}
			if diff := cmp.Diff(wantTicks, h.starts(probe.TriggerTick)); diff != "" {
				t.Errorf("%s: ticks %s", prober, diff)
			}
			wantConfirms := []time.Duration{first + 5*time.Minute + 2*time.Second, first + 10*time.Minute + 2*time.Second, first + 15*time.Minute + 2*time.Second}
			if diff := cmp.Diff(wantConfirms, h.starts(probe.TriggerConfirm)); diff != "" {
				t.Errorf("%s: confirming runs %s", prober, diff)
			}
			if missed := h.seen("missed"); len(missed) != 0 {
				t.Errorf("missed %v", missed)
			}
			if n := len(told); n != 7 || !slices.Equal(told[1:3], []probe.Trigger{probe.TriggerTick, probe.TriggerConfirm}) {
				t.Errorf("told of %v", told)
			}
		})
	}
}

// What the CA has to refuse is a failure in its books each time: nothing confirms it,
// and nothing is tried again at once.
func TestRefusalsAreNotConfirmed(t *testing.T) {
	expecting := func(p *config.Pair) { p.Module.Issue.Expect = &config.Expect{Problem: probe.ProblemCAA} }
	bubble(t, Options{Incidents: func(r *probe.Result) bool { return r.Trigger == probe.TriggerTick }}, func(h *harness) {
		var failing atomic.Bool
		h.run = func(context.Context, Job) probe.Facts {
			if failing.Load() {
				return rejected() // for the first time, which others try again
			}
			return probe.Facts{Account: "https://ca.example/acct/1"}
		}
		h.start(configured(of(probe.ProberIssue), expecting))
		first := h.firstOf(time.Minute)
		h.sleepTo(first + time.Second)
		failing.Store(true)
		h.sleepTo(first + 3*time.Minute)
		if got := h.starts(probe.TriggerConfirm); len(got) != 0 || len(h.starts(probe.TriggerTick)) < 3 {
			t.Errorf("confirmed at %v, ticks at %v", got, h.starts(probe.TriggerTick))
		}
	})
}

// A disk that hangs while an incident is written delays no answer, no observer and
// no other pair.
func TestIncidentsDelayNobody(t *testing.T) {
	bubble(t, Options{Incidents: func(r *probe.Result) bool {
		if r.Pair == pairA {
			time.Sleep(time.Hour)
		}
		return false
	}}, func(h *harness) {
		h.start(configured(interval(0)), configured(named("ca", "b")))
		if a, took := h.trigger(time.Minute); !a.Fresh || took != 0 {
			t.Errorf("answered after %v: %+v", took, a)
		}
		h.sleepTo(30 * time.Minute)
		observed := 0
		for _, e := range h.seen("observe") {
			if e.Pair == "ca/b" {
				observed++
			}
		}
		if observed < 29 {
			t.Errorf("%d runs of another pair in half an hour", observed)
		}
	})
}

// A tick that falls into a confirming run has its run in it.
func TestConfirmAcrossATick(t *testing.T) {
	bubble(t, Options{Incidents: func(r *probe.Result) bool { return r.Trigger == probe.TriggerTick && !r.Verdict.Success() }}, func(h *harness) {
		h.run = func(ctx context.Context, job Job) probe.Facts {
			lasting(18*time.Second)(ctx, job)
			return failed(probe.FailureProtocol)
		}
		h.start(configured(of(probe.ProberIssue), func(p *config.Pair) { p.Interval, p.MinInterval = 30*time.Second, time.Second }))
		first := h.firstOf(30 * time.Second)
		h.sleepTo(first + 40*time.Second)
		if missed := h.seen("missed"); len(missed) != 0 || len(h.starts(probe.TriggerConfirm)) != 1 {
			t.Errorf("missed %v, confirming runs at %v", missed, h.starts(probe.TriggerConfirm))
		}
	})
}

// Nothing is confirmed any more when the runner stops, and follow-ups never are.
func TestNotConfirmed(t *testing.T) {
	h := (*harness)(nil)
	bubble(t, Options{Incidents: func(r *probe.Result) bool {
		if r.FollowUp != "" {
			t.Error("told of a follow-up")
		}
		return true
	}}, func(started *harness) {
		h = started
		h.run = func(ctx context.Context, job Job) probe.Facts {
			if job.FollowUp == nil {
				if err := job.FollowUps.Add(probe.FollowUp{Kind: probe.FollowUpDeactivateAuthz}); err != nil {
					t.Error(err)
				}
			}
			return lasting(3*time.Second)(ctx, job)
		}
		h.start(configured())
		h.sleepTo(h.firstOf(time.Minute) + time.Second)
		h.stop()
		if got := h.starts(probe.TriggerConfirm); len(got) != 0 {
			t.Errorf("confirming runs at %v", got)
		}
	})
}

// Controls are asked when the CA was not reached, and then only, and their answers
// are in the Result.
func TestControlsAreAsked(t *testing.T) {
	asked := 0
	controls := []probe.Control{{Kind: probe.ControlURL, Target: "https://other.example/", Alive: true}}
	bubble(t, Options{Controls: func(_ context.Context, target string) []probe.Control {
		if asked++; target != "ca" {
			t.Errorf("asked for %q", target)
		}
		return controls
	}}, func(h *harness) {
		facts := probe.Facts{}
		h.run = func(context.Context, Job) probe.Facts { return facts }
		h.start(configured(interval(0)))
		for _, tt := range []struct {
			facts probe.Facts
			asked int
			fault probe.Fault
		}{
			{probe.Facts{}, 0, probe.FaultNone},
			{failed(probe.FailureProtocol), 0, probe.FaultCA},
			{probe.Facts{
				Calls:   []probe.Call{{Name: probe.CallDirectory, Error: &probe.CallError{Phase: probe.PhaseConnect, Cause: probe.CauseTimeout}}},
				Failure: &probe.Failure{Step: probe.StepDirectory, Kind: probe.FailureCall},
			}, 1, probe.FaultUnreachable},
		} {
			h.sleepTo(time.Since(h.begun) + time.Minute)
			facts, asked = tt.facts, 0
			a, _ := h.trigger(time.Minute)
			if a.Result.Verdict.Fault != tt.fault || asked != tt.asked || len(a.Result.Controls) != tt.asked {
				t.Errorf("verdict %+v, asked %d times, controls %v", a.Result.Verdict, asked, a.Result.Controls)
			}
		}
	})
}

// What a CA calls malformed is its own fault where the same has worked, and is
// rejected twice in a row.
func TestRejectedWhereItWorked(t *testing.T) {
	succeeded := probe.Facts{Account: "https://ca.example/acct/1"}
	other := rejected()
	other.Account = "https://ca.example/acct/2"
	for name, tt := range map[string]struct {
		runs []probe.Facts
		rest time.Duration
		want probe.Fault
	}{
		"never worked":    {[]probe.Facts{rejected(), rejected(), rejected()}, time.Minute, probe.FaultUnknown},
		"once":            {[]probe.Facts{succeeded, rejected()}, time.Minute, probe.FaultUnknown},
		"twice":           {[]probe.Facts{succeeded, rejected(), rejected()}, time.Minute, probe.FaultCA},
		"another account": {[]probe.Facts{succeeded, other, other}, time.Minute, probe.FaultUnknown},
		"two days later":  {[]probe.Facts{succeeded, rejected(), rejected()}, 20 * time.Hour, probe.FaultUnknown},
		"a success since": {[]probe.Facts{succeeded, rejected(), succeeded, rejected()}, time.Minute, probe.FaultUnknown},
		"another reason":  {[]probe.Facts{succeeded, failed(probe.FailureProtocol), rejected()}, time.Minute, probe.FaultUnknown},
	} {
		store := newMemory()
		var last *probe.Result
		bubble(t, Options{Store: store}, func(h *harness) {
			next := 0
			h.run = func(context.Context, Job) probe.Facts { next++; return tt.runs[next-1] }
			h.start(configured(interval(0)))
			for range tt.runs {
				h.sleepTo(time.Since(h.begun) + tt.rest)
				a, _ := h.trigger(time.Minute)
				last = a.Result
			}
			if last.Verdict.Fault != tt.want {
				t.Errorf("%s: %+v", name, last.Verdict)
			}
		})
		if tt.want != probe.FaultCA {
			continue
		}
		// What another process saw work, this one cannot vouch for.
		bubble(t, Options{Store: store}, func(h *harness) {
			h.run = func(context.Context, Job) probe.Facts { return rejected() }
			if err := h.r.Restore(); err != nil {
				t.Fatal(err)
			}
			h.start(configured(interval(0)))
			h.sleepTo(time.Since(h.begun) + 72*time.Hour)
			if a, _ := h.trigger(time.Minute); a.Result.Verdict.Fault != probe.FaultUnknown {
				t.Errorf("%s, after a restart: %+v", name, a.Result.Verdict)
			}
		})
	}
}

// What has worked and is rejected for the first time is tried again at once: a CA
// that is down may say so, and two keys tell.
func TestRejectionIsRepeated(t *testing.T) {
	told := 0
	bubble(t, Options{Incidents: func(r *probe.Result) bool {
		told++
		return r.Verdict.Fault == probe.FaultCA && r.Trigger == probe.TriggerTick
	}}, func(h *harness) {
		var failing atomic.Bool // ticks read it, which nothing here waits for
		h.run = func(context.Context, Job) probe.Facts {
			if failing.Load() {
				return rejected()
			}
			return probe.Facts{Account: "https://ca.example/acct/1"}
		}
		h.start(configured())
		first := h.firstOf(time.Minute)
		h.sleepTo(first + time.Second)
		failing.Store(true)
		h.sleepTo(first + 61*time.Second)
		if got := h.starts(probe.TriggerConfirm); len(got) != 1 || got[0] != first+time.Minute || told != 3 {
			t.Errorf("repeated at %v, told of %d runs", got, told)
		}
		if last := h.status().Last(); last.Verdict.Fault != probe.FaultCA || last.Trigger != probe.TriggerConfirm {
			t.Errorf("%+v", last.Verdict)
		}
	})
}

// A validation that fails while another CA gets through by the same challenge is
// that CA's own.
func TestServedElsewhere(t *testing.T) {
	failure := probe.Facts{
		Calls:   []probe.Call{{Name: probe.CallAuthz, Method: "POST", Status: 200}},
		Failure: &probe.Failure{Step: probe.StepValidation, Kind: probe.FailureObject, Object: "challenge", Problem: &probe.Problem{Type: "connection", Status: 400}},
	}
	success := probe.Facts{Steps: []probe.Step{{Name: probe.StepValidation, OK: true}}}
	directory := func(url string) func(*config.Pair) {
		return func(p *config.Pair) {
			p.Target = &config.Target{Environment: config.Staging, DirectoryURL: url}
		}
	}
	refused := success
	refused.Refusal = &probe.Refusal{Expected: "unauthorized", Problem: &probe.Problem{Type: "unauthorized"}}
	challenge := func(p *config.Pair) { p.Module.Validate.Challenge = probe.DNS01 }
	for name, tt := range map[string]struct {
		other []func(*config.Pair)
		facts probe.Facts
		later time.Duration
		want  probe.Fault
	}{
		"served":            {[]func(*config.Pair){of(probe.ProberValidate), directory("https://two.example/")}, success, time.Minute, probe.FaultCA},
		"failed since":      {[]func(*config.Pair){of(probe.ProberValidate), directory("https://two.example/")}, success, time.Minute, probe.FaultUnknown},
		"too long ago":      {[]func(*config.Pair){of(probe.ProberValidate), directory("https://two.example/")}, success, 11 * time.Minute, probe.FaultUnknown},
		"the same CA":       {[]func(*config.Pair){of(probe.ProberValidate), directory("https://one.example/")}, success, time.Minute, probe.FaultUnknown},
		"another challenge": {[]func(*config.Pair){of(probe.ProberValidate), directory("https://two.example/"), challenge}, success, time.Minute, probe.FaultUnknown},
		"it was to refuse":  {[]func(*config.Pair){of(probe.ProberValidate), directory("https://two.example/")}, refused, time.Minute, probe.FaultUnknown},
		"none was needed":   {[]func(*config.Pair){of(probe.ProberValidate), directory("https://two.example/")}, probe.Facts{}, time.Minute, probe.FaultUnknown},
	} {
		bubble(t, Options{}, func(h *harness) {
			h.run = func(_ context.Context, job Job) probe.Facts {
				if job.Pair.Pair == pairA {
					return failure
				}
				return tt.facts
			}
			other := configured(append(tt.other, named("two", "b"), interval(0))...)
			h.start(configured(of(probe.ProberValidate), directory("https://one.example/"), interval(0)), other)
			h.sleepTo(time.Hour)
			if _, err := h.r.Trigger(h.t.Context(), other.Pair, probe.TriggerScrape); err != nil {
				t.Fatal(err)
			}
			if name == "failed since" {
				tt.facts = failure
				h.sleepTo(time.Hour + 30*time.Second)
				if _, err := h.r.Trigger(h.t.Context(), other.Pair, probe.TriggerScrape); err != nil {
					t.Fatal(err)
				}
			}
			h.sleepTo(time.Hour + tt.later)
			if a, _ := h.trigger(time.Minute); a.Result.Verdict.Fault != tt.want {
				t.Errorf("%s: %+v", name, a.Result.Verdict)
			}
		})
	}
}
