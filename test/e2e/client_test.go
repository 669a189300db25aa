package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/examples/demo/process"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// plainClient is a client that knows of no limits, with an account.
type plainClient struct {
	*acme.Client
	account string // its URL
	tb      testing.TB
	// solved says whether it has the answers to http-01 for its address.
	solved *atomic.Bool
}

// newClient makes one of ca without an account.
func newClient(t *testing.T, ca parts.CA) *plainClient {
	t.Helper()
	root, err := os.ReadFile(ca.RootFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &plainClient{tb: t, solved: new(atomic.Bool), Client: &acme.Client{
		Key:          key,
		DirectoryURL: ca.DirectoryURL,
		HTTPClient:   &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}},
		RetryBackoff: func(_ int, _ *http.Request, answer *http.Response) time.Duration {
			if answer.StatusCode == http.StatusBadRequest {
				return time.Millisecond // a nonce
			}
			return -1
		},
	}}
}

// register makes the account.
func (c *plainClient) register() error {
	account, err := c.Register(c.tb.Context(), new(acme.Account), acme.AcceptTOS)
	if err == nil {
		c.account = account.URI
	}
	return err
}

// newPlainClient makes one with an account.
func newPlainClient(t *testing.T, ca parts.CA) *plainClient {
	t.Helper()
	c := newClient(t, ca)
	if err := c.register(); err != nil {
		t.Fatal(err)
	}
	return c
}

// order makes an order and does no more.
func (c *plainClient) order(names ...string) error {
	_, err := c.AuthorizeOrder(c.tb.Context(), acme.DomainIDs(names...))
	return err
}

// ready makes an order and has it validated.
func (c *plainClient) ready(names ...string) (*acme.Order, error) {
	order, err := c.AuthorizeOrder(c.tb.Context(), acme.DomainIDs(names...))
	if err != nil {
		return nil, err
	}
	for _, url := range order.AuthzURLs {
		authz, err := c.GetAuthorization(c.tb.Context(), url)
		if err != nil {
			return nil, err
		}
		if err := c.validate(authz, "dns-01"); err != nil {
			return nil, err
		}
	}
	_, err = c.WaitOrder(c.tb.Context(), order.URI)
	return order, err
}

// validate accepts the challenge of a type, and waits for what comes of it.
func (c *plainClient) validate(authz *acme.Authorization, typ string) error {
	if authz.Status != acme.StatusPending {
		return nil
	}
	i := slices.IndexFunc(authz.Challenges, func(ch *acme.Challenge) bool { return ch.Type == typ })
	if _, err := c.Accept(c.tb.Context(), authz.Challenges[i]); err != nil {
		return err
	}
	_, err := c.WaitAuthorization(c.tb.Context(), authz.URI)
	return err
}

// finalize has a ready order's certificate issued.
func (c *plainClient) finalize(order *acme.Order) error {
	c.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	request := new(x509.CertificateRequest)
	for _, id := range order.Identifiers {
		request.DNSNames = append(request.DNSNames, id.Value)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, request, key)
	if err != nil {
		return err
	}
	// It looks for the order's URL in Pebble's answer, where there is none.
	_, _, _ = c.CreateOrderCert(c.tb.Context(), order.FinalizeURL, csr, false)
	order, err = c.WaitOrder(c.tb.Context(), order.URI)
	if err == nil && order.Status != acme.StatusValid {
		err = fmt.Errorf("order %s is %s", order.URI, order.Status)
	}
	return err
}

// issue gets a certificate.
func (c *plainClient) issue(names ...string) error {
	c.tb.Helper()
	order, err := c.ready(names...)
	if err == nil {
		err = c.finalize(order)
	}
	return err
}

// attempt has the client's address validated, and holds that it ends as it should.
func (c *plainClient) attempt(t *testing.T, address string, succeeds bool) {
	t.Helper()
	c.solved.Store(succeeds)
	order, err := c.AuthorizeOrder(t.Context(), acme.IPIDs(address))
	must(t, err)
	authz, err := c.GetAuthorization(t.Context(), order.AuthzURLs[0])
	must(t, err)
	if err := c.validate(authz, "http-01"); (err == nil) != succeeds {
		t.Fatalf("validated: %v", err)
	}
	if succeeds {
		// Lest the next order has it: Pebble, told never to do that, does it one
		// time in a hundred. It is no failure.
		must(t, c.RevokeAuthorization(t.Context(), authz.URI))
	}
}

// serve answers http-01 while the client has solved it.
func (c *plainClient) serve(t *testing.T, port int) {
	t.Helper()
	thumbprint, err := acme.JWKThumbprint(c.Key.Public())
	must(t, err)
	listener, err := net.Listen("tcp", process.Loopback(port))
	must(t, err)
	server := &http.Server{ReadHeaderTimeout: parts.Timeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.solved.Load() {
			_, _ = w.Write([]byte(strings.TrimPrefix(r.URL.Path, "/.well-known/acme-challenge/") + "." + thumbprint))
		}
	})}
	go func() { _ = server.Serve(listener) }() // ends with Close
	t.Cleanup(func() { _ = server.Close() })
}

// must fails the test if what should have worked has not.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
