package challenge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func alpnConfig(networks ...string) *config.TLSALPNResponder {
	c := &config.TLSALPNResponder{ListenAddress: loopback}
	for _, n := range networks {
		c.ProxyProtocol = append(c.ProxyProtocol, netip.MustParsePrefix(n))
	}
	return c
}

// validate does what a CA does to validate c at s.
func validate(t *testing.T, s *Set, c probe.Challenge) error {
	t.Helper()
	return fakeca.ValidateTLSALPN(func() string { return s.Addresses()["tls_alpn"].String() })(t.Context(), c)
}

// told lists visits without what varies.
func told(visits []probe.Visit) []string {
	var list []string
	for _, v := range visits {
		list = append(list, fmt.Sprintf("%s: %s → %s %t %s %d", v.Challenge, v.Asked, v.Answered, v.OK, v.Family, v.Network))
	}
	return list
}

func TestTLSALPN(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{TLSALPN: alpnConfig()})
	for _, identifier := range []string{
		"www.probe.example", "Mixed.Probe.Example", "192.0.2.7", "2001:db8::7", strings.Repeat("abcdefg.", 28) + "probe.example",
	} {
		t.Run(identifier, func(t *testing.T) {
			c := aChallenge(probe.TLSALPN01, identifier, "token-of-this")
			withdraw := present(t, s, c)
			if err := validate(t, s, c); err != nil {
				t.Errorf("%v", err)
			}
			if diff := cmp.Diff([]string{"tls-alpn-01: acme-tls/1 → certificate true ip4 1"}, told(withdraw())); diff != "" {
				t.Errorf("visits (-want +got):\n%s", diff)
			}
			if err := validate(t, s, c); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
				t.Errorf("after withdraw: %v, want the alert unrecognized_name", err)
			}
		})
	}
}

// Two live challenges are told apart by the name that is asked for.
func TestTLSALPNTwo(t *testing.T) {
	s := newSet(t)
	listener := alpnConfig()
	listener.ListenAddress = "[::1]:0"
	serve(t, s, config.Responders{TLSALPN: listener})
	a, b := aChallenge(probe.TLSALPN01, "a.probe.example", "token-a"), aChallenge(probe.TLSALPN01, "b.probe.example", "token-b")
	withdrawA, withdrawB := present(t, s, a), present(t, s, b)
	var both sync.WaitGroup
	for _, c := range []probe.Challenge{a, b, a} {
		both.Go(func() {
			if err := validate(t, s, c); err != nil {
				t.Errorf("%s: %v", c.Identifier, err)
			}
		})
	}
	both.Wait()
	if got := len(withdrawA()); got != 2 {
		t.Errorf("%d visits of a, want 2", got)
	}
	if diff := cmp.Diff([]string{"tls-alpn-01: acme-tls/1 → certificate true ip6 1"}, told(withdrawB())); diff != "" {
		t.Errorf("visits of b (-want +got):\n%s", diff)
	}
}

// A handshake does not say which of two challenges for one name it is for, so
// that the second one waits until the first is withdrawn.
func TestTLSALPNSameName(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{TLSALPN: alpnConfig()})
	first, second := aChallenge(probe.TLSALPN01, "a.probe.example", "first"), aChallenge(probe.TLSALPN01, "a.probe.example", "second")
	withdraw := present(t, s, first)
	present(t, s, first) // the CA handed out the same challenge again

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := s.Present(ctx, second)
	const want = `present tls-alpn-01 for "a.probe.example": another challenge for the same name is live, ` +
		"and a TLS handshake does not tell which one it is for: context deadline exceeded"
	if err == nil || err.Error() != want || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err := validate(t, s, first); err != nil {
		t.Errorf("the first: %v", err)
	}
	withdraw()
	third := aChallenge(probe.TLSALPN01, "b.probe.example", "third")
	withdrawThird := present(t, s, third)
	third.Token, third.KeyAuthorization = "fourth", "fourth.thumb-print_1"
	presented := make(chan error)
	go func() {
		withdraw, err := s.Present(t.Context(), third)
		if err == nil {
			defer withdraw()
			err = validate(t, s, third)
		}
		presented <- err
	}()
	withdrawThird()
	if err := <-presented; err != nil {
		t.Errorf("the one that waited: %v", err)
	}
}

