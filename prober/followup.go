package prober

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// followUpLife is how long it is tried to deactivate an authorization. The names
// are never used again, so that one that is left over does no harm for long.
const followUpLife = 24 * time.Hour

// maxPromised is how many authorizations one follow-up is for: as many as are
// dealt with in its time even where the pacer lets few requests through.
const maxPromised = 25

// promise is a follow-up that is stored, and the tasks that it is for.
type promise struct {
	id    string
	tasks []*task
}

// promise stores the follow-ups that deactivate the tasks' authorizations, which the CA
// has to refuse to make valid if forbidden is not nil. The challenges may be accepted
// when it returns nil.
func (r *run) promise(tasks []*task, forbidden *probe.Forbidden) (promises []promise, err error) {
	for some := range slices.Chunk(tasks, maxPromised) {
		f := probe.FollowUp{Kind: probe.FollowUpDeactivateAuthz, URL: some[0].authz.URI, Forbidden: forbidden}
		for _, t := range some[1:] {
			f.More = append(f.More, t.authz.URI)
		}
		id, err := r.leave(f, followUpLife)
		if err != nil {
			r.settle(promises) // nothing was accepted
			return nil, err
		}
		promises = append(promises, promise{id, some})
	}
	return promises, nil
}

// leave stores a follow-up of this run, which is tried for that long, and returns
// its ID. The side effect may happen when it returns nil.
func (r *run) leave(f probe.FollowUp, life time.Duration) (id string, err error) {
	if f.ID == "" {
		f.ID = fmt.Sprintf("%s-%d", r.ID, len(r.facts.FollowUps)+1)
	}
	f.Pair, f.Parent = r.Pair.Pair, r.ID
	f.Created = time.Now()
	f.Expires = f.Created.Add(life)
	if err := r.FollowUps.Add(f); err != nil {
		return "", fail(probe.FailureLocal, "", "cannot store what is to be undone: "+quoted(err.Error()))
	}
	r.facts.FollowUps = append(r.facts.FollowUps, f)
	return f.ID, nil
}

// amend stores what else a follow-up of this run has to know of what the CA had to
// refuse. It does nothing where there is no such follow-up.
func (r *run) amend(id string, change func(*probe.Forbidden)) error {
	i := slices.IndexFunc(r.facts.FollowUps, func(f probe.FollowUp) bool { return f.ID == id && mayAccuse(f) })
	if i < 0 {
		return nil
	}
	f := r.facts.FollowUps[i]
	known := *f.Forbidden // which others may be reading
	change(&known)
	f.Forbidden = &known
	if err := r.FollowUps.Add(f); err != nil {
		return fail(probe.FailureLocal, "", "cannot store what is to be undone: "+quoted(err.Error()))
	}
	r.facts.FollowUps[i] = f
	return nil
}

// settle forgets the follow-ups with nothing left to do: none of their
// authorizations can become valid. One that cannot be forgotten stays in the
// facts, and will find out by itself.
func (r *run) settle(promises []promise) {
	for _, p := range promises {
		open := slices.ContainsFunc(p.tasks, func(t *task) bool { return t.heard && !t.dead })
		if !open {
			r.forget(p.id)
		}
	}
}

// forget drops a follow-up of this run: its side effect cannot have happened.
func (r *run) forget(id string) {
	if r.FollowUps.Drop(id) == nil {
		r.facts.FollowUps = slices.DeleteFunc(r.facts.FollowUps, func(f probe.FollowUp) bool { return f.ID == id })
	}
}

// validationLasts is how long a CA may go on validating after a run was cut:
// attempts of a CA that tries again (RFC 8555 §8.2) are minutes apart.
const validationLasts = 15 * time.Minute

// followDeactivateAuthz deactivates those of the follow-up's authorizations that
// are valid. It succeeds where nothing is left to be done. One that is pending is
// left alone; while it is young it may still become valid, and so is not done
// with. A follow-up that can never succeed is dropped.
func followDeactivateAuthz(ctx context.Context, r *run) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	urls := append([]string{r.FollowUp.URL}, r.FollowUp.More...)
	authzs := make([]*acme.Authorization, len(urls)) // nil: the CA knows of none
	err := r.step(probe.StepAuthorization, "", func() error {
		return r.parallel(len(urls), func(l *line, i int) error {
			got, ex, err := l.getAuthorization(ctx, probe.CallAuthz, urls[i])
			if f, ok := errors.AsType[*failure](err); ok && f.problem != "" && ex.Response.Status == http.StatusNotFound {
				return nil // the CA, and not what stands before it, knows of none
			}
			authzs[i] = got
			return err
		})
	})
	if err != nil {
		return err
	}
	pending := slices.ContainsFunc(authzs, func(a *acme.Authorization) bool { return a != nil && a.Status == acme.StatusPending })
	authzs = slices.DeleteFunc(authzs, func(a *acme.Authorization) bool { return a == nil || !isValid(a) })
	if len(authzs) > 0 {
		if r.found() {
			return r.tell(false, nil)
		}
		err = r.deactivate(ctx, authzs)
	}
	if err == nil && pending && time.Since(r.FollowUp.Created) < validationLasts {
		f := fail(probe.FailureTimeout, objectAuthorization, "the authorization is still pending: the CA may yet find it valid")
		f.Step = probe.StepAuthorization
		return f
	}
	if f, ok := errors.AsType[*failure](err); ok && f.Kind == probe.FailureUnsupported {
		return r.giveUp(f)
	}
	return err
}
