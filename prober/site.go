package prober

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/revocation"
)

// probeSite meets the CA's test sites, and looks at their certificates.
func probeSite(ctx context.Context, r *run) error {
	m := r.Pair.Module.Site
	var sites []probe.Site
	for _, s := range []probe.Site{
		{Kind: probe.SiteValid, URL: m.Valid}, {Kind: probe.SiteExpired, URL: m.Expired}, {Kind: probe.SiteRevoked, URL: m.Revoked},
	} {
		if s.URL != "" {
			sites = append(sites, s)
		}
	}
	return r.each(ctx, len(sites), probe.StepSite, func(i int) error {
		site := &sites[i]
		res, err := r.get(ctx, fetch{call: probe.CallSite, url: site.URL, chosen: true, anyCertificate: true})
		if err != nil {
			return err
		}
		if res.TLS == nil || len(res.TLS.PeerCertificates) == 0 {
			return fail(probe.FailureLocal, objectSite, "the handshake left no certificate")
		}
		chain := res.TLS.PeerCertificates
		site.Serial = bounded(hex.EncodeToString(chain[0].SerialNumber.Bytes()))
		site.Issuer, site.NotAfter = bounded(chain[0].Issuer.String()), chain[0].NotAfter
		err = r.checkSite(ctx, site, chain)
		own := *site
		own.URL = bounded(own.URL)
		r.facts.Sites = append(r.facts.Sites, own)
		if err != nil {
			return err
		}
		return r.flawed(objectSite, own.URL, site.Flaws)
	})
}

// checkSite finds what is wrong with the chain that the site presented. Its error is
// that the revocation could not be asked for.
func (r *run) checkSite(ctx context.Context, site *probe.Site, chain []*x509.Certificate) error {
	add := func(kind probe.FlawKind, format string, args ...any) {
		site.Flaws = append(site.Flaws, probe.Flaw{Flaw: kind, Detail: quoted(fmt.Sprintf(format, args...))})
	}
	leaf, now := chain[0], time.Now()
	switch site.Kind {
	case probe.SiteValid:
		if _, err := r.verifySite(site.URL, chain, now); err != nil {
			add(probe.FlawSiteValid, "%s", err)
		}
	case probe.SiteExpired:
		if !now.After(leaf.NotAfter) {
			add(probe.FlawSiteExpired, "the certificate is valid until %s", leaf.NotAfter.UTC().Format(time.RFC3339))
		} else if _, err := r.verifySite(site.URL, chain, leaf.NotAfter); err != nil {
			add(probe.FlawSiteExpired, "more is wrong than that it has expired: %s", err)
		}
	case probe.SiteRevoked:
		issuer, err := r.verifySite(site.URL, chain, now)
		if err != nil {
			add(probe.FlawSiteRevoked, "more is wrong than that it is revoked: %s", err)
			return nil
		}
		return r.checkRevoked(ctx, site, leaf, issuer, add)
	}
	return nil
}

// verifySite verifies the chain at that time against the target's roots, and returns
// the leaf's issuer.
func (r *run) verifySite(site string, chain []*x509.Certificate, at time.Time) (issuer *x509.Certificate, err error) {
	u, err := url.Parse(site)
	if err != nil {
		return nil, err
	}
	o := x509.VerifyOptions{Roots: r.Pair.Target.Issuers(), Intermediates: x509.NewCertPool(), DNSName: u.Hostname(), CurrentTime: at}
	if o.Roots == nil {
		return nil, errors.New("no roots are known for the target")
	}
	for _, c := range chain[1:min(len(chain), maxSiteChain)] {
		o.Intermediates.AddCert(c)
	}
	verified, err := chain[0].Verify(o)
	switch {
	case err != nil:
		return nil, err
	case len(verified[0]) < 2:
		return nil, errors.New("the certificate is its own issuer's")
	}
	return verified[0][1], nil
}

// maxSiteChain is how many certificates of a site are looked at.
const maxSiteChain = 10

// checkRevoked asks all that the certificate names whether it is revoked.
func (r *run) checkRevoked(ctx context.Context, site *probe.Site, leaf, issuer *x509.Certificate, add func(probe.FlawKind, string, ...any)) error {
	crls, responders := revocation.CRLURLs(leaf), revocation.OCSPURLs(leaf)
	if len(crls) == 0 && len(responders) == 0 {
		add(probe.FlawSiteRevoked, "the certificate names neither a revocation list nor an OCSP responder over http")
	}
	for _, u := range crls {
		got, err := r.getCRL(ctx, wantedCRL{url: u, issuers: []*x509.Certificate{issuer}, serial: leaf.SerialNumber, leaf: true})
		if err != nil {
			return err
		}
		r.facts.CRLs = append(r.facts.CRLs, got.facts)
		site.Flaws = append(site.Flaws, got.facts.Flaws...)
		if got.crl != nil && got.crl.Listed == nil {
			add(probe.FlawSiteRevoked, "it is not on the revocation list that it names")
		}
	}
	for _, u := range responders {
		facts, err := r.askOCSP(ctx, u, http.MethodGet, false, leaf.SerialNumber, issuer)
		if err != nil {
			return err
		}
		r.facts.OCSP = append(r.facts.OCSP, facts)
		site.Flaws = append(site.Flaws, facts.Flaws...)
		if facts.Status == probe.OCSPGood {
			add(probe.FlawSiteRevoked, "its OCSP responder calls it good")
		}
	}
	return nil
}
