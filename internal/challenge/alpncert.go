package challenge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// acmeIdentifier is id-pe-acmeIdentifier of RFC 8737 §6.1.
var acmeIdentifier = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}

// alpnCertificate returns the answer to a tls-alpn-01 challenge. RFC 8737 §3:
// the self-signed certificate has "a subjectAltName extension containing the
// dNSName being validated and no other entries" (RFC 8738 §6: the iPAddress)
// and the critical extension acmeIdentifier with "the SHA-256 digest [...] of the
// key authorization". Either name or ip is set.
func alpnCertificate(name string, ip netip.Addr, keyAuth string) (*tls.Certificate, error) {
	digest := sha256.Sum256([]byte(keyAuth))
	value, err := asn1.Marshal(digest[:]) // Authorization ::= OCTET STRING (SIZE (32))
	if err != nil {
		return nil, fmt.Errorf("make the certificate: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "ACME challenge"},
		// Nobody is asked to believe it; the hours are for clocks that are wrong.
		NotBefore:       now.Add(-24 * time.Hour),
		NotAfter:        now.Add(7 * 24 * time.Hour),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		ExtraExtensions: []pkix.Extension{{Id: acmeIdentifier, Critical: true, Value: value}},
	}
	if ip.IsValid() {
		template.IPAddresses = []net.IP{ip.AsSlice()}
	} else {
		template.DNSNames = []string{name}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the certificate's key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// reverseName returns the name under IN-ADDR.ARPA (RFC 1034) or IP6.ARPA (RFC
// 3596) of an address, without the final dot. RFC 8738 §6: a server name
// indication cannot hold an address, and so it holds this.
func reverseName(a netip.Addr) string {
	var labels []string
	for _, b := range a.AsSlice() {
		if a.Is4() {
			labels = append(labels, strconv.Itoa(int(b)))
			continue
		}
		labels = append(labels, strconv.FormatUint(uint64(b>>4), 16), strconv.FormatUint(uint64(b&15), 16))
	}
	slices.Reverse(labels)
	zone := ".ip6.arpa"
	if a.Is4() {
		zone = ".in-addr.arpa"
	}
	return strings.Join(labels, ".") + zone
}
