package challenge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pires/go-proxyproto"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// through is a proxy in front of address that begins each connection with a
// header.
func through(t *testing.T, address, header string) string {
	t.Helper()
	front, err := net.Listen("tcp", loopback)
	if err != nil {
		t.Fatal(err)
	}
	var proxying sync.WaitGroup
	proxying.Go(func() {
		for {
			client, err := front.Accept()
			if err != nil {
				return
			}
			proxying.Go(func() {
				defer client.Close()
				server, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				defer server.Close()
				if _, err := io.WriteString(server, header); err != nil {
					return
				}
				proxying.Go(func() {
					_, _ = io.Copy(server, client)
					_ = server.(*net.TCPConn).CloseWrite()
				})
				_, _ = io.Copy(client, server)
			})
		}
	})
	t.Cleanup(func() {
		front.Close()
		proxying.Wait()
	})
	return front.Addr().String()
}

// version2 is a header of version 2.
func version2(t *testing.T, h proxyproto.Header, tlvs ...proxyproto.TLV) string {
	t.Helper()
	h.Version = 2
	if err := h.SetTLVs(tlvs); err != nil {
		t.Fatal(err)
	}
	data, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func tcp(s string) *net.TCPAddr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

func TestProxyProtocol(t *testing.T) {
	s, log := logTo(t)
	serve(t, s, config.Responders{TLSALPN: alpnConfig("127.0.0.1/32")})
	proxied := func(family proxyproto.AddressFamilyAndProtocol, from, to string) proxyproto.Header {
		return proxyproto.Header{Command: proxyproto.PROXY, TransportProtocol: family, SourceAddr: tcp(from), DestinationAddr: tcp(to)}
	}
	v4 := version2(t, proxied(proxyproto.TCPv4, "203.0.113.9:1", "192.0.2.1:443"))
	const ok = "acme-tls/1 → certificate true "
	const unreadable = "a PROXY header that cannot be read: "
	for _, tt := range []struct {
		name, header string
		from         string // what the visit's address is; empty: refused
		log          string // why
	}{
		{"version 1 over IPv4", "PROXY TCP4 203.0.113.9 192.0.2.1 56324 443\r\n", "203.0.113.9", ""},
		{"version 1 over IPv6", "PROXY TCP6 2001:db8::9 2001:db8::1 56324 443\r\n", "2001:db8::9", ""},
		{"version 2 over IPv4", v4, "203.0.113.9", ""},
		{"version 2 over IPv6", version2(t, proxied(proxyproto.TCPv6, "[2001:db8::9]:1", "[2001:db8::1]:443")), "2001:db8::9", ""},
		{"IPv4 in IPv6", "PROXY TCP6 ::ffff:203.0.113.9 2001:db8::1 56324 443\r\n", "203.0.113.9", ""},
		{"with more in it", version2(t, proxied(proxyproto.TCPv4, "203.0.113.9:1", "192.0.2.1:443"),
			proxyproto.TLV{Type: proxyproto.PP2_TYPE_NOOP, Value: make([]byte, 3000)}), "203.0.113.9", ""},
		{"the proxy itself, version 1", "PROXY UNKNOWN\r\n", "127.0.0.1", ""},
		{"the proxy itself, version 2", version2(t, proxyproto.Header{Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}), "127.0.0.1", ""},
		{"none", "", "", "no PROXY header from an address in responders.tls_alpn.proxy_protocol: have the proxy send one, or remove its network"},
		{"too much in it", version2(t, proxied(proxyproto.TCPv4, "203.0.113.9:1", "192.0.2.1:443"),
			proxyproto.TLV{Type: proxyproto.PP2_TYPE_NOOP, Value: make([]byte, 5000)}), "", unreadable},
		{"UDP", version2(t, proxyproto.Header{Command: proxyproto.PROXY, TransportProtocol: proxyproto.UDPv4,
			SourceAddr: net.UDPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.9:1")), DestinationAddr: net.UDPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:1"))}), "",
			"a PROXY header for something other than TCP"},
		{"no address", "PROXY TCP4 a.example 192.0.2.1 56324 443\r\n", "", unreadable},
		{"a zone", "PROXY TCP6 fe80::1%eth0 fe80::2 1 443\r\n", "", unreadable},
		{"without end", "PROXY TCP4 " + strings.Repeat("1", 200), "", unreadable},
		{"two", "PROXY TCP4 203.0.113.9 192.0.2.1 1 443\r\nPROXY TCP4 198.51.100.1 192.0.2.1 1 443\r\n", "", "-"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.alpn.refusals = occasionally{}
			c := aChallenge(probe.TLSALPN01, "a.probe.example", "token")
			withdraw := present(t, s, c)
			address := through(t, s.Addresses()["tls_alpn"].String(), tt.header)
			before := len(log.String())
			err := fakeca.ValidateTLSALPN(func() string { return address })(t.Context(), c)
			visits := withdraw()
			var from []string
			for _, v := range visits {
				from = append(from, v.Remote.String())
				family := probe.IPv4
				if v.Remote.Is6() {
					family = probe.IPv6
				}
				if v.Family != family {
					t.Errorf("family %s of %s", v.Family, v.Remote)
				}
			}
			if tt.from != "" {
				if err != nil || !slices.Equal(from, []string{tt.from}) || !strings.Contains(told(visits)[0], ok) {
					t.Errorf("%v, visits from %v, want one from %s", err, from, tt.from)
				}
				return
			}
			if err == nil || len(visits) > 0 {
				t.Errorf("answered, with visits from %v", from)
			}
			if got := log.String()[before:]; tt.log != "-" && !strings.Contains(got, tt.log) {
				t.Errorf("log %q, want %q", got, tt.log)
			}
		})
	}
	if strings.Contains(log.String(), "203.0.113.9") {
		t.Errorf("the log holds a validator's address: %s", log)
	}
}

