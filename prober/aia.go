package prober

import (
	"context"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/revocation"
)

// probeAIA fetches the issuer's certificate from where a certificate says that it is
// (RFC 5280 §4.2.2.1).
func probeAIA(ctx context.Context, r *run) error {
	leaf, _, err := r.subject(r.Pair.Module.AIA.Chain())
	if err != nil {
		return err
	}
	urls := revocation.IssuerURLs(leaf)
	if len(urls) == 0 {
		return notApplicable("the certificate names no URL of its issuer's certificate")
	}
	return r.each(ctx, len(urls), probe.StepAIA, func(i int) error {
		res, err := r.get(ctx, fetch{call: probe.CallAIA, url: urls[i], limit: revocation.MaxIssuer})
		if err != nil {
			return err
		}
		facts := revocation.CheckIssuer(bounded(urls[i]), res.Body, res.Header.Get("Content-Type"), leaf)
		r.facts.Issuers = append(r.facts.Issuers, facts)
		return r.flawed(objectIssuer, facts.URL, facts.Flaws)
	})
}
