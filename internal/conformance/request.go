package conformance

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"
)

// Names returns the names of the certificate in the form in which names are
// compared, DNS names first.
func Names(cert *x509.Certificate) []string {
	names := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
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
	got := slices.Sorted(slices.Values(Names(leaf)))
	want := slices.Sorted(slices.Values(names))
	if !slices.Equal(got, want) {
		const none = "no name"
		return fmt.Sprintf("the certificate is for %s, asked for was %s", cmp.Or(list(quotedAll(got), len(got)), none), cmp.Or(list(quotedAll(want), len(want)), none))
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