// A header from an address that may not send one has no effect but a line in
// the log, and not many of these.
func TestProxyProtocolForged(t *testing.T) {
	s, log := logTo(t)
	serve(t, s, config.Responders{TLSALPN: alpnConfig("192.0.2.0/24")})
	c := aChallenge(probe.TLSALPN01, "a.probe.example", "token")
	withdraw := present(t, s, c)
	for _, header := range []string{
		"PROXY TCP4 192.0.2.9 192.0.2.1 56324 443\r\n",
		"PROXY UNKNOWN\r\n",
		version2(t, proxyproto.Header{Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}),
	} {
		address := through(t, s.Addresses()["tls_alpn"].String(), header)
		if err := fakeca.ValidateTLSALPN(func() string { return address })(t.Context(), c); err == nil {
			t.Errorf("answered after %q", header)
		}
	}
	if err := validate(t, s, c); err != nil {
		t.Errorf("without a header: %v", err)
	}
	if visits := withdraw(); len(visits) != 1 || visits[0].Remote.String() != "127.0.0.1" {
		t.Errorf("visits %+v, want the one without a header", visits)
	}
	const want = "a PROXY header from an address that may not send one: name the proxy's network in responders.tls_alpn.proxy_protocol"
	if n := strings.Count(log.String(), want); n != 1 || !strings.Contains(log.String(), "remote=127.0.0.1") {
		t.Errorf("told %d times, want once with the address: %s", n, log)
	}
}

