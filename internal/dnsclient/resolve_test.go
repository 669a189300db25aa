package dnsclient_test

import (
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

func TestAuthoritative(t *testing.T) {
	a := netip.MustParseAddr("2001:db8::1")
	for port, want := range map[uint16]string{0: "[2001:db8::1]:53", 5353: "[2001:db8::1]:5353"} {
		if got := (&dnsclient.Client{Port: port}).Authoritative(a); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
