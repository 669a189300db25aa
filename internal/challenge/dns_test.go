package challenge

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	soaFRA  = "fra.probe.example. 0 IN SOA ns.fra.probe.example. hostmaster.fra.probe.example. 3600 600 86400 0"
	soaSolo = "solo.test. 0 IN SOA ns.fra.probe.example. hostmaster.solo.test. 3600 600 86400 0"
)

// withoutSerial takes the serial number, which is a time, out of SOA records.
func withoutSerial(records []string) []string {
	for i, r := range records {
		if f := strings.Fields(r); f[3] == "SOA" {
			records[i] = strings.Join(append(f[:6], f[7:]...), " ")
		}
	}
	return records
}

func TestRecords(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{DNS: dnsConfig()})
	c := aChallenge(probe.DNS01, "x1.fra.probe.example", "token-of-x1")
	present(t, s, c)
	glue := []string{
		"ns.fra.probe.example. 3600 IN A 203.0.113.7", "ns.fra.probe.example. 3600 IN A 203.0.113.8",
		"ns.fra.probe.example. 3600 IN AAAA 2001:db8::7",
	}

	tests := []struct {
		name      string
		qtype     uint16
		answer    []string
		authority []string
		extra     []string
	}{
		{name: "fra.probe.example.", qtype: dns.TypeA, answer: []string{
			"fra.probe.example. 60 IN A 203.0.113.7", "fra.probe.example. 60 IN A 203.0.113.8"}},
		{name: "a.b.c.fra.probe.example.", qtype: dns.TypeAAAA, answer: []string{
			"a.b.c.fra.probe.example. 60 IN AAAA 2001:db8::7"}},
		{name: "*.fra.probe.example.", qtype: dns.TypeAAAA, answer: []string{
			"*.fra.probe.example. 60 IN AAAA 2001:db8::7"}},
		{name: "_acme-challenge.x1.fra.probe.example.", qtype: dns.TypeTXT, answer: []string{
			`_acme-challenge.x1.fra.probe.example. 0 IN TXT "` + c.Record.Value + `"`}},
		{name: "_acme-challenge.x2.fra.probe.example.", qtype: dns.TypeTXT, authority: []string{soaFRA}},
		{name: "x1.fra.probe.example.", qtype: dns.TypeTXT, authority: []string{soaFRA}},
		// An empty non-terminal exists as every other name does.
		{name: "_acme-challenge.fra.probe.example.", qtype: dns.TypeNS, authority: []string{soaFRA}},
		{name: "x1.fra.probe.example.", qtype: dns.TypeCNAME, authority: []string{soaFRA}},
		{name: "x1.fra.probe.example.", qtype: dns.TypeMX, authority: []string{soaFRA}},
		{name: "x1.fra.probe.example.", qtype: 65280, authority: []string{soaFRA}},
		{name: "fra.probe.example.", qtype: dns.TypeSOA, answer: []string{
			strings.Replace(soaFRA, " 0 IN", " 3600 IN", 1)}},
		{name: "x1.fra.probe.example.", qtype: dns.TypeSOA, authority: []string{soaFRA}},
		{name: "fra.probe.example.", qtype: dns.TypeNS, answer: []string{
			"fra.probe.example. 3600 IN NS ns.fra.probe.example."}, extra: glue},
		{name: "solo.test.", qtype: dns.TypeNS, answer: []string{
			"solo.test. 3600 IN NS ns.fra.probe.example."}, extra: glue},
		{name: "x1.fra.probe.example.", qtype: dns.TypeNS, authority: []string{soaFRA}},
		{name: "solo.test.", qtype: dns.TypeDS, authority: []string{soaSolo}},
		{name: "x.solo.test.", qtype: dns.TypeDS, authority: []string{soaSolo}},
		{name: "solo.test.", qtype: dns.TypeDNSKEY, authority: []string{soaSolo}},
		{name: "x1.fra.probe.example.", qtype: dns.TypeCAA, answer: []string{
			`x1.fra.probe.example. 60 IN CAA 0 issue "ca.example; validationmethods=dns-01"`,
			`x1.fra.probe.example. 60 IN CAA 128 iodef "mailto:pki@probe.example"`}},
		{name: "x1.fra.probe.example.", qtype: dns.TypeANY, answer: []string{
			`x1.fra.probe.example. 3600 IN HINFO "RFC8482" ""`}},
	}
	for _, tt := range tests {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(fmt.Sprintf("%s %s %s", tt.name, dns.Type(tt.qtype), network), func(t *testing.T) {
				m := ask(t, s, network, query(tt.name, tt.qtype))
				if m.Rcode != dns.RcodeSuccess || !m.Authoritative || m.RecursionAvailable || m.Truncated {
					t.Errorf("header: %v", m.MsgHdr)
				}
				for _, section := range []struct {
					name      string
					got, want []string
				}{{"answer", lines(m.Answer), tt.answer}, {"authority", lines(m.Ns), tt.authority}, {"additional", lines(m.Extra), tt.extra}} {
					if diff := cmp.Diff(section.want, withoutSerial(section.got)); diff != "" {
						t.Errorf("%s (-want +got):\n%s", section.name, diff)
					}
				}
			})
		}
	}
}