// shake makes a handshake of another kind and returns what the client sees.
func shake(t *testing.T, s *Set, c *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	c.InsecureSkipVerify = true
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{Config: c}).DialContext(ctx, "tcp", s.Addresses()["tls_alpn"].String())
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState(), nil
}

// Whoever is no validator of a live challenge sees an alert and no certificate.
func TestTLSALPNRefuses(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{TLSALPN: alpnConfig()})
	withdraw := present(t, s, aChallenge(probe.TLSALPN01, "a.probe.example", "token"))
	present(t, s, aChallenge(probe.TLSALPN01, "192.0.2.1", "token"))
	const noProtocol, noName, noVersion = "tls: no application protocol", "tls: unrecognized name", "tls: protocol version not supported"
	const name = "a.probe.example"
	acme := []string{alpnProtocol}
	for _, tt := range []struct {
		name   string
		config *tls.Config
		want   string
	}{
		{"no ALPN", &tls.Config{ServerName: name}, noProtocol},
		{"no ALPN over TLS 1.2", &tls.Config{ServerName: name, MaxVersion: tls.VersionTLS12}, noProtocol},
		{"HTTP", &tls.Config{ServerName: name, NextProtos: []string{"h2", "http/1.1"}}, noProtocol},
		{"like it", &tls.Config{ServerName: name, NextProtos: []string{"acme-tls/2", "ACME-TLS/1"}}, noProtocol},
		{"no ALPN, other name", &tls.Config{ServerName: "b.probe.example"}, noProtocol},
		{"other name", &tls.Config{ServerName: "b.probe.example", NextProtos: acme}, noName},
		{"name beneath", &tls.Config{ServerName: "x.a.probe.example", NextProtos: acme}, noName},
		{"no name", &tls.Config{NextProtos: acme}, noName},
		{"address in place of its reverse name", &tls.Config{ServerName: "192.0.2.1", NextProtos: acme}, noName},
		{"TLS 1.1", &tls.Config{ServerName: name, NextProtos: acme, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, noVersion},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := shake(t, s, tt.config)
			if err == nil || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	for _, tt := range []struct {
		name   string
		config *tls.Config
	}{
		{"TLS 1.2", &tls.Config{ServerName: name, NextProtos: acme, MaxVersion: tls.VersionTLS12}},
		{"upper case", &tls.Config{ServerName: "A.PROBE.example", NextProtos: acme}},
		{"among others", &tls.Config{ServerName: name, NextProtos: []string{"h2", alpnProtocol}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state, err := shake(t, s, tt.config)
			if err != nil || state.NegotiatedProtocol != alpnProtocol || len(state.PeerCertificates) != 1 || state.DidResume {
				t.Errorf("%v, protocol %q, %d certificates", err, state.NegotiatedProtocol, len(state.PeerCertificates))
			}
		})
	}
	refused := "tls-alpn-01: TLS without acme-tls/1 → no_application_protocol false ip4 1"
	answered := "tls-alpn-01: acme-tls/1 → certificate true ip4 1"
	want := []string{refused, refused, refused, refused, "tls-alpn-01: acme-tls/1 → handshake failed false ip4 1", answered, answered, answered}
	if diff := cmp.Diff(want, told(withdraw())); diff != "" {
		t.Errorf("visits (-want +got):\n%s", diff)
	}
}

// What is not TLS ends the connection, and a session is never resumed.
func TestTLSALPNRaw(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{TLSALPN: alpnConfig()})
	present(t, s, aChallenge(probe.TLSALPN01, "a.probe.example", "token"))
	for name, sent := range map[string]string{
		"HTTP":             "GET / HTTP/1.1\r\nHost: a.probe.example\r\n\r\n",
		"nothing":          "",
		"SSL 2":            "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
		"POST":             "POST / HTTP/1.1\r\n\r\n", // begins as PROXY does
		"long record":      "\x16\x03\x01\xff\xff" + strings.Repeat("\x01", 1<<16),
		"broken handshake": "\x16\x03\x01\x00\x04\x01\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.Addresses()["tls_alpn"].String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(4 * time.Second))
			_, _ = io.WriteString(conn, sent)
			_ = conn.(*net.TCPConn).CloseWrite()
			got, err := io.ReadAll(conn)
			if isTimeout(err) {
				t.Errorf("the connection is still open, after %x", got)
			}
			if len(got) > 7 {
				t.Errorf("more than an alert: %x", got)
			}
		})
	}
	cache := tls.NewLRUClientSessionCache(1)
	for range 2 {
		state, err := shake(t, s, &tls.Config{
			ServerName: "a.probe.example", NextProtos: []string{alpnProtocol}, ClientSessionCache: cache,
			MaxVersion: tls.VersionTLS12, // where the ticket comes in the handshake
		})
		if err != nil || state.DidResume {
			t.Errorf("resumed %t, %v", state.DidResume, err)
		}
	}
}

func TestTLSALPNTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		p, err := newPresentation(aChallenge(probe.TLSALPN01, "a.probe.example", "token"))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.add(p); err != nil {
			t.Fatal(err)
		}
		r, err := openALPN(loopback, b, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		r.release()
		ends := newPipes()
		r.conns.listener = newBoundedListener(ends)
		r.start()
		for name, send := range map[string]func(io.Writer){
			"silent": func(io.Writer) {},
			"slow": func(w io.Writer) {
				for _, b := range []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") {
					if _, err := w.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			},
			"half a signature": func(w io.Writer) { _, _ = io.WriteString(w, "PRO") },
		} {
			if d := lasts(ends.dial(), send); d != alpnTimeout {
				t.Errorf("a %s client was kept for %s, want %s", name, d, alpnTimeout)
			}
		}
		// One that has the answer and does not leave.
		conn := ends.dial()
		client := tls.Client(conn, &tls.Config{ServerName: "a.probe.example", NextProtos: []string{alpnProtocol}, InsecureSkipVerify: true})
		start := time.Now()
		if err := client.Handshake(); err != nil {
			t.Error(err)
		}
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after the handshake: %v, want close_notify", err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("close_notify came after %s, want it at once", d)
		}
		r.halt()
		<-r.ended()
		if d := time.Since(start); d != alpnTimeout {
			t.Errorf("one that stays was kept for %s, want %s", d, alpnTimeout)
		}
		conn.Close()
		if got := len(b.remove(p)); got != 1 {
			t.Errorf("%d visits, want 1", got)
		}
	})
}

// A reload keeps the socket and the challenges, and changes who is believed.
func TestTLSALPNReload(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{TLSALPN: alpnConfig()})
	listener, address := s.alpn.conns.listener, s.Addresses()["tls_alpn"].String()
	c := aChallenge(probe.TLSALPN01, "a.probe.example", "token")
	present(t, s, c)
	if err := validate(t, s, c); err != nil {
		t.Errorf("before: %v", err)
	}
	serve(t, s, config.Responders{TLSALPN: alpnConfig("127.0.0.0/8")})
	if s.alpn.conns.listener != listener {
		t.Error("the socket is another one")
	}
	if err := validate(t, s, c); err == nil {
		t.Error("a connection without a PROXY header is still answered")
	}

	change, err := s.Prepare(config.Responders{TLSALPN: &config.TLSALPNResponder{ListenAddress: "[::1]:0"}})
	if err != nil {
		t.Fatal(err)
	}
	opened := change.alpn.addr().String()
	change.Abort()
	if isTaken(opened) {
		t.Errorf("%s is still taken after Abort", opened)
	}
	_, err = s.Prepare(config.Responders{TLSALPN: &config.TLSALPNResponder{ListenAddress: address}})
	want := "responders.tls_alpn.listen_address: listen tcp " + address + ": bind: address already in use: " +
		"this exporter itself listens there: restart it to change the address but not the port"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	serve(t, s, config.Responders{})
	if isTaken(address) {
		t.Errorf("%s is still taken after Commit", address)
	}
}

// Close waits for a handshake that has begun until its context ends.
func TestTLSALPNClose(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{TLSALPN: alpnConfig()})
	half, err := net.Dial("tcp", s.Addresses()["tls_alpn"].String())
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	if _, err := half.Write([]byte{22, 3, 1}); err != nil {
		t.Fatal(err)
	}
	// One behind it shows that the half one has been accepted.
	if _, err := shake(t, s, &tls.Config{}); err == nil {
		t.Error("no alert")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := s.Close(ctx); err == nil {
		t.Error("nothing had to be cut: half a handshake was open")
	}
	if d := time.Since(start); d > alpnTimeout/2 {
		t.Errorf("took %s", d)
	}
}

func TestReverseName(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1":   "1.2.0.192.in-addr.arpa",
		"2001:db8::1": "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	} {
		if got := reverseName(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}
