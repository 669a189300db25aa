package challenge

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What one request to the HTTP responder may take. A validator's own patience
// is about ten seconds.
const (
	httpReadTimeout  = 5 * time.Second
	httpWriteTimeout = 5 * time.Second
	httpHeaderBytes  = 4 << 10 // net/http adds 4 KiB of its own
)

// challengePath is RFC 8555 §8.3's, with the registration of RFC 8615.
const challengePath = "/.well-known/acme-challenge/"

// httpResponder answers http-01, and nothing else.
type httpResponder struct {
	address  string // as configured
	board    *board
	log      *slog.Logger
	proxies  atomic.Pointer[proxies] // who sends X-Forwarded-For
	listener net.Listener
	server   *http.Server
	halted   atomic.Bool
	conns    sync.WaitGroup // open connections
	over     chan struct{}  // closed when nothing runs any more
}

// openHTTP listens on address; nothing is served before start.
func openHTTP(address string, b *board, log *slog.Logger) (*httpResponder, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address) // does not wait
	if err != nil {
		return nil, err
	}
	r := &httpResponder{
		address: address, board: b, log: log,
		over: make(chan struct{}),
	}
	r.proxies.Store(new(proxies))
	bounded := newBoundedListener(l)
	bounded.shared = func(a netip.Addr) bool { return r.proxies.Load().has(a) }
	r.listener = bounded
	r.server = &http.Server{
		Handler:                      r,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is a method like the others
		ReadHeaderTimeout:            httpReadTimeout,
		ReadTimeout:                  httpReadTimeout,
		WriteTimeout:                 httpWriteTimeout,
		MaxHeaderBytes:               httpHeaderBytes,
		ConnState:                    r.count,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	// A validator asks once. Without keep-alives a connection lasts no longer
	// than its request.
	r.server.SetKeepAlivesEnabled(false)
	return r, nil
}

func (r *httpResponder) configured() string { return r.address }

func (r *httpResponder) addr() net.Addr { return r.listener.Addr() }

func (r *httpResponder) start() {
	r.log.Info("HTTP responder listens", "address", r.addr().String())
	go func() {
		defer close(r.over)
		if err := r.server.Serve(r.listener); !r.halted.Load() {
			r.log.Error("HTTP responder failed", "address", r.address, "err", err)
		}
		r.conns.Wait()
	}()
}

func (r *httpResponder) release() { _ = r.listener.Close() }

func (r *httpResponder) halt() {
	r.log.Info("HTTP responder stops", "address", r.addr().String())
	r.halted.Store(true)
	_ = r.listener.Close()
}

func (r *httpResponder) ended() <-chan struct{} { return r.over }

func (r *httpResponder) force() { _ = r.server.Close() }

// count follows the connections, so that the end of the last one is known.
func (r *httpResponder) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		r.conns.Add(1)
	case http.StateClosed:
		r.conns.Done()
	}
}

// ServeHTTP answers with the key authorization of a live challenge, as RFC 8555
// §8.3 wants it, and with constants otherwise. No token is logged.
func (r *httpResponder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		reply(w, req, http.StatusMethodNotAllowed, "method not allowed\n")
		return
	}
	token, found := strings.CutPrefix(req.URL.Path, challengePath)
	if !found || !validToken(token) {
		reply(w, req, http.StatusNotFound, "not found\n")
		return
	}
	keyAuth, visited := r.board.lookupHTTP(requestHost(req.Host), token)
	status, body := http.StatusOK, keyAuth
	if keyAuth == "" {
		status, body = http.StatusNotFound, "not found\n"
	}
	// Recorded before it is written: when the CA has the answer, the visit counts.
	if peer, err := netip.ParseAddrPort(req.RemoteAddr); err == nil {
		from := r.proxies.Load().forwardedFor(peer.Addr().Unmap().WithZone(""), req.Header)
		ok := keyAuth != "" && req.Method == http.MethodGet
		r.board.record(visited, from, req.Method, strconv.Itoa(status), ok)
	}
	reply(w, req, status, body)
}

func reply(w http.ResponseWriter, req *http.Request, status int, body string) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if req.Method != http.MethodHead {
		_, _ = io.WriteString(w, body) // a validator that left is not our error
	}
}

// requestHost returns the host of a Host header as challenges are keyed: lower
// case, without port, brackets and final dot.
func requestHost(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.String()
	}
	return strings.TrimSuffix(strings.ToLower(s), ".")
}
