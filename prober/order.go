package prober

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxAuthorizations bounds the authorizations of an order, for each of its
// names. "There may not be a 1:1 relationship" (RFC 8555 §7.1.3), but each
// costs a request.
const maxAuthorizations = 10

// order is an order in progress.
type order struct {
	names    []string // what was asked for: lower case, in order
	url      string   // from new-order's Location: later answers may lack it
	finalize string
	urls     []string // of its authorizations
	status   string   // pending or ready
}

// probeOrder places an order and reads it back, with its authorizations. It
// solves nothing; the order is left to expire.
func probeOrder(ctx context.Context, r *run) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	var o *order
	err := r.step(probe.StepOrder, "", func() (err error) {
		if o, err = r.newOrder(ctx, randomNames(r.Pair.Module.Order.Names)); err != nil {
			return err
		}
		placed := *o
		read, ex, err := r.getOrder(ctx, o.url)
		if err != nil {
			return err
		}
		if err := r.checkOrder(o, read, ex.Response.Body); err != nil {
			return err
		}
		if !slices.Equal(slices.Sorted(slices.Values(o.urls)), slices.Sorted(slices.Values(placed.urls))) {
			return r.broken(objectOrder, "the order has other authorizations than when it was placed")
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = r.readAuthorizations(ctx, o)
	return err
}

// placeOrder is the step order: it places an order for the names.
func (r *run) placeOrder(ctx context.Context, names []string) (o *order, err error) {
	err = r.step(probe.StepOrder, "", func() error {
		o, err = r.newOrder(ctx, names)
		return err
	})
	return o, err
}

// newOrder places an order for the names (RFC 8555 §7.4).
func (r *run) newOrder(ctx context.Context, names []string) (*order, error) {
	var placed *acme.Order
	ex, err := r.exchange(ctx, acmehttp.Exchange{}, func(ctx context.Context, _ *acmehttp.Exchange) (err error) {
		placed, err = r.client.AuthorizeOrder(ctx, acme.DomainIDs(names...))
		return err
	})
	if err != nil {
		return nil, err
	}
	o := &order{names: names, url: placed.URI}
	if !isHTTPS(o.url) {
		return nil, r.broken(objectOrder, "the Location of new-order's answer is not an absolute https URL")
	}
	return o, r.checkOrder(o, placed, ex.Response.Body)
}

// getOrder reads the order at url by POST-as-GET.
func (r *run) getOrder(ctx context.Context, url string) (o *acme.Order, ex *acmehttp.Exchange, err error) {
	ex, err = r.exchange(ctx, acmehttp.Exchange{}, func(ctx context.Context, _ *acmehttp.Exchange) (err error) {
		o, err = r.client.GetOrder(ctx, url)
		return err
	})
	return o, ex, err
}

// checkOrder holds an order that is yet to be finalized against what was asked
// for, and completes o with what it says.
func (r *run) checkOrder(o *order, got *acme.Order, body []byte) error {
	switch got.Status {
	case acme.StatusPending, acme.StatusReady:
	case acme.StatusInvalid:
		return r.invalidOrder(body)
	case acme.StatusProcessing, acme.StatusValid:
		return r.broken(objectOrder, "the order is %s before it was finalized", got.Status)
	default:
		return r.broken(objectOrder, "the order has an unknown status %q", quoted(got.Status))
	}
	ids := make([]string, len(got.Identifiers))
	for i, id := range got.Identifiers {
		if id.Type != "dns" {
			return r.broken(objectOrder, "the order has an identifier of the type %q", quoted(id.Type))
		}
		ids[i] = strings.ToLower(id.Value)
	}
	slices.Sort(ids)
	if !slices.Equal(ids, o.names) {
		return r.broken(objectOrder, "the order is for other identifiers than those that were ordered")
	}
	if !isHTTPS(got.FinalizeURL) {
		return r.broken(objectOrder, "the order's finalize is not an absolute https URL")
	}
	if len(got.AuthzURLs) == 0 {
		return r.broken(objectOrder, "the order has no authorizations")
	}
	if most := maxAuthorizations * len(o.names); len(got.AuthzURLs) > most {
		return r.broken(objectOrder, "the order has %d authorizations, more than %d", len(got.AuthzURLs), most)
	}
	for i, url := range got.AuthzURLs {
		if !isHTTPS(url) {
			return r.broken(objectOrder, "the URL of an authorization of the order is not an absolute https URL")
		}
		if slices.Contains(got.AuthzURLs[:i], url) {
			return r.broken(objectOrder, "the order lists an authorization twice")
		}
	}
	o.finalize, o.urls, o.status = got.FinalizeURL, got.AuthzURLs, got.Status
	return nil
}

// invalidOrder is the failure of an order that turned invalid, with the problem
// that is embedded in body, the order as it was read.
func (r *run) invalidOrder(body []byte) *failure {
	var o struct {
		Error json.RawMessage `json:"error"`
	}
	_ = json.Unmarshal(body, &o) // it was read before
	return r.invalid(objectOrder, "the order is invalid", o.Error)
}

// invalid is the failure of an object that ended otherwise than hoped, with
// the problem document that is embedded in it; nil: there is none.
func (r *run) invalid(object, detail string, problem json.RawMessage) *failure {
	f := r.broken(object, "%s", detail)
	f.Kind = probe.FailureObject
	f.Problem = acmehttp.ParseProblem(problem)
	return f
}

// readAuthorizations is the step authorization: it reads every authorization of
// the order (RFC 8555 §7.5).
func (r *run) readAuthorizations(ctx context.Context, o *order) (authzs []*acme.Authorization, err error) {
	err = r.step(probe.StepAuthorization, "", func() error {
		for _, url := range o.urls {
			a, ex, err := r.getAuthorization(ctx, "", url)
			if err != nil {
				return err
			}
			if err := r.checkAuthorization(o, a, ex.Response); err != nil {
				return err
			}
			authzs = append(authzs, a)
		}
		return nil
	})
	return authzs, err
}

// getAuthorization reads the authorization at url by POST-as-GET. The call is
// empty where an order taught the URL.
func (r *run) getAuthorization(ctx context.Context, call probe.CallName, url string) (a *acme.Authorization, ex *acmehttp.Exchange, err error) {
	ex, err = r.exchange(ctx, acmehttp.Exchange{Call: call}, func(ctx context.Context, _ *acmehttp.Exchange) (err error) {
		a, err = r.client.GetAuthorization(ctx, url)
		return err
	})
	return a, ex, err
}

// checkAuthorization reports an authorization that is neither pending nor
// valid, or not for a name of the order.
func (r *run) checkAuthorization(o *order, a *acme.Authorization, resp *acmehttp.Response) error {
	if err := r.checkAuthorizationStatus(a.Status, resp); err != nil {
		return err
	}
	if a.Identifier.Type != "dns" || a.Wildcard || !slices.Contains(o.names, strings.ToLower(a.Identifier.Value)) {
		return r.broken(objectAuthorization, "the authorization is for an identifier that was not ordered")
	}
	return nil
}

// checkAuthorizationStatus reports a status from which nothing good comes (RFC
// 8555 §7.1.6).
func (r *run) checkAuthorizationStatus(status string, resp *acmehttp.Response) error {
	switch status {
	case acme.StatusPending, acme.StatusValid:
		return nil
	case acme.StatusInvalid:
		object, problem := challengeProblem(resp.Body)
		f := r.invalid(object, "the authorization is invalid", problem)
		f.dead = true
		return f
	case acme.StatusDeactivated, acme.StatusExpired, acme.StatusRevoked:
		f := r.invalid(objectAuthorization, "the authorization is "+status, nil)
		f.dead = true
		return f
	}
	return r.broken(objectAuthorization, "the authorization has an unknown status %q", quoted(status))
}

// challengeProblem returns the problem document of a challenge in body, an
// authorization as it was read, and whose it is: the challenge's, or the
// authorization's for want of one.
func challengeProblem(body []byte) (object string, problem json.RawMessage) {
	var a struct {
		Challenges []struct {
			Error json.RawMessage `json:"error"`
		} `json:"challenges"`
	}
	_ = json.Unmarshal(body, &a) // it was read before
	for _, c := range a.Challenges {
		if len(c.Error) > 0 && string(c.Error) != "null" {
			return objectChallenge, c.Error
		}
	}
	return objectAuthorization, nil
}

// randomNames returns names that nobody has used before, sorted.
func randomNames(n config.Names) []string {
	names := make([]string, max(n.Count, 1))
	for i := range names {
		// 20 characters of base32 are 100 random bits.
		names[i] = strings.ToLower(rand.Text()[:20] + "." + n.Zone)
	}
	slices.Sort(names)
	return names
}
