package prober

import (
	"context"
	"net/http"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/revocation"
)

// probeOCSP asks the responders that a certificate names (RFC 6960), each by GET and
// by POST: caches stand before one of them only.
func probeOCSP(ctx context.Context, r *run) error {
	leaf, issuer, err := r.subject(r.Pair.Module.OCSP.Chain())
	if err != nil {
		return err
	}
	urls := revocation.OCSPURLs(leaf)
	if len(urls) == 0 {
		return notApplicable("the certificate names no OCSP responder")
	}
	methods := []string{http.MethodGet, http.MethodPost}
	return r.each(ctx, len(urls)*len(methods), probe.StepOCSP, func(i int) error {
		facts, err := r.askOCSP(ctx, urls[i/len(methods)], methods[i%len(methods)], false, leaf.SerialNumber, issuer)
		if err != nil {
			return err
		}
		r.facts.OCSP = append(r.facts.OCSP, facts)
		return r.flawed(objectOCSP, facts.URL, facts.Flaws)
	})
}
