package challenge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const loopback = "127.0.0.1:0"

func httpConfig() *config.HTTPResponder { return &config.HTTPResponder{ListenAddress: loopback} }

func dnsConfig() *config.DNSResponder {
	return &config.DNSResponder{
		ListenAddress: loopback,
		Zones:         []string{"fra.probe.example", "solo.test"},
		Nameserver:    "ns.fra.probe.example",
		Addresses: []netip.Addr{
			netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.8"), netip.MustParseAddr("2001:db8::7"),
		},
		CAA: []config.CAA{{Tag: "issue", Value: "ca.example; validationmethods=dns-01"}, {Flag: 128, Tag: "iodef", Value: "mailto:pki@probe.example"}},
	}
}

// newSet returns a Set that is closed at the end of the test.
func newSet(t *testing.T) *Set {
	t.Helper()
	s := NewSet(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// serve makes r what s serves.
func serve(t *testing.T, s *Set, r config.Responders) {
	t.Helper()
	c, err := s.Prepare(r)
	if err != nil {
		t.Fatalf("Prepare: %v", err)
	}
	c.Commit()
}

// aChallenge returns a challenge whose answer, made of the token, is unlike the
// others' in a test.
func aChallenge(kind probe.ChallengeType, identifier, token string) probe.Challenge {
	c := probe.Challenge{Type: kind, Identifier: identifier, Start: time.Now()}
	if kind.DNS() {
		sum := sha256.Sum256([]byte(token)) // as long as the real ones
		c.Record = probe.Record{Name: "_acme-challenge." + identifier, Value: base64.RawURLEncoding.EncodeToString(sum[:])}
	} else {
		c.Token, c.KeyAuthorization = token, token+".thumb-print_1"
	}
	return c
}

func present(t *testing.T, s *Set, c probe.Challenge) (withdraw func() []probe.Visit) {
	t.Helper()
	withdraw, err := s.Present(t.Context(), c)
	if err != nil {
		t.Fatalf("Present: %v", err)
	}
	t.Cleanup(func() { withdraw() })
	return withdraw
}

func query(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.RecursionDesired = false
	return m
}

// ask sends m to the DNS responder of s over "udp" or "tcp".
func ask(t *testing.T, s *Set, network string, m *dns.Msg) *dns.Msg {
	t.Helper()
	c := &dns.Client{Net: network, Timeout: 5 * time.Second}
	reply, _, err := c.ExchangeContext(t.Context(), m, s.Addresses()["dns"].String())
	if err != nil {
		t.Fatalf("query %v over %s: %v", m.Question, network, err)
	}
	return reply
}

// lines returns records in zone file form, with single spaces.
func lines(rrs []dns.RR) []string {
	var out []string
	for _, rr := range rrs {
		if rr.Header().Rrtype != dns.TypeOPT {
			out = append(out, strings.Join(strings.Fields(rr.String()), " "))
		}
	}
	return out
}

// logTo returns a Set that logs to the buffer.
func logTo(t *testing.T) (*Set, *lockedBuffer) {
	s, log := newSet(t), new(lockedBuffer)
	s.log = slog.New(slog.NewTextHandler(log, nil))
	return s, log
}

// lockedBuffer is what responders log to while a test reads.
type lockedBuffer struct {
	mu     sync.Mutex // guards buffer
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
