// Package acmehttp is the HTTP side of a run: it names and times every
// exchange with a CA, bounds what is read, guards where connections go, and
// keeps the evidence. It knows nothing of what the exchanges mean.
package acmehttp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// What a session bounds, whatever a CA says or does.
const (
	maxBody        = 1 << 20   // bytes of a JSON body, after decompression
	maxChain       = 1 << 20   // bytes of a certificate chain, after decompression
	maxHeader      = 256 << 10 // bytes of an answer's header
	maxURL         = 8 << 10   // bytes of a URL that is requested
	maxRecordedURL = 1000      // bytes of a URL that is recorded
	maxCalls       = 10_000    // calls of one session

	// dialTimeout bounds a dial and a handshake whose request has no deadline;
	// otherwise the request's own deadline comes first.
	dialTimeout = time.Minute
	// idleTimeout is how long sessions that reuse connections leave one idle.
	idleTimeout = 10 * time.Minute
)

// Options say how a target is reached. The zero value of every field but
// DirectoryURL is useful.
type Options struct {
	DirectoryURL string                                // configured; names the first call
	UserAgent    string                                // sent with every request; empty: the client's own
	TLSConfig    *tls.Config                           // nil: the system's roots
	Proxy        func(*http.Request) (*url.URL, error) // nil: none
	// ProxyConnectHeader is sent to a proxy with CONNECT.
	ProxyConnectHeader http.Header
	Family             probe.Family // empty: any
	// AllowNetworks are special-purpose networks that the CA's URLs may lead
	// into. The address of a cloud's metadata service is allowed by nothing but
	// itself, as a /32 or /128.
	AllowNetworks []netip.Prefix
	Reuse         bool // sessions share idle connections
	// Pace is asked before each request, and returns when it may be sent: nil, or
	// an error and it is not. It calls waiting, once, before it makes the request
	// wait, which is before the call's start. Nil: at once.
	Pace     func(ctx context.Context, call probe.CallName, waiting func()) error
	Resolver *net.Resolver // nil: net.DefaultResolver
}

// Transport makes the sessions of one pair.
type Transport struct {
	options   Options
	directory *url.URL
	guard     guard

	mu     sync.Mutex // guards the fields below
	shared *pool      // of sessions that reuse connections; nil: none yet
	active int        // sessions on shared that are not closed
	closed bool
}

// NewTransport returns a Transport; it opens nothing. It fails if the
// directory's URL cannot be parsed or has no host.
func NewTransport(o Options) (*Transport, error) {
	u, err := url.Parse(o.DirectoryURL)
	if err != nil {
		return nil, fmt.Errorf("parse directory URL: %w", err)
	}
	if u.Hostname() == "" {
		return nil, fmt.Errorf("directory URL %q has no host", u.Redacted())
	}
	t := &Transport{options: o, directory: u}
	t.guard = guard{
		allow:         normalize(o.AllowNetworks),
		directoryHost: hostPort(u),
		verified:      o.TLSConfig == nil || !o.TLSConfig.InsecureSkipVerify,
	}
	return t, nil
}

// Close closes idle connections. Those that a session still uses are closed
// when the last session is. A session made after Close works, and leaves no
// connection behind.
func (t *Transport) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.shared == nil {
		return
	}
	if t.active == 0 {
		t.shared.close()
		t.shared = nil
		return
	}
	t.shared.http.CloseIdleConnections()
}

// Session returns the recorder of one run that starts at start, from which all
// its offsets count.
func (t *Transport) Session(start time.Time) *Session {
	s := &Session{transport: t, names: newRegistry(t.directory)}
	s.clock.now = time.Now()
	s.clock.offset = s.clock.now.Sub(start)
	if !t.options.Reuse {
		s.pool = newPool(t)
		return s
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shared == nil {
		t.shared = newPool(t)
	}
	t.active++
	s.pool = t.shared
	return s
}

// release gives back the pool of a session that is closed.
func (t *Transport) release(p *pool) {
	if !t.options.Reuse {
		p.close()
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active--
	if t.closed && t.active == 0 {
		p.close()
		t.shared = nil
	}
}
