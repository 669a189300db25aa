package fakeca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

// message is a JWS in flattened JSON (RFC 7515 §7.2.2).
type message struct {
	Protected string `json:"protected"`
	Payload   string `json:"payload"`
	Signature string `json:"signature"`
}

// header is the protected header (RFC 8555 §6.2).
type header struct {
	Algorithm string `json:"alg"`
	Nonce     string `json:"nonce"`
	URL       string `json:"url"`
	KeyID     string `json:"kid"`
	Key       *jwk   `json:"jwk"`
}

// jwk is a P-256 key (RFC 7518 §6.2.1). The order of the fields is the one of
// RFC 7638.
type jwk struct {
	Curve string `json:"crv"`
	Type  string `json:"kty"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

// parse reads a JWS without verifying it.
func parse(body []byte) (m message, h header, payload []byte, err error) {
	if err := json.Unmarshal(body, &m); err != nil {
		return m, h, nil, fmt.Errorf("parse JWS: %w", err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(m.Protected)
	if err != nil {
		return m, h, nil, fmt.Errorf("decode protected header: %w", err)
	}
	if err := json.Unmarshal(raw, &h); err != nil {
		return m, h, nil, fmt.Errorf("parse protected header: %w", err)
	}
	payload, err = base64.RawURLEncoding.DecodeString(m.Payload)
	if err != nil {
		return m, h, nil, fmt.Errorf("decode payload: %w", err)
	}
	return m, h, payload, nil
}

// thumbprint is RFC 7638's, in base64url.
func (k *jwk) thumbprint() string {
	canonical, _ := json.Marshal(k)
	sum := sha256.Sum256(canonical)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (k *jwk) public() (*ecdsa.PublicKey, error) {
	if k.Type != "EC" || k.Curve != "P-256" {
		return nil, fmt.Errorf("key of type %q on curve %q", k.Type, k.Curve)
	}
	x, errX := base64.RawURLEncoding.DecodeString(k.X)
	y, errY := base64.RawURLEncoding.DecodeString(k.Y)
	if errX != nil || errY != nil || len(x) != 32 || len(y) != 32 {
		return nil, errors.New("coordinates are not two times 32 bytes")
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
}

// verifyES256 checks a signature (RFC 7518 §3.4).
func (m *message) verifyES256(key *ecdsa.PublicKey) error {
	raw, err := base64.RawURLEncoding.DecodeString(m.Signature)
	if err != nil || len(raw) != 64 {
		return errors.New("signature is not 64 bytes")
	}
	sum := sha256.Sum256([]byte(m.Protected + "." + m.Payload))
	if !ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])) {
		return errors.New("signature does not verify")
	}
	return nil
}

// verifyBinding checks an external account binding (RFC 8555 §7.3.4) of key.
func (ca *CA) verifyBinding(raw json.RawMessage, key *jwk) *Problem {
	if len(ca.options.EAB) == 0 {
		return nil
	}
	if len(raw) == 0 {
		return &Problem{Type: "externalAccountRequired", Status: 403, Detail: "an external account binding is required"}
	}
	m, h, payload, err := parse(raw)
	if err != nil {
		return malformed("external account binding: %v", err)
	}
	secret, known := ca.options.EAB[h.KeyID]
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(m.Protected + "." + m.Payload))
	signature, err := base64.RawURLEncoding.DecodeString(m.Signature)
	var bound jwk
	switch {
	case h.Algorithm != "HS256" || h.Nonce != "" || h.URL != ca.Endpoint("new-account"):
		return malformed("external account binding: wrong header")
	case !known || err != nil || !hmac.Equal(signature, mac.Sum(nil)):
		return &Problem{Type: "unauthorized", Status: 403, Detail: "external account binding does not verify"}
	case json.Unmarshal(payload, &bound) != nil || bound != *key:
		return malformed("external account binding: for another key")
	}
	return nil
}

// verify checks everything that RFC 8555 §6 demands of a signed request to url,
// and finds the account; nil for new keys, whose jwk is in the header. The
// caller holds mu.
func (ca *CA) verify(url string, m message, h header, embedded bool) (*account, *Problem) {
	if h.Algorithm != "ES256" {
		return nil, &Problem{Type: "badSignatureAlgorithm", Status: 400, Detail: fmt.Sprintf("algorithm %q", h.Algorithm)}
	}
	if h.URL != url {
		return nil, &Problem{Type: "unauthorized", Status: 403, Detail: "the header's url is another than the request's"}
	}
	if (h.Key == nil) == (h.KeyID == "") || embedded != (h.Key != nil) {
		return nil, malformed("wrong one of jwk and kid")
	}
	var known *account
	key := h.Key
	if key == nil {
		known = ca.kids[h.KeyID]
		if known == nil {
			return nil, &Problem{Type: "accountDoesNotExist", Status: 400, Detail: "no such account"}
		}
		key = known.key
	}
	public, err := key.public()
	if err != nil {
		return nil, &Problem{Type: "badPublicKey", Status: 400, Detail: err.Error()}
	}
	if err := m.verifyES256(public); err != nil {
		return nil, malformed("%v", err)
	}
	if !ca.nonces[h.Nonce] {
		return nil, &Problem{Type: "badNonce", Status: 400, Detail: "the nonce is not one of ours, or was used"}
	}
	delete(ca.nonces, h.Nonce)
	if known != nil && known.status != "valid" {
		return nil, &Problem{Type: "unauthorized", Status: 403, Detail: "the account is " + known.status}
	}
	return known, nil
}
