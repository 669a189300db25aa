package revocation

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"

	// The hashes that a signature can be over.
	_ "crypto/sha256"
	_ "crypto/sha512"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	stdasn1 "encoding/asn1"
)

// maxBuffered is how much is kept of what a signature is over that needs all of it,
// in bytes.
const maxBuffered = 8 << 20

// scheme is a way to sign.
type scheme struct {
	name string
	hash crypto.Hash // 0: over the message itself, or none that is known
	rsa  bool
	pss  bool
}

// schemes has those of RFC 4055, RFC 5758 and RFC 8410 that are still safe.
var schemes = map[string]scheme{
	"1.2.840.113549.1.1.11": {name: "SHA256-RSA", hash: crypto.SHA256, rsa: true},
	"1.2.840.113549.1.1.12": {name: "SHA384-RSA", hash: crypto.SHA384, rsa: true},
	"1.2.840.113549.1.1.13": {name: "SHA512-RSA", hash: crypto.SHA512, rsa: true},
	oidPSS:                  {name: "RSASSA-PSS", rsa: true, pss: true},
	"1.2.840.10045.4.3.2":   {name: "ECDSA-SHA256", hash: crypto.SHA256},
	"1.2.840.10045.4.3.3":   {name: "ECDSA-SHA384", hash: crypto.SHA384},
	"1.2.840.10045.4.3.4":   {name: "ECDSA-SHA512", hash: crypto.SHA512},
	oidEd25519:              {name: "Ed25519"},
}

const (
	oidPSS     = "1.2.840.113549.1.1.10"
	oidEd25519 = "1.3.101.112"
)

// hashes has those that RSASSA-PSS may be with.
var hashes = map[string]crypto.Hash{
	"2.16.840.1.101.3.4.2.1": crypto.SHA256,
	"2.16.840.1.101.3.4.2.2": crypto.SHA384,
	"2.16.840.1.101.3.4.2.3": crypto.SHA512,
}

// message takes what a signature is over, as it comes. How it is signed is said only
// after it has begun.
type message struct {
	begun  bytes.Buffer // what came before that; all of it, for Ed25519
	oid    string
	scheme scheme
	hash   hash.Hash // nil: not yet, or there is none
}

// Write implements io.Writer.
func (m *message) Write(b []byte) (int, error) {
	switch {
	case m.hash != nil:
		return m.hash.Write(b)
	case m.oid != "" && m.oid != oidEd25519:
		return len(b), nil // nobody can verify it
	case m.begun.Len()+len(b) > maxBuffered:
		return 0, fmt.Errorf("more than %d bytes, which is too long to verify Ed25519", maxBuffered)
	}
	return m.begun.Write(b)
}

// use says how the message is signed, by an AlgorithmIdentifier. It fails if that
// cannot be read; an algorithm that is not known is told of by verify.
func (m *message) use(algorithm []byte) error {
	var in cryptobyte.String
	var id stdasn1.ObjectIdentifier
	outer := cryptobyte.String(algorithm)
	if !outer.ReadASN1(&in, asn1.SEQUENCE) || !in.ReadASN1ObjectIdentifier(&id) {
		return errors.New("the signature's algorithm cannot be read")
	}
	m.oid = id.String()
	m.scheme = schemes[m.oid]
	if m.scheme.pss {
		m.scheme.hash = hashOfPSS(in)
	}
	if m.scheme.hash == 0 {
		return nil
	}
	m.hash = m.scheme.hash.New()
	_, err := m.hash.Write(m.begun.Bytes())
	m.begun = bytes.Buffer{}
	return err
}

// hashOfPSS returns the hash of RSASSA-PSS-params (RFC 4055 §3.1); 0: none that is
// known, or SHA-1, which is the default.
func hashOfPSS(in cryptobyte.String) crypto.Hash {
	var params, outer, algorithm cryptobyte.String
	var id stdasn1.ObjectIdentifier
	if !in.ReadASN1(&params, asn1.SEQUENCE) || !params.ReadASN1(&outer, asn1.Tag(0).ContextSpecific().Constructed()) ||
		!outer.ReadASN1(&algorithm, asn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&id) {
		return 0
	}
	return hashes[id.String()]
}

// verify returns why the signature over the message is not by the key; nil: it is.
func (m *message) verify(key crypto.PublicKey, signature []byte) error {
	if m.scheme.name == "" || m.hash == nil && m.oid != oidEd25519 {
		return fmt.Errorf("the signature's algorithm %s is not known, or not safe", m.oid)
	}
	wrong := fmt.Errorf("the signature, %s, is not by that key", m.scheme.name)
	var digest []byte
	if m.hash != nil {
		digest = m.hash.Sum(nil)
	}
	ok := false
	switch key := key.(type) {
	case *rsa.PublicKey:
		switch {
		case m.scheme.pss:
			ok = rsa.VerifyPSS(key, m.scheme.hash, digest, signature, nil) == nil
		case m.scheme.rsa:
			ok = rsa.VerifyPKCS1v15(key, m.scheme.hash, digest, signature) == nil
		}
	case *ecdsa.PublicKey:
		ok = m.hash != nil && !m.scheme.rsa && ecdsa.VerifyASN1(key, digest, signature)
	case ed25519.PublicKey:
		ok = m.oid == oidEd25519 && ed25519.Verify(key, m.begun.Bytes(), signature)
	}
	if !ok {
		return wrong
	}
	return nil
}

// CheckSignature returns why the CRL is not signed by the issuer, or by one that
// may not sign CRLs; nil: it is.
func (c *CRL) CheckSignature(issuer *x509.Certificate) error {
	if err := tooLong(issuer); err != nil {
		return err
	}
	// RFC 5280 §6.3.3 (f): "If a key usage extension is present in the CRL issuer's
	// certificate, verify that the cRLSign bit is set."
	if issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return errors.New("the issuer's key may not sign CRLs")
	}
	return c.message.verify(issuer.PublicKey, c.signature)
}
