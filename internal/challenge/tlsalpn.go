package challenge

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// alpnTimeout bounds one connection to the TLS responder from its acceptance to
// its end. A validator's own patience is about ten seconds.
const alpnTimeout = 5 * time.Second

// alpnProtocol is the only protocol that is spoken (RFC 8737 §6.2).
const alpnProtocol = "acme-tls/1"

// The alerts with which we refuse (RFC 8446 §6.2).
const (
	alertUnrecognizedName      = 112
	alertNoApplicationProtocol = 120
)

// errRefused ends a handshake for which the alert has been sent.
var errRefused = errors.New("refused")

// alpnResponder answers tls-alpn-01 (RFC 8737), and nothing else: it has no
// certificate but those of live challenges.
type alpnResponder struct {
	address  string // as configured
	board    *board
	log      *slog.Logger
	proxies  atomic.Pointer[proxies] // who sends the PROXY protocol
	refusals occasionally
	conns    *acceptor
	config   *tls.Config
	over     chan struct{} // closed when nothing runs any more
}

// openALPN listens on address; nothing is served before start.
func openALPN(address string, b *board, log *slog.Logger) (*alpnResponder, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address) // does not wait
	if err != nil {
		return nil, err
	}
	r := &alpnResponder{
		address: address, board: b, log: log,
		over: make(chan struct{}),
	}
	r.proxies.Store(new(proxies))
	bounded := newBoundedListener(l)
	bounded.shared = func(a netip.Addr) bool { return r.proxies.Load().has(a) }
	r.conns = newAcceptor(bounded, "TLS-ALPN", log)
	r.config = &tls.Config{
		MinVersion: tls.VersionTLS12, // RFC 8737 §4
		NextProtos: []string{alpnProtocol},
		// A resumed session would carry no certificate, and so no answer.
		SessionTicketsDisabled: true,
		GetConfigForClient:     r.admit,
		GetCertificate:         r.certificate,
	}
	return r, nil
}

func (r *alpnResponder) configured() string { return r.address }

func (r *alpnResponder) addr() net.Addr { return r.conns.listener.Addr() }

func (r *alpnResponder) start() {
	r.log.Info("TLS-ALPN responder listens", "address", r.addr().String())
	r.conns.start(r.serveConn)
	go func() {
		defer close(r.over)
		r.conns.wait()
	}()
}

func (r *alpnResponder) release() { _ = r.conns.listener.Close() }

func (r *alpnResponder) halt() {
	r.log.Info("TLS-ALPN responder stops", "address", r.addr().String())
	r.conns.halt()
}

func (r *alpnResponder) ended() <-chan struct{} { return r.over }

func (r *alpnResponder) force() { r.conns.force() }

// serveConn does one handshake. After it, the client "MUST NOT exchange any
// further data with the server and MUST immediately close the connection" (RFC
// 8737 §4).
func (r *alpnResponder) serveConn(c net.Conn) {
	if c.SetDeadline(time.Now().Add(alpnTimeout)) != nil {
		return
	}
	reader := bufio.NewReaderSize(c, proxyHeaderBuffer)
	from, err := r.proxies.Load().source(c, reader)
	if err != nil {
		// A client that says nothing, or hangs up, is not worth a word.
		if err, is := errors.AsType[*proxyError](err); is && r.refusals.now() {
			r.log.Warn("TLS-ALPN responder refuses a connection", "remote", remoteAddr(c.RemoteAddr()).String(), "err", err)
		}
		return
	}
	if b, ok := c.(*boundedConn); ok && !b.countFor(from) {
		return
	}
	conn := &alpnConn{Conn: c, reader: reader, from: from}
	server := tls.Server(conn, r.config)
	if err := server.HandshakeContext(context.Background()); err != nil { // the deadline bounds it
		if !conn.told {
			r.board.record(conn.visited, from, alpnProtocol, "handshake failed", false)
		}
		return
	}
	_ = server.CloseWrite()
	// The client's farewell, so that closing does not reset the connection.
	_, _ = io.CopyN(io.Discard, conn.Conn, 1<<10)
}

// alpnConn is a connection with what is known of it before and during the
// handshake. One goroutine owns it.
type alpnConn struct {
	net.Conn
	reader  io.Reader // holds what was read before the handshake
	from    netip.Addr
	visited []*presentation // the challenges for the name that was asked for
	told    bool            // a visit was recorded
	refused bool            // nothing more is sent
}

// Read reads from the connection.
func (c *alpnConn) Read(b []byte) (int, error) { return c.reader.Read(b) }

// Write writes to the connection, unless the client was refused.
func (c *alpnConn) Write(b []byte) (int, error) {
	if c.refused {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// refuse sends a fatal alert in place of the one that crypto/tls would choose.
// Before the first server message all records are in the clear.
func (c *alpnConn) refuse(alert byte) error {
	const recordAlert, fatal = 21, 2
	_, err := c.Conn.Write([]byte{recordAlert, 3, 3, 0, 2, fatal, alert})
	c.refused = true
	return errors.Join(errRefused, err)
}

// admit is tls.Config.GetConfigForClient: it refuses whoever does not offer the
// protocol, also those who offer none, and names that no live challenge has.
func (r *alpnResponder) admit(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	c := hello.Conn.(*alpnConn)
	certificate, visited := r.board.lookupSNI(strings.ToLower(hello.ServerName))
	c.visited = visited
	if !slices.Contains(hello.SupportedProtos, alpnProtocol) {
		c.told = true
		r.board.record(visited, c.from, "TLS without "+alpnProtocol, "no_application_protocol", false)
		return nil, c.refuse(alertNoApplicationProtocol)
	}
	if certificate == nil {
		return nil, c.refuse(alertUnrecognizedName)
	}
	return nil, nil
}

// certificate is tls.Config.GetCertificate: version and protocol are agreed on.
func (r *alpnResponder) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c := hello.Conn.(*alpnConn)
	certificate, visited := r.board.lookupSNI(strings.ToLower(hello.ServerName))
	// Recorded before it is sent: when the CA has the answer, the visit counts.
	c.told = true
	if certificate == nil { // withdrawn since
		r.board.record(c.visited, c.from, alpnProtocol, "unrecognized_name", false)
		return nil, c.refuse(alertUnrecognizedName)
	}
	r.board.record(visited, c.from, alpnProtocol, "certificate", true)
	return certificate, nil
}
