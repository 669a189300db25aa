package acmehttp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// short is how long a test waits for what never comes.
const short = 150 * time.Millisecond

// listen serves each connection to a raw listener with serve, and closes it.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "https://" + l.Addr().String()
}

// silence reads until the client gives up.
func silence(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// bind takes a free port of 127.0.0.1, at which nobody listens and nobody else can.
func bind(t *testing.T) (fd int, address string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
}

// full returns a port whose queue of connections is full.
func full(t *testing.T) string {
	t.Helper()
	fd, address := bind(t)
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for wait := short; wait < 10*short; {
		c, err := net.DialTimeout("tcp", address, wait)
		if err != nil {
			wait *= 5 // or a busy machine was too slow to connect
			continue
		}
		t.Cleanup(func() { c.Close() })
		wait = short
	}
	return "https://" + address
}

// resolver answers A and AAAA questions with the addresses of the name, with
// NXDOMAIN for a name without, with SERVFAIL for "broken." and not at all for
// "silent.".
func resolver(t *testing.T, hosts map[string][]string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable = true
		question := q.Question[0]
		list, known := hosts[question.Name]
		switch {
		case question.Name == "silent.":
			return
		case question.Name == "broken.":
			m.Rcode = dns.RcodeServerFailure
		case !known:
			m.Rcode = dns.RcodeNameError
		}
		for _, s := range list {
			h := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET}
			switch ip := net.ParseIP(s); {
			case question.Qtype == dns.TypeA && ip.To4() != nil:
				m.Answer = append(m.Answer, &dns.A{Hdr: h, A: ip})
			case question.Qtype == dns.TypeAAAA && ip.To4() == nil:
				m.Answer = append(m.Answer, &dns.AAAA{Hdr: h, AAAA: ip})
			}
		}
		_ = w.WriteMsg(m)
	})}
	started := make(chan struct{})
	done := make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	go func() { defer close(done); _ = srv.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = srv.Shutdown(); <-done })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "udp", pc.LocalAddr().String())
		if err == nil {
			t.Cleanup(func() { c.Close() }) // Go's resolver waits on after the end of its ctx
		}
		return c, err
	}}
}

