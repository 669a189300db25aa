package dnsclient_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
)

// TestResolve holds that the resolvers are asked in turn, and which answer counts.
func TestResolve(t *testing.T) {
	broken, mute := serve(t, rcode(dns.RcodeServerFailure)), serve(t, silent)
	var recursive atomic.Bool
	knows := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		recursive.Store(q.RecursionDesired)
		rcode(dns.RcodeNameError)(w, q)
	})
	m, err := short(broken, mute, knows).Resolve(t.Context(), "x.example", dns.TypeA)
	if err != nil || m.Rcode != dns.RcodeNameError {
		t.Errorf("got %v, %v", m, err)
	}
	if !recursive.Load() {
		t.Error("recursion was not desired")
	}
	_, err = short(broken, mute).Resolve(t.Context(), "X.example.", dns.TypeA)
	want := "cannot resolve x.example A: resolver " + broken + ": SERVFAIL; resolver: name server " + mute + ": no answer"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := short().Resolve(t.Context(), "x.example", dns.TypeA); err == nil {
		t.Error("nobody was asked, and answered")
	}
}

// TestResolveSilent holds that a resolver which was silent does not cost each
// question its time, and is asked where no other answers.
func TestResolveSilent(t *testing.T) {
	var asked, refuses atomic.Int32
	mute := serve(t, func(dns.ResponseWriter, *dns.Msg) { asked.Add(1) })
	knows := serve(t, func(w dns.ResponseWriter, q *dns.Msg) { rcode(int(refuses.Load()))(w, q) })
	c := &dnsclient.Client{Resolvers: []string{mute, knows}, Timeout: time.Second}
	for range 3 {
		if _, err := c.Resolve(t.Context(), "x.example", dns.TypeA); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n != 2 { // its question was sent once more
		t.Errorf("the silent resolver got %d packets", n)
	}
	refuses.Store(dns.RcodeRefused)
	_, err := c.Resolve(t.Context(), "x.example", dns.TypeA)
	want := "cannot resolve x.example A: resolver " + knows + ": REFUSED; resolver: name server " + mute + ": no answer"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestZone holds how the zone of a name and its servers are found.
func TestZone(t *testing.T) {
	resolver := serve(t, zoneFile(t, "probe.example.",
		"probe.example. 60 IN NS NS2.probe.example.",
		"probe.example. 60 IN NS ns1.probe.example.",
		"ns1.probe.example. 60 IN AAAA 2001:db8::1",
		"ns1.probe.example. 60 IN A 192.0.2.1",
		"www.probe.example. 60 IN CNAME elsewhere.example.",
		"a.b.probe.example. 60 IN TXT x",
	))
	want := dnsclient.Zone{Name: "probe.example", Servers: []dnsclient.Server{
		{Name: "ns1.probe.example", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}},
		{Name: "ns2.probe.example"},
	}}
	for _, name := range []string{"probe.example", "Probe.Example.", "nothing.probe.example", "a.b.probe.example", "www.probe.example", "x.www.probe.example"} {
		got, err := long(resolver).Zone(t.Context(), name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// TestZoneFails holds what is said of zones that nobody serves.
func TestZoneFails(t *testing.T) {
	for what, want := range map[string]string{
		"no server":      `no name server of zone "probe.example"`,
		"no zone":        `no zone that holds "x.probe.example"`,
		"server failure": "cannot resolve x.probe.example SOA: resolver",
	} {
		handler := map[string]dns.HandlerFunc{
			"no server":      zoneFile(t, "probe.example."),
			"no zone":        rcode(dns.RcodeSuccess),
			"server failure": rcode(dns.RcodeServerFailure),
		}[what]
		if _, err := long(serve(t, handler)).Zone(t.Context(), "x.probe.example"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", what, err, want)
		}
	}
}

// TestZoneForeign holds what is taken of a resolver's answer: no zone that does not
// hold the name, nor one that holds its alias, no servers of another zone, none twice, and not more than there is
// room for.
func TestZoneForeign(t *testing.T) {
	resolver := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		add := func(rrs *[]dns.RR, format string, args ...any) {
			rr, err := dns.NewRR(fmt.Sprintf(format, args...))
			if err != nil {
				t.Error(err)
			}
			*rrs = append(*rrs, rr)
		}
		switch name := q.Question[0].Name; q.Question[0].Qtype {
		case dns.TypeSOA:
			switch name {
			case "www.x.probe.example.":
				add(&m.Answer, "%s 60 IN CNAME www.example.", name)
				add(&m.Ns, "example. 60 IN SOA a. b. 1 1 1 1 1") // of the zone behind the alias
			case "x.probe.example.":
				add(&m.Ns, "other.example. 60 IN SOA a. b. 1 1 1 1 1")
			default:
				add(&m.Ns, "probe.example. 60 IN SOA a. b. 1 1 1 1 1")
			}
		case dns.TypeNS:
			add(&m.Answer, "other.example. 60 IN NS a.other.example.")
			for i := range 100 {
				add(&m.Answer, "probe.example. 60 IN NS ns%d.probe.example.", i/2)
			}
		case dns.TypeA:
			for i := range 100 {
				add(&m.Answer, "%s 60 IN A 192.0.2.%d", name, i)
			}
		}
		if w.RemoteAddr().Network() == "udp" {
			m.Truncate(1232)
		}
		_ = w.WriteMsg(m)
	})
	zone, err := long(resolver).Zone(t.Context(), "www.x.probe.example")
	if err != nil || zone.Name != "probe.example" || len(zone.Servers) != 32 {
		t.Fatalf("got %+v, %v", zone, err)
	}
	seen := map[string]bool{}
	for _, s := range zone.Servers {
		if seen[s.Name] || !strings.HasSuffix(s.Name, ".probe.example") || len(s.Addresses) != 16 {
			t.Errorf("got %+v", s)
		}
		seen[s.Name] = true
	}
}

func TestAuthoritative(t *testing.T) {
	a := netip.MustParseAddr("2001:db8::1")
	for port, want := range map[uint16]string{0: "[2001:db8::1]:53", 5353: "[2001:db8::1]:5353"} {
		if got := (&dnsclient.Client{Port: port}).Authoritative(a); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
