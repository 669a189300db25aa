package challenge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestPresentErrors(t *testing.T) {
	both := config.Responders{HTTP: httpConfig(), DNS: dnsConfig()}
	edit := func(kind probe.ChallengeType, f func(*probe.Challenge)) probe.Challenge {
		c := aChallenge(kind, "x.solo.test", "secret-token")
		f(&c)
		return c
	}
	is := func(kind probe.ChallengeType, identifier string) probe.Challenge {
		return aChallenge(kind, identifier, "secret-token")
	}
	const (
		noToken = `present http-01 for "x.solo.test": the token has characters outside base64url, or a length that is not from 1 to 512`
		noKey   = `present http-01 for "x.solo.test": the key authorization is not the token, a dot and a thumbprint`
	)
	tests := []struct {
		name       string
		responders config.Responders
		challenge  probe.Challenge
		want       string
	}{
		{"no HTTP", config.Responders{DNS: dnsConfig()}, is(probe.HTTP01, "x.solo.test"),
			`present http-01 for "x.solo.test": no HTTP responder is open: set responders.http`},
		{"no DNS", config.Responders{HTTP: httpConfig()}, is(probe.DNSPersist01, "x.solo.test"),
			`present dns-persist-01 for "x.solo.test": no DNS responder is open: set responders.dns`},
		{"outside", both, is(probe.DNS01, "x.example"),
			`present dns-01 for "x.example": the name lies in none of responders.dns.zones`},
		{"above", both, is(probe.DNS01, "probe.example"),
			`present dns-01 for "probe.example": the name lies in none of responders.dns.zones`},
		{"record outside", both, edit(probe.DNSAccount01, func(c *probe.Challenge) { c.Record.Name = "_acme-challenge.x.example" }),
			`present dns-account-01 for "x.solo.test": the name lies in none of responders.dns.zones`},
		{"no TLS", both, is(probe.TLSALPN01, "x.solo.test"),
			`present tls-alpn-01 for "x.solo.test": no TLS-ALPN responder is open: set responders.tls_alpn`},
		{"type", both, is("tls-sni-01", "x.solo.test"),
			`present tls-sni-01 for "x.solo.test": there is no responder for this type of challenge`},
		{"type for an address", both, is("tls-sni-01", "2001:db8::1"),
			`present tls-sni-01 for "2001:db8::1": an IP address cannot be validated by this challenge`},
		{"token", both, edit(probe.HTTP01, func(c *probe.Challenge) { c.Token = "secret/../token"; c.KeyAuthorization = c.Token + ".thumb" }), noToken},
		{"padding", both, edit(probe.HTTP01, func(c *probe.Challenge) { c.Token = "secret=="; c.KeyAuthorization = c.Token + ".thumb" }), noToken},
		{"no token", both, edit(probe.HTTP01, func(c *probe.Challenge) { c.Token = "" }), noToken},
		{"long token", both, edit(probe.HTTP01, func(c *probe.Challenge) { c.Token = strings.Repeat("a", 513) }), noToken},
		{"key authorization", both, edit(probe.HTTP01, func(c *probe.Challenge) { c.KeyAuthorization = "<script>secret</script>" }), noKey},
		{"thumbprint", both, edit(probe.HTTP01, func(c *probe.Challenge) { c.KeyAuthorization = c.Token + ".secret thumb" }), noKey},
		{"no record", both, edit(probe.DNS01, func(c *probe.Challenge) { c.Record = probe.Record{} }),
			`present dns-01 for "x.solo.test": the record's name is not a domain name`},
		{"no value", both, edit(probe.DNS01, func(c *probe.Challenge) { c.Record.Value = "" }),
			`present dns-01 for "x.solo.test": the record's value has a length that is not from 1 to 512`},
		{"long value", both, edit(probe.DNSPersist01, func(c *probe.Challenge) { c.Record.Value = strings.Repeat("a", 513) }),
			`present dns-persist-01 for "x.solo.test": the record's value has a length that is not from 1 to 512`},
		{"long name", both, edit(probe.DNSAccount01, func(c *probe.Challenge) { c.Record.Name = strings.Repeat("a.", 125) + "solo.test" }),
			`present dns-account-01 for "x.solo.test": the record's name is not a domain name`},
		{"address", both, is(probe.DNS01, "192.0.2.1"),
			`present dns-01 for "192.0.2.1": an IP address cannot be validated by this challenge`},
		{"wildcard", both, is(probe.DNS01, "*.solo.test"),
			`present dns-01 for "*.solo.test": the identifier is not a domain name`},
		{"empty name", both, is(probe.DNS01, ""),
			`present dns-01 for "": the identifier is not a domain name`},
		{"empty label", both, is(probe.DNS01, "a..solo.test"),
			`present dns-01 for "a..solo.test": the identifier is not a domain name`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSet(t)
			serve(t, s, tt.responders)
			withdraw, err := s.Present(t.Context(), tt.challenge)
			if err == nil || err.Error() != tt.want || withdraw != nil {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
}

func TestPresentContext(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{DNS: dnsConfig()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Present(ctx, aChallenge(probe.DNS01, "x.solo.test", "a")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// The table of one name is bounded, and two accounts cannot share a token.
func TestPresentBounds(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{HTTP: httpConfig(), DNS: dnsConfig()})
	for i := range maxLivePerName {
		present(t, s, aChallenge(probe.DNS01, "x.solo.test", fmt.Sprint(i)))
		present(t, s, aChallenge(probe.HTTP01, "x.solo.test", fmt.Sprint(i)))
	}
	for _, kind := range []probe.ChallengeType{probe.DNS01, probe.HTTP01} {
		if _, err := s.Present(t.Context(), aChallenge(kind, "x.solo.test", "more")); err == nil {
			t.Errorf("%s: one more than %d was taken", kind, maxLivePerName)
		}
		present(t, s, aChallenge(kind, "y.solo.test", "more"))
	}
	other := aChallenge(probe.HTTP01, "y.solo.test", "more")
	other.KeyAuthorization = "more.another-thumbprint"
	if _, err := s.Present(t.Context(), other); err == nil {
		t.Error("two accounts share a token of http-01")
	}
	if m := ask(t, s, "tcp", query("_acme-challenge.x.solo.test.", dns.TypeTXT)); len(m.Answer) != maxLivePerName {
		t.Errorf("%d values, want %d", len(m.Answer), maxLivePerName)
	}
}

// Queries for the name and its parents inside the zone are visits, with their
// own type and not OK; those beside it and above the zone are not.
func TestVisits(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{HTTP: httpConfig(), DNS: dnsConfig()})
	withDNS := present(t, s, aChallenge(probe.DNS01, "a.b.solo.test", "dns"))
	withHTTP := present(t, s, aChallenge(probe.HTTP01, "a.b.solo.test", "http"))
	elsewhere := present(t, s, aChallenge(probe.HTTP01, "www.example.com", "elsewhere"))
	for _, q := range []struct {
		name  string
		qtype uint16
	}{
		{"_acme-challenge.a.b.solo.test.", dns.TypeTXT},
		{"_acme-challenge.a.b.solo.test.", dns.TypeNS}, // on the way down, RFC 9156
		{"_acme-challenge.b.solo.test.", dns.TypeTXT},
		{"A.b.solo.test.", dns.TypeA},
		{"a.b.solo.test.", dns.TypeAAAA},
		{"a.b.solo.test.", dns.TypeMX},
		{"b.solo.test.", dns.TypeCAA},
		{"solo.test.", dns.TypeCAA},
		{"test.", dns.TypeCAA},
		{"c.b.solo.test.", dns.TypeA},
		{"x.a.b.solo.test.", dns.TypeA},
	} {
		ask(t, s, "udp", query(q.name, q.qtype))
	}
	kinds := func(visits []probe.Visit) (out []string) {
		for _, v := range visits {
			out = append(out, fmt.Sprint(v.Challenge, " ", v.Asked, " ", v.Answered, " ", v.OK))
		}
		return out
	}
	common := []string{"A 2 values false", "AAAA 1 value false", "CAA 2 values false", "CAA 2 values false"}
	want := []string{"dns-01 TXT 1 value true", "dns-01 NS NODATA false"}
	var wantHTTP []string
	for _, c := range common {
		want, wantHTTP = append(want, "dns-01 "+c), append(wantHTTP, "http-01 "+c)
	}
	first := withDNS()
	if diff := cmp.Diff(want, kinds(first)); diff != "" {
		t.Errorf("dns-01 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantHTTP, kinds(withHTTP())); diff != "" {
		t.Errorf("http-01 (-want +got):\n%s", diff)
	}
	if got := elsewhere(); len(got) != 0 {
		t.Errorf("a name outside the zones was visited: %+v", got)
	}
	if m := ask(t, s, "udp", query("_acme-challenge.a.b.solo.test.", dns.TypeTXT)); len(m.Answer) != 0 {
		t.Errorf("after withdraw: %v", m)
	}
	if again := withDNS(); !cmp.Equal(first, again, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) {
		t.Errorf("withdraw returned %v, then %v", first, again)
	}
}

func TestVisitsTimeAndNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		p, err := newPresentation(aChallenge(probe.DNS01, "x.solo.test", "a"))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []string{"192.0.2.1", "192.0.2.200", "192.0.3.1", "2001:db8::1", "2001:db8:0:ffff::1", "2001:db8:1::1", "192.0.2.3"} {
			time.Sleep(time.Second)
			b.record([]*presentation{p}, netip.MustParseAddr(a), "TXT", "1 value", true)
		}
		var got []string
		for _, v := range b.remove(p) {
			got = append(got, fmt.Sprint(v.At, " ", v.Family, " ", v.Network))
		}
		want := []string{"1s ip4 1", "2s ip4 1", "3s ip4 2", "4s ip6 3", "5s ip6 3", "6s ip6 4", "7s ip4 1"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		b.record([]*presentation{p}, netip.MustParseAddr("192.0.2.1"), "TXT", "1 value", true)
		if len(b.remove(p)) != len(want) {
			t.Error("a visit was added after the end")
		}
	})
}

func TestVisitsAreBounded(t *testing.T) {
	b := newBoard()
	p, err := newPresentation(aChallenge(probe.DNS01, "x.solo.test", "a"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		from := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		b.record([]*presentation{p}, from, "A", "1 value", false)
	}
	if len(p.visits) != maxOtherVisits || len(p.networks) != maxOtherVisits {
		t.Errorf("%d visits of %d networks, want %d: room must stay for those that get the answer", len(p.visits), len(p.networks), maxOtherVisits)
	}
	for range 2000 {
		b.record([]*presentation{p}, netip.MustParseAddr("192.0.2.1"), "TXT", "1 value", true)
	}
	if got := b.remove(p); len(got) != maxVisits || !got[len(got)-1].OK {
		t.Errorf("%d visits, want %d", len(got), maxVisits)
	}
}

// Two pairs may order the same name at once. Each has its own token, or, for one
// account, the same pending authorization and so the same token.
func TestSameName(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{HTTP: httpConfig(), DNS: dnsConfig()})
	const name = "same.solo.test"
	firstHTTP := present(t, s, aChallenge(probe.HTTP01, name, "one"))
	secondHTTP := present(t, s, aChallenge(probe.HTTP01, name, "two"))
	twinHTTP := present(t, s, aChallenge(probe.HTTP01, name, "two"))
	firstDNS := present(t, s, aChallenge(probe.DNS01, name, "one"))
	secondDNS := present(t, s, aChallenge(probe.DNS01, name, "two"))
	twinDNS := present(t, s, aChallenge(probe.DNS01, name, "two"))

	values := func() int { return len(ask(t, s, "udp", query("_acme-challenge."+name+".", dns.TypeTXT)).Answer) }
	get := func(token string) int {
		response, _ := fetch(t, s, "GET", name, challengePath+token)
		return response.StatusCode
	}
	check := func(when string, one, two, txt int) {
		t.Helper()
		if a, b, c := get("one"), get("two"), values(); a != one || b != two || c != txt {
			t.Errorf("%s: one %d, two %d, %d values, want %d, %d, %d", when, a, b, c, one, two, txt)
		}
	}
	check("all", 200, 200, 2)
	firstHTTP()
	firstDNS()
	check("without one", 404, 200, 1)
	twinHTTP()
	twinDNS()
	check("without the twin", 404, 200, 1)
	twinHTTP()
	twinDNS() // again: must not take the others away
	check("without the twin", 404, 200, 1)
	for kind, withdraw := range map[string]func() []probe.Visit{"http": secondHTTP, "dns": secondDNS} {
		ok := 0
		for _, v := range withdraw() {
			if v.OK {
				ok++
			}
		}
		if ok != 4 {
			t.Errorf("%s: %d visits got the answer, want 4", kind, ok)
		}
	}
	check("none", 404, 404, 0)
}

// Many runs at once: each gets its own visits, and no others'.
func TestParallel(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{HTTP: httpConfig(), DNS: dnsConfig()})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			name, token := fmt.Sprintf("p%d.solo.test", i), fmt.Sprintf("token-%d", i)
			for _, kind := range []probe.ChallengeType{probe.HTTP01, probe.DNS01} {
				withdraw, err := s.Present(t.Context(), aChallenge(kind, name, token))
				if err != nil {
					t.Errorf("Present: %v", err)
					return
				}
				for range 4 {
					if kind == probe.HTTP01 {
						if _, body := fetch(t, s, "GET", name, challengePath+token); body != token+".thumb-print_1" {
							t.Errorf("%s got %q", name, body)
						}
					} else if m := ask(t, s, "udp", query("_acme-challenge."+name+".", dns.TypeTXT)); len(m.Answer) != 1 {
						t.Errorf("%s got %v", name, m)
					}
				}
				if got := withdraw(); len(got) != 4 {
					t.Errorf("%s %s: %d visits, want 4", name, kind, len(got))
				}
			}
		})
	}
	wg.Wait()
	if b := s.board; len(b.tokens)+len(b.hosts)+len(b.txt)+len(b.names) != 0 {
		t.Errorf("the board is not empty after the last run: %d, %d, %d, %d", len(b.tokens), len(b.hosts), len(b.txt), len(b.names))
	}
}

