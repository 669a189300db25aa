package prober

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// probeValidate has the CA validate names. The order is never finalized: what
// stores, validates and resolves at the CA is measured without a certificate.
func probeValidate(ctx context.Context, r *run) error {
	m := r.Pair.Module.Validate
	names, err := r.reserve(probe.SpendOrder|probe.SpendValidation, m.Names)
	if err != nil {
		return err
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	o := &order{names: names, profile: m.Profile}
	return r.authorize(ctx, o, method{challenge: m.Challenge, policy: m.PersistPolicy, mode: config.AuthorizationFresh})
}

// method is how names are to be validated.
type method struct {
	challenge probe.ChallengeType
	policy    string // of records of dns-persist-01; empty: none
	mode      config.AuthorizationMode
	// withheld: nobody gets the answers; forbidden: CAA lets nobody issue.
	withheld, forbidden bool
	// forbids is what the CA has to refuse; nil: to make the authorizations valid is right.
	forbids *probe.Forbidden
	// then is what is done with the valid authorizations while the answers are still
	// there; nil: nothing.
	then func() error
}

// authorize places an order for o's names and has each of them validated.
func (r *run) authorize(ctx context.Context, o *order, m method) error {
	authzs, err := r.orderAuthorizations(ctx, o)
	if err != nil {
		return err
	}
	if m.mode == config.AuthorizationFresh && slices.ContainsFunc(authzs, isValid) {
		// A valid authorization would skip the validation that is to be
		// measured. One order for the names has to be enough to be rid of it.
		if authzs, err = r.drain(ctx, o, authzs); err != nil {
			return err
		}
	}
	pending := slices.DeleteFunc(authzs, isValid)
	if len(pending) == 0 {
		return nil
	}
	return r.solve(ctx, o, pending, m)
}

// orderAuthorizations places the order and reads its authorizations.
func (r *run) orderAuthorizations(ctx context.Context, o *order) ([]*acme.Authorization, error) {
	if err := r.placeOrder(ctx, o); err != nil {
		return nil, err
	}
	return r.readAuthorizations(ctx, o)
}

// isValid reports whether the authorization is valid already.
func isValid(a *acme.Authorization) bool { return a.Status == acme.StatusValid }

// drain deactivates the valid ones of the authorizations, places the order anew
// and returns its authorizations.
func (r *run) drain(ctx context.Context, o *order, authzs []*acme.Authorization) ([]*acme.Authorization, error) {
	// Never a pending one: at Let's Encrypt that is a failed validation.
	valid := slices.DeleteFunc(slices.Clone(authzs), func(a *acme.Authorization) bool { return !isValid(a) })
	if err := r.deactivate(ctx, valid); err != nil {
		return nil, err
	}
	r.current = probe.StepOrder
	if _, err := r.take(probe.SpendOrder, o.names); err != nil {
		return nil, err
	}
	authzs, err := r.orderAuthorizations(ctx, o)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(authzs, isValid); i >= 0 {
		name, _ := authorizedName(authzs[i])
		f := r.broken(objectAuthorization, "the CA takes the name for authorized without validating it, even after the authorization was deactivated").of(name)
		f.Kind = probe.FailureUnsupported
		return nil, f
	}
	return authzs, nil
}

// deactivate is the step deactivation of authorizations (RFC 8555 §7.5.2), at
// least one.
func (r *run) deactivate(ctx context.Context, authzs []*acme.Authorization) error {
	names := make([]string, len(authzs))
	for i, a := range authzs {
		name, _ := authorizedName(a)
		names[i] = bounded(name) // a follow-up has not held it against an order
	}
	return r.step(probe.StepDeactivation, about(names), func() error {
		return r.parallel(len(authzs), func(l *line, i int) error {
			return l.deactivate(ctx, authzs[i].URI, names[i])
		})
	})
}

// deactivate deactivates one authorization. A CA that has no deactivation, as
// step-ca has none, gets a failure of the kind unsupported.
func (l *line) deactivate(ctx context.Context, url, name string) error {
	ex, err := l.post(ctx, acmehttp.Exchange{Call: probe.CallDeactivateAuthz}, url, json.RawMessage(`{"status":"deactivated"}`))
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
		return l.broken(objectAuthorization, "the deactivated authorization cannot be read: %s", quoted(err.Error())).of(name)
	}
	if a.Status != acme.StatusDeactivated {
		return l.broken(objectAuthorization, "the authorization is %q after its deactivation", quoted(a.Status)).of(name)
	}
	return nil
}
