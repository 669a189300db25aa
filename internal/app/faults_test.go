package app

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// faultCase is a CA that misbehaves, or a way to it that does, and the verdict that
// docs/verdicts.md demands of a run that meets it.
type faultCase struct {
	name string
	// prober is the module's; empty: directory. One that solves does it by challenge;
	// empty: http-01.
	prober    probe.Prober
	challenge probe.ChallengeType
	names     int // of an order; 0: 1
	// expect is the problem that the CA has to refuse with; empty: it has not to.
	expect string

	ca fakeca.Options
	// arm and broken are done when the runs that are to work are over.
	arm    armed
	broken func(*scene) // of our own
	// site is probed instead of the fake CA, and the root by which it is trusted.
	site func(*testing.T) (url string, root []byte)
	// validator is what the CA's validators do; nil: they find every challenge solved.
	validator func(*scene) validator
	target    []string // lines of the target's configuration; account is another if one is there

	// controls are "alive" or "dead", or "named" if the resolvers are asked. What
	// those do is one of [resolve]'s words; default: one that refuses.
	controls, resolvers []string
	served              bool // another CA validates just before

	worked int           // runs that succeed before
	runs   int           // that are to fail; 0: one. The last one's verdict is meant
	rest   time.Duration // before them
	waits  bool          // the run is to use up its time

	want probe.Verdict
}

// armed makes a fake CA misbehave.
type armed func(*fakeca.CA)

// validator is a fake CA's.
type validator func(context.Context, probe.Challenge) error

// The verdicts, whose stage and reason are wanted.
func byCA(stage probe.StepName, reason probe.Reason) probe.Verdict {
	return probe.Verdict{Outcome: probe.OutcomeFailure, Stage: stage, Reason: reason, Fault: probe.FaultCA}
}

func unreachable(stage probe.StepName, reason probe.Reason) probe.Verdict {
	return probe.Verdict{Outcome: probe.OutcomeFailure, Stage: stage, Reason: reason, Fault: probe.FaultUnreachable}
}

func local(stage probe.StepName, reason probe.Reason) probe.Verdict {
	return probe.Verdict{Outcome: probe.OutcomeFailure, Stage: stage, Reason: reason, Fault: probe.FaultLocal}
}

func byClient(stage probe.StepName, reason probe.Reason) probe.Verdict {
	return probe.Verdict{Outcome: probe.OutcomeFailure, Stage: stage, Reason: reason, Fault: probe.FaultClient}
}

func unknown(stage probe.StepName, reason probe.Reason) probe.Verdict {
	return probe.Verdict{Outcome: probe.OutcomeFailure, Stage: stage, Reason: reason, Fault: probe.FaultUnknown}
}

func skipped(stage probe.StepName, reason probe.Reason) probe.Verdict {
	return probe.Verdict{Outcome: probe.OutcomeSkipped, Stage: stage, Reason: reason}
}

var succeeded = probe.Verdict{Outcome: probe.OutcomeSuccess}

// TestFaults holds what the whole chain, from the configuration over real sockets to
// the verdict, says about a CA, a way to it or a host of ours that is broken.
func TestFaults(t *testing.T) {
	useResolver(t)
	cases := slices.Concat(
		namesThatFail(), connectionsThatFail(), handshakesThatFail(), answersThatFail(), hangups(),
		edges(), serverErrors(), protocolErrors(), nonces(), limits(), refusals(), rejections(),
		validationsByHTTP(), validationsByTLS(), validationsByDNS(), validationsByWord(), unfinished(),
		finalizations(), certificates(), refusedCases(), clocks(), ours(),
	)
	if len(cases) < 60 {
		t.Errorf("%d cases", len(cases))
	}
	known := map[string]bool{}
	for i := range cases {
		if name := cases[i].name; known[name] {
			t.Errorf("%s: there is another of this name", name)
		} else {
			known[name] = true
		}
	}
	// Those that only wait do so all at once, while nothing else needs the machine.
	// The others wait too, for each other: more of them than there are processors.
	together(t, cases, len(cases), (*faultCase).lasts)
	together(t, cases, 16, func(c *faultCase) bool { return !c.lasts() })
}

