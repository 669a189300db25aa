package prober

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxToken bounds a challenge's token, in bytes: it becomes a file name.
const maxToken = 200

// task is one authorization to be made valid, by one challenge. While several
// are worked on at a time, the line that works on one owns it.
type task struct {
	name      string // a wildcard with its "*."
	authz     *acme.Authorization
	challenge *acme.Challenge

	answer probe.Challenge
	// standing is the value of the answer's record where it is not ours to write;
	// empty: it has to be ours.
	standing string
	withdraw func() []probe.Visit // nil: no responder has the answer
	// heard says that the CA may have taken the challenge for accepted, dead that
	// the authorization can never be valid again.
	heard, dead bool
	// validated says that the CA has validated by the time it answered.
	validated bool
	// retryAfter is what the answer asked for; 0: nothing.
	retryAfter time.Duration
	// problem is what the CA said last of why the challenge is not valid yet; nil:
	// nothing.
	problem *probe.Problem
}

// base returns the name, a wildcard's without its "*.".
func (t *task) base() string { return strings.TrimPrefix(t.name, wildcardPrefix) }

// solve has the CA validate the names of pending authorizations, at least one.
// Fresh authorizations that come of it are left to follow-ups to deactivate.
func (r *run) solve(ctx context.Context, o *order, authzs []*acme.Authorization, m method) (err error) {
	tasks := make([]*task, len(authzs))
	names := make([]string, len(authzs))
	for i, a := range authzs {
		names[i], _ = authorizedName(a)
		c, err := r.choose(a, m.challenge)
		if err != nil {
			return err
		}
		tasks[i] = &task{name: names[i], authz: a, challenge: c}
		if err := r.prepare(o, tasks[i], m.policy); err != nil {
			return err
		}
		tasks[i].answer.Withheld, tasks[i].answer.Forbidden = m.withheld, m.forbidden
	}
	here, elsewhere := r.split(tasks)
	validated := false
	defer func() {
		over := time.Since(r.Start)
		if !m.withheld && !(m.forbidden && refusedByCAA(err)) { // else there is nothing to be found out
			r.lookUp(ctx, tasks, err)
		}
		for _, t := range tasks {
			if t.withdraw == nil {
				continue
			}
			for _, v := range t.withdraw() {
				if v.At <= over { // else it is of those whom we have asked
					r.facts.Visits = append(r.facts.Visits, v)
				}
			}
		}
		if validated && len(elsewhere) == 0 {
			r.countPerspectives(tasks)
		}
	}()
	var promises []promise
	err = r.step(probe.StepSetup, about(names), func() (err error) {
		if m.mode == config.AuthorizationFresh {
			if promises, err = r.promise(tasks, m.forbids); err != nil {
				return err
			}
		}
		return r.presentAll(ctx, here)
	})
	if err == nil && len(elsewhere) > 0 {
		err = r.publish(ctx, elsewhere)
	}
	if err == nil {
		err = r.step(probe.StepValidation, about(names), func() error {
			passed := false
			defer func() { r.spending.tried(tasks, passed) }() // after a panic too
			err := r.validate(ctx, o, tasks)
			passed = err == nil
			validated = passed
			return err
		})
	}
	if err == nil && m.then != nil {
		err = m.then()
	}
	if err != nil {
		r.settle(promises)
	}
	return err
}

// lookUp asks the world for what validators have not found, while it is still there:
// of the tasks, for the one that err is about, or the first.
func (r *run) lookUp(ctx context.Context, tasks []*task, err error) {
	f, ok := errors.AsType[*failure](err)
	if !ok || r.Lookup == nil || f.Step != probe.StepValidation || f.Kind != probe.FailureObject && f.Kind != probe.FailureTimeout {
		return
	}
	i := max(0, slices.IndexFunc(tasks, func(t *task) bool { return t.name == f.Identifier }))
	// The run's time may be over: it is not what is measured.
	r.facts.Lookups = r.Lookup(context.WithoutCancel(ctx), tasks[i].answer)
}

// choose returns the challenge of that type.
func (r *run) choose(a *acme.Authorization, typ probe.ChallengeType) (*acme.Challenge, error) {
	name, _ := authorizedName(a)
	i := slices.IndexFunc(a.Challenges, func(c *acme.Challenge) bool { return c.Type == string(typ) })
	if i < 0 {
		f := r.broken(objectAuthorization, "the CA offers no %s challenge", typ).of(name)
		f.Kind = probe.FailureUnsupported
		return nil, f
	}
	c := a.Challenges[i]
	if !isHTTPS(c.URI) {
		return nil, r.unusable(objectChallenge, "the challenge's url", c.URI).of(name)
	}
	if typ != probe.DNSPersist01 && (!isBase64URL(c.Token) || len(c.Token) > maxToken) {
		return nil, r.broken(objectChallenge, "the challenge's token is not a string of base64url of at most %d bytes", maxToken).of(name)
	}
	return c, nil
}

// prepare works out the answer to the task's challenge. Nobody hears of it yet.
func (r *run) prepare(o *order, t *task, policy string) (err error) {
	typ := probe.ChallengeType(t.challenge.Type)
	t.answer = probe.Challenge{Type: typ, Identifier: t.authz.Identifier.Value, Start: r.Start}
	switch typ {
	case probe.DNSPersist01:
		t.answer.Record, t.standing, err = r.persistRecord(o, t, policy)
		return err
	case probe.DNS01, probe.DNSAccount01:
		t.answer.Record, err = r.keyRecord(typ, t.base(), t.challenge.Token)
	default:
		t.answer.Token = t.challenge.Token
		t.answer.KeyAuthorization, err = r.client.HTTP01ChallengeResponse(t.challenge.Token) // RFC 8555 §8.1: the same for every type
	}
	if err != nil {
		return fail(probe.FailureLocal, objectChallenge, "cannot make the answer: "+quoted(err.Error())).of(t.name)
	}
	return nil
}

