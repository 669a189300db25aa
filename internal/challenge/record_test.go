package challenge

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Names elsewhere whose aliases lead to one name of ours: the record is served
// there, and a query for it is a visit of each of them.
func TestAlias(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{DNS: dnsConfig()})
	alias := func(identifier, value string) func() []probe.Visit {
		c := aChallenge(probe.DNS01, identifier, "a")
		c.Record = probe.Record{Name: "_acme-challenge.Alias.solo.test", Value: value}
		return present(t, s, c)
	}
	one, other := alias("one.example.org", "value-1"), alias("other.example.org", "value-2")
	beside := present(t, s, aChallenge(probe.DNS01, "alias.solo.test.fra.probe.example", "b"))

	m := ask(t, s, "udp", query("_acme-challenge.alias.solo.test.", dns.TypeTXT))
	got := lines(m.Answer)
	slices.Sort(got)
	if want := []string{
		`_acme-challenge.alias.solo.test. 0 IN TXT "value-1"`, `_acme-challenge.alias.solo.test. 0 IN TXT "value-2"`,
	}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if m := ask(t, s, "udp", query("_acme-challenge.one.example.org.", dns.TypeTXT)); m.Rcode != dns.RcodeRefused {
		t.Errorf("the name elsewhere: %v, want REFUSED", m)
	}
	for identifier, withdraw := range map[string]func() []probe.Visit{"one.example.org": one, "other.example.org": other} {
		visits := withdraw()
		if len(visits) != 1 || visits[0].Identifier != identifier || visits[0].Answered != "2 values" || !visits[0].OK {
			t.Errorf("visits of %s: %+v", identifier, visits)
		}
	}
	if visits := beside(); len(visits) != 0 {
		t.Errorf("visits of another name: %+v", visits)
	}
	if m := ask(t, s, "udp", query("_acme-challenge.alias.solo.test.", dns.TypeTXT)); len(m.Answer) != 0 {
		t.Errorf("after withdraw: %v", m)
	}
}

// The value that was asked for is what is on the wire, byte by byte, in as many
// strings as it needs.
func TestTXTValue(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		strings     []int // their lengths
	}{
		{"short", "ca.example; accounturi=https://ca.example/acct/1; policy=wildcard", []int{65}},
		{"escapes", `a\b\065"c" \\ é`, []int{16}},
		{"one string", strings.Repeat("a", 255), []int{255}},
		{"two strings", strings.Repeat("a", 254) + `\b`, []int{255, 1}},
		{"the longest", strings.Repeat(`\`, 512), []int{255, 255, 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSet(t)
			serve(t, s, config.Responders{DNS: dnsConfig()})
			c := aChallenge(probe.DNSPersist01, "x.solo.test", "a")
			c.Record = probe.Record{Name: "_validation-persist.x.solo.test", Value: tt.value}
			present(t, s, c)
			var want []byte
			rest := tt.value
			for _, n := range tt.strings {
				want = append(append(want, byte(n)), rest[:n]...)
				rest = rest[n:]
			}
			q := query("_validation-persist.x.solo.test.", dns.TypeTXT).SetEdns0(maxUDPSize, false)
			if got := exchangeRaw(t, s, packed(t, q)); !strings.Contains(string(got), string(want)) {
				t.Errorf("got %q\nwant %q in it", got, want)
			}
		})
	}
}

// A hundred of the longest values at one name still fit an answer, and a value
// that two runs have is there once, until both have withdrawn it.
func TestTXTBounds(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{DNS: dnsConfig()})
	name := "_acme-challenge.x.solo.test"
	at := func(value string) func() []probe.Visit {
		c := aChallenge(probe.DNSAccount01, "x.solo.test", "a")
		c.Record = probe.Record{Name: name, Value: value}
		return present(t, s, c)
	}
	count := func() int { return len(ask(t, s, "tcp", query(name+".", dns.TypeTXT)).Answer) }
	first, second := at("same"), at("same")
	if n := count(); n != 1 {
		t.Errorf("%d records of one value", n)
	}
	first()
	if n := count(); n != 1 {
		t.Errorf("%d records after the first of two was withdrawn", n)
	}
	second()
	for i := range maxLivePerName {
		at(fmt.Sprintf("%0*d", maxValueLength, i))
	}
	if n := count(); n != maxLivePerName {
		t.Errorf("%d records, want %d", n, maxLivePerName)
	}
}
