package fakeca

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
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

// verifyBinding checks an external account binding (RFC 8555 §7.3.4) of key, and
// takes each one once. The caller holds mu.
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
	case ca.bound[h.KeyID]:
		return &Problem{Type: "unauthorized", Status: 403, Detail: "external account key was used before"}
	case json.Unmarshal(payload, &bound) != nil || bound != *key:
		return malformed("external account binding: for another key")
	}
	ca.bound[h.KeyID] = true
	return nil
}

// verify checks everything that RFC 8555 §6 demands of a signed request to url,
// and finds the account; nil for new keys, whose jwk is in the header. The
// caller holds mu.
func (ca *CA) verify(url string, m message, h header, embedded bool) (*account, *Problem) {
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
	if p := m.verify(h.Algorithm, key); p != nil {
		return nil, p
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
