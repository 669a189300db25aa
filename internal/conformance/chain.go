package conformance

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"time"
)

// maxRSA is the largest RSA key in bits with which a signature is checked, as in
// crypto/tls. One that fills a whole chain would take minutes.
const maxRSA = 8192

// checkOrder returns why the chain is not in order; empty: it is. "Each
// following certificate SHOULD directly certify the one preceding it" (RFC
// 8555 §9.1). A leaf by itself is not a chain: who installs it as it came
// serves what nobody can verify.
func checkOrder(chain []*x509.Certificate) string {
	if len(chain) == 1 {
		return "the leaf comes without its issuer"
	}
	for i, cert := range chain[:len(chain)-1] {
		if !bytes.Equal(cert.RawIssuer, chain[i+1].RawSubject) {
			return fmt.Sprintf("certificate %d is not issued by certificate %d", i+1, i+2)
		}
	}
	return ""
}

// checkSignatures returns which certificate the next one did not sign; empty:
// there is none. proven says that the leaf's signature has been verified already.
func checkSignatures(chain []*x509.Certificate, proven bool) string {
	for i, cert := range chain[:len(chain)-1] {
		if detail := checkSize(chain, i+1); detail != "" {
			return detail
		}
		var err error
		switch {
		case i > 0:
			err = remembered.signed(cert, chain[i+1])
		case !proven:
			err = cert.CheckSignatureFrom(chain[i+1])
		}
		if err != nil {
			return fmt.Sprintf("certificate %d is not signed by certificate %d: %s", i+1, i+2, quoted(err.Error()))
		}
	}
	return ""
}

// checkSize returns why no signature is checked with the key of chain[i]; empty:
// one may be.
func checkSize(chain []*x509.Certificate, i int) string {
	if key, ok := chain[i].PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSA {
		return fmt.Sprintf("certificate %d has an RSA key of %d bits, more than %d", i+1, key.N.BitLen(), maxRSA)
	}
	return ""
}

// checkTrust returns why nobody who trusts the roots trusts the leaf as a server's;
// empty: they do. Whether it is valid now is another check's question, so the time
// is one at which it is. proven says that the second certificate has signed it.
func checkTrust(chain []*x509.Certificate, w Wanted) (detail string, proven bool) {
	leaf := chain[0]
	intermediates := x509.NewCertPool()
	for i, cert := range chain[1:] {
		if detail := checkSize(chain, i+1); detail != "" {
			return detail, false
		}
		intermediates.AddCert(cert)
	}
	options := x509.VerifyOptions{
		CurrentTime: w.Now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if options.CurrentTime.After(leaf.NotAfter) {
		options.CurrentTime = leaf.NotAfter
	}
	if options.CurrentTime.Before(leaf.NotBefore) {
		options.CurrentTime = leaf.NotBefore
	}
	key := trustKey{w.Roots, digestOf(chain[1:]...)}
	if options.Roots = remembered.trusted(key, options.CurrentTime); options.Roots != nil {
		if _, err := leaf.Verify(options); err == nil {
			return "", true
		}
	}
	// The long way, which also says why not.
	options.Roots, options.Intermediates = w.Roots, intermediates
	verified, err := leaf.Verify(options)
	if err != nil {
		return "the chain does not lead to a root of the target's issuer_roots: " + quoted(err.Error()), false
	}
	for _, found := range verified {
		if len(chain) > 1 && len(found) > 1 && same(found[1], chain[1]) {
			remembered.trust(key, found)
			return "", true
		}
	}
	return "", false
}

// checkProfile returns why the leaf is valid for too long; empty: it is not. Both
// ends belong to the validity (RFC 5280 §4.1.2.5).
func checkProfile(leaf *x509.Certificate, longest time.Duration) string {
	if got := leaf.NotAfter.Sub(leaf.NotBefore) + time.Second; got > longest {
		return fmt.Sprintf("the certificate is valid for %s, longer than %s", period(got), period(longest))
	}
	return ""
}

// period shows how long something is valid.
func period(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}