func TestNoRecords(t *testing.T) {
	s := newSet(t)
	c := dnsConfig()
	c.Addresses, c.CAA, c.Nameserver = nil, nil, "ns.elsewhere.example"
	serve(t, s, config.Responders{DNS: c})
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCAA} {
		m := ask(t, s, "udp", query("solo.test.", qtype))
		if m.Rcode != dns.RcodeSuccess || len(m.Answer) != 0 || len(m.Ns) != 1 || !m.Authoritative {
			t.Errorf("%s: %v, want NODATA", dns.Type(qtype), m)
		}
	}
	if m := ask(t, s, "udp", query("solo.test.", dns.TypeNS)); len(m.Answer) != 1 || len(m.Extra) != 0 {
		t.Errorf("NS of a name server outside the zones: %v, want no addresses", m)
	}
}

// What the configuration says is what is on the wire, byte by byte.
func TestCAAValue(t *testing.T) {
	s := newSet(t)
	c := dnsConfig()
	const value = `ca.example; a="\b" \065 ü`
	c.CAA = []config.CAA{{Flag: 128, Tag: "issuewild", Value: value}}
	serve(t, s, config.Responders{DNS: c})
	b := exchangeRaw(t, s, packed(t, query("solo.test.", dns.TypeCAA)))
	if want := "\x80\x09issuewild" + value; !strings.HasSuffix(string(b), want) {
		t.Errorf("got %q, want %q at its end", b, want)
	}
}

// A resolver that varies the case of letters takes an answer only if the
// question and the owner come back as it wrote them.
func TestQueryCase(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{DNS: dnsConfig()})
	present(t, s, aChallenge(probe.DNS01, "X1.fra.Probe.example.", "case"))
	const asked = "_aCMe-chALLenGE.x1.FRA.pRobe.EXAMPLE."
	m := ask(t, s, "udp", query(asked, dns.TypeTXT))
	if m.Question[0].Name != asked || len(m.Answer) != 1 || m.Answer[0].Header().Name != asked {
		t.Errorf("got %v, want question and owner %q", m, asked)
	}
}

func TestInnerZone(t *testing.T) {
	s := newSet(t)
	c := dnsConfig()
	c.Zones = []string{"probe.example", "fra.probe.example"}
	serve(t, s, config.Responders{DNS: c})
	for _, tt := range []struct {
		name  string
		qtype uint16
		zone  string
	}{
		{"x.probe.example.", dns.TypeMX, "probe.example."},
		{"x.fra.probe.example.", dns.TypeMX, "fra.probe.example."},
		{"fra.probe.example.", dns.TypeMX, "fra.probe.example."},
		{"fra.probe.example.", dns.TypeDS, "probe.example."}, // the parent's
		{"probe.example.", dns.TypeDS, "probe.example."},
		{`x.fra\.probe.example.`, dns.TypeMX, ""}, // a dot inside a label divides nothing
		{`x\.fra.probe.example.`, dns.TypeMX, "probe.example."},
	} {
		m := ask(t, s, "udp", query(tt.name, tt.qtype))
		got := ""
		if len(m.Ns) == 1 {
			got = m.Ns[0].Header().Name
		}
		if got != tt.zone {
			t.Errorf("%s %s: SOA of %q, want %q", tt.name, dns.Type(tt.qtype), got, tt.zone)
		}
	}
}

