// Package revocation reads what a CA publishes beside its API, and says what is
// wrong with it: certificate revocation lists (RFC 5280 §5), OCSP answers (RFC
// 6960) and issuers' certificates (RFC 5280 §4.2.2.1).
//
// It asks nobody: what it reads was fetched by others, and is trusted in nothing
// that a signature does not cover.
package revocation

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"mime"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// What is to be read at most, in bytes.
const (
	MaxCRL    = 64 << 20
	MaxOCSP   = 64 << 10
	MaxIssuer = 64 << 10
)

const (
	maxDetail = 200 // bytes
	// maxSkew is by how much a thisUpdate may be in our future: clocks differ.
	maxSkew = time.Minute
	// maxRSA is the largest RSA key in bits with which a signature is checked, as in
	// crypto/tls.
	maxRSA = 8192
)

// flaw returns a flaw with its detail bounded and scrubbed.
func flaw(kind probe.FlawKind, format string, args ...any) probe.Flaw {
	return probe.Flaw{Flaw: kind, Detail: acmehttp.Scrub(fmt.Sprintf(format, args...), maxDetail)}
}

// isType reports whether the value of a Content-Type header is that media type.
func isType(header, want string) bool {
	got, _, err := mime.ParseMediaType(header)
	return err == nil && got == want
}

// stale says why something that is good from then until then is not good now;
// empty: it is. A zero until has no end.
func stale(from, until, now time.Time) string {
	switch {
	case from.After(now.Add(maxSkew)):
		return "thisUpdate is in the future: " + from.UTC().Format(time.RFC3339)
	case until.IsZero() || until.After(now):
		return ""
	}
	return "nextUpdate is past: " + until.UTC().Format(time.RFC3339)
}

// tooLong says why no signature is checked with the key of c; nil: one is.
func tooLong(c *x509.Certificate) error {
	if key, ok := c.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSA {
		return fmt.Errorf("an RSA key of %d bits, more than %d", key.N.BitLen(), maxRSA)
	}
	return nil
}

// name is a distinguished name, bounded and scrubbed.
func name(s string) string { return acmehttp.Scrub(s, maxDetail) }

// web reports whether the URL is one of http or https.
func web(url string) bool {
	scheme, _, ok := strings.Cut(url, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// maxURLs is how many URLs of one kind are taken from a certificate.
const maxURLs = 4

// CRLURLs returns where the certificate says that its CRL is, over http or https;
// at most 4.
func CRLURLs(c *x509.Certificate) []string { return webURLs(c.CRLDistributionPoints) }

// OCSPURLs returns where the certificate says that its OCSP responders are, over http
// or https; at most 4.
func OCSPURLs(c *x509.Certificate) []string { return webURLs(c.OCSPServer) }

// IssuerURLs returns where the certificate says that its issuer's certificate is,
// over http or https; at most 4.
func IssuerURLs(c *x509.Certificate) []string { return webURLs(c.IssuingCertificateURL) }

func webURLs(all []string) (urls []string) {
	for _, u := range all {
		if web(u) && len(urls) < maxURLs {
			urls = append(urls, u)
		}
	}
	return urls
}
