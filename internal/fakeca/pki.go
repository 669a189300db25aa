package fakeca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// APIDefect is what is wrong with the certificate of the CA's own socket.
type APIDefect string

// The defects; the zero value is none.
const (
	APIExpired     APIDefect = "expired"
	APINotYetValid APIDefect = "not yet valid"
	APIWrongName   APIDefect = "wrong name"
	APIUntrusted   APIDefect = "untrusted" // of a root that Roots does not have
)

// CertificateDefect is what is wrong with an issued certificate or its chain.
type CertificateDefect string

// The defects; the zero value is none.
const (
	CertificateOtherKey     CertificateDefect = "other key"
	CertificateOtherNames   CertificateDefect = "other names"
	CertificateExtraName    CertificateDefect = "extra name"
	CertificateExpired      CertificateDefect = "expired"
	CertificateNotYetValid  CertificateDefect = "not yet valid"
	CertificateSwapped      CertificateDefect = "swapped"       // the intermediate first
	CertificateUnrelated    CertificateDefect = "unrelated"     // followed by a certificate that did not issue it
	CertificateBadSignature CertificateDefect = "bad signature" // the leaf's last bit flipped
	CertificateLeafOnly     CertificateDefect = "leaf only"
	CertificateEmpty        CertificateDefect = "empty"
	CertificateNotPEM       CertificateDefect = "not PEM"
	CertificateNotDER       CertificateDefect = "not DER"
	CertificateLong         CertificateDefect = "long" // 60 certificates
	CertificateHuge         CertificateDefect = "huge" // more than 1 MiB of certificates
)

// pki is a root, an intermediate and what they sign. It does not change after
// newPKI.
type pki struct {
	root, intermediate *x509.Certificate
	rootKey, key       *ecdsa.PrivateKey
	other              *x509.Certificate // self-signed, signs nothing
	otherKey           *ecdsa.PrivateKey
}

func newPKI(t testing.TB) *pki {
	t.Helper()
	p := &pki{rootKey: newKey(), key: newKey(), otherKey: newKey()}
	p.root = p.authority(t, "fakeca root", nil, p.rootKey, p.rootKey)
	p.intermediate = p.authority(t, "fakeca intermediate", p.root, p.key, p.rootKey)
	p.other = p.authority(t, "fakeca unrelated", nil, p.otherKey, p.otherKey)
	return p
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return key
}

// authority makes a CA certificate for key; issuer nil: self-signed.
func (p *pki) authority(t testing.TB, name string, issuer *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if issuer == nil {
		issuer = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), by)
	if err != nil {
		t.Fatalf("fakeca: create %q: %v", name, err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("fakeca: parse %q: %v", name, err)
	}
	return c
}

func (p *pki) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.root)
	return pool
}

// api makes the certificate of the socket.
func (p *pki) api(t testing.TB, defect APIDefect) tls.Certificate {
	t.Helper()
	key := newKey()
	template := leaf([]string{"localhost"}, time.Now())
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	issuer, by := p.root, p.rootKey
	switch defect {
	case APIExpired:
		template.NotBefore, template.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	case APINotYetValid:
		template.NotBefore, template.NotAfter = time.Now().Add(24*time.Hour), time.Now().Add(48*time.Hour)
	case APIWrongName:
		template.DNSNames, template.IPAddresses = []string{"other.example"}, nil
	case APIUntrusted:
		issuer, by = p.other, p.otherKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), by)
	if err != nil {
		t.Fatalf("fakeca: create API certificate: %v", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return n.Add(n, big.NewInt(1))
}

func leaf(names []string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial(),
		DNSNames:     names,
		NotBefore:    now.Add(-time.Hour).Truncate(time.Second),
		NotAfter:     now.Add(12 * time.Hour).Truncate(time.Second),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

// issue makes a chain in PEM for key and names, and tells the leaf's serial.
func (p *pki) issue(key crypto.PublicKey, names []string, defect CertificateDefect) (chain []byte, number string, err error) {
	var domains []string
	var addresses []net.IP
	for _, name := range names {
		if addr, err := netip.ParseAddr(name); err == nil {
			addresses = append(addresses, addr.AsSlice())
		} else {
			domains = append(domains, name)
		}
	}
	template := leaf(domains, time.Now())
	template.IPAddresses = addresses
	switch defect {
	case CertificateOtherKey:
		key = newKey().Public()
	case CertificateOtherNames:
		template.DNSNames = []string{"other.example"}
	case CertificateExtraName:
		template.DNSNames = append(domains, "other.example")
	case CertificateExpired:
		template.NotBefore, template.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	case CertificateNotYetValid:
		template.NotBefore, template.NotAfter = time.Now().Add(24*time.Hour), time.Now().Add(48*time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, p.intermediate, key, p.key)
	if err != nil {
		return nil, "", err
	}
	if defect == CertificateBadSignature {
		der[len(der)-1] ^= 1
	}
	return p.arrange(der, defect), template.SerialNumber.Text(16), nil
}

// arrange makes the chain around a leaf.
func (p *pki) arrange(der []byte, defect CertificateDefect) []byte {
	first, second := encode(der), encode(p.intermediate.Raw)
	switch defect {
	case CertificateSwapped:
		return append(second, first...)
	case CertificateUnrelated:
		return append(first, encode(p.other.Raw)...)
	case CertificateLeafOnly:
		return first
	case CertificateEmpty:
		return nil
	case CertificateNotPEM:
		return []byte("this is not a certificate\n")
	case CertificateNotDER:
		return encode([]byte("this is not a certificate"))
	case CertificateLong:
		return slices.Concat(first, slices.Repeat(second, 59))
	case CertificateHuge:
		return slices.Concat(first, slices.Repeat(second, 1<<20/len(second)+2))
	}
	return append(first, second...)
}

func encode(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
