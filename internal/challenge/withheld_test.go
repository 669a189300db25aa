package challenge

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// seenAsked is what the visits say, in order.
func seenAsked(visits []probe.Visit) (list []string) {
	for _, v := range visits {
		ok := ""
		if v.OK {
			ok = " ok"
		}
		list = append(list, v.Asked+" "+v.Answered+ok)
	}
	return list
}

// An answer that is withheld reaches nobody, and those who want it are seen.
func TestWithheld(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{HTTP: httpConfig(), DNS: dnsConfig(), TLSALPN: &config.TLSALPNResponder{ListenAddress: loopback}})

	c := aChallenge(probe.HTTP01, "a.fra.probe.example", "token-of-a")
	c.Withheld = true
	withdraw := present(t, s, c)
	if response, body := fetch(t, s, "GET", c.Identifier, challengePath+c.Token); response.StatusCode != http.StatusNotFound || strings.Contains(body, "thumb") {
		t.Errorf("http-01: %d %q", response.StatusCode, body)
	}
	ask(t, s, "udp", query("a.fra.probe.example.", dns.TypeA))
	if diff := cmp.Diff([]string{"GET 404", "A 2 values"}, seenAsked(withdraw())); diff != "" {
		t.Errorf("http-01 (-want +got):\n%s", diff)
	}

	c = aChallenge(probe.DNS01, "b.fra.probe.example", "token-of-b")
	c.Withheld = true
	withdraw = present(t, s, c)
	if m := ask(t, s, "udp", query("_acme-challenge.b.fra.probe.example.", dns.TypeTXT)); len(m.Answer) > 0 || m.Rcode != dns.RcodeSuccess {
		t.Errorf("dns-01: %v", m)
	}
	// Another challenge of the name is answered all the same, and not by this one's value.
	other := aChallenge(probe.DNS01, "b.fra.probe.example", "another")
	withdrawOther := present(t, s, other)
	m := ask(t, s, "udp", query("_acme-challenge.b.fra.probe.example.", dns.TypeTXT))
	if len(m.Answer) != 1 || !strings.Contains(m.Answer[0].String(), other.Record.Value) {
		t.Errorf("dns-01: %v", m.Answer)
	}
	withdrawOther()
	if diff := cmp.Diff([]string{"TXT NODATA", "TXT 1 value ok"}, seenAsked(withdraw())); diff != "" {
		t.Errorf("dns-01 (-want +got):\n%s", diff)
	}

	c = aChallenge(probe.TLSALPN01, "c.fra.probe.example", "token-of-c")
	c.Withheld = true
	p, err := newPresentation(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.publish(p); err != nil {
		t.Fatal(err)
	}
	certificate, visited := s.board.lookupSNI("c.fra.probe.example")
	if certificate != nil || !slices.Equal(visited, []*presentation{p}) {
		t.Errorf("tls-alpn-01: %v, %v", certificate, visited)
	}
	s.board.remove(p)
}

// A name that is forbidden has one CAA record, whatever the others have; who looks for
// it is seen, and only he.
func TestForbidden(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{HTTP: httpConfig(), DNS: dnsConfig()})
	c := aChallenge(probe.HTTP01, "a.fra.probe.example", "token-of-a")
	c.Forbidden = true
	withdraw := present(t, s, c)
	caa := func(name string) []string {
		t.Helper()
		return lines(ask(t, s, "tcp", query(name, dns.TypeCAA)).Answer)
	}
	if diff := cmp.Diff([]string{`a.fra.probe.example. 60 IN CAA 0 issue ";"`}, caa("a.fra.probe.example.")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, name := range []string{"x.a.fra.probe.example.", "b.fra.probe.example.", "fra.probe.example."} {
		if got := caa(name); len(got) != 2 {
			t.Errorf("%s: %v", name, got)
		}
	}
	// The challenge itself is answered.
	if response, body := fetch(t, s, "GET", c.Identifier, challengePath+c.Token); response.StatusCode != http.StatusOK || body != c.KeyAuthorization {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	if diff := cmp.Diff([]string{"CAA 1 value", "GET 200 ok"}, seenAsked(withdraw())); diff != "" {
		t.Errorf("visits (-want +got):\n%s", diff)
	}
	if got := caa("a.fra.probe.example."); len(got) != 2 {
		t.Errorf("withdrawn: %v", got)
	}

	// Before it is ordered there is the record only. Each challenge has its own visits.
	for _, kind := range []probe.ChallengeType{probe.HTTP01, probe.DNS01} {
		c := aChallenge(kind, "b.fra.probe.example", "token-of-b")
		early := present(t, s, probe.Challenge{Type: kind, Identifier: c.Identifier, Forbidden: true, Ahead: true, Start: c.Start})
		if got := caa("b.fra.probe.example."); len(got) != 1 || !strings.Contains(got[0], `";"`) {
			t.Errorf("%s, ahead: %v", kind, got)
		}
		c.Forbidden = true
		late := present(t, s, c)
		caa("b.fra.probe.example.")
		if diff := cmp.Diff([]string{"CAA 1 value"}, seenAsked(late())); diff != "" {
			t.Errorf("%s: visits (-want +got):\n%s", kind, diff)
		}
		if got := caa("b.fra.probe.example."); len(got) != 1 {
			t.Errorf("%s, and ahead still: %v", kind, got)
		}
		visits := early()
		if diff := cmp.Diff([]string{"CAA 1 value", "CAA 1 value", "CAA 1 value"}, seenAsked(visits)); diff != "" || visits[0].Challenge != kind {
			t.Errorf("%s, ahead: visits (-want +got):\n%s", kind, diff)
		}
		if got := caa("b.fra.probe.example."); len(got) != 2 {
			t.Errorf("%s, withdrawn: %v", kind, got)
		}
	}

	// Nobody else can forbid it.
	c.Identifier = "a.elsewhere.example"
	if _, err := s.Present(t.Context(), c); err == nil || !strings.Contains(err.Error(), "no DNS responder of ours has the name") {
		t.Errorf("elsewhere: %v", err)
	}
	c.Identifier = netip.IPv6Loopback().String()
	if _, err := s.Present(t.Context(), c); err == nil {
		t.Error("an address can be forbidden")
	}
}
