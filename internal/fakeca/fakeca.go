// Package fakeca is an ACME server (RFC 8555) for tests: on a real TLS socket,
// with real signatures, nonces and certificates, that misbehaves on demand.
//
// Its URLs are random and tell nothing about what they are for, so that a
// client that guesses from paths fails. It keeps everything in memory and
// belongs to one test. It is no model of any particular CA: how those behave
// when something is broken is played with faults, see [CA.Fault].
package fakeca

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Options say what kind of CA it is. The zero value is one that behaves, takes
// anybody, finds every challenge solved and finalizes synchronously.
type Options struct {
	// Host is how the CA calls itself in URLs: "127.0.0.1" if empty, or "localhost".
	Host string
	// API is what is wrong with the certificate of its TLS socket; zero: nothing.
	API APIDefect
	// HTTP1 turns HTTP/2 off.
	HTTP1 bool

	// Challenges are what is offered; default all. The order in which they are
	// offered is random.
	Challenges []probe.ChallengeType
	// Issuers are the domain names that the CA goes by in records of dns-persist-01;
	// default ca.example.
	Issuers []string
	// Validate says whether a challenge is solved; nil: it is. The challenge's Record
	// is what the CA looks for: of dns-persist-01 anything that says as much will
	// do. It runs without a lock, until ctx ends with the test. An error that is a *Problem becomes the
	// challenge's error, any other an "unauthorized" with its text.
	Validate func(ctx context.Context, c probe.Challenge) error
	// Authorized takes every name for authorized from the start.
	Authorized bool
	// SyncValidation validates within the POST to the challenge, as step-ca does.
	SyncValidation bool
	// AsyncFinalize answers finalize with an order that is processing.
	AsyncFinalize bool
	// Polls is for how many reads an authorization that is being validated stays
	// pending, and an order that is being finalized stays processing; 0: none.
	Polls int
	// RetryAfter is the header of answers with a processing order; empty: none.
	RetryAfter string

	// ReuseAuthorizations puts an account's valid authorization into its new
	// orders; ReuseOrders answers newOrder with the pending or ready order for the
	// same names.
	ReuseAuthorizations, ReuseOrders bool
	// EAB are HMAC keys by key identifier; not empty: new accounts need a
	// binding with one of them (RFC 8555 §7.3.4). Each can be bound once.
	EAB map[string][]byte
	// Terms is meta.termsOfService; not empty: new accounts must agree.
	Terms string
	// Profiles is meta.profiles: names and what they are.
	Profiles map[string]string
	// RenewalInfo offers renewalInfo (RFC 9773), for what Renew was told of.
	RenewalInfo bool
}

// Request is one request as the CA met it.
type Request struct {
	// Call is what it was for; CallUnknown for a URL that was never handed out.
	Call   probe.CallName
	Method string
	Path   string
	Header http.Header
	// Payload is the JWS's, decoded but not yet verified; nil: unsigned.
	Payload []byte
	// Fault reports whether a fault was played.
	Fault bool
}

// CA is a running server. All its methods are safe for concurrent use.
type CA struct {
	options Options
	base    string // https://host:port
	pki     *pki
	server  *http.Server
	ctx     context.Context // ends with the test; everything that waits watches it
	tasks   sync.WaitGroup  // the server and the validations

	mu       sync.Mutex // guards everything below
	paths    map[string]route
	fixed    map[probe.CallName]string // paths of the directory and its endpoints
	nonces   map[string]bool
	accounts map[string]*account // by thumbprint of the key
	kids     map[string]*account // by URL
	created  []*account
	bound    map[string]bool // key identifiers of external accounts
	authzs   []*authz
	orders   []*order
	issued   map[string]bool // serial → revoked
	renewals map[string]renewal
	faults   []*armed
	secrets  []string
	requests []Request
}

// route is what a path stands for.
type route struct {
	call      probe.CallName
	account   *account
	order     *order
	authz     *authz
	challenge *challenge
}