// Tokens, key authorizations and the addresses of validators are not for logs.
func TestLogs(t *testing.T) {
	s := newSet(t)
	var log bytes.Buffer
	var mu sync.Mutex // slog's handler has its own, the reader below has not
	s.log = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	serve(t, s, config.Responders{HTTP: httpConfig(), DNS: dnsConfig()})
	c := aChallenge(probe.HTTP01, "x.solo.test", "very-secret")
	present(t, s, c)
	withdraw := present(t, s, aChallenge(probe.DNS01, "x.solo.test", "secret value"))
	for _, path := range []string{"very-secret", "very-secret/", "other-secret"} {
		fetch(t, s, "GET", "x.solo.test", challengePath+path)
		fetch(t, s, "POST", "x.solo.test", challengePath+path)
	}
	ask(t, s, "tcp", query("_acme-challenge.x.solo.test.", dns.TypeTXT))
	exchangeRaw(t, s, make([]byte, 12))
	withdraw()
	serve(t, s, config.Responders{})
	mu.Lock()
	defer mu.Unlock()
	if got := log.String(); strings.Contains(got, "secret") || strings.Contains(got, "thumb") || strings.Count(got, "\n") != 4 {
		t.Errorf("want a line for each start and stop, and no secret:\n%s", got)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestNewSetDoesNothing(t *testing.T) {
	s := NewSet(slog.New(slog.DiscardHandler))
	if got := s.Addresses(); len(got) != 0 {
		t.Errorf("Addresses: %v", got)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	if _, err := s.Present(t.Context(), aChallenge(probe.HTTP01, "a.example", "a")); !errors.Is(err, ErrClosed) {
		t.Errorf("Present after Close: %v", err)
	}
	if _, err := s.Prepare(config.Responders{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Prepare after Close: %v", err)
	}
}

// isTaken reports whether a TCP port is in use.
func isTaken(address string) bool {
	l, err := net.Listen("tcp", address)
	if err == nil {
		l.Close()
	}
	return err != nil
}
