package state

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

const pemType = "PRIVATE KEY" // PKCS #8, RFC 7468 §10

// The sizes of RSA keys that are read, in bits.
const (
	minRSA = 2048
	maxRSA = 8192
)

// newKey makes a key of a type that [KeyType] returns, as the content of a file.
func newKey(keyType string) (data []byte, err error) {
	var key crypto.Signer
	switch keyType {
	case "ecdsa-p256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa-p384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "rsa-2048":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "rsa-4096":
		key, err = rsa.GenerateKey(rand.Reader, 4096)
	default:
		err = fmt.Errorf("there is no key type %q", keyType)
	}
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

// KeyType returns the type of a key: "ecdsa-p256", "ecdsa-p384", or "rsa-" and
// its length in bits; empty: one that no account here can have.
func KeyType(key crypto.PublicKey) string {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return "ecdsa-p256"
		case elliptic.P384():
			return "ecdsa-p384"
		}
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n >= minRSA && n <= maxRSA {
			return fmt.Sprintf("rsa-%d", n)
		}
	}
	return ""
}

// parseKey says nothing of the content in its errors: it is a secret.
func parseKey(data []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("no PEM block %q", pemType)
	}
	if len(bytes.TrimSpace(rest)) != 0 {
		return nil, errors.New("more than one PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("not a PKCS #8 key")
	}
	key, ok := parsed.(crypto.Signer)
	if !ok || KeyType(key.Public()) == "" {
		return nil, fmt.Errorf("not an ECDSA key on P-256 or P-384, nor an RSA key of %d to %d bits", minRSA, maxRSA)
	}
	return key, nil
}