// New starts a CA that is stopped when t ends.
func New(t testing.TB, o Options) *CA {
	t.Helper()
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Challenges == nil {
		o.Challenges = probe.ChallengeTypes()
	}
	if o.Issuers == nil {
		o.Issuers = []string{"ca.example"}
	}
	listener := listen(t)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	ctx, cancel := context.WithCancel(context.Background())
	ca := &CA{
		options:  o,
		base:     "https://" + net.JoinHostPort(o.Host, port),
		pki:      newPKI(t),
		ctx:      ctx,
		paths:    map[string]route{},
		fixed:    map[probe.CallName]string{},
		nonces:   map[string]bool{},
		accounts: map[string]*account{},
		kids:     map[string]*account{},
		bound:    map[string]bool{},
		issued:   map[string]bool{},
		renewals: map[string]renewal{},
	}
	for _, call := range []probe.CallName{
		probe.CallDirectory, probe.CallNewNonce, probe.CallNewAccount,
		probe.CallNewOrder, probe.CallRevokeCert, probe.CallKeyChange, probe.CallRenewalInfo,
	} {
		ca.fixed[call] = ca.path(route{call: call})
	}
	ca.server = &http.Server{
		Handler:     ca,
		TLSConfig:   &tls.Config{Certificates: []tls.Certificate{ca.pki.api(t, o.API)}},
		ErrorLog:    log.New(io.Discard, "", 0), // handshakes that tests refuse on purpose
		ConnContext: withConn,
		Protocols:   new(http.Protocols),
	}
	ca.server.Protocols.SetHTTP1(true)
	ca.server.Protocols.SetHTTP2(!o.HTTP1)
	ca.tasks.Go(func() { _ = ca.server.ServeTLS(listener, "", "") })
	t.Cleanup(func() {
		cancel()
		_ = ca.server.Close()
		ca.tasks.Wait()
	})
	return ca
}

// URL is that of the directory.
func (ca *CA) URL() string { return ca.url(ca.fixed[probe.CallDirectory]) }

// Endpoint is the URL of one of the directory's endpoints, such as CallNewOrder.
func (ca *CA) Endpoint(call probe.CallName) string { return ca.url(ca.fixed[call]) }

// Roots are to be trusted, for the socket and for what is issued.
func (ca *CA) Roots() *x509.CertPool { return ca.pki.roots() }

// RootPEM is the same certificate for a file.
func (ca *CA) RootPEM() []byte { return encode(ca.pki.root.Raw) }

// TLSConfig is a client's configuration that trusts the CA.
func (ca *CA) TLSConfig() *tls.Config { return &tls.Config{RootCAs: ca.Roots()} }

// Requests are the requests so far, in the order of their arrival.
func (ca *CA) Requests() []Request {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return slices.Clone(ca.requests)
}

// Calls are the names of the requests so far.
func (ca *CA) Calls() []probe.CallName {
	var calls []probe.CallName
	for _, r := range ca.Requests() {
		calls = append(calls, r.Call)
	}
	return calls
}

// Authorization is the state of an authorization, for assertions.
type Authorization struct {
	URL, Identifier, Status string
}

// Authorizations are all there are, in the order of their creation.
func (ca *CA) Authorizations() []Authorization {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	var list []Authorization
	for _, a := range ca.authzs {
		list = append(list, Authorization{URL: ca.url(a.path), Identifier: a.identifier, Status: a.status})
	}
	return list
}

// Orders are the states of all orders, in the order of their creation.
func (ca *CA) Orders() []string {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	var list []string
	for _, o := range ca.orders {
		o.refresh()
		list = append(list, o.status)
	}
	return list
}

// OrderURL is the URL of an order, by its place in Orders.
func (ca *CA) OrderURL(i int) string {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.url(ca.orders[i].path)
}

// Secrets are the nonces and tokens that were handed out: what a client must
// neither log nor keep.
func (ca *CA) Secrets() []string {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return slices.Clone(ca.secrets)
}

// ForgetAccounts makes the CA know none of its accounts any more.
func (ca *CA) ForgetAccounts() {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	clear(ca.accounts)
	clear(ca.kids)
}

// Silent returns the directory URL of a host that accepts connections and
// never says anything, not even in the TLS handshake.
func Silent(t testing.TB) string {
	t.Helper()
	listener := listen(t)
	var task sync.WaitGroup
	var conns []net.Conn // owned by the accepting goroutine until it has ended
	task.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		task.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return "https://" + listener.Addr().String() + "/directory"
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("fakeca: %v", err)
	}
	return listener
}

// path makes a new path for r. The caller holds mu, or is New.
func (ca *CA) path(r route) string {
	p := "/" + strings.ToLower(rand.Text())
	ca.paths[p] = r
	return p
}

func (ca *CA) url(path string) string { return ca.base + path }

// nonce issues one. The caller holds mu.
func (ca *CA) nonce() string {
	n := rand.Text()
	ca.nonces[n] = true
	ca.secrets = append(ca.secrets, n)
	return n
}

// wait waits for d, and reports whether it came to the end.
func (ca *CA) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-ca.ctx.Done():
		return false
	}
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// hangUp closes the connection under a request, whatever speaks on it, or resets it.
func hangUp(r *http.Request, reset bool) {
	c, ok := r.Context().Value(connKey{}).(net.Conn)
	if !ok {
		return
	}
	if over, ok := c.(*tls.Conn); ok && reset {
		c = over.NetConn()
		_ = c.(*net.TCPConn).SetLinger(0) // what was not sent is thrown away
	}
	_ = c.Close()
}
