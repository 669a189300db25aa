package prober

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// lastLook is how long before the end of a run it is asked which authorizations
// hold up an order, while there is time to.
const lastLook = 5 * time.Second

// awaitAuthorization waits until the one authorization is valid.
func (r *run) awaitAuthorization(ctx context.Context, t *task) error {
	if t.validated {
		return nil
	}
	err := r.poll(ctx, objectAuthorization, acme.StatusPending, t.retryAfter, func(ctx context.Context) (string, time.Duration, error) {
		return r.look(ctx, t)
	})
	if f, ok := errors.AsType[*failure](err); ok && f.Kind == probe.FailureTimeout {
		f.Problem = t.problem
		f.Identifier = t.name
	}
	return err
}

// awaitReady waits until the order is ready, which it is when all authorizations
// are valid (RFC 8555 §7.1.6): one request for all of them instead of one for
// each. Where it becomes invalid, or does not come to an end, the authorizations
// say because of which name.
func (r *run) awaitReady(ctx context.Context, o *order, tasks []*task) error {
	asked := false
	look := func(ctx context.Context) (string, time.Duration, error) {
		got, ex, err := r.getOrder(ctx, "", o.url)
		if err != nil {
			return "", 0, err
		}
		if err := r.checkOrderStatus(got.Status, ex.Response.Body); err != nil {
			if got.Status == acme.StatusInvalid {
				err = r.blame(ctx, tasks, err)
			}
			return "", 0, err
		}
		if o.status = got.Status; o.status == acme.StatusReady {
			return "", 0, nil
		}
		if !asked && remaining(ctx) < lastLook {
			asked = true
			if err := r.blame(ctx, tasks, nil); err != nil {
				return "", 0, err
			}
		}
		return got.Status, r.retryAfter(ex), nil
	}
	if !slices.ContainsFunc(tasks, func(t *task) bool { return !t.validated }) {
		// There is nothing to wait for but an order that lags behind.
		if state, _, err := look(ctx); !r.cut(ctx, err) && (err != nil || state == "") {
			return err
		}
	}
	var wait time.Duration
	for _, t := range tasks {
		wait = max(wait, t.retryAfter)
	}
	err := r.poll(ctx, objectOrder, acme.StatusPending, wait, look)
	if f, ok := errors.AsType[*failure](err); ok && f.Kind == probe.FailureTimeout && asked {
		describeUnfinished(f, tasks)
	}
	return err
}

// blame reads the authorizations that are not known to be valid and returns the
// failure of the first one that is invalid. If there is none it returns other.
func (r *run) blame(ctx context.Context, tasks []*task, other error) error {
	unfinished := slices.DeleteFunc(slices.Clone(tasks), func(t *task) bool { return t.validated })
	found := make([]*failure, len(unfinished))
	// What goes wrong in reading them is not what there is to tell.
	_ = r.parallel(len(unfinished), func(l *line, i int) error {
		_, _, err := l.look(ctx, unfinished[i])
		if f, ok := errors.AsType[*failure](err); ok && f.Kind == probe.FailureObject {
			found[i] = f
			return nil
		}
		return err
	})
	found = slices.DeleteFunc(found, func(f *failure) bool { return f == nil })
	if len(found) == 0 {
		return other
	}
	first := found[0]
	if more := len(found) - 1; more > 0 {
		names := make([]string, len(found))
		for i, f := range found {
			names[i] = f.Identifier
		}
		first.Detail += fmt.Sprintf(", as are others: %d of %d names failed, %s", len(found), len(tasks), list(names))
	}
	return first
}

// describeUnfinished says in a failure for want of time which names it is about.
func describeUnfinished(f *failure, tasks []*task) {
	var names []string
	for _, t := range tasks {
		if t.validated {
			continue
		}
		if names = append(names, t.name); f.Problem == nil && t.problem != nil {
			f.Problem, f.Identifier = t.problem, t.name
		}
	}
	if len(names) == 0 {
		return
	}
	if f.Identifier == "" {
		f.Identifier = names[0]
	}
	f.Detail += fmt.Sprintf("; not validated are %d of %d names: %s", len(names), len(tasks), list(names))
}
