package app

import (
	"context"
	"crypto/rand"
	"strings"
	"sync/atomic"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/runner"
	"github.com/acme-exporter/acme_exporter/prober"
)

// quarterProcess is one life of our exporter, from a start to a stop or a crash.
type quarterProcess struct {
	*quarter
	runner *runner.Runner
	budget func(config.Pair) prober.Budget
	dead   atomic.Bool // killed: it does nothing any more
}

// quarterRun is one run of the prober, reduced to what spends. It uses the budget
// in the order in which the prober does.
type quarterRun struct {
	*quarterProcess
	ctx    context.Context
	pair   config.Pair
	budget prober.Budget
	names  []string
	spent  probe.Spent
	tried  bool // challenges were accepted
}

// execute is the runner's Options.Execute.
func (p *quarterProcess) execute(ctx context.Context, job runner.Job) (facts probe.Facts) {
	r := &quarterRun{quarterProcess: p, ctx: ctx, pair: job.Pair, budget: p.budget(job.Pair)}
	what := probe.SpendOrder | probe.SpendValidation
	r.spent = probe.Spent{NoAccount: true, NoOrder: true, NoCertificate: true}
	if job.Pair.Module.Prober == probe.ProberIssue {
		what |= probe.SpendCertificate
	}
	var names []string
	if job.Pair.Names().Mode != config.NamesPool {
		names = []string{randomQuarterName(job.Pair.Names().Zone)}
	}
	if denied := r.reserve(what, names); denied != nil {
		return *denied
	}
	failed := r.do()
	if p.dead.Load() {
		p.count(&p.cut)
	} else {
		if !r.tried {
			r.spent.Untried = r.names
		}
		if err := r.budget.Settle(r.spent); err != nil {
			p.t.Errorf("settle: %v", err)
		}
	}
	if failed != nil {
		return *failed
	}
	return probe.Facts{}
}

// count adds one to a count that q.mu guards.
func (q *quarter) count(n *int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	*n++
}

func randomQuarterName(zone string) string { return strings.ToLower(rand.Text()[:20]) + "." + zone }

// reserve returns what denies it; nil: nothing.
func (r *quarterRun) reserve(what probe.Spending, names []string) *probe.Facts {
	ordered, denied, err := r.budget.Reserve(what, names)
	switch {
	case err != nil:
		r.t.Errorf("%v: reserve: %v", r.pair.Pair, err)
		return failedQuarterRun(probe.FailureLocal, probe.StepSetup)
	case denied != nil:
		facts := failedQuarterRun(probe.FailureBudget, probe.StepSetup)
		facts.RateLimit = denied
		return facts
	}
	if what&probe.SpendOrder != 0 {
		r.names = ordered
	}
	return nil
}

func failedQuarterRun(kind probe.FailureKind, step probe.StepName) *probe.Facts {
	return &probe.Facts{Failure: &probe.Failure{Step: step, Kind: kind, Call: -1}}
}

// do goes through the steps that send something; nil: it succeeds.
func (r *quarterRun) do() *probe.Facts {
	if !r.wait(time.Second) { // the directory, a nonce
		return failedQuarterRun(probe.FailureCanceled, probe.StepDirectory)
	}
	if failed := r.useAccount(); failed != nil {
		return failed
	}
	order, failed := r.place()
	if failed != nil {
		return failed
	}
	if r.ca.isAuthorized(order) {
		// What a crash has left behind; the order is placed anew.
		r.count(&r.drained)
		r.ca.deactivate(order)
		if failed := r.reserve(probe.SpendOrder, r.names); failed != nil {
			return failed
		}
		if order, failed = r.place(); failed != nil {
			return failed
		}
	}
	r.tried = true
	// One validation in 300 fails by itself.
	valid, over := r.answer(r.ca.validate(order, 3*time.Second+r.chance(6*time.Second), r.chance(300) != 0))
	switch {
	case over:
		return failedQuarterRun(probe.FailureCanceled, probe.StepValidation)
	case !valid:
		facts := failedQuarterRun(probe.FailureObject, probe.StepValidation)
		facts.Failure.Object, facts.Failure.Problem = "challenge", &probe.Problem{Type: "serverInternal", Status: 500}
		return facts
	}
	r.spent.Valid = r.names
	if r.pair.Module.Prober == probe.ProberIssue {
		r.spent.NoCertificate = false
		if _, over := r.answer(r.ca.finalize(order, time.Second+r.chance(4*time.Second))); over {
			return failedQuarterRun(probe.FailureCanceled, probe.StepFinalization)
		}
		r.spent.Issued = true
	}
	r.ca.deactivate(order) // by a follow-up, in truth
	return nil
}

// useAccount creates the account in the first run of all.
func (r *quarterRun) useAccount() *probe.Facts {
	r.account.Lock()
	defer r.account.Unlock()
	if r.created {
		return nil
	}
	if denied := r.reserve(probe.SpendAccount, nil); denied != nil {
		return denied
	}
	r.spent.NoAccount = false
	if limit := r.ca.newAccount(quarterOurs); limit != "" {
		return r.refused(probe.StepAccount)
	}
	r.created = true
	return nil
}

func (r *quarterRun) place() (*quarterOrder, *probe.Facts) {
	r.spent.NoOrder = false
	order, limit := r.ca.newOrder(quarterOurs, r.names)
	if limit != "" {
		return nil, r.refused(probe.StepOrder)
	}
	return order, nil
}

// refused is the end of a run that was answered 429.
func (r *quarterRun) refused(step probe.StepName) *probe.Facts {
	facts := failedQuarterRun(probe.FailureCall, step)
	call := probe.Call{Name: probe.CallNewOrder, Step: step, Status: 429, Problem: &probe.Problem{Type: "rateLimited", Status: 429}}
	facts.Failure.Call, facts.Calls = 0, []probe.Call{call}
	facts.RateLimit = r.budget.Refused(&call)
	return facts
}

// wait reports whether the run goes on after d.
func (r *quarterRun) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.ctx.Done():
		return false
	}
}

// answer is the CA's; over: the run ends before it is there.
func (r *quarterRun) answer(from <-chan bool) (ok, over bool) {
	select {
	case ok = <-from:
		return ok, false
	case <-r.ctx.Done():
		return false, true
	}
}

// unlimited is what there was before there was a budget. It orders new names in
// each run or, where it has some, always the same.
type unlimited struct{ names []string }

func (u unlimited) Reserve(_ probe.Spending, names []string) ([]string, *probe.RateLimit, error) {
	switch {
	case names != nil:
		return names, nil, nil
	case u.names != nil:
		return u.names, nil, nil
	}
	return []string{randomQuarterName("fra.acme-probe.example")}, nil, nil
}

func (u unlimited) Refused(*probe.Call) *probe.RateLimit { return &probe.RateLimit{Refused: true} }

func (u unlimited) Settle(probe.Spent) error { return nil }
