package prober

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/revocation"
)

const (
	// watchLasts is how long a CA has to publish a revocation.
	watchLasts = 24 * time.Hour
	// watchKept is for how long the follow-up is kept that watches: longer than it
	// watches, so that there is a last look, which says that there will be none.
	watchKept = probe.WatchLife + 24*time.Hour
	// maxBlind is how long ago it may have been seen that a revocation does not show, so
	// that a look can still tell when it came to: twice the longest rest between two looks.
	maxBlind = 20 * time.Minute
)

// harmless are the flaws in spite of which clients take a list or an answer for what
// it says. Of any other it is not known whose word it is, or of when.
var harmless = []probe.FlawKind{probe.FlawCRLContentType, probe.FlawCRLNumber, probe.FlawOCSPContentType}

// watchRevocation leaves a follow-up for each way in which the certificate, which is
// revoked, says that others learn of it. Each has the ID that an earlier try gave it.
func (r *run) watchRevocation(what probe.Revocation) error {
	leaf, issuer, err := certificatesOf(&what)
	if err != nil || issuer == nil {
		return nil // whose word a list is could not be said
	}
	var watches []probe.FollowUp
	for _, via := range probe.RevocationVias() {
		if len(publishedAt(leaf, via)) > 0 {
			watched := what
			watched.Via = via
			watches = append(watches, probe.FollowUp{
				ID: r.FollowUp.ID + "-" + string(via), Kind: probe.FollowUpWatchRevocation, Revocation: &watched,
			})
		}
	}
	if len(watches) == 0 {
		return nil
	}
	return r.step(probe.StepSetup, "", func() error {
		for _, f := range watches {
			if _, err := r.leave(f, watchKept); err != nil {
				return err
			}
		}
		return nil
	})
}

// publishedAt returns where a certificate says that its revocation shows in that way.
func publishedAt(leaf *x509.Certificate, via probe.RevocationVia) []string {
	if via == probe.ViaOCSP {
		return revocation.OCSPURLs(leaf)
	}
	return revocation.CRLURLs(leaf)
}

// certificatesOf returns the certificate that is revoked, and its issuer's; nil: it is
// not known.
func certificatesOf(what *probe.Revocation) (leaf, issuer *x509.Certificate, err error) {
	if what == nil || len(what.Chain) == 0 {
		return nil, nil, errors.New("there is no certificate")
	}
	if leaf, err = x509.ParseCertificate(what.Chain[0]); err == nil && len(what.Chain) > 1 {
		issuer, err = x509.ParseCertificate(what.Chain[1])
	}
	return leaf, issuer, err
}

// followWatchRevocation looks once whether the revocation shows. It succeeds when it
// does, everywhere; it is tried again while it need not, and dropped when it never
// will, or nobody could see for [probe.WatchLife]. The API has no part in it.
func followWatchRevocation(ctx context.Context, r *run) error {
	leaf, issuer, err := certificatesOf(r.FollowUp.Revocation)
	if err != nil || issuer == nil {
		return r.giveUp(fail(probe.FailureLocal, objectRevocation, "the stored follow-up does not say whose revocation is watched"))
	}
	seen := *r.FollowUp.Revocation
	seen.Chain, seen.Lists = nil, nil
	r.facts.Revocation = &seen
	var lists []probe.ReadList
	if seen.Via == probe.ViaOCSP {
		err = r.askRevoked(ctx, publishedAt(leaf, seen.Via), leaf, issuer)
	} else {
		lists, err = r.findListed(ctx, publishedAt(leaf, seen.Via), leaf, issuer)
	}
	now := time.Now()
	if err == nil {
		seen.Shown = now
		if !seen.Undated && now.Sub(later(seen.At, seen.Absent)) <= maxBlind {
			took := max(0, now.Sub(seen.At))
			seen.Propagation = &took
		}
		return nil
	}
	f, ok := errors.AsType[*failure](err)
	over := now.Sub(seen.At) >= watchLasts
	known := *r.FollowUp.Revocation
	known.Lists = lists
	if ok && f.Kind == probe.FailurePending {
		seen.Absent, known.Absent = now, now
	}
	if !known.Absent.Equal(r.FollowUp.Revocation.Absent) || !slices.Equal(lists, r.FollowUp.Revocation.Lists) {
		_ = r.FollowUps.Note(known) // else nothing may be measured
	}
	switch {
	case !ok:
		return err
	case f.Kind == probe.FailurePending && now.After(leaf.NotAfter):
		f.Kind, f.Detail = probe.FailureNotApplicable, "the certificate has expired before its revocation showed"
	case f.Kind == probe.FailurePending && over:
		f.Kind, f.Flaw = probe.FailureFlaw, probe.FlawRevocationMissing
	case f.Kind == probe.FailureFlaw && over:
	case f.Kind != probe.FailurePending && now.Sub(seen.At) >= probe.WatchLife && !errors.Is(ctx.Err(), context.Canceled):
		// Nobody could look, and will.
	default:
		return err // the next look may tell
	}
	seen.GivenUp = true
	return r.giveUp(f)
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// askRevoked asks each of the certificate's responders. It asks by GET, as RFC 5019
// §5 has it: a cache that keeps an old answer keeps it from everybody.
func (r *run) askRevoked(ctx context.Context, urls []string, leaf, issuer *x509.Certificate) error {
	return r.each(ctx, len(urls), probe.StepOCSP, func(i int) error {
		facts, err := r.askOCSP(ctx, urls[i], http.MethodGet, false, leaf.SerialNumber, issuer)
		if err != nil {
			return err
		}
		r.facts.OCSP = append(r.facts.OCSP, facts)
		if err := r.flawed(objectOCSP, facts.URL, grave(facts.Flaws)); err != nil {
			return err
		}
		if facts.Status != probe.OCSPRevoked {
			return r.notYet(objectOCSP, facts.URL+" calls the certificate "+string(facts.Status))
		}
		return nil
	})
}

// grave returns the flaws that are not harmless.
func grave(flaws []probe.Flaw) []probe.Flaw {
	return slices.DeleteFunc(slices.Clone(flaws), func(f probe.Flaw) bool { return slices.Contains(harmless, f.Flaw) })
}

// notYet is the failure of a look that came too early.
func (r *run) notYet(object, detail string) error {
	f := r.broken(object, "%s", detail)
	f.Kind = probe.FailurePending
	return f
}
