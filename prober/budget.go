package prober

import (
	"net/http"
	"slices"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// spending is what a run has done that CAs count, kept by its owner.
type spending struct {
	reserved  bool // something was, which has to be settled
	account   bool // an account may have been created
	order     bool // an order may have been placed
	finalized bool // an order may have been finalized, and may still lead to a certificate
	issued    bool // there is a certificate
	names     []string
	// accepted are the names whose challenges the CA may have taken for accepted, valid
	// those of them that it has validated.
	accepted, valid []string
}

// reserve takes what the run may spend on an order from the budget, before
// anything is sent, and returns the names to be ordered.
func (r *run) reserve(what probe.Spending, n config.Names) ([]string, error) {
	var names []string
	if n.Mode != config.NamesPool {
		names = orderNames(n)
	}
	ordered, err := r.take(what, names)
	if err != nil {
		return nil, err
	}
	if len(ordered) == 0 {
		return nil, fail(probe.FailureLocal, "", "there is no pool to take the names from")
	}
	r.spending.names = ordered
	return ordered, nil
}

// take takes what the run is about to spend from the budget. It does nothing where
// there is none.
func (r *run) take(what probe.Spending, names []string) ([]string, error) {
	if r.Budget == nil {
		return names, nil
	}
	ordered, denied, err := r.Budget.Reserve(what, names)
	switch {
	case err != nil:
		f := fail(probe.FailureLocal, "", quoted(err.Error()))
		f.Advice = "the exporter's log has all of it, and what to do"
		return nil, f
	case denied != nil:
		f := fail(probe.FailureBudget, "", denied.Detail)
		f.limit = denied
		return nil, f
	}
	r.spending.reserved = true
	return ordered, nil
}

// spent says what of the reservations the run has spent.
func (s *spending) spent() probe.Spent {
	spent := probe.Spent{
		NoAccount: !s.account, NoOrder: !s.order, NoCertificate: !s.finalized, Issued: s.issued,
		Valid: s.valid,
	}
	for _, name := range s.names {
		if !slices.Contains(s.accepted, name) {
			spent.Untried = append(spent.Untried, name)
		}
	}
	return spent
}

// tried records what became of the tasks' challenges.
func (s *spending) tried(tasks []*task, passed bool) {
	for _, t := range tasks {
		if !t.heard {
			continue
		}
		s.accepted = append(s.accepted, t.name)
		if passed || t.validated {
			s.valid = append(s.valid, t.name)
		}
	}
}

// closeBudget settles what was reserved, and has the budget say what a refusal
// means that the run has failed with.
func (r *run) closeBudget() {
	f := r.facts.Failure
	if r.Budget == nil {
		return
	}
	if f != nil && r.facts.RateLimit == nil {
		if call, ok := r.HTTP.Call(f.Call); ok && f.Kind == probe.FailureCall && tooOften(&call) {
			r.facts.RateLimit = r.Budget.Refused(&call)
		}
	}
	if !r.spending.reserved {
		return
	}
	// An error changes nothing of what the run has seen. The budget knows of it, and
	// denies what comes after.
	_ = r.Budget.Settle(r.spending.spent())
}

// tooOften reports whether the answer says that we come too often. A 503 says so
// of everybody.
func tooOften(call *probe.Call) bool {
	return call.Status == http.StatusTooManyRequests ||
		call.Problem != nil && call.Problem.Type == "rateLimited" && call.Status != http.StatusServiceUnavailable
}
