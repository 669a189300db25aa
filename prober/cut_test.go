package prober

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// expiring is a context whose deadline comes when it is told to.
type expiring struct {
	context.Context
	over chan struct{}
	once sync.Once
}

func (e *expiring) expire()               { e.once.Do(func() { close(e.over) }) }
func (e *expiring) Done() <-chan struct{} { return e.over }

func (e *expiring) Err() error {
	select {
	case <-e.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// A look that the end of the run's time cuts off at once is not the failure: what
// it looked for is. One that the CA left without an answer for a second is.
func TestLookCutOff(t *testing.T) {
	for _, tt := range []struct {
		name   string
		sync   bool // the CA validates while it accepts the challenge
		count  int  // names
		call   probe.CallName
		first  int // how many such calls are answered before
		step   probe.StepName
		object string
	}{
		{"poll of an authorization", false, 1, probe.CallAuthz, 1, probe.StepValidation, "authorization"},
		{"poll of an order to be ready", false, 2, probe.CallOrder, 0, probe.StepValidation, "order"},
		{"poll of a finalized order", false, 1, probe.CallOrder, 0, probe.StepFinalization, "order"},
		{"look after the acceptance", true, 1, probe.CallAuthz, 1, probe.StepValidation, "authorization"},
		{"look at the order after all acceptances", true, 2, probe.CallOrder, 0, probe.StepValidation, "order"},
	} {
		for name, patient := range map[string]bool{"at once": false, "later": true} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				t.Parallel()
				for begun := time.Now(); ; {
					facts := lookCutOff(t, fakeca.Options{SyncValidation: tt.sync}, tt.count, tt.call, tt.first, patient)
					f := facts.Failure
					if f == nil {
						t.Fatal("no failure")
					}
					last := facts.Calls[len(facts.Calls)-1]
					took := last.End - last.Start
					if !patient && took >= patience && time.Since(begun) < time.Minute {
						continue // the machine did not cut it off in time
					}
					if patient {
						wantFailure(t, facts, tt.step, probe.FailureCall, "", string(tt.call)+": response: timeout")
					} else {
						wantFailure(t, facts, tt.step, probe.FailureTimeout, tt.object, "was still")
					}
					return
				}
			})
		}
	}
}

// lookCutOff does a run whose time is over when the CA has got, after first others,
// a call that it does not answer: at once, or a little more than patience later.
func lookCutOff(t *testing.T, o fakeca.Options, count int, call probe.CallName, first int, patient bool) probe.Facts {
	t.Helper()
	b := newBench(t, o).known()
	if first > 0 {
		b.ca.Fault(call, fakeca.Fault{}, first*count)
	}
	b.ca.Fault(call, fakeca.Fault{Hang: true}, 0)
	b.ca.Fault(probe.CallFinalize, fakeca.Fault{Stuck: true}, 0)
	req := b.request(probe.ProberIssue)
	req.Pair.Module.Issue.Names = config.Names{Zone: "probe.example", Count: count, Mode: config.NamesRandom}
	ctx := &expiring{Context: t.Context(), over: make(chan struct{})}
	defer ctx.expire()
	done := make(chan probe.Facts, 1)
	go func() { done <- Run(ctx, req) }()
	hangs := func() bool {
		n := 0
		for _, r := range b.ca.Requests() {
			if r.Call == call && r.Fault {
				n++
			}
		}
		return n > first*count
	}
	for begun := time.Now(); !hangs() && time.Since(begun) < time.Minute; {
		time.Sleep(time.Millisecond)
	}
	if patient {
		time.Sleep(patience + 100*time.Millisecond)
	}
	ctx.expire()
	facts := <-done
	if !slices.Contains(names(facts.Calls), call) {
		t.Fatalf("calls %v", names(facts.Calls))
	}
	return facts
}
