package conformance

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
)

// The extensions that a server's certificate has: RFC 5280 §4.2, and RFC 6962 §3.3.
var (
	oidKeyUsage       = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidExtKeyUsage    = asn1.ObjectIdentifier{2, 5, 29, 37}
	// oidNameConstraints is of CAs' only.
	oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}

	expected = []asn1.ObjectIdentifier{
		oidKeyUsage, oidSubjectAltName, oidExtKeyUsage,
		{2, 5, 29, 14},                     // subjectKeyIdentifier
		{2, 5, 29, 19},                     // basicConstraints
		{2, 5, 29, 31},                     // cRLDistributionPoints
		{2, 5, 29, 32},                     // certificatePolicies
		{2, 5, 29, 35},                     // authorityKeyIdentifier
		{1, 3, 6, 1, 5, 5, 7, 1, 1},        // authorityInfoAccess
		{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, // the list of SCTs
	}
)

const (
	// maxSerialBits is what 20 octets hold of a positive number (RFC 5280 §4.1.2.2).
	maxSerialBits = 8*20 - 1
	// Output of 64 bits (BR §7.1) may begin with zeroes. A number of less than 8
	// octets is one in 256 of them, and no public CA draws as few as 64.
	minSerialBits = 8*7 + 1
)

// checkSerial returns what is wrong with the leaf's serial number; empty: nothing.
func checkSerial(leaf *x509.Certificate, public bool) string {
	n := leaf.SerialNumber
	switch {
	case n.Sign() <= 0:
		return "the serial number is not positive"
	case n.BitLen() > maxSerialBits:
		return "the serial number has more than 20 octets"
	case public && n.BitLen() < minSerialBits:
		return fmt.Sprintf("the serial number has %d bits, too few to hold 64 that were drawn", n.BitLen())
	}
	return ""
}

// keyUsages are the bits of the keyUsage extension (RFC 5280 §4.2.1.3).
var keyUsages = []struct {
	bit  x509.KeyUsage
	name string
}{
	{x509.KeyUsageDigitalSignature, "digitalSignature"},
	{x509.KeyUsageContentCommitment, "contentCommitment"},
	{x509.KeyUsageKeyEncipherment, "keyEncipherment"},
	{x509.KeyUsageDataEncipherment, "dataEncipherment"},
	{x509.KeyUsageKeyAgreement, "keyAgreement"},
	{x509.KeyUsageCertSign, "keyCertSign"},
	{x509.KeyUsageCRLSign, "cRLSign"},
	{x509.KeyUsageEncipherOnly, "encipherOnly"},
	{x509.KeyUsageDecipherOnly, "decipherOnly"},
}

// checkUsage returns why the leaf's key is not for a TLS server and for nothing
// else; empty: it is. note is what is unusual and nothing wrong.
func checkUsage(leaf *x509.Certificate, public bool) (note, detail string) {
	var notes, wrong []string
	// What a private CA may do, though a public one may not.
	odd := func(words string) {
		if public {
			wrong = append(wrong, words)
		} else {
			notes = append(notes, words)
		}
	}
	if leaf.IsCA {
		wrong = append(wrong, "the certificate is a CA's (basicConstraints)")
	}
	// Without the extension the key is for anything (RFC 5280 §4.2.1.3).
	if has(leaf, oidKeyUsage) {
		var never, seldom []string
		for _, u := range keyUsages {
			switch {
			case leaf.KeyUsage&u.bit == 0 || fitting(leaf, u.bit):
			case u.bit == x509.KeyUsageCertSign || u.bit == x509.KeyUsageCRLSign:
				never = append(never, u.name)
			default:
				seldom = append(seldom, u.name)
			}
		}
		if leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
			wrong = append(wrong, "keyUsage lacks digitalSignature")
		}
		if len(never) > 0 {
			wrong = append(wrong, "keyUsage has "+strings.Join(never, ", "))
		}
		if len(seldom) > 0 {
			// RFC 5480 §3 forbids keyEncipherment beside a key for ECDSA. TLS does not
			// look, and CAs inside companies do it by default.
			odd(fmt.Sprintf("keyUsage has %s, which is not for a key for %s", strings.Join(seldom, ", "), leaf.PublicKeyAlgorithm))
		}
	}
	if !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) {
		wrong = append(wrong, "extKeyUsage lacks serverAuth")
	}
	if slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		notes = append(notes, "extKeyUsage has clientAuth")
	}
	others := len(leaf.UnknownExtKeyUsage)
	for _, u := range leaf.ExtKeyUsage {
		if u != x509.ExtKeyUsageServerAuth && u != x509.ExtKeyUsageClientAuth {
			others++
		}
	}
	if others > 0 {
		odd("extKeyUsage has more than serverAuth and clientAuth")
	}
	return strings.Join(notes, "; "), strings.Join(wrong, "; ")
}

// fitting reports whether the leaf's key may have the usage.
func fitting(leaf *x509.Certificate, u x509.KeyUsage) bool {
	switch u {
	case x509.KeyUsageDigitalSignature:
		return true
	case x509.KeyUsageKeyEncipherment, x509.KeyUsageDataEncipherment:
		_, ok := leaf.PublicKey.(*rsa.PublicKey)
		return ok
	case x509.KeyUsageKeyAgreement:
		_, ok := leaf.PublicKey.(*ecdsa.PublicKey)
		return ok
	}
	return false
}

// checkExtensions returns why the leaf's extensions are not those of a server's
// certificate; empty: they are. What a private CA adds is noted, unless those who do
// not know it must refuse the certificate (RFC 5280 §4.2).
func checkExtensions(leaf *x509.Certificate, public bool) (note, detail string) {
	var critical, others []string
	for _, e := range leaf.Extensions {
		known := slices.ContainsFunc(expected, e.Id.Equal)
		switch {
		case known:
		case e.Critical:
			critical = append(critical, e.Id.String())
		default:
			others = append(others, e.Id.String())
		}
	}
	if len(critical) > 0 {
		return "", "unknown critical extensions: " + list(critical, len(critical))
	}
	if len(others) == 0 {
		return "", ""
	}
	words := "unexpected extensions: " + list(others, len(others))
	if public {
		return "", words
	}
	return words, ""
}

// has reports whether the certificate has that extension.
func has(cert *x509.Certificate, id asn1.ObjectIdentifier) bool {
	for _, e := range cert.Extensions {
		if e.Id.Equal(id) {
			return true
		}
	}
	return false
}
