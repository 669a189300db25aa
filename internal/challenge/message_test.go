package challenge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// exchangeRaw sends bytes over UDP and returns the bytes that come back.
func exchangeRaw(t *testing.T, s *Set, packet []byte) []byte {
	t.Helper()
	conn, err := net.Dial("udp", s.Addresses()["dns"].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65535)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatalf("no answer to %x: %v", packet, err)
	}
	return buf[:n]
}

func packed(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// changed returns a packed query for solo.test. A, changed by edit.
func changed(t testing.TB, edit func(m *dns.Msg)) []byte {
	t.Helper()
	m := query("solo.test.", dns.TypeA)
	m.Id = 0xabcd
	edit(m)
	return packed(t, m)
}

// withCount returns a packet whose header promises n entries in section i.
func withCount(packet []byte, i int, n uint16) []byte {
	packet = bytes.Clone(packet)
	binary.BigEndian.PutUint16(packet[4+2*i:], n)
	return packet
}

func TestMalformed(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{DNS: dnsConfig()})
	good := changed(t, func(*dns.Msg) {})
	opt := func(name string) *dns.OPT {
		return &dns.OPT{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeOPT, Class: 1232}}
	}
	opcode := func(o int) func(*dns.Msg) { return func(m *dns.Msg) { m.Opcode = o; m.RecursionDesired = true } }
	tests := []struct {
		name     string
		packet   []byte
		rcode    int
		question bool
	}{
		{"header only", good[:12], dns.RcodeFormatError, false},
		{"no question", withCount(good[:12], 0, 0), dns.RcodeFormatError, false},
		{"cut in the name", good[:15], dns.RcodeFormatError, false},
		{"cut in the class", good[:len(good)-1], dns.RcodeFormatError, false},
		{"two questions", changed(t, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), dns.RcodeFormatError, false},
		{"two questions promised", withCount(good, 0, 2), dns.RcodeFormatError, false},
		{"answer promised", withCount(good, 1, 1), dns.RcodeFormatError, false},
		{"additional promised", withCount(good, 3, 1), dns.RcodeFormatError, false},
		{"name points at itself", append(bytes.Clone(good[:12]), 0xc0, 12, 0, 1, 0, 1), dns.RcodeFormatError, false},
		{"label of 64", append(bytes.Clone(good[:12]), 0x40, 'a', 0, 0, 1, 0, 1), dns.RcodeFormatError, false},
		{"longer than a query", append(bytes.Clone(good[:12]), bytes.Repeat([]byte{63}, 5000)...), dns.RcodeFormatError, false},
		{"two OPT", changed(t, func(m *dns.Msg) { m.Extra = []dns.RR{opt("."), opt(".")} }), dns.RcodeFormatError, true},
		{"OPT of a name", changed(t, func(m *dns.Msg) { m.Extra = []dns.RR{opt("solo.test.")} }), dns.RcodeFormatError, true},
		{"status", changed(t, opcode(dns.OpcodeStatus)), dns.RcodeNotImplemented, false},
		{"notify", changed(t, opcode(dns.OpcodeNotify)), dns.RcodeNotImplemented, false},
		{"update", changed(t, opcode(dns.OpcodeUpdate)), dns.RcodeNotImplemented, false},
		{"opcode 15, then noise", append([]byte{0xab, 0xcd, 0x79, 0, 0, 1, 0, 0, 0, 0, 0, 0}, 0xff, 0xff), dns.RcodeNotImplemented, false},
		{"well formed", good, dns.RcodeSuccess, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := exchangeRaw(t, s, tt.packet)
			var m dns.Msg
			if err := m.Unpack(b); err != nil {
				t.Fatal(err)
			}
			if m.Rcode != tt.rcode || m.Id != 0xabcd || !m.Response || m.RecursionAvailable {
				t.Errorf("got %v, want %s", m.MsgHdr, dns.RcodeToString[tt.rcode])
			}
			if wantBits := binary.BigEndian.Uint16(tt.packet[2:]) & 0x7900; binary.BigEndian.Uint16(b[2:])&0x7900 != wantBits {
				t.Errorf("opcode and RD are not those of the query: %v", m.MsgHdr)
			}
			if got := len(m.Question) == 1; got != tt.question {
				t.Errorf("question in the answer: %t, want %t", got, tt.question)
			}
		})
	}
}

// What is no query gets no answer; the query behind it does.
func TestNoAnswer(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{DNS: dnsConfig()})
	conn, err := net.Dial("udp", s.Addresses()["dns"].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, packet := range [][]byte{
		{}, {1}, make([]byte, 11),
		changed(t, func(m *dns.Msg) { m.Response = true }),
		changed(t, func(m *dns.Msg) { m.Response = true; m.Opcode = dns.OpcodeUpdate }),
		changed(t, func(m *dns.Msg) { m.Id = 7 }),
	} {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 512)
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Read(buf); err != nil || binary.BigEndian.Uint16(buf) != 7 {
		t.Errorf("first answer is to query %d, %v, want 7", binary.BigEndian.Uint16(buf), err)
	}
}