// together plays those of the cases that are meant, so many at a time.
func together(t *testing.T, cases []faultCase, most int, meant func(*faultCase) bool) {
	var playing sync.WaitGroup
	places := make(chan struct{}, most)
	for i := range cases {
		if c := &cases[i]; meant(c) {
			places <- struct{}{}
			playing.Go(func() {
				defer func() { <-places }()
				t.Run(c.name, c.check)
			})
		}
	}
	playing.Wait()
}

// lasts reports whether most of the case's time is spent asleep.
func (c *faultCase) lasts() bool {
	return c.waits || c.rest > 0 || slices.Contains(c.resolvers, "silent")
}

// check plays the case.
func (c *faultCase) check(t *testing.T) {
	s, last := c.play(t, waitTime)
	if c.waits && judgement(last) != c.want {
		// A slow machine may not have come to where it is to wait.
		s, last = c.play(t, 5*waitTime)
	}
	if judgement(last) != c.want {
		t.Errorf("want %s\n got %s", text(c.want), describe(last))
	}
	if took := last.Duration; c.waits && took < waitTime/2 {
		t.Errorf("the run took only %v: nothing made it wait", took)
	}
	s.sound(last)
}

// play makes the runs, and returns the one that is meant, or one that was to succeed
// before and has not.
func (c *faultCase) play(t *testing.T, wait time.Duration) (*scene, *probe.Result) {
	s := newScene(t, c, wait)
	for range c.worked {
		if r := s.probe("ca"); !r.Verdict.Success() {
			return s, r
		}
	}
	if c.served {
		if r := s.probe("other"); !r.Verdict.Success() {
			return s, r
		}
	}
	if c.arm != nil {
		c.arm(s.ca)
	}
	if c.broken != nil {
		c.broken(s)
	}
	s.sleep(c.rest)
	var last *probe.Result
	for range max(c.runs, 1) {
		last = s.probe("ca")
	}
	return s, last
}

// judgement is what a run's verdict says, without the words.
func judgement(r *probe.Result) probe.Verdict {
	v := r.Verdict
	v.Summary = ""
	return v
}

// describe is a run in words, for who has to find out why.
func describe(r *probe.Result) string {
	out := text(r.Verdict) + ": " + r.Verdict.Summary
	if r.Failure != nil {
		out += fmt.Sprintf("\nfailure %+v", *r.Failure)
		if i := r.Failure.Call; i >= 0 {
			out += fmt.Sprintf("\ncall %+v", r.Calls[i])
		}
	}
	for _, l := range r.Lookups {
		out += fmt.Sprintf("\nlookup %+v", l)
	}
	for _, v := range r.Visits {
		out += fmt.Sprintf("\nvisit %+v", v)
	}
	for _, c := range r.Controls {
		out += fmt.Sprintf("\ncontrol %+v", c)
	}
	return out
}

func text(v probe.Verdict) string {
	return fmt.Sprintf("%s, stage %q, reason %q, fault %q", v.Outcome, v.Stage, v.Reason, v.Fault)
}

// on arms a fault for every call of that name.
func on(call probe.CallName, f fakeca.Fault) armed {
	return func(ca *fakeca.CA) { ca.Fault(call, f, 0) }
}

// times arms a fault for so many calls.
func times(n int, call probe.CallName, f fakeca.Fault) armed {
	return func(ca *fakeca.CA) { ca.Fault(call, f, n) }
}

// both arms one after the other.
func both(first, second armed) armed {
	return func(ca *fakeca.CA) {
		first(ca)
		second(ca)
	}
}

// later arms a fault for all calls but the first n.
func later(n int, call probe.CallName, f fakeca.Fault) armed {
	return both(times(n, call, fakeca.Fault{}), on(call, f))
}

// problem is an answer with a problem document.
func problem(kind string, status int) fakeca.Fault {
	return fakeca.Fault{Problem: &fakeca.Problem{Type: kind, Status: status, Detail: "in words"}}
}

// invalid is a problem that is embedded in what becomes invalid by it.
func invalid(kind string, status int, detail string) fakeca.Fault {
	return fakeca.Fault{Invalid: &fakeca.Problem{Type: kind, Status: status, Detail: detail}}
}

// html is a page of whoever stands before the CA.
func html(status int) fakeca.Fault { return fakeca.Fault{HTML: true, Status: status} }

func header(f fakeca.Fault, name, value string) fakeca.Fault {
	f.Header = map[string][]string{name: {value}}
	return f
}
