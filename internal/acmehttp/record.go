package acmehttp

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// clock gives offsets from a run's start, by the monotonic clock.
type clock struct {
	now    time.Time     // when the session was made
	offset time.Duration // of now from the run's start
}

// elapsed returns the time since the run's start; never 0, which means "never".
func (c *clock) elapsed() time.Duration {
	return max(c.offset+time.Since(c.now), 1)
}

// record is one call while it happens. Its hooks may be called after RoundTrip
// has returned, by a dial that nobody waits for any more; they then change
// nothing.
type record struct {
	// ctx is the request's. net/http detaches the dial from it, and the dial
	// looks it up again here.
	ctx      context.Context
	clock    *clock
	proxy    *url.URL // nil: none
	own      bool     // leads to the configured directory itself
	named    bool     // the host is a name, which is to be resolved
	onTheWay bool     // a nonce that the sequencer did not ask for
	index    int      // in Session.records
	limit    int64    // bytes of the answer's body
	// As in the Exchange.
	chosen, anyCertificate bool
	read                   func(io.Reader)
	streamed               int64 // bytes that read has had

	call probe.Call // guarded by Session.mu, and so is done
	done bool

	mu     sync.Mutex // guards the fields below
	frozen bool
	phase  probe.Phase
	// ready and first are when a connection was there, and when the answer began.
	ready, first time.Duration
	conn         net.Conn
	reused       bool
	// dns, connect and tls are when a phase began and ended; 0: not.
	dns, connect, tls interval
	handshakes        int
	stops             []func() bool // see adopt
}

// interval is a phase; an end of 0 says that it has not ended.
type interval struct{ start, end time.Duration }

// span returns the interval in the form that is recorded; nil: there was none.
// One that had not ended when the call did, at end, ended with it.
func (i interval) span(ready, end time.Duration) *probe.Span {
	if i.end == 0 && ready == 0 {
		i.end = end
	}
	if i.start == 0 || i.end < i.start || ready != 0 && i.end > ready {
		return nil
	}
	return &probe.Span{Start: i.start, Duration: i.end - i.start}
}

type recordKey struct{}

// recordOf returns the record of the request that has ctx, or of the one that
// wanted a dial with ctx; nil: none.
func recordOf(ctx context.Context) *record {
	r, _ := ctx.Value(recordKey{}).(*record)
	return r
}

// trace returns a context in which net/http tells r what happens.
func (r *record) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(context.WithValue(ctx, recordKey{}, r), &httptrace.ClientTrace{
		GetConn:              func(string) { r.begin() },
		GotConn:              r.gotConn,
		GotFirstResponseByte: r.gotFirstByte,
		DNSStart:             func(httptrace.DNSStartInfo) { r.enter(&r.dns, probe.PhaseDNS) },
		DNSDone:              func(httptrace.DNSDoneInfo) { r.leave(&r.dns) },
		ConnectStart:         func(string, string) { r.enter(&r.connect, probe.PhaseConnect) },
		ConnectDone:          func(string, string, error) { r.leave(&r.connect) },
		TLSHandshakeStart:    r.handshake,
		TLSHandshakeDone:     func(tls.ConnectionState, error) { r.leave(&r.tls) },
	})
}

// begin is called as net/http looks for a connection, which it does again when
// an idle one turns out to be dead before anything was sent on it.
func (r *record) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen {
		return
	}
	r.phase = probe.PhaseConnect
	if r.named && r.proxy == nil {
		r.phase = probe.PhaseDNS
	}
	r.ready, r.first, r.conn, r.reused, r.handshakes = 0, 0, nil, false, 0
	r.dns, r.connect, r.tls = interval{}, interval{}, interval{}
}

// enter begins a phase. A phase that happens several times, because a name has
// several addresses, is one that lasts from the first to the last.
func (r *record) enter(i *interval, phase probe.Phase) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen || r.ready != 0 { // a dial that lost against an idle connection
		return
	}
	r.phase, i.end = phase, 0
	if i.start == 0 {
		i.start = r.clock.elapsed()
	}
}

// leave ends a phase.
func (r *record) leave(i *interval) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frozen || r.ready != 0 {
		return
	}
	i.end = r.clock.elapsed()
}

func (r *record) handshake() {
	r.enter(&r.tls, probe.PhaseTLS)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.frozen {
		r.handshakes++
	}
}

func (r *record) gotConn(info httptrace.GotConnInfo) {
	r.mu.Lock()
	stops := r.stops
	if !r.frozen {
		r.phase = probe.PhaseResponse
		r.ready = r.clock.elapsed()
		r.conn, r.reused = info.Conn, info.Reused
		r.stops = nil
	}
	r.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
}

func (r *record) gotFirstByte() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.frozen && r.ctx.Err() == nil { // see Session.send
		r.first = r.clock.elapsed()
	}
}

// body says that the answer's header was read.
func (r *record) body() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phase = probe.PhaseBody
}

// adopt takes a connection that was dialled for the request. The handshake that
// is to come ends with the request; a connection that is ready is closed by its
// pool only. It reports whether there is still a use for c: after the request
// has ended in vain there is none.
func (r *record) adopt(c io.Closer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.ready != 0: // by an idle connection; c is for the next one
		return true
	case r.frozen:
		return false
	}
	r.stops = append(r.stops, context.AfterFunc(r.ctx, func() { c.Close() }))
	return true
}

// remote returns the address connected to; invalid: none.
func (r *record) remote() netip.AddrPort {
	if r.conn == nil {
		return netip.AddrPort{}
	}
	if a, ok := r.conn.RemoteAddr().(*net.TCPAddr); ok {
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// fill writes what the hooks saw into c, which has its End, and returns the
// phase reached. With freeze, what they see later is nobody's.
func (r *record) fill(c *probe.Call, freeze bool) probe.Phase {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frozen = r.frozen || freeze
	c.Ready, c.FirstByte = r.ready, r.first
	c.Connection.Reused = r.reused
	if !r.reused {
		if r.proxy == nil { // else it was the proxy's name
			c.Connection.DNS = r.dns.span(r.ready, c.End)
		}
		c.Connection.Connect = r.connect.span(r.ready, c.End)
		c.Connection.TLS = r.tls.span(r.ready, c.End)
	}
	if remote := r.remote(); remote.IsValid() {
		c.Connection.Remote = remote.String()
		c.Connection.Family = probe.IPv6
		if remote.Addr().Is4() {
			c.Connection.Family = probe.IPv4
		}
	}
	return r.phase
}

// throughProxy reports whether the last handshake was with the proxy itself,
// and so its certificate is not the CA's.
func (r *record) throughProxy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proxy != nil && r.proxy.Scheme == "https" && r.handshakes < 2
}

// connection returns the state of the TLS connection; nil: there is none.
func (r *record) connection() *tls.ConnectionState {
	r.mu.Lock()
	c, ok := r.conn.(*tls.Conn)
	r.mu.Unlock()
	if !ok {
		return nil
	}
	state := c.ConnectionState()
	return &state
}