// Over TCP what is no query ends the connection, and so does one that is longer
// than a query can be.
func TestTCPNoAnswer(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{DNS: dnsConfig()})
	for _, stream := range [][]byte{
		{0, 1, 0}, {0, 0}, {0xff, 0xff, 0, 0},
		append([]byte{0, 12}, withCount(make([]byte, 12), -1, 0x8000)...),
	} {
		conn, err := net.Dial("tcp", s.Addresses()["dns"].String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Write(stream); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(conn); len(b) != 0 || isTimeout(err) {
			t.Errorf("%x: got %x, %v, want the end of the connection", stream, b, err)
		}
		conn.Close()
	}
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

func TestEDNS(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{DNS: dnsConfig()})
	for _, network := range []string{"udp", "tcp"} {
		m := query("solo.test.", dns.TypeA)
		if got := ask(t, s, network, m); got.IsEdns0() != nil {
			t.Errorf("%s: OPT without one in the query: %v", network, got)
		}
		m.SetEdns0(4096, true)
		opt := m.IsEdns0()
		opt.Option = []dns.EDNS0{&dns.EDNS0_NSID{}, &dns.EDNS0_COOKIE{Cookie: "0102030405060708"}, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1}}}
		got := ask(t, s, network, m)
		o := got.IsEdns0()
		if o == nil || o.Version() != 0 || o.UDPSize() != 1232 || !o.Do() || len(o.Option) != 0 || len(got.Extra) != 1 {
			t.Errorf("%s: got %v, want our OPT with DO copied and no options", network, got)
		}
		if got.Rcode != dns.RcodeSuccess || len(got.Answer) != 2 || got.AuthenticatedData {
			t.Errorf("%s: got %v, want the answer as without DO", network, got)
		}
		opt.SetVersion(1)
		got = ask(t, s, network, m)
		if o := got.IsEdns0(); got.Rcode != dns.RcodeBadVers || o == nil || o.Version() != 0 || len(got.Answer) != 0 {
			t.Errorf("%s: got %v, want BADVERS of version 0", network, got)
		}
	}
	m := query("elsewhere.example.", dns.TypeA)
	m.SetEdns0(1232, false)
	if got := ask(t, s, "udp", m); got.Rcode != dns.RcodeRefused || got.IsEdns0() == nil || got.IsEdns0().Do() {
		t.Errorf("got %v, want REFUSED with OPT without DO", got)
	}
	m.Opcode = dns.OpcodeUpdate
	if got := ask(t, s, "udp", m); got.Rcode != dns.RcodeNotImplemented || got.IsEdns0() == nil {
		t.Errorf("got %v, want NOTIMP with OPT", got)
	}
	// RFC 6891 §6.2.3: less than 512 means 512.
	m = query("fra.probe.example.", dns.TypeNS)
	m.SetEdns0(12, false)
	if got := ask(t, s, "udp", m); got.Truncated || len(got.Answer) != 1 || len(got.Extra) != 4 {
		t.Errorf("got %v, want the whole answer", got)
	}
}

// 30 challenges for one name make an answer of about 1,700 bytes.
func TestTruncation(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{DNS: dnsConfig()})
	var withdrawals []func() []probe.Visit
	for i := range 30 {
		withdrawals = append(withdrawals, present(t, s, aChallenge(probe.DNS01, "many.solo.test", fmt.Sprintf("token-%d", i))))
	}
	const name = "_acme-challenge.many.solo.test."
	for _, size := range []uint16{0, 100, 512, 1232, 4096, 65535} {
		m := query(name, dns.TypeTXT)
		if size > 0 {
			m.SetEdns0(size, false)
		}
		b := exchangeRaw(t, s, packed(t, m))
		var got dns.Msg
		if err := got.Unpack(b); err != nil {
			t.Fatal(err)
		}
		if !got.Truncated || len(got.Answer) != 0 || len(got.Question) != 1 || (got.IsEdns0() != nil) != (size > 0) {
			t.Errorf("size %d: got %v, want TC without records", size, &got)
		}
	}
	if got := ask(t, s, "tcp", query(name, dns.TypeTXT)); got.Truncated || len(got.Answer) != 30 {
		t.Errorf("over TCP: %d records, truncated %t, want 30", len(got.Answer), got.Truncated)
	}
	// 15 fit into 1,232 bytes and not into 512.
	for _, withdraw := range withdrawals[15:] {
		withdraw()
	}
	m := query(name, dns.TypeTXT)
	if got := ask(t, s, "udp", m); !got.Truncated {
		t.Errorf("15 values in 512 bytes: %d records, want TC", len(got.Answer))
	}
	m.SetEdns0(4096, false)
	if b := exchangeRaw(t, s, packed(t, m)); len(b) > 1232 || len(b) <= 512 {
		t.Errorf("15 values are %d bytes, want between 512 and 1232", len(b))
	}
	visits := withdrawals[0]()
	var got []string
	for _, v := range visits {
		got = append(got, fmt.Sprintf("%s %s %t", v.Asked, v.Answered, v.OK))
	}
	want := strings.Repeat("TXT truncated false|", 6) + "TXT 30 values true|TXT truncated false|TXT 15 values true"
	if strings.Join(got, "|") != want {
		t.Errorf("visits %q, want %q", strings.Join(got, "|"), want)
	}
}

// The addresses of the name server are dropped before anything else is, and
// without TC (RFC 2181 §9).
func TestGlueIsDropped(t *testing.T) {
	s := newSet(t)
	c := dnsConfig()
	c.Addresses = nil
	for i := range 60 {
		c.Addresses = append(c.Addresses, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	serve(t, s, config.Responders{DNS: c})
	m := query("solo.test.", dns.TypeNS)
	m.SetEdns0(512, false)
	if got := ask(t, s, "udp", m); got.Truncated || len(got.Answer) != 1 || len(got.Extra) != 1 {
		t.Errorf("got %v, want the NS record and OPT", got)
	}
	if got := ask(t, s, "tcp", m); len(got.Extra) != 61 {
		t.Errorf("over TCP: %d additional records, want 60 addresses and OPT", len(got.Extra))
	}
}
