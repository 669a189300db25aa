package controls_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/controls"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestLookup holds what resolvers say of a challenge's record and of a name's
// addresses, and which of it is no answer.
func TestLookup(t *testing.T) {
	zone := nameServer(t, answers(t, func(q dns.Question) (int, []string) {
		switch q.Name + " " + dns.Type(q.Qtype).String() {
		case "_acme-challenge.right.test. TXT":
			return dns.RcodeSuccess, []string{`"else"`, `"va" "lue"`}
		case "_acme-challenge.wrong.test. TXT":
			return dns.RcodeSuccess, []string{`"else"`}
		case "_acme-challenge.empty.test. TXT", "six.test. A":
			return dns.RcodeSuccess, nil
		case "six.test. AAAA":
			return dns.RcodeSuccess, []string{"2001:db8::1"}
		case "four.test. A":
			return dns.RcodeSuccess, []string{"192.0.2.1"}
		case "_acme-challenge.broken.test. TXT":
			return dns.RcodeServerFailure, nil
		case "_acme-challenge.refused.test. TXT":
			return dns.RcodeRefused, nil
		}
		return dns.RcodeNameError, nil
	}))
	txt := func(name string) probe.Challenge {
		return probe.Challenge{Type: probe.DNS01, Identifier: name, Record: probe.Record{Name: "_acme-challenge." + name, Value: "value"}}
	}
	address := func(name string) probe.Challenge { return probe.Challenge{Type: probe.HTTP01, Identifier: name} }
	standing := txt("wrong.test")
	standing.Type, standing.Record.Standing = probe.DNSPersist01, true
	for name, tt := range map[string]struct {
		challenge probe.Challenge
		want      probe.Lookup
	}{
		"the value":       {txt("right.test"), probe.Lookup{Name: "_acme-challenge.right.test", Type: "TXT", Found: true, Answer: "the value"}},
		"another":         {txt("wrong.test"), probe.Lookup{Name: "_acme-challenge.wrong.test", Type: "TXT", Answer: "another value"}},
		"one that stands": {standing, probe.Lookup{Name: "_acme-challenge.wrong.test", Type: "TXT", Found: true, Answer: "a value"}},
		"none":            {txt("empty.test"), probe.Lookup{Name: "_acme-challenge.empty.test", Type: "TXT", Answer: "NODATA"}},
		"no such name":    {txt("missing.test"), probe.Lookup{Name: "_acme-challenge.missing.test", Type: "TXT", Answer: "NXDOMAIN"}},
		"SERVFAIL":        {txt("broken.test"), probe.Lookup{Name: "_acme-challenge.broken.test", Type: "TXT", Answer: "SERVFAIL"}},
		"REFUSED":         {txt("refused.test"), probe.Lookup{Name: "_acme-challenge.refused.test", Type: "TXT", Answer: "REFUSED", Silent: true}},
		"an IPv4 address": {address("four.test"), probe.Lookup{Name: "four.test", Type: "A/AAAA", Found: true, Answer: "an address"}},
		"an IPv6 address": {address("six.test"), probe.Lookup{Name: "six.test", Type: "A/AAAA", Found: true, Answer: "an address"}},
		"no address":      {address("missing.test"), probe.Lookup{Name: "missing.test", Type: "A/AAAA", Answer: "NXDOMAIN"}},
	} {
		want := tt.want
		want.Resolver = zone
		got := controls.Lookup(t.Context(), []string{zone}, tt.challenge)
		if diff := cmp.Diff([]probe.Lookup{want}, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := controls.Lookup(t.Context(), []string{zone}, address("192.0.2.1")); got != nil {
		t.Errorf("an address was looked up: %+v", got)
	}
	if got := controls.Lookup(t.Context(), []string{zone}, address("2001:db8::1")); got != nil {
		t.Errorf("an address was looked up: %+v", got)
	}

	start := time.Now()
	got := controls.Lookup(t.Context(), []string{nameServer(t, silent), zone, zone}, txt("right.test"))
	if len(got) != 2 || !got[0].Silent || got[0].Answer != "no answer" || !got[1].Found {
		t.Errorf("a deaf one and another: %+v", got)
	}
	if took := time.Since(start); took > 4*controls.Timeout {
		t.Errorf("it took %v", took)
	}
}

// answers returns a handler that answers with the RCODE and the records' data.
func answers(t *testing.T, of func(dns.Question) (rcode int, data []string)) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		rcode, data := of(q.Question[0])
		m := new(dns.Msg).SetRcode(q, rcode)
		for _, d := range data {
			rr, err := dns.NewRR(q.Question[0].Name + " 60 IN " + dns.Type(q.Question[0].Qtype).String() + " " + d)
			if err != nil {
				t.Error(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		_ = w.WriteMsg(m)
	}
}
