package revocation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// now is the time of the tests.
var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// authority is a CA of the tests.
type authority struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

func newAuthority(t testing.TB, name string, change ...func(*x509.Certificate)) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return newAuthorityOf(t, name, key, change...)
}

func newAuthorityOf(t testing.TB, name string, key crypto.Signer, change ...func(*x509.Certificate)) *authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte(name),
	}
	for _, c := range change {
		c(template)
	}
	return &authority{certificate: sign(t, template, template, key.Public(), key), key: key}
}

func sign(t testing.TB, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// leaf issues a certificate.
func (a *authority) leaf(t testing.TB, serial int64, change ...func(*x509.Certificate)) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), DNSNames: []string{"www.example"},
	}
	for _, c := range change {
		c(template)
	}
	return sign(t, template, a.certificate, key.Public(), a.key), key
}

// list is a CRL's template, in which serials 7 and 1<<100 are revoked.
func list() *x509.RevocationList {
	return &x509.RevocationList{
		Number: big.NewInt(42), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour),
		RevokedCertificateEntries: []x509.RevocationListEntry{
			{SerialNumber: big.NewInt(7), RevocationTime: now.Add(-2 * time.Hour), ReasonCode: 4},
			{SerialNumber: new(big.Int).Lsh(big.NewInt(1), 100), RevocationTime: now.Add(-3 * time.Hour)},
		},
	}
}

// crl signs a CRL.
func (a *authority) crl(t testing.TB, template *x509.RevocationList) []byte {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, template, a.certificate, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// point is an issuingDistributionPoint in DER.
type point struct {
	Name struct {
		Full []asn1.RawValue `asn1:"optional,tag:0"`
	} `asn1:"optional,tag:0"`
	Users      bool           `asn1:"optional,tag:1"`
	CAs        bool           `asn1:"optional,tag:2"`
	Reasons    asn1.BitString `asn1:"optional,tag:3"`
	Indirect   bool           `asn1:"optional,tag:4"`
	Attributes bool           `asn1:"optional,tag:5"`
}

// scoped gives the CRL an issuingDistributionPoint.
func scoped(t testing.TB, template *x509.RevocationList, p point, urls ...string) *x509.RevocationList {
	t.Helper()
	for _, u := range urls {
		p.Name.Full = append(p.Name.Full, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(u)})
	}
	der, err := asn1.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: der})
	return template
}

// kinds returns what the flaws are.
func kinds(flaws []probe.Flaw) (list []probe.FlawKind) {
	for _, f := range flaws {
		list = append(list, f.Flaw)
	}
	return list
}

// wantFlaws holds the flaws exactly.
func wantFlaws(t *testing.T, got []probe.Flaw, want ...probe.FlawKind) {
	t.Helper()
	if !slices.Equal(kinds(got), want) {
		t.Errorf("flaws %+v, want %v", got, want)
	}
	for _, f := range got {
		if f.Detail == "" || len(f.Detail) > maxDetail {
			t.Errorf("%s: detail %q", f.Flaw, f.Detail)
		}
	}
}

// signers are keys of every kind that signs CRLs.
func signers(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	keys := map[string]crypto.Signer{}
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = key
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys["RSA"] = key
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys["Ed25519"] = edwards
	return keys
}