func TestFailuresBeforeAnAnswer(t *testing.T) {
	a := newAuthority(t)
	names := resolver(t, map[string][]string{"six.": {"::1"}})
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	closed := listen(t, silence)
	_, refused := bind(t)
	// tlsRaw answers the request on an established TLS connection with raw bytes.
	cert := a.valid(t)
	tlsRaw := func(answer string) string {
		return listen(t, func(c net.Conn) {
			tc := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}})
			if _, err := tc.Read(make([]byte, 4096)); err == nil {
				_, _ = io.WriteString(tc, answer)
			}
		})
	}
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	bigHeader := func(w http.ResponseWriter, _ *http.Request) {
		for i := range 300 {
			w.Header().Set("X-"+strconv.Itoa(i), string(bytes.Repeat([]byte("x"), 1000)))
		}
	}
	packedHeader := func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X"] = slices.Repeat([]string{strings.Repeat("x", 1000)}, 300)
	}
	old := time.Now().Add(-48 * time.Hour)
	withLeaf := func(c tls.Certificate) string {
		return a.serve(t, issuance, func(s *httptest.Server) { s.TLS.Certificates = []tls.Certificate{c} }).URL
	}
	tests := []struct {
		name   string
		url    string
		change func(*Options)
		phase  probe.Phase
		cause  probe.Cause
		limit  time.Duration
	}{
		{name: "http", url: plain.URL, phase: probe.PhaseRequest, cause: probe.CauseScheme},
		{name: "no such name", url: "https://absent.", phase: probe.PhaseDNS, cause: probe.CauseNotFound},
		{name: "no address of the family", url: "https://six.", change: func(o *Options) { o.Family = probe.IPv4 }, phase: probe.PhaseDNS, cause: probe.CauseNotFound},
		{name: "no literal of the family", url: "https://[::1]:1", change: func(o *Options) { o.Family = probe.IPv4 }, phase: probe.PhaseDNS, cause: probe.CauseNotFound},
		{name: "resolver fails", url: "https://broken.", phase: probe.PhaseDNS, cause: probe.CauseOther},
		{name: "resolver silent", url: "https://silent.", phase: probe.PhaseDNS, cause: probe.CauseTimeout, limit: short},
		{name: "refused", url: "https://" + refused, phase: probe.PhaseConnect, cause: probe.CauseRefused},
		{name: "connect timeout", url: full(t), phase: probe.PhaseConnect, cause: probe.CauseTimeout, limit: short},
		{name: "handshake timeout", url: closed, phase: probe.PhaseTLS, cause: probe.CauseTimeout, limit: short},
		{name: "closed in handshake", url: listen(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }), phase: probe.PhaseTLS, cause: probe.CauseClosed},
		{name: "not TLS", url: "https" + plain.URL[4:], phase: probe.PhaseTLS, cause: probe.CauseOther},
		{name: "alert", url: withLeaf(a.valid(t)), change: func(o *Options) {
			o.TLSConfig.CipherSuites, o.TLSConfig.MaxVersion = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}, tls.VersionTLS12
		}, phase: probe.PhaseTLS, cause: probe.CauseOther},
		{name: "unknown authority", url: withLeaf(newAuthority(t).valid(t)), phase: probe.PhaseTLS, cause: probe.CauseCertificate},
		{name: "another name", url: withLeaf(a.valid(t, "other.example")), phase: probe.PhaseTLS, cause: probe.CauseCertificate},
		{name: "expired", url: withLeaf(a.leaf(t, old, old.Add(time.Hour))), phase: probe.PhaseTLS, cause: probe.CauseExpired},
		{name: "not yet valid", url: withLeaf(a.leaf(t, time.Now().Add(time.Hour), time.Now().Add(2*time.Hour))), phase: probe.PhaseTLS, cause: probe.CauseExpired},
		{name: "h2 aborted", url: a.serve(t, abort).URL, phase: probe.PhaseResponse, cause: probe.CauseClosed},
		{name: "h1 aborted", url: a.serve(t, abort, http1).URL, phase: probe.PhaseResponse, cause: probe.CauseClosed},
		{name: "h2 silent", url: a.serve(t, hang).URL, phase: probe.PhaseResponse, cause: probe.CauseTimeout, limit: short},
		{name: "h1 silent", url: a.serve(t, hang, http1).URL, phase: probe.PhaseResponse, cause: probe.CauseTimeout, limit: short},
		{name: "malformed", url: tlsRaw("220 smtp.example ESMTP\r\n"), phase: probe.PhaseResponse, cause: probe.CauseOther},
		{name: "half a header", url: tlsRaw("HTTP/1.1 200 OK\r\n"), phase: probe.PhaseResponse, cause: probe.CauseClosed},
		{name: "h2 header too large", url: a.serve(t, bigHeader).URL, phase: probe.PhaseResponse, cause: probe.CauseOther}, // net/http says PROTOCOL_ERROR
		{name: "h2 header too large when unpacked", url: a.serve(t, packedHeader).URL, phase: probe.PhaseResponse, cause: probe.CauseTooLarge},
		{name: "h1 header too large", url: a.serve(t, bigHeader, http1).URL, phase: probe.PhaseResponse, cause: probe.CauseTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s *Session
			var err error
			// What never answers has time to get as far as it is to get: on a busy
			// machine that can be more than a limit leaves.
			for limit := tt.limit; ; limit *= 4 {
				s = a.session(t, tt.url, func(o *Options) {
					o.Resolver = names
					if tt.change != nil {
						tt.change(o)
					}
				})
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if limit != 0 {
					ctx, cancel = context.WithTimeout(ctx, limit)
				}
				_, err = do(ctx, s, "GET", tt.url+"/dir")
				cancel()
				if limit == 0 || limit > 10*time.Second || s.Calls()[0].Error != nil && s.Calls()[0].Error.Phase == tt.phase {
					break
				}
			}
			call := wantError(t, s, err, tt.phase, tt.cause)
			if call.Status != 0 || call.FirstByte != 0 && tt.phase != probe.PhaseResponse {
				t.Errorf("status %d and first byte %v of no answer", call.Status, call.FirstByte)
			}
			if ready := call.Ready != 0; ready != (tt.phase == probe.PhaseResponse) {
				t.Errorf("ready at %v, having reached %s", call.Ready, tt.phase)
			}
		})
	}
}

