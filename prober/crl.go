package prober

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/revocation"
)

// Lists remembers the newest revocation list that each URL has had for the run's
// target.
type Lists interface {
	// Latest returns it; nil: none is known.
	Latest(url string) *probe.LatestCRL
	// Keep remembers another one instead.
	Keep(url string, c probe.LatestCRL)
}

// order compares the list with those before it.
func (r *run) order(url string, f *probe.CRL) {
	if r.Lists == nil {
		return
	}
	if latest := revocation.Order(f, r.Lists.Latest(url), time.Now()); latest != nil {
		r.Lists.Keep(url, *latest)
	}
}

// probeCRL looks at certificate revocation lists (RFC 5280 §5).
func probeCRL(ctx context.Context, r *run) error {
	m := r.Pair.Module.CRL
	urls, issuers := m.URLs, m.Issuers()
	chosen := len(urls) > 0
	if !chosen {
		leaf, issuer, err := r.subject(nil)
		if err != nil {
			return err
		}
		if urls = revocation.CRLURLs(leaf); len(urls) == 0 {
			return notApplicable("the last certificate names no revocation list over http")
		}
		issuers = []*x509.Certificate{issuer}
	}
	err := r.each(ctx, len(urls), probe.StepCRL, func(i int) error {
		got, err := r.getCRL(ctx, wantedCRL{url: urls[i], chosen: chosen, issuers: issuers, leaf: !chosen})
		if err != nil {
			return err
		}
		facts := got.facts
		r.order(urls[i], &facts)
		r.facts.CRLs = append(r.facts.CRLs, facts)
		return r.flawed(objectCRL, facts.URL, facts.Flaws)
	})
	revocation.Shards(r.facts.CRLs)
	for i := 0; err == nil && i < len(r.facts.CRLs); i++ {
		err = r.flawed(objectCRL, r.facts.CRLs[i].URL, r.facts.CRLs[i].Flaws)
	}
	return err
}
