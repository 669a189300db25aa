// Package bench measures what a run costs and how precisely it measures, each
// against a reference in the same run.
package bench

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// pollDelay is how long a poll waits by default, as the probers do where a CA
// does not say.
const pollDelay = 250 * time.Millisecond

// reference is the least that an ACME client can be: net/http, ECDSA and JSON,
// nothing recorded, nothing checked that is not needed to go on.
type reference struct {
	directoryURL string
	tls          *tls.Config
	key          *ecdsa.PrivateKey
	kid          string        // URL of the account
	pollDelay    time.Duration // 0: pollDelay

	// Of one issuance:
	client   *http.Client
	nonce    string
	newNonce string // where more come from, of several names
	calls    int
}

// directory is what it needs of one.
type directory struct {
	NewNonce   string `json:"newNonce"`
	NewAccount string `json:"newAccount"`
	NewOrder   string `json:"newOrder"`
}

// object is what it needs of an order, an authorization or a challenge.
type object struct {
	Status         string   `json:"status"`
	Type           string   `json:"type"`
	URL            string   `json:"url"`
	Authorizations []string `json:"authorizations"`
	Challenges     []object `json:"challenges"`
	Finalize       string   `json:"finalize"`
	Certificate    string   `json:"certificate"`
}

// connect begins an issuance on a connection of its own.
func (c *reference) connect(ctx context.Context) (directory, error) {
	c.client = &http.Client{Transport: &http.Transport{TLSClientConfig: c.tls, ForceAttemptHTTP2: true}}
	c.nonce, c.calls = "", 0
	var d directory
	body, _, err := c.do(ctx, http.MethodGet, c.directoryURL, nil)
	if err == nil {
		err = json.Unmarshal(body, &d)
	}
	if err == nil {
		_, _, err = c.do(ctx, http.MethodHead, d.NewNonce, nil)
	}
	return d, err
}

// register makes the account.
func (c *reference) register(ctx context.Context) error {
	d, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer c.client.CloseIdleConnections()
	_, header, err := c.post(ctx, d.NewAccount, `{"termsOfServiceAgreed":true}`)
	c.kid = header.Get("Location")
	return err
}

// issue has one certificate issued for name and returns it as it came.
func (c *reference) issue(ctx context.Context, name, challengeType string) ([]byte, error) {
	d, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer c.client.CloseIdleConnections()
	csr, err := newRequest(name)
	if err != nil {
		return nil, err
	}
	var order, authz object
	orderURL, err := c.read(ctx, &order, d.NewOrder, `{"identifiers":[{"type":"dns","value":"`+name+`"}]}`)
	if err != nil {
		return nil, err
	}
	authzURL := order.Authorizations[0]
	if _, err := c.read(ctx, &authz, authzURL, ""); err != nil {
		return nil, err
	}
	for _, challenge := range authz.Challenges {
		if challenge.Type != challengeType {
			continue
		}
		if _, _, err := c.post(ctx, challenge.URL, "{}"); err != nil {
			return nil, err
		}
	}
	if err := c.poll(ctx, &authz, authzURL, "pending"); err != nil {
		return nil, err
	}
	payload := `{"csr":"` + base64.RawURLEncoding.EncodeToString(csr) + `"}`
	if _, err := c.read(ctx, &order, order.Finalize, payload); err != nil {
		return nil, err
	}
	if order.Status != "valid" {
		if err := c.poll(ctx, &order, orderURL, "processing"); err != nil {
			return nil, err
		}
	}
	certificate, _, err := c.post(ctx, order.Certificate, "")
	return certificate, err
}

// newRequest makes a key and a certificate request for name.
func newRequest(name string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{name}}, key)
}

// poll reads o until its status is no longer while.
func (c *reference) poll(ctx context.Context, o *object, url, while string) error {
	for o.Status = while; o.Status == while; {
		timer := time.NewTimer(cmp.Or(c.pollDelay, pollDelay))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := c.read(ctx, o, url, ""); err != nil {
			return err
		}
	}
	if o.Status != "valid" {
		return fmt.Errorf("%s is %s", url, o.Status)
	}
	return nil
}

// read posts payload to url and decodes the answer into o. It returns Location.
func (c *reference) read(ctx context.Context, o *object, url, payload string) (string, error) {
	body, header, err := c.post(ctx, url, payload)
	if err != nil {
		return "", err
	}
	return header.Get("Location"), json.Unmarshal(body, o)
}

// protected is the header of a JWS (RFC 8555 §6.2).
type protected struct {
	Alg   string `json:"alg"`
	KID   string `json:"kid,omitempty"`
	JWK   *jwk   `json:"jwk,omitempty"`
	Nonce string `json:"nonce"`
	URL   string `json:"url"`
}

type jwk struct {
	Curve string `json:"crv"`
	Type  string `json:"kty"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

// post signs payload and posts it; "" is a POST-as-GET.
func (c *reference) post(ctx context.Context, url, payload string) ([]byte, http.Header, error) {
	header := protected{Alg: "ES256", KID: c.kid, Nonce: c.nonce, URL: url}
	if c.kid == "" {
		point, err := c.key.PublicKey.Bytes()
		if err != nil {
			return nil, nil, err
		}
		header.JWK = &jwk{"P-256", "EC", b64(point[1:33]), b64(point[33:])}
	}
	text, err := json.Marshal(header)
	if err != nil {
		return nil, nil, err
	}
	head, body := b64(text), b64([]byte(payload))
	digest := sha256.Sum256([]byte(head + "." + body))
	r, s, err := ecdsa.Sign(rand.Reader, c.key, digest[:])
	if err != nil {
		return nil, nil, err
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	jws := `{"protected":"` + head + `","payload":"` + body + `","signature":"` + b64(signature[:]) + `"}`
	return c.do(ctx, http.MethodPost, url, []byte(jws))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// do makes one request and keeps the nonce that its answer brings.
func (c *reference) do(ctx context.Context, method, url string, body []byte) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("User-Agent", "reference")
	if body != nil {
		req.Header.Set("Content-Type", "application/jose+json")
	}
	c.calls++
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, nil, fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, answer)
	}
	if nonce := resp.Header.Get("Replay-Nonce"); nonce != "" {
		c.nonce = nonce
	}
	return answer, resp.Header, nil
}
