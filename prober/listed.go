package prober

import (
	"context"
	"crypto/x509"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// A list that was read need not be sent again while its server says that there is no
// newer one. A cache on the way may say so for ever: it is believed for a quarter of the
// time since the revocation, within these bounds. How long a revocation took that it
// hides for no longer than the least of them is still measured.
const (
	leastBelieved = maxBlind / 2 // for between two looks as much may pass again
	mostBelieved  = time.Hour
)

// findListed looks for the certificate on each of its lists. It returns those that lack
// it, as they are known now.
func (r *run) findListed(ctx context.Context, urls []string, leaf, issuer *x509.Certificate) (lists []probe.ReadList, err error) {
	lists = slices.Clone(r.FollowUp.Revocation.Lists)
	err = r.each(ctx, len(urls), probe.StepCRL, func(i int) error {
		at := func(l probe.ReadList) bool { return l.URL == urls[i] }
		want := wantedCRL{url: urls[i], issuers: []*x509.Certificate{issuer}, serial: leaf.SerialNumber, leaf: true}
		if k := slices.IndexFunc(lists, at); k >= 0 {
			known := lists[k]
			want.known = &known
		}
		got, err := r.lookAt(ctx, want)
		if err != nil {
			return err
		}
		r.facts.CRLs = append(r.facts.CRLs, got.facts)
		if !got.facts.Unchanged {
			lists = slices.DeleteFunc(lists, at)
		}
		if err := r.flawed(objectCRL, got.facts.URL, grave(got.facts.Flaws)); err != nil {
			return err
		}
		if got.crl != nil && got.crl.Listed != nil {
			return nil
		}
		if got.read != nil {
			lists = append(lists, *got.read)
		}
		return r.notYet(objectCRL, got.facts.URL+" does not list the certificate")
	})
	return lists, err
}

// lookAt fetches a list unless the server says that it is still the one that is known,
// and can be believed. Where that was not true, it was last seen when the list was read
// that the revocation does not show.
func (r *run) lookAt(ctx context.Context, want wantedCRL) (fetchedCRL, error) {
	known := want.known
	got, err := r.getCRL(ctx, want)
	if err != nil || known == nil {
		return got, err
	}
	said := got.facts.Unchanged
	if said {
		if believed(known, r.FollowUp.Revocation.At, time.Now()) {
			return got, nil
		}
		want.known = nil
		if got, err = r.getCRL(ctx, want); err != nil || got.crl == nil {
			return got, err
		}
	}
	untrue := said && (got.crl.Listed != nil || !got.facts.ThisUpdate.Equal(known.ThisUpdate))
	if untrue && got.crl.Listed != nil {
		r.facts.Revocation.Absent = known.At
	}
	if got.read != nil {
		got.read.Untrue = known.Untrue || untrue
	}
	return got, nil
}

// believed reports whether a server is believed that says at now that the list is still
// the one that is known. A list is no longer good for anything at its nextUpdate, and
// nobody is accused of what was not seen: after a day the list itself has to be read.
func believed(known *probe.ReadList, revoked, now time.Time) bool {
	since := now.Sub(revoked)
	return (known.NextUpdate.IsZero() || now.Before(known.NextUpdate)) && since < watchLasts &&
		now.Sub(known.At) < min(max(since/4, leastBelieved), mostBelieved)
}
