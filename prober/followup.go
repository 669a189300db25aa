package prober

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// validationLasts is how long a CA may go on validating after a run was cut:
// attempts of a CA that tries again (RFC 8555 §8.2) are minutes apart.
const validationLasts = 15 * time.Minute

// followDeactivateAuthz deactivates the follow-up's authorization if it is
// valid. It succeeds where nothing is left to be done. An authorization that is
// pending is left alone; while it is young it may still become valid, and so is
// not done with. A follow-up that can never succeed is dropped.
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
		if err == nil && a.Status == acme.StatusPending && time.Since(r.FollowUp.Created) < validationLasts {
			f := r.broken(objectAuthorization, "the authorization is still pending: the CA may yet find it valid")
			f.Kind = probe.FailureTimeout
			return f
		}
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
