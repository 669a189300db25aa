package prober

import (
	"context"
	"crypto"
	"errors"
	"slices"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// attempt is the try to get a certificate that the CA has to refuse.
type attempt struct {
	expected string // the problem, one of those of the package probe
	order    *order
	key      crypto.Signer
	csr      []byte
	// persists says that the CA takes records of dns-persist-01, which somebody may have
	// put there for other names.
	persists bool
	// authorized says that the CA takes the name for authorized, and accused that the run
	// says so.
	authorized, accused bool
	// undo is the follow-up that revokes what comes of the order.
	undo string
}

// doubtCut is the doubt of what a run leaves until its end, when it knows better.
const doubtCut = "the run that ordered it was cut before it could say who came to our responders"

// forbids is what the attempt's follow-ups have to know from the start.
func (a *attempt) forbids() *probe.Forbidden {
	return &probe.Forbidden{Expected: a.expected, Identifier: about(a.order.names), Doubt: doubtCut}
}

// unproved reports whether the CA has to refuse because nobody proves anything.
func (a *attempt) unproved() bool { return a.expected == probe.ProblemUnauthorized }

// byPolicy reports whether the CA has to refuse whoever asks, and for whatever reason.
func (a *attempt) byPolicy() bool { return a.expected == probe.ProblemRejectedIdentifier }

// probeRefusal orders what the CA has to refuse, and succeeds if it does. A CA that
// goes on is let go on, to the certificate: that is the proof, and it is revoked.
func probeRefusal(ctx context.Context, r *run) error {
	m := r.Pair.Module.Issue
	what := probe.SpendOrder
	if r.Pair.Module.Solves() {
		what |= probe.SpendValidation
	}
	names, err := r.reserve(what, m.Names)
	if err != nil {
		return err
	}
	a := &attempt{expected: m.Expect.Problem, order: &order{names: names, profile: m.Profile}}
	r.facts.Refusal = &probe.Refusal{Expected: a.expected}
	err = r.step(probe.StepSetup, "", func() (err error) {
		a.key, a.csr, err = certificateRequest(m.KeyType, names)
		return err
	})
	if err != nil {
		return err
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	return r.conclude(ctx, a, r.provoke(ctx, a))
}

// provoke goes as far as the CA lets it.
func (r *run) provoke(ctx context.Context, a *attempt) error {
	if a.expected == probe.ProblemCAA {
		allow, err := r.forbid(ctx, a)
		if err != nil {
			return err
		}
		defer allow()
	}
	authzs, err := r.orderAuthorizations(ctx, a.order)
	if err != nil {
		return err
	}
	pending := slices.DeleteFunc(slices.Clone(authzs), isValid)
	name, known := about(a.order.names), len(pending) < len(authzs)
	switch {
	case a.byPolicy() && len(pending) > 0:
		// No challenge is accepted: the name may be somebody's, who is not to be visited.
		return refusal(probe.RefusalMissing, probe.StepOrder, "the CA has taken the order").of(name)
	case !a.byPolicy() && known:
		if err := r.promiseValid(authzs); err != nil {
			return err
		}
		return refusal(probe.RefusalUnproven, probe.StepAuthorization, "the CA took the name for authorized before a challenge was accepted: it may know the account, or a domain above").of(name)
	}
	// Before the authorization is promised to be deactivated, and so done before: an
	// order without it is one of which CAs say no more what came of it.
	err = r.step(probe.StepSetup, "", func() (err error) {
		a.undo, err = r.leave(probe.FollowUp{
			Kind: probe.FollowUpRevoke, URL: a.order.url, Revocation: &probe.Revocation{Reason: probe.ReasonUnspecified},
			Forbidden: a.forbids(),
		}, probe.WatchLife)
		return err
	})
	if err != nil {
		return err
	}
	defer func() {
		if !r.spending.finalized && !r.spending.issued {
			r.forget(a.undo) // nothing can have come of it
		}
	}()
	if a.byPolicy() {
		if err := r.promiseValid(authzs); err != nil {
			return err
		}
		return r.obtain(ctx, a)
	}
	a.persists = slices.ContainsFunc(pending, func(z *acme.Authorization) bool {
		return slices.ContainsFunc(z.Challenges, func(c *acme.Challenge) bool { return c.Type == string(probe.DNSPersist01) })
	})
	m := method{
		challenge: r.Pair.Module.Issue.Challenge, mode: config.AuthorizationFresh,
		withheld: a.unproved(), forbidden: a.expected == probe.ProblemCAA,
		then: func() error { return r.obtain(ctx, a) },
	}
	if a.unproved() {
		m.forbids = a.forbids()
	}
	return r.solve(ctx, a.order, pending, m)
}

// forbid has our name server forbid the name before the CA hears of it: a CA may look
// for CAA when it is ordered, and relies for hours on what it was told. The function
// that it returns ends that, and takes in who has come for the name.
func (r *run) forbid(ctx context.Context, a *attempt) (allow func(), err error) {
	var withdraw func() []probe.Visit
	err = r.step(probe.StepSetup, about(a.order.names), func() (err error) {
		withdraw, err = r.Solver.Present(ctx, probe.Challenge{
			Type: r.Pair.Module.Issue.Challenge, Identifier: about(a.order.names),
			Forbidden: true, Ahead: true, Start: r.Start,
		})
		if err != nil {
			return fail(probe.FailureLocal, objectChallenge, "cannot publish the CAA record: "+quoted(err.Error()))
		}
		return nil
	})
	return func() {
		ahead := slices.DeleteFunc(withdraw(), func(v probe.Visit) bool {
			return slices.ContainsFunc(r.facts.Visits, func(w probe.Visit) bool { // of the challenge too
				return v.At == w.At && v.Asked == w.Asked && v.Family == w.Family
			})
		})
		r.facts.Visits = slices.Concat(ahead, r.facts.Visits)
	}, err
}

// promiseValid leaves it to follow-ups to deactivate the valid ones of authorizations.
func (r *run) promiseValid(authzs []*acme.Authorization) error {
	var tasks []*task
	for _, z := range authzs {
		if isValid(z) {
			tasks = append(tasks, &task{authz: z})
		}
	}
	return r.step(probe.StepSetup, "", func() error {
		_, err := r.promise(tasks, nil)
		return err
	})
}

// obtain has the certificate issued that the CA has to refuse, as evidence.
func (r *run) obtain(ctx context.Context, a *attempt) error {
	a.authorized = true
	r.current = probe.StepFinalization
	if _, err := r.take(probe.SpendCertificate, a.order.names); err != nil {
		return err
	}
	err := r.step(probe.StepSetup, "", func() error {
		return r.amend(a.undo, func(f *probe.Forbidden) { f.Finalized = true })
	})
	if err != nil {
		return err
	}
	var url string
	err = r.step(probe.StepFinalization, "", func() (err error) {
		url, err = r.finalizeOrder(ctx, a.order, a.csr)
		return err
	})
	if err != nil {
		return err
	}
	return r.step(probe.StepDownload, "", func() error {
		chain, err := r.download(ctx, url)
		if err != nil {
			return err
		}
		// What else is wrong with it is in its checks. There is nothing worse than that it
		// is there.
		_ = r.inspect(chain, a.key.Public(), a.order.names)
		r.facts.Certificate.PEM = evidence(chain)
		// Now that it is here, its revocation needs the order no more.
		id, err := r.leave(probe.FollowUp{
			Kind: probe.FollowUpRevoke, Revocation: revocationOf(chain, probe.ReasonUnspecified), Forbidden: a.forbids(),
		}, probe.WatchLife)
		if err != nil {
			return err
		}
		r.forget(a.undo)
		a.undo = id
		return nil
	})
}

// conclude says what is to be made of the end of the attempt, nil: it has led to a
// certificate.
func (r *run) conclude(ctx context.Context, a *attempt, err error) error {
	f, _ := errors.AsType[*failure](err)
	issued := r.spending.issued
	a.accused = issued || a.authorized && a.unproved() && f.Kind != probe.FailureCanceled
	doubt := ""
	if a.accused || slices.ContainsFunc(r.facts.FollowUps, mayAccuse) {
		doubt = r.doubt(ctx, a)
		r.entrust(a, doubt)
	}
	switch {
	case a.accused:
		found := accusation(a.expected, about(a.order.names), doubt, issued)
		if f != nil {
			found.Detail += "; then: " + f.Detail
		}
		found.Call = r.lastCall()
		return found
	case f == nil:
		return fail(probe.FailureLocal, "", "internal error: there is neither a refusal nor a certificate")
	}
	problem := r.refusedWith(f)
	if problem == nil || !a.meant(f, problem) {
		return err
	}
	r.facts.Refusal.Step, r.facts.Refusal.Problem, r.facts.Refusal.Identifier = f.Step, problem, f.Identifier
	if last := len(r.facts.Steps) - 1; last >= 0 && r.facts.Steps[last].Name == f.Step {
		r.facts.Steps[last].OK = true // it has ended as it had to
	}
	return nil
}

// refusedWith returns the problem by which the CA refuses; nil: it is none.
func (r *run) refusedWith(f *failure) *probe.Problem {
	problem := f.Problem
	if call, ok := r.http.Call(f.Call); ok && f.Kind == probe.FailureCall {
		if call.Status >= 500 {
			return nil
		}
		problem = call.Problem
	}
	if problem == nil || problem.Status >= 500 || f.Kind != probe.FailureCall && f.Kind != probe.FailureObject {
		return nil
	}
	return problem
}

// refusedByCAA reports whether err is that a CAA record forbids it.
func refusedByCAA(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.Problem != nil && f.Problem.Type == probe.ProblemCAA
}

// meant reports whether the problem is the one that was expected. A request that is
// unauthorized speaks of our account, and not of the name. "incorrectResponse" is what
// RFC 8555 §6.7 has beside it for an answer that is not the one.
func (a *attempt) meant(f *failure, problem *probe.Problem) bool {
	if a.unproved() {
		return f.Kind == probe.FailureObject && f.Step == probe.StepValidation &&
			(problem.Type == a.expected || problem.Type == "incorrectResponse")
	}
	return problem.Type == a.expected
}

// mayAccuse reports whether the follow-up may find what the CA has to refuse.
func mayAccuse(f probe.FollowUp) bool { return f.Forbidden != nil }

// entrust tells the follow-ups what it proves if they find what the CA has to refuse.
// Where that cannot be stored, less is proved. Of what the run itself tells they are
// silent once it is told.
func (r *run) entrust(a *attempt, doubt string) {
	if a.expected == probe.ProblemCAA && doubt == "" && !r.spending.issued {
		doubt = "it may have looked for the CAA record again after the run, when that was gone"
	}
	for _, f := range slices.Clone(r.facts.FollowUps) {
		if mayAccuse(f) {
			_ = r.amend(f.ID, func(k *probe.Forbidden) { k.Doubt = doubt })
		}
	}
}

// accusation is the failure of a CA that went on with what it had to refuse: to a
// certificate, or to a valid authorization alone.
func accusation(expected, name, doubt string, issued bool) *failure {
	kind, step, detail := probe.RefusalMisauthorized, probe.StepValidation, "the CA has made the authorization valid, and "
	if issued {
		kind, step, detail = probe.RefusalMisissued, probe.StepFinalization, "the CA has issued a certificate, and "
	}
	detail += map[string]string{
		probe.ProblemUnauthorized:       "nobody got the challenge's answer from us",
		probe.ProblemCAA:                "our name server forbids it by a CAA record",
		probe.ProblemRejectedIdentifier: "its policy had to refuse the name",
	}[expected]
	if doubt != "" {
		kind = probe.RefusalUnproven
		detail += "; but " + doubt
	}
	f := refusal(kind, step, detail).of(name)
	f.Object = objectAuthorization
	if issued {
		f.Object = objectCertificate
	}
	return f
}

// found notes that a follow-up has come upon what the CA had to refuse, if it had to,
// and reports whether nobody has told of it yet.
func (r *run) found() (untold bool) {
	known := r.FollowUp.Forbidden
	if known == nil {
		return false
	}
	r.facts.Refusal = &probe.Refusal{Expected: known.Expected}
	return !known.Told
}

// tell accuses the CA of what a follow-up has found, since nobody else would. What the
// follow-up is there for is done the next time, when it is stored that it was told: it
// may fail, or never be possible. Err is what has failed already; nil: nothing.
func (r *run) tell(issued bool, err error) error {
	known := r.FollowUp.Forbidden
	f := accusation(known.Expected, known.Identifier, known.Doubt, issued)
	f.Detail += "; it was found after the run"
	if then, ok := errors.AsType[*failure](err); ok {
		f.Detail += "; then: " + then.Detail
	}
	f.Call = r.lastCall()
	return f
}

// refusal is the failure of a CA that did not refuse as it had to.
func refusal(kind probe.RefusalKind, step probe.StepName, detail string) *failure {
	f := fail(probe.FailureRefusal, objectOrder, detail)
	f.Refusal, f.Step = kind, step
	return f
}
