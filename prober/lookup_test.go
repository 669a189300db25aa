package prober

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// The world is asked what it sees when validators have not found it, while it is
// still there, and who asks then is no validator.
func TestLookUp(t *testing.T) {
	t.Parallel()
	seen := []probe.Lookup{{Resolver: "192.0.2.53:53", Name: "a.probe.example", Type: "A/AAAA", Found: true}}
	connection := &fakeca.Problem{Type: "connection", Status: 400}
	for name, tt := range map[string]struct {
		call  probe.CallName
		fault fakeca.Fault
		asked string
	}{
		"failed":     {probe.CallChallenge, fakeca.Fault{Invalid: connection}, "a.probe.example"},
		"never ends": {probe.CallChallenge, fakeca.Fault{Stuck: true}, "a.probe.example"},
		"not begun":  {probe.CallNewOrder, fakeca.Fault{Status: 500}, ""},
		"no answer":  {probe.CallChallenge, fakeca.Fault{HangUp: fakeca.BeforeHeaders}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fakeca.Options{SyncValidation: true}).known()
			b.ca.Fault(tt.call, tt.fault, 0)
			req := b.ordering(probe.ProberValidate, fixed("a.probe.example", "b.probe.example"))
			asked := ""
			req.Lookup = func(ctx context.Context, c probe.Challenge) []probe.Lookup {
				if err := ctx.Err(); err != nil {
					t.Errorf("asked when it was too late: %v", err)
				}
				b.add("look up")
				if asked = c.Identifier; c.Type != probe.HTTP01 {
					t.Errorf("challenge %+v", c)
				}
				return seen
			}
			facts := runFor(t, 2*time.Second, req)
			if facts.Failure == nil || asked != tt.asked && !(asked == "b.probe.example" && facts.Failure.Identifier == asked) {
				t.Fatalf("asked for %q, failure %+v", asked, facts.Failure)
			}
			var want []probe.Lookup
			if tt.asked != "" {
				want = seen
			}
			if diff := cmp.Diff(want, facts.Lookups); diff != "" {
				t.Error(diff)
			}
			order := map[string]int{}
			for i, e := range b.list() {
				order[e] = i
			}
			if tt.asked != "" && order["look up"] > order["withdraw"] {
				t.Errorf("events %v", b.list())
			}
		})
	}
}

// A visit that comes when the validation is over is that of a resolver which we
// have asked.
func TestLateVisits(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	b.ca.Fault(probe.CallChallenge, fakeca.Fault{Invalid: &fakeca.Problem{Type: "connection", Status: 400}}, 0)
	req := b.ordering(probe.ProberValidate, fixed("a.probe.example"))
	var late time.Duration
	req.Lookup = func(context.Context, probe.Challenge) []probe.Lookup {
		time.Sleep(2 * time.Millisecond)
		late = time.Since(req.Start)
		return nil
	}
	req.Solver = visited(func() []probe.Visit {
		return []probe.Visit{{At: time.Microsecond, Challenge: probe.HTTP01}, {At: late, Challenge: probe.HTTP01}}
	})
	facts := runFor(t, 5*time.Second, req)
	if len(facts.Visits) != 1 || facts.Visits[0].At != time.Microsecond {
		t.Errorf("visits %+v", facts.Visits)
	}
	if facts.Account != b.account.record(t).AccountURL || facts.Account == "" {
		t.Errorf("account %q", facts.Account)
	}
}

// visited is a Solver with these visits.
type visited func() []probe.Visit

func (v visited) Present(context.Context, probe.Challenge) (func() []probe.Visit, error) {
	return v, nil
}
