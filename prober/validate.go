package prober

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// followUpLife is how long it is tried to deactivate an authorization. The names
// are never used again, so that one that is left over does no harm for long.
const followUpLife = 24 * time.Hour

// maxToken bounds a challenge's token, in bytes: it becomes a file name.
const maxToken = 200

// probeValidate has the CA validate a name. The order is never finalized: what
// stores, validates and resolves at the CA is measured without a certificate.
func probeValidate(ctx context.Context, r *run) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	m := r.Pair.Module.Validate
	_, err := r.authorize(ctx, randomNames(m.Names), m.Challenge, config.AuthorizationFresh)
	return err
}

// authorize places an order for the names and has each of them validated.
func (r *run) authorize(ctx context.Context, names []string, typ probe.ChallengeType, mode config.AuthorizationMode) (*order, error) {
	o, err := r.placeOrder(ctx, names)
	if err != nil {
		return nil, err
	}
	authzs, err := r.readAuthorizations(ctx, o)
	if err != nil {
		return nil, err
	}
	if mode == config.AuthorizationFresh && slices.ContainsFunc(authzs, isValid) {
		// A valid authorization would skip the validation that is to be
		// measured. One order for the names has to be enough to be rid of it.
		if o, authzs, err = r.drain(ctx, o, authzs); err != nil {
			return nil, err
		}
	}
	for _, a := range authzs {
		if isValid(a) {
			continue
		}
		if err := r.solve(ctx, a, typ, mode == config.AuthorizationFresh); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// isValid reports whether the authorization is valid already.
func isValid(a *acme.Authorization) bool { return a.Status == acme.StatusValid }

// drain deactivates the valid ones of the authorizations and places the order
// anew.
func (r *run) drain(ctx context.Context, o *order, authzs []*acme.Authorization) (*order, []*acme.Authorization, error) {
	for _, a := range authzs {
		if !isValid(a) {
			continue // never a pending one: at Let's Encrypt that is a failed validation
		}
		if err := r.deactivate(ctx, a.URI, a.Identifier.Value); err != nil {
			return nil, nil, err
		}
	}
	o, err := r.placeOrder(ctx, o.names)
	if err != nil {
		return nil, nil, err
	}
	if authzs, err = r.readAuthorizations(ctx, o); err != nil {
		return nil, nil, err
	}
	if slices.ContainsFunc(authzs, isValid) {
		f := r.broken(objectAuthorization, "the CA takes the name for authorized without validating it, even after the authorization was deactivated")
		f.Kind = probe.FailureUnsupported
		return nil, nil, f
	}
	return o, authzs, nil
}

// deactivate is the step deactivation of one authorization (RFC 8555 §7.5.2).
// A CA that has no deactivation, as step-ca has none, gets a failure of the
// kind unsupported.
func (r *run) deactivate(ctx context.Context, url, name string) error {
	return r.step(probe.StepDeactivation, name, func() error {
		ex, err := r.post(ctx, acmehttp.Exchange{Call: probe.CallDeactivateAuthz}, url, json.RawMessage(`{"status":"deactivated"}`))
		if f, ok := errors.AsType[*failure](err); ok && ex.Response != nil &&
			(f.problem == "malformed" || ex.Response.Status == http.StatusMethodNotAllowed || ex.Response.Status == http.StatusNotImplemented) {
			f.Kind, f.Object = probe.FailureUnsupported, objectAuthorization
			f.Detail = "the CA does not let authorizations be deactivated: " + f.Detail
		}
		if err != nil {
			return err
		}
		var a struct {
			Status string `json:"status"`
		}
		if err := json.Unmarshal(ex.Response.Body, &a); err != nil {
			return r.broken(objectAuthorization, "the deactivated authorization cannot be read: %s", quoted(err.Error()))
		}
		if a.Status != acme.StatusDeactivated {
			return r.broken(objectAuthorization, "the authorization is %q after its deactivation", quoted(a.Status))
		}
		return nil
	})
}

// solve has the CA validate the name of a pending authorization. With undo, the
// authorization that comes of it is left to a follow-up to deactivate.
func (r *run) solve(ctx context.Context, a *acme.Authorization, typ probe.ChallengeType, undo bool) error {
	name := a.Identifier.Value
	c, err := r.choose(a, typ)
	if err != nil {
		return err
	}
	var withdraw func() []probe.Visit
	var followUp string
	err = r.step(probe.StepSetup, name, func() (err error) {
		if undo {
			if followUp, err = r.promise(a.URI); err != nil {
				return err
			}
		}
		withdraw, err = r.present(ctx, name, c.Token, typ)
		return err
	})
	if withdraw != nil {
		defer func() { r.facts.Visits = append(r.facts.Visits, withdraw()...) }()
	}
	if err == nil {
		err = r.step(probe.StepValidation, name, func() error { return r.validate(ctx, a, c) })
	}
	if f, ok := errors.AsType[*failure](err); ok && followUp != "" && (f.unheard || f.dead) {
		r.settle(followUp)
	}
	return err
}

// present publishes the answer to a challenge.
func (r *run) present(ctx context.Context, name, token string, typ probe.ChallengeType) (func() []probe.Visit, error) {
	answer, err := r.client.HTTP01ChallengeResponse(token) // RFC 8555 §8.1: the same for every type
	if err == nil {
		var withdraw func() []probe.Visit
		withdraw, err = r.Solver.Present(ctx, probe.Challenge{
			Type:             typ,
			Identifier:       name,
			Token:            token,
			KeyAuthorization: answer,
			Start:            r.Start,
		})
		if err == nil {
			return withdraw, nil
		}
	}
	f := fail(probe.FailureLocal, objectChallenge, "cannot publish the answer: "+quoted(err.Error()))
	f.unheard = true
	return nil, f
}

// choose returns the challenge of that type.
func (r *run) choose(a *acme.Authorization, typ probe.ChallengeType) (*acme.Challenge, error) {
	i := slices.IndexFunc(a.Challenges, func(c *acme.Challenge) bool { return c.Type == string(typ) })
	if i < 0 {
		f := r.broken(objectAuthorization, "the CA offers no %s challenge", typ)
		f.Kind = probe.FailureUnsupported
		return nil, f
	}
	c := a.Challenges[i]
	if !isHTTPS(c.URI) {
		return nil, r.broken(objectChallenge, "the challenge's url is not an absolute https URL")
	}
	if !isBase64URL(c.Token) || len(c.Token) > maxToken {
		return nil, r.broken(objectChallenge, "the challenge's token is not a string of base64url of at most %d bytes", maxToken)
	}
	return c, nil
}

// validate accepts the challenge (RFC 8555 §7.5.1) and waits until its
// authorization is valid.
func (r *run) validate(ctx context.Context, a *acme.Authorization, c *acme.Challenge) (err error) {
	var answer *acme.Challenge
	ex, err := r.exchange(ctx, acmehttp.Exchange{}, func(ctx context.Context, _ *acmehttp.Exchange) (err error) {
		answer, err = r.client.Accept(ctx, &acme.Challenge{URI: c.URI})
		return err
	})
	if err != nil {
		return err
	}
	// The CA validates from now on, whatever becomes of our looks at it.
	defer func() {
		if f, ok := errors.AsType[*failure](err); ok {
			f.unheard = false
		}
	}()
	var last *acmehttp.Response
	look := func(ctx context.Context) (string, time.Duration, error) {
		got, ex, err := r.getAuthorization(ctx, "", a.URI)
		if err != nil {
			return "", 0, err
		}
		last = ex.Response
		if err := r.checkAuthorizationStatus(got.Status, last); err != nil || isValid(got) {
			return "", 0, err
		}
		return got.Status, r.retryAfter(ex), r.checkChallenge(got, c.URI, last)
	}
	state, wait := acme.StatusPending, r.retryAfter(ex)
	if answer.Status != acme.StatusPending && answer.Status != acme.StatusProcessing || answer.Error != nil {
		// The CA validated while we waited for its answer, as step-ca does. The
		// authorization is still the one to say so.
		if state, wait, err = look(ctx); err != nil || state == "" {
			return err
		}
	}
	err = r.poll(ctx, objectAuthorization, state, wait, look)
	if f, ok := errors.AsType[*failure](err); ok && f.Kind == probe.FailureTimeout && last != nil {
		// While it tries again a CA tells in the challenge why (RFC 8555 §8.2).
		_, problem := challengeProblem(last.Body)
		f.Problem = acmehttp.ParseProblem(problem)
	}
	return err
}

// checkChallenge reports a challenge that failed although its authorization is
// still pending. A challenge that has an error and is no longer processing will
// not be tried again without a new request (RFC 8555 §8.2); step-ca leaves it
// pending then.
func (r *run) checkChallenge(a *acme.Authorization, url string, resp *acmehttp.Response) error {
	for _, c := range a.Challenges {
		if c.URI != url {
			continue
		}
		switch {
		case c.Status == acme.StatusInvalid,
			c.Status == acme.StatusPending && c.Error != nil:
			_, problem := challengeProblem(resp.Body)
			return r.invalid(objectChallenge, fmt.Sprintf("the challenge is %s and has an error", c.Status), problem)
		}
	}
	return nil
}

// promise stores the follow-up that deactivates the authorization at url. The
// challenge may be accepted when it returns nil.
func (r *run) promise(url string) (id string, err error) {
	now := time.Now()
	f := probe.FollowUp{
		ID:      fmt.Sprintf("%s-%d", r.ID, len(r.facts.FollowUps)+1),
		Kind:    probe.FollowUpDeactivateAuthz,
		Pair:    r.Pair.Pair,
		Parent:  r.ID,
		URL:     url,
		Created: now,
		Expires: now.Add(followUpLife),
	}
	if err := r.FollowUps.Add(f); err != nil {
		return "", fail(probe.FailureLocal, "", "cannot store what is to be undone: "+quoted(err.Error()))
	}
	r.facts.FollowUps = append(r.facts.FollowUps, f)
	return f.ID, nil
}

// settle forgets a follow-up with nothing left to do. One that cannot be
// forgotten stays in the facts, and will find out by itself.
func (r *run) settle(id string) {
	if r.FollowUps.Drop(id) == nil {
		r.facts.FollowUps = slices.DeleteFunc(r.facts.FollowUps, func(f probe.FollowUp) bool { return f.ID == id })
	}
}