// X-Forwarded-For is believed as far as it was written by proxies of ours.
func TestForwardedFor(t *testing.T) {
	p := &proxies{networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}}
	for _, tt := range []struct {
		peer  string
		lines []string
		want  string
	}{
		{"203.0.113.9", nil, "203.0.113.9"},
		{"203.0.113.9", []string{"198.51.100.1"}, "203.0.113.9"}, // forged
		{"10.0.0.1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"fd00::1", []string{"2001:db8::9"}, "2001:db8::9"},
		{"10.0.0.1", []string{"198.51.100.1, 203.0.113.9"}, "203.0.113.9"}, // its left part forged
		{"10.0.0.1", []string{"198.51.100.1", "203.0.113.9"}, "203.0.113.9"},
		{"10.0.0.1", []string{"198.51.100.1, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"}, // two proxies
		{"10.0.0.1", []string{"203.0.113.9:4711"}, "203.0.113.9"},
		{"10.0.0.1", []string{"[2001:db8::9]:4711"}, "2001:db8::9"},
		{"10.0.0.1", []string{"[2001:db8::9]"}, "2001:db8::9"},
		{"10.0.0.1", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"10.0.0.1", []string{"fe80::1%eth0"}, "fe80::1"},
		{"10.0.0.1", nil, "10.0.0.1"},
		{"10.0.0.1", []string{""}, "10.0.0.1"},
		{"10.0.0.1", []string{"unknown"}, "10.0.0.1"},
		{"10.0.0.1", []string{"203.0.113.9, unknown"}, "10.0.0.1"},
		{"10.0.0.1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"10.0.0.1", []string{strings.Repeat(",", 2000)}, "10.0.0.1"},
	} {
		got := p.forwardedFor(netip.MustParseAddr(tt.peer), http.Header{"X-Forwarded-For": tt.lines})
		if got.String() != tt.want {
			t.Errorf("%s with %q: got %s, want %s", tt.peer, tt.lines, got, tt.want)
		}
	}
}

func TestHTTPBehindProxy(t *testing.T) {
	s := newSet(t)
	trusting := httpConfig()
	trusting.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	c := aChallenge(probe.HTTP01, "a.probe.example", "token")
	var got []string
	for _, r := range []*config.HTTPResponder{httpConfig(), trusting, httpConfig()} {
		serve(t, s, config.Responders{HTTP: r})
		withdraw := present(t, s, c)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addresses()["http"].String()+challengePath+"token", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "a.probe.example"
		req.Header.Set("X-Forwarded-For", "2001:db8::9")
		response, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		for _, v := range withdraw() {
			got = append(got, v.Remote.String()+" "+string(v.Family))
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if diff := cmp.Diff([]string{"127.0.0.1 ip4", "2001:db8::9 ip6", "127.0.0.1 ip4"}, got); diff != "" {
		t.Errorf("visits (-want +got):\n%s", diff)
	}
}

// Connections through a proxy count for the networks that they come from, and a
// proxy's own address has no share of its own to use up.
func TestBoundedListenerShared(t *testing.T) {
	inner := newPipes()
	l := newBoundedListener(inner)
	l.total, l.perNetwork = 4, 1
	l.shared = func(netip.Addr) bool { return true }
	accept := func() *boundedConn {
		t.Helper()
		done := make(chan net.Conn, 1)
		go func() { done <- inner.dial() }()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		(<-done).Close()
		return c.(*boundedConn)
	}
	a, b, c := accept(), accept(), accept()
	l.shared = nil // of whom the proxy names
	one, other := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8::1")
	if !a.countFor(one) || b.countFor(one) || !c.countFor(other) {
		t.Error("a network's share is not kept")
	}
	a.Close()
	for range 2 { // the second time it has its place
		if !b.countFor(one) {
			t.Error("a place that became free is not given again")
		}
	}
	b.Close()
	c.Close()
	if l.open != 0 || len(l.networks) != 0 {
		t.Errorf("%d places of %d networks are taken after the end", l.open, len(l.networks))
	}
}

func TestOccasionally(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o occasionally
		n := 0
		for range 25 {
			if o.now() {
				n++
			}
			time.Sleep(time.Second)
		}
		if n != 3 {
			t.Errorf("%d of 25 seconds, want 3", n)
		}
	})
}

// FuzzProxyHeader holds that whatever begins a connection is read within bounds
// and never believed where nobody may send a header.
func FuzzProxyHeader(f *testing.F) {
	for _, seed := range []string{
		"", "P", "PROXY", "PROXY UNKNOWN\r\n", "PROXY TCP4 203.0.113.9 192.0.2.1 56324 443\r\n",
		"PROXY TCP6 2001:db8::9 2001:db8::1 56324 443\r\n\x16\x03\x01",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x09\xc0\x00\x02\x01\x00\x01\x01\xbb",
		"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "\r\n\r\n\x00\r\nQUIT\n\x21\x31\xff\xff", "\x16\x03\x01\x02\x00",
	} {
		f.Add([]byte(seed))
	}
	peer := netip.MustParseAddr("192.0.2.1")
	allowed := &proxies{networks: []netip.Prefix{netip.PrefixFrom(peer, 32)}}
	f.Fuzz(func(t *testing.T, data []byte) {
		conn := &addressed{peer: peer}
		read := func(p *proxies) (netip.Addr, error) {
			return p.source(conn, bufio.NewReaderSize(strings.NewReader(string(data)), proxyHeaderBuffer))
		}
		if from, err := read(new(proxies)); err == nil && from != peer {
			t.Errorf("%s is believed", from)
		}
		from, err := read(allowed)
		if err == nil && (!from.IsValid() || from.Is4In6() || from.Zone() != "") {
			t.Errorf("from %v", from)
		}
		if err == nil && data[0] != 'P' && data[0] != '\r' {
			t.Error("no header, and not refused")
		}
		if refused, ok := errors.AsType[*proxyError](err); ok && (strings.ContainsAny(refused.text, "\r\n") || len(refused.text) > 300) {
			t.Errorf("an error that is not fit for a log: %q", refused.text)
		}
	})
}

// addressed is a connection of which only the address is asked.
type addressed struct {
	net.Conn
	peer netip.Addr
}

func (a *addressed) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(a.peer, 1))
}

