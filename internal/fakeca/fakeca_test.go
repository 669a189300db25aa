package fakeca_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is x/crypto/acme's, which knows nothing of this package.
func client(t *testing.T, ca *fakeca.CA) *acme.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: ca.TLSConfig(), ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &acme.Client{
		Key:          key(t),
		DirectoryURL: ca.URL(),
		HTTPClient:   &http.Client{Transport: transport, Timeout: 10 * time.Second},
		RetryBackoff: func(int, *http.Request, *http.Response) time.Duration { return -1 },
	}
}

func key(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// prepare registers and brings an order of name as far as it comes.
func prepare(t *testing.T, c *acme.Client, name string) (*acme.Order, *acme.Authorization) {
	t.Helper()
	ctx := t.Context()
	if _, err := c.Register(ctx, &acme.Account{Contact: []string{"mailto:a@b.example"}}, acme.AcceptTOS); err != nil {
		t.Fatalf("register: %v", err)
	}
	o, err := c.AuthorizeOrder(ctx, acme.DomainIDs(name))
	if err != nil {
		t.Fatalf("new order: %v", err)
	}
	z, err := c.GetAuthorization(ctx, o.AuthzURLs[0])
	if err != nil {
		t.Fatalf("authorization: %v", err)
	}
	return o, z
}

func accept(t *testing.T, c *acme.Client, z *acme.Authorization, kind probe.ChallengeType) {
	t.Helper()
	i := slices.IndexFunc(z.Challenges, func(c *acme.Challenge) bool { return c.Type == string(kind) })
	if i < 0 {
		t.Fatalf("no %s among %d challenges", kind, len(z.Challenges))
	}
	if _, err := c.Accept(t.Context(), z.Challenges[i]); err != nil {
		t.Fatalf("accept: %v", err)
	}
}

func request(t *testing.T, name string) (csr []byte, k *ecdsa.PrivateKey) {
	t.Helper()
	k = key(t)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{name}}, k)
	if err != nil {
		t.Fatal(err)
	}
	return csr, k
}

func TestIssuance(t *testing.T) {
	for name, o := range map[string]fakeca.Options{
		"synchronous":  {},
		"asynchronous": {AsyncFinalize: true, Polls: 1, RetryAfter: "0"},
		"validated":    {Validate: func(context.Context, probe.Challenge) error { return nil }},
		"like step-ca": {SyncValidation: true, HTTP1: true, Host: "localhost", Validate: fakeca.Solved(time.Millisecond)},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			ca := fakeca.New(t, o)
			c := client(t, ca)
			order, z := prepare(t, c, "a.example")
			accept(t, c, z, probe.HTTP01)
			if _, err := c.WaitAuthorization(ctx, z.URI); err != nil {
				t.Fatalf("authorization: %v", err)
			}
			csr, k := request(t, "a.example")
			chain, _, err := c.CreateOrderCert(ctx, order.FinalizeURL, csr, true)
			if err != nil {
				t.Fatalf("finalize: %v", err)
			}
			leaf, err := x509.ParseCertificate(chain[0])
			if err != nil {
				t.Fatal(err)
			}
			middle := x509.NewCertPool()
			issuer, err := x509.ParseCertificate(chain[1])
			if err != nil {
				t.Fatal(err)
			}
			middle.AddCert(issuer)
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: ca.Roots(), Intermediates: middle, DNSName: "a.example"}); err != nil {
				t.Errorf("verify: %v", err)
			}
			if !k.PublicKey.Equal(leaf.PublicKey) {
				t.Error("the certificate has another key")
			}
			if err := c.RevokeCert(ctx, nil, chain[0], acme.CRLReasonUnspecified); err != nil {
				t.Errorf("revoke: %v", err)
			}
			if err := c.RevokeAuthorization(ctx, z.URI); err != nil {
				t.Errorf("deactivate: %v", err)
			}
			if got := ca.Authorizations(); len(got) != 1 || got[0].Status != "deactivated" {
				t.Errorf("authorizations %v, want one that is deactivated", got)
			}
			calls := ca.Calls()
			for _, want := range []probe.CallName{
				probe.CallDirectory, probe.CallNewNonce, probe.CallNewAccount, probe.CallNewOrder, probe.CallAuthz,
				probe.CallChallenge, probe.CallFinalize, probe.CallCertificate, probe.CallRevokeCert, probe.CallDeactivateAuthz,
			} {
				if !slices.Contains(calls, want) {
					t.Errorf("no call %s among %v", want, calls)
				}
			}
			if slices.Contains(calls, probe.CallUnknown) {
				t.Errorf("an unknown call among %v", calls)
			}
		})
	}
}

func TestReuse(t *testing.T) {
	ca := fakeca.New(t, fakeca.Options{ReuseAuthorizations: true, ReuseOrders: true})
	c := client(t, ca)
	first, z := prepare(t, c, "a.example")
	again, err := c.AuthorizeOrder(t.Context(), acme.DomainIDs("a.example"))
	if err != nil || again.URI != first.URI {
		t.Errorf("second order %v, error %v, want the first again", again, err)
	}
	accept(t, c, z, probe.DNS01)
	other, err := c.AuthorizeOrder(t.Context(), acme.DomainIDs("a.example", "b.example"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(other.AuthzURLs, z.URI) || len(other.AuthzURLs) != 2 || other.Status != acme.StatusPending {
		t.Errorf("order %+v, want a pending one that has the valid authorization", other)
	}
	if err := c.RevokeAuthorization(t.Context(), z.URI); err != nil {
		t.Fatal(err)
	}
	if got, err := c.GetOrder(t.Context(), first.URI); err != nil || got.Status != acme.StatusInvalid {
		t.Errorf("order %+v, error %v, want an invalid one", got, err)
	}
}

func TestExternalAccountBinding(t *testing.T) {
	hmac := []byte("a key that is thirty-two bytes..")
	ca := fakeca.New(t, fakeca.Options{EAB: map[string][]byte{"kid": hmac}, Terms: "https://ca.example/terms"})
	for name, test := range map[string]struct {
		binding *acme.ExternalAccountBinding
		agree   bool
		want    string
	}{
		"right":   {binding: &acme.ExternalAccountBinding{KID: "kid", Key: hmac}, agree: true},
		"missing": {agree: true, want: "urn:ietf:params:acme:error:externalAccountRequired"},
		"other":   {binding: &acme.ExternalAccountBinding{KID: "kid", Key: []byte("other")}, agree: true, want: "urn:ietf:params:acme:error:unauthorized"},
		"terms":   {binding: &acme.ExternalAccountBinding{KID: "kid", Key: hmac}, want: "urn:ietf:params:acme:error:userActionRequired"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client(t, ca).Register(t.Context(), &acme.Account{ExternalAccountBinding: test.binding}, func(string) bool { return test.agree })
			got := ""
			if problem, ok := errors.AsType[*acme.Error](err); ok {
				got = problem.ProblemType
			} else if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("problem %q, want %q", got, test.want)
			}
		})
	}
}