func TestRefused(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{DNS: dnsConfig()})
	class := func(m *dns.Msg, class uint16) *dns.Msg { m.Question[0].Qclass = class; return m }
	tests := []struct {
		query *dns.Msg
		rcode int
		aa    bool
	}{
		{query("probe.example.", dns.TypeA), dns.RcodeRefused, false},
		{query("xfra.probe.example.", dns.TypeA), dns.RcodeRefused, false},
		{query(".", dns.TypeNS), dns.RcodeRefused, false},
		{query("fra.probe.example.", dns.TypeAXFR), dns.RcodeRefused, false},
		{query("fra.probe.example.", dns.TypeIXFR), dns.RcodeRefused, false},
		{class(query("version.bind.", dns.TypeTXT), dns.ClassCHAOS), dns.RcodeRefused, false},
		{class(query("fra.probe.example.", dns.TypeA), dns.ClassCHAOS), dns.RcodeRefused, false},
		{class(query("fra.probe.example.", dns.TypeA), dns.ClassANY), dns.RcodeSuccess, false},
		{query("fra.probe.example.", dns.TypeMAILB), dns.RcodeNotImplemented, false},
		{query("fra.probe.example.", dns.TypeTKEY), dns.RcodeNotImplemented, false},
		{query("fra.probe.example.", dns.TypeOPT), dns.RcodeFormatError, false},
		{query("fra.probe.example.", dns.TypeTSIG), dns.RcodeFormatError, false},
		{query("fra.probe.example.", 128), dns.RcodeFormatError, false},
		{query("fra.probe.example.", dns.TypeA), dns.RcodeSuccess, true},
	}
	for _, tt := range tests {
		for _, network := range []string{"udp", "tcp"} {
			m := ask(t, s, network, tt.query)
			if m.Rcode != tt.rcode || m.Authoritative != tt.aa || m.RecursionAvailable {
				t.Errorf("%v over %s: %v, want %s", tt.query.Question, network, m.MsgHdr, dns.RcodeToString[tt.rcode])
			}
			if tt.rcode != dns.RcodeSuccess && len(m.Answer)+len(m.Ns)+len(m.Extra) != 0 {
				t.Errorf("%v over %s: %v, want nothing but the header", tt.query.Question, network, m)
			}
		}
	}
}

// IPv6, and a connection that carries several queries.
func TestIPv6(t *testing.T) {
	s := newSet(t)
	c := dnsConfig()
	c.ListenAddress = "[::1]:0"
	serve(t, s, config.Responders{DNS: c})
	withdraw := present(t, s, aChallenge(probe.DNS01, "six.solo.test", "six"))
	ask(t, s, "udp", query("_acme-challenge.six.solo.test.", dns.TypeTXT))
	conn, err := dns.Dial("tcp", s.Addresses()["dns"].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 3 {
		if err := conn.WriteMsg(query("_acme-challenge.six.solo.test.", dns.TypeTXT)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if m, err := conn.ReadMsg(); err != nil || len(m.Answer) != 1 {
			t.Fatalf("got %v, %v", m, err)
		}
	}
	visits := withdraw()
	if len(visits) != 4 {
		t.Fatalf("got %d visits, want 4", len(visits))
	}
	for _, v := range visits {
		if v.Family != probe.IPv6 || v.Remote != netip.IPv6Loopback() || v.Network != 1 {
			t.Errorf("got %+v, want IPv6 of network 1", v)
		}
	}
}

// One socket for both families sees IPv4 as mapped addresses.
func TestDualStack(t *testing.T) {
	s := newSet(t)
	c := dnsConfig()
	c.ListenAddress = ":0"
	serve(t, s, config.Responders{DNS: c})
	withdraw := present(t, s, aChallenge(probe.DNS01, "dual.solo.test", "dual"))
	_, port, _ := strings.Cut(s.Addresses()["dns"].String(), "]:")
	for _, network := range []string{"udp", "tcp"} {
		for _, host := range []string{"127.0.0.1:", "[::1]:"} {
			client := &dns.Client{Net: network}
			m, _, err := client.ExchangeContext(t.Context(), query("_acme-challenge.dual.solo.test.", dns.TypeTXT), host+port)
			if err != nil || len(m.Answer) != 1 {
				t.Fatalf("%s %s: %v, %v", network, host, m, err)
			}
		}
	}
	var got []string
	for _, v := range withdraw() {
		got = append(got, fmt.Sprint(v.Family, " ", v.Remote, " ", v.Network))
	}
	want := []string{"ip4 127.0.0.1 1", "ip6 ::1 2", "ip4 127.0.0.1 1", "ip6 ::1 2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("visits (-want +got):\n%s", diff)
	}
}
