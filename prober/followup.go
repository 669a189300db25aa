package prober

import (
	"context"
	"errors"
	"net/http"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// followDeactivateAuthz deactivates the follow-up's authorization if it is
// valid. It succeeds where nothing is left to be done: an authorization that is
// pending, in particular, is left alone. A follow-up that can never succeed is
// dropped.
func followDeactivateAuthz(ctx context.Context, r *run) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	url := r.FollowUp.URL
	var a *acme.Authorization
	err := r.step(probe.StepAuthorization, "", func() error {
		got, ex, err := r.getAuthorization(ctx, probe.CallAuthz, url)
		if f, ok := errors.AsType[*failure](err); ok && f.problem != "" && ex.Response.Status == http.StatusNotFound {
			return nil // the CA, and not what stands before it, knows of none
		}
		a = got
		return err
	})
	if err != nil || a == nil || !isValid(a) {
		return err
	}
	err = r.deactivate(ctx, url, bounded(a.Identifier.Value)) // nobody has held it against an order
	if f, ok := errors.AsType[*failure](err); ok && f.Kind == probe.FailureUnsupported {
		// No later attempt will do better. If it cannot be forgotten it is tried
		// until it expires.
		_ = r.FollowUps.Drop(r.FollowUp.ID)
	}
	return err
}
