package fakeca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
)

// jwk is a public key: P-256, P-384 (RFC 7518 §6.2.1) or RSA (§6.3.1). The order
// of the fields is the one of RFC 7638.
type jwk struct {
	Curve    string `json:"crv,omitempty"`
	Exponent string `json:"e,omitempty"`
	Type     string `json:"kty"`
	Modulus  string `json:"n,omitempty"`
	X        string `json:"x,omitempty"`
	Y        string `json:"y,omitempty"`
}

// thumbprint is RFC 7638's, in base64url.
func (k *jwk) thumbprint() string {
	canonical, _ := json.Marshal(k)
	sum := sha256.Sum256(canonical)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// public returns the key and the algorithm that it is for (RFC 7518 §3.1).
func (k *jwk) public() (key crypto.PublicKey, algorithm string, err error) {
	switch {
	case k.Type == "EC" && k.Curve == "P-256":
		key, err = k.point(elliptic.P256(), 32)
		return key, "ES256", err
	case k.Type == "EC" && k.Curve == "P-384":
		key, err = k.point(elliptic.P384(), 48)
		return key, "ES384", err
	case k.Type == "RSA":
		n, errN := base64.RawURLEncoding.DecodeString(k.Modulus)
		e, errE := base64.RawURLEncoding.DecodeString(k.Exponent)
		if errN != nil || errE != nil || len(n) < 256 || len(e) == 0 || len(e) > 4 {
			return nil, "", fmt.Errorf("an RSA key with a modulus of %d bytes", len(n))
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}, "RS256", nil
	}
	return nil, "", fmt.Errorf("key of type %q on curve %q", k.Type, k.Curve)
}

func (k *jwk) point(curve elliptic.Curve, size int) (*ecdsa.PublicKey, error) {
	x, errX := base64.RawURLEncoding.DecodeString(k.X)
	y, errY := base64.RawURLEncoding.DecodeString(k.Y)
	if errX != nil || errY != nil || len(x) != size || len(y) != size {
		return nil, fmt.Errorf("coordinates are not two times %d bytes", size)
	}
	return ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
}

// verify checks a signature (RFC 7518 §3.3, §3.4).
func (m *message) verify(algorithm string, by *jwk) *Problem {
	key, want, err := by.public()
	if err != nil {
		return &Problem{Type: "badPublicKey", Status: 400, Detail: err.Error()}
	}
	if algorithm != want {
		return &Problem{Type: "badSignatureAlgorithm", Status: 400, Detail: fmt.Sprintf("algorithm %q", algorithm)}
	}
	signature, err := base64.RawURLEncoding.DecodeString(m.Signature)
	if err != nil {
		return malformed("signature: %v", err)
	}
	signed := []byte(m.Protected + "." + m.Payload)
	ok := false
	switch key := key.(type) {
	case *rsa.PublicKey:
		sum := sha256.Sum256(signed)
		ok = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	case *ecdsa.PublicKey:
		half := (key.Curve.Params().BitSize + 7) / 8
		if len(signature) != 2*half {
			return malformed("signature is not %d bytes", 2*half)
		}
		sum := sha256.Sum256(signed)
		digest := sum[:]
		if algorithm == "ES384" {
			sum := sha512.Sum384(signed)
			digest = sum[:]
		}
		ok = ecdsa.Verify(key, digest, new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
	}
	if !ok {
		return malformed("signature does not verify")
	}
	return nil
}
