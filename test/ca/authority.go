package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

const (
	// caAge is how long roots and intermediates have been valid: longer than
	// anything that they have issued.
	caAge          = 365 * 24 * time.Hour
	rootLifetime   = 10 * caAge
	issuerLifetime = 3 * caAge
	// backdated is how long before it is issued a certificate begins to be valid,
	// for clients whose clock is slow.
	backdated = time.Hour
)

// authority is a certificate and its key: a root, an intermediate, or one that
// answers in an intermediate's place.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newAuthority makes template the certificate of a fresh key, signed by parent; nil:
// by itself.
func newAuthority(template *x509.Certificate, parent *authority) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template.SerialNumber = newSerial()
	if parent == nil {
		parent = &authority{template, key}
	}
	certificate, err := parent.sign(template, key.Public())
	if err != nil {
		return nil, err
	}
	return &authority{certificate, key}, nil
}

// newRoot makes a root.
func newRoot(name string, now time.Time) (*authority, error) {
	return newAuthority(&x509.Certificate{
		Subject:               caName("Root", name),
		NotBefore:             now.Add(-caAge),
		NotAfter:              now.Add(rootLifetime - caAge),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}, nil)
}

// newIssuer makes an intermediate below root.
func newIssuer(name string, root *authority, now time.Time) (*authority, error) {
	return newAuthority(&x509.Certificate{
		Subject:               caName("Intermediate", name),
		NotBefore:             now.Add(-caAge),
		NotAfter:              now.Add(issuerLifetime - caAge),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		Policies:              []x509.OID{domainValidated},
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}, root)
}

// caName is what a CA of a kind is called.
func caName(kind, name string) pkix.Name {
	return pkix.Name{Country: []string{"XX"}, Organization: []string{"acme_exporter tests"}, CommonName: fmt.Sprintf("Test %s %s", kind, name)}
}

// sign issues template for key.
func (a *authority) sign(template *x509.Certificate, key any) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial returns a serial number as Let's Encrypt's are: 136 bits of chance
// behind a byte that says whose it is.
func newSerial() *big.Int {
	var serial [18]byte
	_, _ = rand.Read(serial[1:]) // never fails
	serial[0] = 0x03
	return new(big.Int).SetBytes(serial[:])
}

// spoil returns der with a bit of its last byte turned: the signature's, where
// that is what comes last.
func spoil(der []byte) []byte {
	der = append([]byte(nil), der...)
	der[len(der)-1] ^= 1
	return der
}
