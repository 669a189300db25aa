package challenge

import (
	"bytes"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// responderWithoutSockets returns a DNS responder for packets by hand.
func responderWithoutSockets(t testing.TB, limits dnsLimits) *dnsResponder {
	t.Helper()
	z, err := newZones(dnsConfig())
	if err != nil {
		t.Fatal(err)
	}
	r := &dnsResponder{board: newBoard(), log: slog.New(slog.DiscardHandler), limiter: newLimiter(limits)}
	r.zones.Store(z)
	return r
}

// FuzzDNS feeds packets to the responder as they come from the network. It holds
// what is true of every answer, whatever was asked.
func FuzzDNS(f *testing.F) {
	f.Add(changed(f, func(*dns.Msg) {}), false)
	f.Add(changed(f, func(m *dns.Msg) { m.SetEdns0(4096, true) }), false)
	f.Add(changed(f, func(m *dns.Msg) { m.Question[0] = query("_ACME-challenge.x.SOLO.test.", dns.TypeTXT).Question[0] }), true)

	r := responderWithoutSockets(f, dnsLimits{rate: 1e6, burst: 1e9, networks: 16})
	p, err := newPresentation(aChallenge(probe.DNS01, "x.solo.test", "fuzz"))
	if err != nil {
		f.Fatal(err)
	}
	p.names = r.zones.Load().lineage(p.identifier)
	if err := r.board.add(p); err != nil {
		f.Fatal(err)
	}
	from := netip.MustParseAddr("192.0.2.1")
	f.Fuzz(func(t *testing.T, packet []byte, tcp bool) {
		sent := bytes.Clone(packet)
		reply := r.handle(packet, from, transport(tcp))
		if !bytes.Equal(sent, packet) {
			t.Fatal("the packet was changed")
		}
		isQuery := len(packet) >= headerSize && packet[2]&0x80 == 0
		if !isQuery {
			if reply != nil {
				t.Fatalf("%x is no query and got %x", packet, reply)
			}
			return
		}
		if len(reply) < headerSize || !bytes.Equal(reply[:2], packet[:2]) {
			t.Fatalf("%x got %x", packet, reply)
		}
		if !tcp && len(reply) > maxUDPSize {
			t.Fatalf("%x got %d bytes", packet, len(reply))
		}
		// QR and RA; opcode and RD as sent.
		if reply[2]&0x80 == 0 || reply[3]&0x80 != 0 || (reply[2]^packet[2])&0x79 != 0 {
			t.Fatalf("%x got flags %x", packet, reply[2:4])
		}
		var m, q dns.Msg
		if err := m.Unpack(reply); err != nil {
			t.Fatalf("%x got %x: %v", packet, reply, err)
		}
		if m.Rcode == dns.RcodeServerFailure || m.Rcode == dns.RcodeNameError {
			t.Fatalf("%x got %v", packet, &m)
		}
		if len(m.Question) == 1 && (q.Unpack(packet) != nil || m.Question[0] != q.Question[0]) {
			t.Fatalf("%x: question %v came back as %v", packet, q.Question, m.Question)
		}
		if m.Authoritative && m.Rcode == dns.RcodeSuccess && !m.Truncated && len(m.Answer)+len(m.Ns) == 0 {
			t.Fatalf("%x got neither an answer nor an SOA record: %v", packet, &m)
		}
	})
}
