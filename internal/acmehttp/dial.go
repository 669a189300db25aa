package acmehttp

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"syscall"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// pool is a set of connections: those of one session, or those that the
// sessions of a pair share.
type pool struct {
	http *http.Transport
	// unverified is for single requests to servers whose certificate is what is to be
	// looked at.
	unverified *http.Transport
	transport  *Transport

	mu     sync.Mutex // guards the fields below
	conns  map[*conn]struct{}
	learnt []netip.Prefix // blocks in which the configured directory was met
	closed bool
}

// conn tells its pool when it is closed.
type conn struct {
	net.Conn
	pool *pool
}

// Close closes the connection.
func (c *conn) Close() error {
	c.pool.mu.Lock()
	delete(c.pool.conns, c)
	c.pool.mu.Unlock()
	return c.Conn.Close()
}

func newPool(t *Transport) *pool {
	p := &pool{transport: t, conns: make(map[*conn]struct{})}
	config := &tls.Config{}
	if t.options.TLSConfig != nil {
		config = t.options.TLSConfig.Clone()
	}
	config.ClientSessionCache = nil // each handshake is measured whole
	p.http = p.newHTTP(config)
	p.unverified = p.newHTTP(&tls.Config{InsecureSkipVerify: true, MinVersion: config.MinVersion, MaxVersion: config.MaxVersion})
	p.unverified.DisableKeepAlives = true
	return p
}

func (p *pool) newHTTP(config *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:                  proxyOf,
		ProxyConnectHeader:     p.transport.options.ProxyConnectHeader,
		OnProxyConnectResponse: proxyAnswer,
		DialContext:            p.dial,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    dialTimeout,
		ForceAttemptHTTP2:      true, // not tried otherwise with a DialContext or a TLSClientConfig
		MaxResponseHeaderBytes: maxHeader,
		IdleConnTimeout:        idleTimeout,
	}
}

// close closes every connection, whoever uses it, and opens no other.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	open := make([]*conn, 0, len(p.conns))
	for c := range p.conns {
		open = append(open, c)
	}
	p.mu.Unlock()
	p.http.CloseIdleConnections()
	p.unverified.CloseIdleConnections()
	for _, c := range open {
		_ = c.Close()
	}
}

// learn remembers that the configured directory was met at a.
func (p *pool) learn(a netip.Addr) {
	block, special := specialBlock(a.Unmap().WithZone(""))
	if !special {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.learnt, block) {
		p.learnt = append(p.learnt, block)
	}
}

// blocks returns what was learnt.
func (p *pool) blocks() []netip.Prefix {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.learnt)
}

// proxyOf is http.Transport's Proxy: RoundTrip has asked already.
func proxyOf(req *http.Request) (*url.URL, error) {
	if r := recordOf(req.Context()); r != nil {
		return r.proxy, nil
	}
	return nil, nil
}

// proxyAnswer makes an error of a proxy's refusal that shows whose it is.
func proxyAnswer(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	return fmt.Errorf("proxy answered CONNECT with %q", res.Status)
}

// dial is http.Transport's DialContext. Its ctx has the values of the request
// that asked for the connection, but neither its deadline nor its end: net/http
// dials on for whoever comes next. Nobody does after a run, so that what is not
// ready when the request ends is closed.
func (p *pool) dial(ctx context.Context, network, address string) (net.Conn, error) {
	r := recordOf(ctx)
	if r == nil {
		return nil, fmt.Errorf("dial %s: no request asked for it", address)
	}
	switch p.transport.options.Family {
	case probe.IPv4:
		network = "tcp4"
	case probe.IPv6:
		network = "tcp6"
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(r.ctx, cancel)
	defer stop()

	d := net.Dialer{
		Timeout:       dialTimeout,
		FallbackDelay: -1, // the loser of a race would report its phases too
		Resolver:      p.transport.options.Resolver,
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			return p.admit(r, address)
		},
	}
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, pool: p}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		nc.Close()
		return nil, net.ErrClosed
	}
	p.conns[c] = struct{}{}
	p.mu.Unlock()
	if !r.adopt(c) {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

// admit refuses the address, ip:port, that is about to be connected to, if r
// may not lead there.
func (p *pool) admit(r *record, address string) error {
	if r.proxy != nil {
		return nil // the configuration's choice; what lies behind it is the proxy's
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("parse address %q: %w", address, err)
	}
	return p.transport.guard.check(ap.Addr(), r.own || r.chosen, p.blocks())
}