// Many validators that come at once through one proxy are all answered: its
// address has no share that they use up.
func TestProxyProtocolMany(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{TLSALPN: alpnConfig("127.0.0.0/8")})
	bounded := s.alpn.conns.listener.(*boundedListener)
	bounded.perNetwork = 1
	c := aChallenge(probe.TLSALPN01, "a.probe.example", "token")
	withdraw := present(t, s, c)
	const many = 20
	var all sync.WaitGroup
	for i := range many {
		address := through(t, s.Addresses()["tls_alpn"].String(), fmt.Sprintf("PROXY TCP4 203.0.%d.9 192.0.2.1 1 443\r\n", i))
		all.Go(func() {
			if err := fakeca.ValidateTLSALPN(func() string { return address })(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	count := func() int {
		bounded.mu.Lock()
		defer bounded.mu.Unlock()
		return len(bounded.networks)
	}
	await := func(want int) {
		for end := time.Now().Add(time.Minute); count() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d networks are counted, want %d", count(), want)
			}
		}
	}
	await(0) // all of them have ended
	// One that has begun has its network's share, until it ends.
	held, err := net.Dial("tcp", s.Addresses()["tls_alpn"].String())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := io.WriteString(held, "PROXY TCP4 203.0.0.77 192.0.2.1 1 443\r\n\x16"); err != nil {
		t.Fatal(err)
	}
	await(1) // its header has been read
	address := through(t, s.Addresses()["tls_alpn"].String(), "PROXY TCP4 203.0.0.9 192.0.2.1 1 443\r\n")
	if err := fakeca.ValidateTLSALPN(func() string { return address })(t.Context(), c); err == nil {
		t.Error("a network has more than its share")
	}
	networks := make(map[int]bool)
	for _, v := range withdraw() {
		networks[v.Network] = true
	}
	if len(networks) != many {
		t.Errorf("%d networks, want %d", len(networks), many)
	}
}