func TestFailuresInTheBody(t *testing.T) {
	a := newAuthority(t)
	partial := func(end func(*http.Request)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
			end(r)
		}
	}
	abort := partial(func(*http.Request) { panic(http.ErrAbortHandler) })
	stall := partial(func(r *http.Request) { <-r.Context().Done() })
	length := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, n)) }
	}
	gzipped := func(n int, spoil bool) http.HandlerFunc {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(make([]byte, n))
		z.Close()
		raw := b.Bytes()
		if spoil {
			raw[len(raw)-5] ^= 0xff // the checksum
		}
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(raw)
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		cause   probe.Cause // empty: none
		bytes   int64
	}{
		{"truncated", abort, probe.CauseClosed, 1},
		{"slow", stall, probe.CauseTimeout, 1},
		{"as large as may be", length(maxBody), "", maxBody},
		{"announced too large", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(20<<20))
			_, _ = w.Write(make([]byte, 20<<20))
		}, probe.CauseTooLarge, 0},
		{"too large", length(maxBody + 1), probe.CauseTooLarge, maxBody},
		{"gzip", gzipped(1000, false), "", 1000},
		{"gzip bomb", gzipped(8<<20, false), probe.CauseTooLarge, maxBody},
		{"gzip spoilt", gzipped(1000, true), probe.CauseOther, 1000},
	}
	for _, tt := range tests {
		for _, proto := range []string{"h1", "h2"} {
			t.Run(tt.name+" "+proto, func(t *testing.T) {
				srv := a.serve(t, tt.handler, func(s *httptest.Server) { s.EnableHTTP2 = proto == "h2" })
				s := a.session(t, srv.URL)
				ctx := t.Context()
				if tt.cause == probe.CauseTimeout {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, short)
					defer cancel()
				}
				e := NewExchange(probe.StepDirectory, "")
				body, err := do(WithExchange(ctx, e), s, "GET", srv.URL+"/dir")
				call := s.Calls()[0]
				if tt.cause != "" {
					wantError(t, s, err, probe.PhaseBody, tt.cause)
					if e.Response != nil {
						t.Error("half an answer was handed on")
					}
				} else if err != nil || int64(len(body)) != tt.bytes || int64(len(e.Response.Body)) != tt.bytes {
					t.Errorf("read %d bytes and error %v, want %d", len(body), err, tt.bytes)
				}
				if call.Bytes != tt.bytes {
					t.Errorf("recorded %d bytes, want %d", call.Bytes, tt.bytes)
				}
				if call.Status == 0 || call.FirstByte == 0 || call.FirstByte > call.End {
					t.Errorf("status %d, first byte %v, end %v", call.Status, call.FirstByte, call.End)
				}
			})
		}
	}
}

func TestEndOfTheContext(t *testing.T) {
	a := newAuthority(t)
	srv := a.serve(t, issuance)
	cause := errors.New("the exporter stops")
	over, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	canceled, stop := context.WithCancelCause(t.Context())
	stop(cause)
	for name, tt := range map[string]struct {
		ctx  context.Context
		want probe.Cause
	}{"deadline": {over, probe.CauseTimeout}, "canceled with a cause": {canceled, probe.CauseCanceled}} {
		t.Run(name, func(t *testing.T) {
			s := a.session(t, srv.URL)
			_, err := do(tt.ctx, s, "GET", srv.URL+"/dir")
			wantError(t, s, err, probe.PhaseRequest, tt.want)
		})
	}
}

// TestPhaseCause has the errors that no test can have a socket make.
func TestPhaseCause(t *testing.T) {
	op := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	sys := func(e syscall.Errno) error { return op(os.NewSyscallError("connect", e)) }
	over, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	tests := []struct {
		name    string
		ctx     context.Context
		err     error
		reached probe.Phase
		phase   probe.Phase
		cause   probe.Cause
	}{
		{"no route", t.Context(), sys(syscall.EHOSTUNREACH), probe.PhaseConnect, probe.PhaseConnect, probe.CauseUnreachable},
		{"no network", t.Context(), sys(syscall.ENETUNREACH), probe.PhaseConnect, probe.PhaseConnect, probe.CauseUnreachable},
		{"kernel's timeout", t.Context(), sys(syscall.ETIMEDOUT), probe.PhaseConnect, probe.PhaseConnect, probe.CauseTimeout},
		{"reset", t.Context(), sys(syscall.ECONNRESET), probe.PhaseTLS, probe.PhaseTLS, probe.CauseClosed},
		{"GOAWAY", t.Context(), errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR"), probe.PhaseResponse, probe.PhaseResponse, probe.CauseClosed},
		{"refused as time was over", over, sys(syscall.ECONNREFUSED), probe.PhaseConnect, probe.PhaseConnect, probe.CauseRefused},
		{"reset as time was over", over, sys(syscall.ECONNRESET), probe.PhaseConnect, probe.PhaseConnect, probe.CauseTimeout},
		{"resolver's timeout", t.Context(), op(&net.DNSError{Err: "i/o timeout", IsTimeout: true}), probe.PhaseDNS, probe.PhaseDNS, probe.CauseTimeout},
		{"address", over, op(&addressError{Host: "10.0.0.1", In: netip.MustParsePrefix("10.0.0.0/8")}), probe.PhaseConnect, probe.PhaseRequest, probe.CauseAddress},
		{"unknown", t.Context(), errors.New("surprise"), probe.PhaseResponse, probe.PhaseResponse, probe.CauseOther},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := callError(classify(tt.ctx, tt.err, tt.reached))
			if got.Phase != tt.phase || got.Cause != tt.cause {
				t.Errorf("classified as %v, want %s: %s", got, tt.phase, tt.cause)
			}
		})
	}
}
