package revocation

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// typeCRL is a CRL's media type (RFC 5280 §4.2.1.13).
const typeCRL = "application/pkix-crl"

// CRLCheck says what a CRL has to be.
type CRLCheck struct {
	URL         string // from which it was fetched
	ContentType string // of the answer
	Issuers     []*x509.Certificate
	Now         time.Time
	// Leaf says that a certificate that is no CA's names the URL as its own CRL's.
	Leaf bool
}

// Check returns what there is to say about the CRL and what is wrong with it, by RFC
// 5280 §5. Issuers are those one of which has to have issued it; the one that has is
// returned, nil: none.
func (c *CRL) Check(o CRLCheck) (probe.CRL, *x509.Certificate) {
	f := probe.CRL{
		URL: o.URL, Issuer: nameOf(c.Issuer), ThisUpdate: c.ThisUpdate, NextUpdate: c.NextUpdate,
		Entries: c.Entries, Bytes: c.Bytes, Sharded: c.scope != nil && len(c.scope.urls) > 0,
	}
	add := func(kind probe.FlawKind, format string, args ...any) {
		f.Flaws = append(f.Flaws, flaw(kind, format, args...))
	}
	if !isType(o.ContentType, typeCRL) {
		add(probe.FlawCRLContentType, "the content type is %q, not %s", o.ContentType, typeCRL)
	}
	issuer := c.issuer(o.Issuers)
	if issuer == nil {
		add(probe.FlawCRLIssuer, "its issuer is %q, not %s", f.Issuer, subjects(o.Issuers))
	} else if err := c.CheckSignature(issuer); err != nil {
		add(probe.FlawCRLSignature, "%s", err)
	}
	switch detail := stale(c.ThisUpdate, c.NextUpdate, o.Now); {
	case detail != "":
		add(probe.FlawCRLStale, "%s", detail)
	case c.NextUpdate.IsZero():
		// "Conforming CRL issuers MUST include the nextUpdate field in all CRLs" (§5.1.2.5).
		add(probe.FlawCRLStale, "it has no nextUpdate")
	}
	if c.Number != nil {
		f.Number = c.Number.String()
	} else {
		add(probe.FlawCRLNumber, "it has no number (RFC 5280 §5.2.3)")
	}
	if detail := c.scope.outside(o.URL, o.Leaf); detail != "" {
		add(probe.FlawCRLIDP, "%s", detail)
	}
	return f, issuer
}

// issuer returns the one that has issued the CRL by its name, and if there are
// several, by its key; nil: none.
func (c *CRL) issuer(issuers []*x509.Certificate) (found *x509.Certificate) {
	for _, i := range issuers {
		if !bytes.Equal(i.RawSubject, c.Issuer) {
			continue
		}
		if found == nil || c.CheckSignature(i) == nil {
			found = i
		}
	}
	return found
}

// outside says why the CRL is not the one of a certificate that names the URL;
// empty: it may be.
func (s *scope) outside(url string, leaf bool) string {
	switch {
	case s == nil:
		return ""
	case len(s.urls) > 0 && !slices.Contains(s.urls, url):
		return "it is for " + s.urls[0] + ", and was fetched from another URL"
	case s.indirectCRL:
		return "it is an indirect CRL"
	case s.someReasons:
		return "it is for some reasons only"
	case s.attributes, s.cas && leaf:
		return "it is not for certificates like the one that names it"
	}
	return ""
}

// Shards finds the CRLs, of one issuer and not the same, that do not say for which
// URL each of them is: one could be put in another's place (RFC 5280 §5.2.5). It
// adds a flaw to each.
func Shards(crls []probe.CRL) {
	for i := range crls {
		a := &crls[i]
		if a.Sharded || a.Issuer == "" {
			continue
		}
		another := func(b probe.CRL) bool {
			same := b.Number == a.Number && b.ThisUpdate.Equal(a.ThisUpdate) && b.Entries == a.Entries && b.Bytes == a.Bytes
			return b.URL != a.URL && b.Issuer == a.Issuer && !same
		}
		if slices.ContainsFunc(crls, another) {
			a.Flaws = append(a.Flaws, flaw(probe.FlawCRLIDP, "it is one of several of its issuer, and does not say which: it has no issuingDistributionPoint with a URL"))
		}
	}
}

// nameOf returns a distinguished name as text; empty: it cannot be read.
func nameOf(der []byte) string {
	var rdn pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &rdn); err != nil || len(rest) > 0 {
		return ""
	}
	return name(rdn.String())
}

// subjects lists whose the certificates are.
func subjects(all []*x509.Certificate) string {
	if len(all) == 0 {
		return "known"
	}
	text := name(all[0].Subject.String())
	if len(all) > 1 {
		text += " or another one of those given"
	}
	return `"` + text + `"`
}

// typeIssuer is an issuer's certificate's media type (RFC 5280 §4.2.2.1).
const typeIssuer = "application/pkix-cert"

// CheckIssuer returns what there is to say about the answer at url, where the
// certificate says that its issuer's is, and what is wrong with it.
func CheckIssuer(url string, body []byte, contentType string, certificate *x509.Certificate) probe.Issuer {
	f := probe.Issuer{URL: url, Bytes: int64(len(body))}
	add := func(kind probe.FlawKind, format string, args ...any) {
		f.Flaws = append(f.Flaws, flaw(kind, format, args...))
	}
	issuer, err := x509.ParseCertificate(body)
	if err != nil {
		if block, _ := pem.Decode(body); block != nil {
			add(probe.FlawAIAUnreadable, "it is PEM, not DER")
		} else {
			add(probe.FlawAIAUnreadable, "%s", err)
		}
		return f
	}
	f.Subject, f.NotAfter = name(issuer.Subject.String()), issuer.NotAfter
	if !isType(contentType, typeIssuer) {
		add(probe.FlawAIAContentType, "the content type is %q, not %s", contentType, typeIssuer)
	}
	if !bytes.Equal(issuer.RawSubject, certificate.RawIssuer) {
		add(probe.FlawAIASubject, "it is the certificate of %q, and the issuer is %q", f.Subject, name(certificate.Issuer.String()))
	} else if err := tooLong(issuer); err != nil {
		add(probe.FlawAIASignature, "%s", err)
	} else if err := certificate.CheckSignatureFrom(issuer); err != nil {
		add(probe.FlawAIASignature, "%s", err)
	}
	return f
}
