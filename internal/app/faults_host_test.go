package app

import (
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// nameServer starts a name server and returns its address.
func nameServer(t *testing.T, handle dns.HandlerFunc) string {
	t.Helper()
	socket, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: socket, Handler: handle}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.ActivateAndServe()
	}()
	t.Cleanup(func() {
		_ = socket.Close()
		<-ended
	})
	return socket.LocalAddr().String()
}

// useResolver has the names of CAs resolved by a server of ours, as far as
// /etc/hosts does not have them. What it does is the first label of the name.
func useResolver(t *testing.T) {
	address := nameServer(t, func(w dns.ResponseWriter, q *dns.Msg) {
		name := q.Question[0].Name
		label, _, _ := strings.Cut(name, ".")
		m := new(dns.Msg)
		switch {
		case !strings.HasSuffix(name, ".faults.test.") || label == "missing":
			m.SetRcode(q, dns.RcodeNameError)
		case label == "servfail":
			m.SetRcode(q, dns.RcodeServerFailure)
		case label == "silent":
			return
		case label == "inside":
			m = addressed(q, "10.0.0.1")
		default: // there is nothing but the name
			m.SetReply(q)
		}
		m.RecursionAvailable = true // or nobody believes it
		_ = w.WriteMsg(m)
	})
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{
		PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", address)
		},
	}
	t.Cleanup(func() { net.DefaultResolver = before })
}

// addressed answers with an address, if that is what is asked for.
func addressed(q *dns.Msg, address string) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	if one := q.Question[0]; one.Qtype == dns.TypeA {
		m.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: one.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.ParseIP(address),
		}}
	}
	return m
}

// resolve is what a resolver does who is asked for our names: it "finds" them, of
// records by asking our responder; "misses" them; "refuses"; "fails"; is "silent".
func (s *scene) resolve(kind string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetRcode(q, dns.RcodeRefused)
		switch kind {
		case "silent":
			return
		case "fails":
			m.SetRcode(q, dns.RcodeServerFailure)
		case "misses":
			m.SetRcode(q, dns.RcodeNameError)
		case "finds":
			m = addressed(q, "127.0.0.1")
			if q.Question[0].Qtype == dns.TypeTXT {
				asked, err := dns.Exchange(q, s.address("dns")())
				if err != nil {
					s.t.Errorf("our own responder: %v", err)
					return
				}
				m = asked
			}
		}
		_ = w.WriteMsg(m)
	}
}

// answering is a port of localhost at which somebody answers.
func answering(t *testing.T) int {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port
}

// refusing is a port of 127.0.0.1 that is taken, so that nobody can listen there,
// and at which nobody does.
func refusing(t *testing.T) int { return bound(t, func(int) error { return nil }) }

// swallowing is a port of 127.0.0.1 that does not answer a handshake of TCP: its
// queue is full, and nobody takes from it.
func swallowing(t *testing.T) int {
	port := bound(t, func(fd int) error { return syscall.Listen(fd, 0) })
	for range 8 { // the queue is somewhat longer than it was told to be
		conn, err := net.DialTimeout("tcp", at(port), 200*time.Millisecond)
		if err != nil {
			return port
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Fatal("the queue has no end")
	return 0
}

func at(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// bound makes a socket of a port that is free, and returns the port.
func bound(t *testing.T, then func(fd int) error) int {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	syscall.CloseOnExec(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := then(fd); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return name.(*syscall.SockaddrInet4).Port
}

// accepting does something with every connection to a port, and returns the port.
// The connections are closed after that.
func accepting(t *testing.T, do func(net.Conn)) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			do(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-ended
	})
	return listener.Addr().(*net.TCPAddr).Port
}

// saying is an HTTPS server that answers every request with this, be it HTTP or not.
func saying(what string) func(*testing.T) (string, []byte) {
	return func(t *testing.T) (string, []byte) {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, what)
			conn.Close()
		}))
		t.Cleanup(server.Close)
		root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		return server.URL + "/directory", root
	}
}

// asks is a validator that comes for the right answer, and says what it is told to,
// or that the challenge is solved.
func asks(says *fakeca.Problem) func(*scene) validator {
	return func(s *scene) validator {
		return func(ctx context.Context, c probe.Challenge) error {
			come := map[probe.ChallengeType]validator{
				probe.HTTP01:    fakeca.ValidateHTTP(s.address("http")),
				probe.TLSALPN01: fakeca.ValidateTLSALPN(s.address("tls_alpn")),
				probe.DNS01:     fakeca.ValidateDNS(s.address("dns")),
			}[c.Type]
			if err := come(ctx, c); err != nil {
				s.t.Errorf("the validator got no right answer: %v", err)
			}
			if says == nil {
				return nil
			}
			return says
		}
	}
}

// asksWrongly is one that comes for an answer that is not there, as if another
// server of ours than the one that has it were met.
func asksWrongly(says *fakeca.Problem) func(*scene) validator {
	return func(s *scene) validator {
		return func(ctx context.Context, c probe.Challenge) error {
			c.Token = "x" + c.Token[1:]
			if err := fakeca.ValidateHTTP(s.address("http"))(ctx, c); err == nil {
				s.t.Error("the validator got a right answer")
			}
			return says
		}
	}
}

// asksForMost comes for all names but the first that it hears of, of which it says
// what it is told to.
func asksForMost(says *fakeca.Problem) func(*scene) validator {
	return func(s *scene) validator {
		var first atomic.Bool
		return func(ctx context.Context, c probe.Challenge) error {
			if first.CompareAndSwap(false, true) {
				return says
			}
			return asks(nil)(s)(ctx, c)
		}
	}
}

// asksForever is one that comes for the right answer, and comes to no end.
func asksForever(s *scene) validator {
	return func(ctx context.Context, c probe.Challenge) error {
		err := asks(nil)(s)(ctx, c)
		<-ctx.Done()
		return err
	}
}
