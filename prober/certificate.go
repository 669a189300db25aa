package prober

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// What is read and kept of a certificate at most.
const (
	maxChain = 10  // certificates
	maxNames = 100 // of the leaf, kept in the facts
	// maxRSA is the largest RSA key in bits with which a signature is checked, as
	// in crypto/tls. One that fills a whole chain would take minutes.
	maxRSA = 8192
)

// oidSubjectAltName is RFC 5280 §4.2.1.6's.
var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

// parseChain reads application/pem-certificate-chain (RFC 8555 §9.1).
func parseChain(body []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for {
		var block *pem.Block
		if block, body = pem.Decode(body); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("a PEM block of the type %q", quoted(block.Type))
		}
		if len(chain) == maxChain {
			return nil, fmt.Errorf("more than %d certificates", maxChain)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(chain)+1, err)
		}
		chain = append(chain, cert)
	}
	if len(chain) == 0 {
		return nil, errors.New("no certificate in it")
	}
	return chain, nil
}

// certificateFacts describes the chain, leaf first and not empty, and checks it
// against what was asked for: key and names. It trusts no root: whether the CA
// is one to be trusted is not the question.
func certificateFacts(chain []*x509.Certificate, key crypto.PublicKey, names []string, now time.Time) *probe.Certificate {
	leaf := chain[0]
	f := &probe.Certificate{
		Serial:    bounded(hex.EncodeToString(leaf.SerialNumber.Bytes())),
		Issuer:    bounded(leaf.Issuer.String()),
		NotBefore: leaf.NotBefore,
		NotAfter:  leaf.NotAfter,
		Chain:     len(chain),
	}
	all := certificateNames(leaf)
	for _, name := range all[:min(len(all), maxNames)] {
		f.Names = append(f.Names, bounded(name))
	}
	for _, check := range probe.Checks() {
		var detail string
		switch check {
		case probe.CheckKey:
			detail = checkKey(leaf, key)
		case probe.CheckNames:
			detail = checkNames(leaf, names)
		case probe.CheckValidity:
			detail = checkValidity(leaf, now)
		case probe.CheckOrder:
			detail = checkOrder(chain)
		case probe.CheckSignatures:
			detail = checkSignatures(chain)
		}
		f.Checks = append(f.Checks, probe.CheckResult{Check: check, Passed: detail == "", Detail: detail})
	}
	return f
}

// failedChecks returns what is wrong, in words; empty: nothing.
func failedChecks(checks []probe.CheckResult) string {
	var failed []string
	for _, c := range checks {
		if !c.Passed {
			failed = append(failed, string(c.Check)+": "+c.Detail)
		}
	}
	return strings.Join(failed, "; ")
}

// checkKey returns why the leaf is not of the key; empty: it is.
func checkKey(leaf *x509.Certificate, key crypto.PublicKey) string {
	if k, ok := key.(interface{ Equal(crypto.PublicKey) bool }); ok && k.Equal(leaf.PublicKey) {
		return ""
	}
	return "the certificate is for another key than that of the request"
}

// checkNames returns why the leaf's names are not exactly those; empty: they
// are. DNS names are asked for and expected in lower case.
func checkNames(leaf *x509.Certificate, names []string) string {
	got := slices.Sorted(slices.Values(certificateNames(leaf)))
	want := slices.Sorted(slices.Values(names))
	if !slices.Equal(got, want) {
		return fmt.Sprintf("the certificate is for %s, asked for was %s", list(got), list(want))
	}
	// Names of kinds that the parser knows, or does not, count as well.
	if n := countNames(leaf); n != len(want) {
		return fmt.Sprintf("the certificate has %d alternative names, asked for were %d", n, len(want))
	}
	return ""
}

// countNames counts the entries of the subjectAltName extension; -1: it cannot
// be read.
func countNames(leaf *x509.Certificate) int {
	for _, e := range leaf.Extensions {
		if !e.Id.Equal(oidSubjectAltName) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(e.Value, &names); err != nil || len(rest) > 0 {
			return -1
		}
		return len(names)
	}
	return 0
}

// checkValidity returns why the leaf is not valid now; empty: it is.
func checkValidity(leaf *x509.Certificate, now time.Time) string {
	switch {
	case now.Before(leaf.NotBefore):
		return "the certificate is not valid before " + leaf.NotBefore.UTC().Format(time.RFC3339)
	case now.After(leaf.NotAfter):
		return "the certificate is not valid after " + leaf.NotAfter.UTC().Format(time.RFC3339)
	}
	return ""
}

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
// there is none.
func checkSignatures(chain []*x509.Certificate) string {
	for i, cert := range chain[:len(chain)-1] {
		if key, ok := chain[i+1].PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxRSA {
			return fmt.Sprintf("certificate %d has an RSA key of %d bits, more than %d", i+2, key.N.BitLen(), maxRSA)
		}
		if err := cert.CheckSignatureFrom(chain[i+1]); err != nil {
			return fmt.Sprintf("certificate %d is not signed by certificate %d: %s", i+1, i+2, quoted(err.Error()))
		}
	}
	return ""
}
