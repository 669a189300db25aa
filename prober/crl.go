package prober

import (
	"context"
	"crypto/x509"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/revocation"
)

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
		_, facts, err := r.getCRL(ctx, urls[i], chosen, issuers, nil, !chosen)
		if err != nil {
			return err
		}
		r.facts.CRLs = append(r.facts.CRLs, facts)
		return r.flawed(objectCRL, facts.URL, facts.Flaws)
	})
	revocation.Shards(r.facts.CRLs)
	for i := 0; err == nil && i < len(r.facts.CRLs); i++ {
		err = r.flawed(objectCRL, r.facts.CRLs[i].URL, r.facts.CRLs[i].Flaws)
	}
	return err
}
