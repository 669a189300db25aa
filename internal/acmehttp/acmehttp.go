// Package acmehttp is the HTTP side of a run: it names and times every
// exchange with a CA, bounds what is read, guards where connections go, and
// keeps the evidence. It knows nothing of what the exchanges mean.
package acmehttp

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Options say how a target is reached.
type Options struct {
	DirectoryURL  string                                // configured; names the first call
	UserAgent     string                                // sent with every request
	TLSConfig     *tls.Config                           // nil: the system's roots
	Proxy         func(*http.Request) (*url.URL, error) // nil: none
	Family        probe.Family                          // empty: any
	AllowNetworks []netip.Prefix
	Reuse         bool // sessions share idle connections
}

// Transport makes the sessions of one pair.
type Transport struct{}

// NewTransport returns a Transport; it opens nothing.
func NewTransport(o Options) (*Transport, error) { panic("skeleton") }

// Close closes idle connections.
func (t *Transport) Close() {}

// Session returns the recorder of one run that starts at start.
func (t *Transport) Session(start time.Time) *Session { panic("skeleton") }

// Session is one run's http.RoundTripper; safe for concurrent use.
type Session struct{}

// RoundTrip implements http.RoundTripper.
func (s *Session) RoundTrip(req *http.Request) (*http.Response, error) { panic("skeleton") }

// Client returns an http.Client on s that follows no redirect.
func (s *Session) Client() *http.Client { panic("skeleton") }

// Calls returns the calls recorded so far, in the order of their start.
func (s *Session) Calls() []probe.Call { panic("skeleton") }

// APICertificate returns what the CA's API presented; nil: nothing did.
func (s *Session) APICertificate() *probe.APICertificate { panic("skeleton") }

// Close ends the session: nothing is recorded any more, and fresh connections
// are closed.
func (s *Session) Close() {}

// Exchange is what the sequencer says about the requests it makes under a
// context, and what it gets back.
type Exchange struct {
	Step       probe.StepName
	Call       probe.CallName // overrides the name learnt from the URL; empty: do not
	Attempt    int
	RetryCause string
	// Response is the last answer that was read whole under this context, nonces
	// fetched on the way excepted; nil: none.
	Response *Response
	// CallIndex is the index in Session.Calls of the last call that is not a
	// nonce fetched on the way, -1 before any. (NewExchange sets it.)
	CallIndex int
}

// Response is an answer as it was read.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// WithExchange returns a context under which requests belong to e.
func WithExchange(ctx context.Context, e *Exchange) context.Context { panic("skeleton") }
