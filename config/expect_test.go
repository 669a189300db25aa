package config

import (
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestExpect holds what follows from what a CA has to refuse.
func TestExpect(t *testing.T) {
	c, err := Parse("acme.yml", []byte(`
targets:
  corp: {directory_url: "https://ca.corp.example/", rate_limits: none, probes: {unauthorized: 1h, caa: 2h, policy: 0s, named: 1h, issue: 5m}}
  own: {directory_url: "https://own.corp.example/", own_ca: true, rate_limits: none, probes: {unauthorized: 5s}}
modules:
  unauthorized: {prober: issue, issue: {expect: {problem: unauthorized}}}
  caa: {prober: issue, issue: {challenge: tls-alpn-01, expect: {problem: caa}}}
  policy: {prober: issue, issue: {expect: {problem: rejectedIdentifier}}}
  named: {prober: issue, issue: {expect: {problem: rejectedIdentifier}, names: {mode: fixed, list: [www.corp.example]}}}
  issue: {issue: {minimum_networks: 3}}
responders:
  tls_alpn: {}
  dns: {zones: [p.corp.example], nameserver: ns.corp.example, addresses: [192.0.2.1]}
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		expected  string
		challenge probe.ChallengeType
		zone      string
		floor     time.Duration
		networks  int
	}{
		"corp/unauthorized": {"unauthorized", probe.DNS01, "p.corp.example", time.Hour, 0},
		"corp/caa":          {"caa", probe.TLSALPN01, "p.corp.example", time.Hour, 0},
		"corp/policy":       {"rejectedIdentifier", "", "example.org", time.Hour, 0},
		"corp/named":        {"rejectedIdentifier", "", "", time.Hour, 0},
		"corp/issue":        {"", probe.DNS01, "p.corp.example", time.Second, 3},
		"own/unauthorized":  {"unauthorized", probe.DNS01, "p.corp.example", time.Second, 0},
	} {
		for _, p := range c.Pairs() {
			if p.Pair.String() != name {
				continue
			}
			m := p.Module
			if m.Expected() != want.expected || p.Challenge() != want.challenge || m.Solves() != (want.challenge != "") ||
				p.Names().Zone != want.zone || p.MinInterval != want.floor || m.MinimumNetworks() != want.networks {
				t.Errorf("%s: %q, %q, solves %v, %q, %v, %d", name, m.Expected(), p.Challenge(), m.Solves(), p.Names().Zone, p.MinInterval, m.MinimumNetworks())
			}
			want.expected = "seen"
		}
		if want.expected != "seen" {
			t.Errorf("%s is not configured", name)
		}
	}
}
