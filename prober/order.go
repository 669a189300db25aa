package prober

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// mostAuthorizations bounds the authorizations of an order for so many names.
// "There may not be a 1:1 relationship" (RFC 8555 §7.1.3), but each costs a
// request.
func mostAuthorizations(names int) int { return max(10, 2*names) }

// maxChallenges bounds the challenges that an authorization offers.
const maxChallenges = 50

// order is an order in progress: what is asked for, and, once it is placed, what
// the CA made of it.
type order struct {
	names    []string // as [orderNames] returns them
	profile  string   // empty: the CA's default
	url      string   // from new-order's Location: later answers may lack it
	finalize string
	urls     []string // of its authorizations
	status   string   // pending or ready
	// documents are its authorizations as they were read, by their URLs: the
	// client's types leave out what they do not know.
	documents map[string][]byte
}

// probeOrder places an order and reads it back, with its authorizations. It
// solves nothing; the order is left to expire.
func probeOrder(ctx context.Context, r *run) error {
	m := r.Pair.Module.Order
	names, err := r.reserve(probe.SpendOrder, m.Names)
	if err != nil {
		return err
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	o := &order{names: names, profile: m.Profile}
	err = r.step(probe.StepOrder, "", func() (err error) {
		if err := r.newOrder(ctx, o); err != nil {
			return err
		}
		placed := *o
		read, ex, err := r.getOrder(ctx, "", o.url)
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

// placeOrder is the step order: it places the order.
func (r *run) placeOrder(ctx context.Context, o *order) error {
	return r.step(probe.StepOrder, "", func() error { return r.newOrder(ctx, o) })
}

// newOrder places the order (RFC 8555 §7.4). One that was placed before is placed
// anew.
func (r *run) newOrder(ctx context.Context, o *order) error {
	var options []acme.OrderOption
	if o.profile != "" {
		if _, offered := r.directory.Meta.Profiles[o.profile]; !offered {
			// A CA refuses profiles that its directory does not list: there is nothing
			// to be learnt from asking.
			return fail(probe.FailureUnsupported, objectDirectory, fmt.Sprintf("the CA's directory offers no profile %q", o.profile))
		}
		options = append(options, acme.WithOrderIssuanceProfile(acme.ProfileName(o.profile)))
	}
	var placed *acme.Order
	ex, err := r.exchange(ctx, acmehttp.Exchange{}, func(ctx context.Context, _ *acmehttp.Exchange) (err error) {
		placed, err = r.client.AuthorizeOrder(ctx, identifiers(o.names), options...)
		return err
	})
	if f, ok := errors.AsType[*failure](err); !ok || !f.unsent() {
		// Refused or not: the CA may have counted it.
		r.spending.order = true
	}
	if err != nil {
		return err
	}
	if o.url = placed.URI; !isHTTPS(o.url) {
		return r.unusable(objectOrder, "the Location of new-order's answer", o.url)
	}
	return r.checkOrder(o, placed, ex.Response.Body)
}

// getOrder reads the order at url by POST-as-GET. The call is empty where new-order
// taught the URL.
func (l *line) getOrder(ctx context.Context, call probe.CallName, url string) (o *acme.Order, ex *acmehttp.Exchange, err error) {
	ex, err = l.exchange(ctx, acmehttp.Exchange{Call: call}, func(ctx context.Context, _ *acmehttp.Exchange) (err error) {
		o, err = l.client.GetOrder(ctx, url)
		return err
	})
	return o, ex, err
}

// checkOrder holds an order that is yet to be finalized against what was asked
// for, and completes o with what it says.
func (l *line) checkOrder(o *order, got *acme.Order, body []byte) error {
	if err := l.checkOrderStatus(got.Status, body); err != nil {
		return err
	}
	ids := make([]string, len(got.Identifiers))
	for i, id := range got.Identifiers {
		name, ok := identifierName(id)
		if !ok {
			return l.broken(objectOrder, "the order has an identifier of the type %q", quoted(id.Type))
		}
		ids[i] = name
	}
	slices.Sort(ids)
	if !slices.Equal(ids, o.names) {
		return l.broken(objectOrder, "the order is for other identifiers than those that were ordered")
	}
	if !isHTTPS(got.FinalizeURL) {
		return l.unusable(objectOrder, "the order's finalize", got.FinalizeURL)
	}
	if len(got.AuthzURLs) == 0 {
		return l.broken(objectOrder, "the order has no authorizations")
	}
	if most := mostAuthorizations(len(o.names)); len(got.AuthzURLs) > most {
		return l.broken(objectOrder, "the order has %d authorizations, more than %d", len(got.AuthzURLs), most)
	}
	for i, url := range got.AuthzURLs {
		if !isHTTPS(url) {
			return l.unusable(objectOrder, "the URL of an authorization of the order", url)
		}
		if slices.Contains(got.AuthzURLs[:i], url) {
			return l.broken(objectOrder, "the order lists an authorization twice")
		}
	}
	if profile := orderProfile(body); profile != "" && o.profile != "" && profile != o.profile {
		return l.broken(objectOrder, "the order has the profile %q, asked for was %q", quoted(profile), o.profile)
	}
	o.finalize, o.urls, o.status = got.FinalizeURL, got.AuthzURLs, got.Status
	return nil
}

// checkOrderStatus reports a status that an order cannot have before it is
// finalized, or from which nothing good comes (RFC 8555 §7.1.6).
func (l *line) checkOrderStatus(status string, body []byte) error {
	switch status {
	case acme.StatusPending, acme.StatusReady:
		return nil
	case acme.StatusInvalid:
		return l.invalidOrder(body)
	case acme.StatusProcessing, acme.StatusValid:
		return l.broken(objectOrder, "the order is %s before it was finalized", status)
	}
	return l.broken(objectOrder, "the order has an unknown status %q", quoted(status))
}

// orderProfile returns the profile that the order in body is said to have;
// empty: none, as where the CA does not say.
func orderProfile(body []byte) string {
	var o struct {
		Profile string `json:"profile"`
	}
	_ = json.Unmarshal(body, &o) // it was read before
	return o.Profile
}

// invalidOrder is the failure of an order that turned invalid, with the problem
// that is embedded in body, the order as it was read.
func (l *line) invalidOrder(body []byte) *failure {
	var o struct {
		Error json.RawMessage `json:"error"`
	}
	_ = json.Unmarshal(body, &o) // it was read before
	return l.invalid(objectOrder, "the order is invalid", o.Error)
}

// invalid is the failure of an object that ended otherwise than hoped, with
// the problem document that is embedded in it; nil: there is none.
func (l *line) invalid(object, detail string, problem json.RawMessage) *failure {
	f := l.broken(object, "%s", detail)
	f.Kind = probe.FailureObject
	f.Problem = acmehttp.ParseProblem(problem)
	return f
}

// readAuthorizations is the step authorization: it reads every authorization of
// the order (RFC 8555 §7.5), in the order's order.
func (r *run) readAuthorizations(ctx context.Context, o *order) ([]*acme.Authorization, error) {
	authzs := make([]*acme.Authorization, len(o.urls))
	bodies := make([][]byte, len(o.urls))
	err := r.step(probe.StepAuthorization, "", func() error {
		return r.parallel(len(o.urls), func(l *line, i int) error {
			a, ex, err := l.getAuthorization(ctx, "", o.urls[i])
			if err != nil {
				return err
			}
			authzs[i], bodies[i] = a, ex.Response.Body
			return l.checkAuthorization(o, a, ex.Response)
		})
	})
	o.documents = make(map[string][]byte, len(bodies))
	for i, body := range bodies {
		o.documents[o.urls[i]] = body
	}
	return authzs, err
}

// getAuthorization reads the authorization at url by POST-as-GET. The call is
// empty where an order taught the URL.
func (l *line) getAuthorization(ctx context.Context, call probe.CallName, url string) (a *acme.Authorization, ex *acmehttp.Exchange, err error) {
	ex, err = l.exchange(ctx, acmehttp.Exchange{Call: call}, func(ctx context.Context, _ *acmehttp.Exchange) (err error) {
		a, err = l.client.GetAuthorization(ctx, url)
		return err
	})
	return a, ex, err
}

// checkAuthorization reports an authorization that is neither pending nor
// valid, or not for a name of the order.
func (l *line) checkAuthorization(o *order, a *acme.Authorization, resp *acmehttp.Response) error {
	name, ok := authorizedName(a)
	if _, ordered := slices.BinarySearch(o.names, name); !ok || !ordered {
		return l.broken(objectAuthorization, "the authorization is for an identifier that was not ordered")
	}
	if len(a.Challenges) > maxChallenges {
		return l.broken(objectAuthorization, "the authorization has %d challenges, more than %d", len(a.Challenges), maxChallenges).of(name)
	}
	return l.checkAuthorizationStatus(name, a.Status, resp)
}

// checkAuthorizationStatus reports a status from which nothing good comes (RFC
// 8555 §7.1.6).
func (l *line) checkAuthorizationStatus(name, status string, resp *acmehttp.Response) error {
	switch status {
	case acme.StatusPending, acme.StatusValid:
		return nil
	case acme.StatusInvalid:
		object, problem := challengeProblem(resp.Body)
		f := l.invalid(object, "the authorization is invalid", problem).of(name)
		f.dead = true
		return f
	case acme.StatusDeactivated, acme.StatusExpired, acme.StatusRevoked:
		f := l.invalid(objectAuthorization, "the authorization is "+status, nil).of(name)
		f.dead = true
		return f
	}
	return l.broken(objectAuthorization, "the authorization has an unknown status %q", quoted(status)).of(name)
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