// split tells the tasks that one of our responders answers from those whose
// records are elsewhere.
func (r *run) split(tasks []*task) (here, elsewhere []*task) {
	for _, t := range tasks {
		place, _ := r.Responders.Place(t.answer.Record.Name)
		// A name that nobody has is for the responder to refuse, unless somebody
		// else may have its record.
		if !t.answer.Type.DNS() || place == config.PlaceResponder || place == config.PlaceNobody && t.standing == "" {
			here = append(here, t)
		} else {
			elsewhere = append(elsewhere, t)
		}
	}
	return here, elsewhere
}

// presentAll publishes the answers of our responders. Of tls-alpn-01 there is one
// for a name at a time, and another target's may have to be waited for: taken in
// the order of the names, no two runs wait for each other.
func (r *run) presentAll(ctx context.Context, tasks []*task) error {
	if len(tasks) == 0 {
		return nil
	}
	if tasks[0].answer.Type != probe.TLSALPN01 {
		return r.parallel(len(tasks), func(_ *line, i int) error { return r.present(ctx, tasks[i]) })
	}
	byName := slices.SortedFunc(slices.Values(tasks), func(a, b *task) int { return strings.Compare(a.name, b.name) })
	for i, t := range byName {
		if i > 0 && byName[i-1].name == t.name {
			// It would wait for itself.
			return r.broken(objectOrder, "the order has two authorizations for one name: by tls-alpn-01 only one of them can be answered").of(t.name)
		}
		if err := r.present(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// present has a responder of ours answer a challenge. It changes nothing but t.
func (r *run) present(ctx context.Context, t *task) (err error) {
	if t.withdraw, err = r.Solver.Present(ctx, t.answer); err != nil {
		return fail(probe.FailureLocal, objectChallenge, "cannot publish the answer: "+quoted(err.Error())).of(t.name)
	}
	return nil
}

// validate accepts the challenges (RFC 8555 §7.5.1) and waits until their
// authorizations are valid.
func (r *run) validate(ctx context.Context, o *order, tasks []*task) error {
	err := r.parallel(len(tasks), func(l *line, i int) error {
		t := tasks[i]
		status, err := l.accept(ctx, t)
		switch {
		case err != nil || status == acme.StatusPending || status == acme.StatusProcessing:
			return err
		case status == acme.StatusValid && len(tasks) > 1:
			t.validated = true // the order will tell if it is not so
			return nil
		}
		// The CA validated while we waited for its answer, as step-ca does. The
		// authorization is the one to say so.
		_, t.retryAfter, err = l.look(ctx, t)
		if l.cut(ctx, err) {
			return nil // who waits for it says that the time was over
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(tasks) == 1 {
		return r.awaitAuthorization(ctx, tasks[0])
	}
	return r.awaitReady(ctx, o, tasks)
}

// accept tells the CA that the challenge may be validated. It returns the
// challenge's status, invalid for one that has an error.
func (l *line) accept(ctx context.Context, t *task) (status string, err error) {
	t.heard = true // until it is known better
	var answer *acme.Challenge
	ex, err := l.exchange(ctx, acmehttp.Exchange{}, func(ctx context.Context, _ *acmehttp.Exchange) (err error) {
		answer, err = l.client.Accept(ctx, &acme.Challenge{URI: t.challenge.URI})
		return err
	})
	if f, ok := errors.AsType[*failure](err); ok {
		t.heard = !f.unheard
		return "", f.of(t.name)
	}
	t.retryAfter = l.retryAfter(ex)
	if answer.Error != nil {
		return acme.StatusInvalid, nil
	}
	return answer.Status, nil
}

// look reads a task's authorization once, and reports what failed. The status
// is empty when the authorization is valid, and the task has been validated.
func (l *line) look(ctx context.Context, t *task) (status string, retryAfter time.Duration, err error) {
	got, ex, err := l.getAuthorization(ctx, "", t.authz.URI)
	if err != nil {
		return "", 0, err
	}
	if err := l.checkAuthorizationStatus(t.name, got.Status, ex.Response); err != nil {
		f, ok := errors.AsType[*failure](err)
		t.dead = ok && f.dead
		return "", 0, err
	}
	if isValid(got) {
		t.validated = true
		return "", 0, nil
	}
	// While it tries again a CA tells in the challenge why (RFC 8555 §8.2).
	_, problem := challengeProblem(ex.Response.Body)
	t.problem = acmehttp.ParseProblem(problem)
	return got.Status, l.retryAfter(ex), l.checkChallenge(t, got, ex.Response)
}

// checkChallenge reports a challenge that failed although its authorization is
// still pending. A challenge that has an error and is no longer processing will
// not be tried again without a new request (RFC 8555 §8.2); step-ca leaves it
// pending then.
func (l *line) checkChallenge(t *task, a *acme.Authorization, resp *acmehttp.Response) error {
	for _, c := range a.Challenges {
		if c.URI != t.challenge.URI {
			continue
		}
		switch {
		case c.Status == acme.StatusInvalid,
			c.Status == acme.StatusPending && c.Error != nil:
			_, problem := challengeProblem(resp.Body)
			return l.invalid(objectChallenge, fmt.Sprintf("the challenge is %s and has an error", c.Status), problem).of(t.name)
		}
	}
	return nil
}
