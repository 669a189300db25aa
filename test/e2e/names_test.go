package e2e_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// nameModules order all kinds of names, with all types of keys.
const nameModules = `modules:
  two: {prober: issue, issue: {challenge: dns-01, names: {count: 2}, key_type: ecdsa-p384}}
  hundred: {prober: issue, issue: {challenge: dns-01, names: {count: 100}}}
  wildcard: {prober: issue, issue: {challenge: dns-01, names: {count: 2, wildcard: true}, key_type: rsa-2048}}
  fixed: {prober: issue, issue: {challenge: dns-01, names: {mode: fixed, list: [acme-probe.example, "*.acme-probe.example", www.acme-probe.example]}}}
  address: {prober: issue, issue: {challenge: http-01, names: {mode: fixed, list: [127.0.0.1, www.acme-probe.example]}}}
  validate_ten: {prober: validate, validate: {challenge: http-01, names: {count: 10}}}
  profile: {prober: issue, issue: {challenge: dns-01, names: {count: 2}, profile: default}}
`

// withNames configures the modules.
func withNames(exporter *parts.Exporter) {
	exporter.Reconfigure("modules:\n", nameModules)
	exporter.Reconfigure("      issue_dns: 0s\n", `      issue_dns: 0s
      two: 0s
      hundred: 0s
      wildcard: 0s
      fixed: 0s
      address: 0s
      validate_ten: 0s
      profile: 0s
`)
}

// TestNames holds that orders of several names, of wildcards, of fixed names and
// of addresses are issued by each CA, with each call named.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, authority := range authorities {
		t.Run(authority.name, func(t *testing.T) {
			t.Parallel()
			ports := parts.NewPorts(t)
			exporter := parts.NewExporter(t, ports, authority.start(t, ports))
			withNames(exporter)
			for _, test := range []struct {
				module string
				names  int
				want   []string // among the certificate's
			}{
				{"two", 2, nil},
				{"hundred", 100, nil},
				{"wildcard", 4, nil},
				{"fixed", 3, []string{"acme-probe.example", "*.acme-probe.example", "www.acme-probe.example"}},
				{"fixed", 3, nil}, // once more, with what the first has left
				{"address", 2, []string{"127.0.0.1", "www.acme-probe.example"}},
			} {
				result := exporter.Probe(test.module)
				checkNames(t, result)
				checkSteps(t, result)
				got := result.Certificate.Names
				if len(got) != test.names {
					t.Errorf("%s: the certificate has %d names, want %d", test.module, len(got), test.names)
				}
				for _, name := range test.want {
					if !slices.Contains(got, name) {
						t.Errorf("%s: the certificate is for %v, want %s too", test.module, got, name)
					}
				}
				if test.module != "wildcard" {
					continue
				}
				for _, name := range got {
					if !strings.HasPrefix(name, "*.") && !slices.Contains(got, "*."+name) {
						t.Errorf("%s without its wildcard in %v", name, got)
					}
				}
			}
			result := exporter.Probe("validate_ten")
			checkNames(t, result)
			if !result.Verdict.Success() || len(result.Visits) < 10 {
				t.Errorf("validate_ten: %+v, %d visits", result.Verdict, len(result.Visits))
			}
		})
	}
}

// TestProfiles holds that a profile is asked for where the CA has it, and that the
// run is skipped where it has not, before anything is ordered.
func TestProfiles(t *testing.T) {
	t.Parallel()
	for i, outcome := range []string{"success", "skipped"} {
		t.Run(authorities[i].name, func(t *testing.T) {
			t.Parallel()
			ports := parts.NewPorts(t)
			exporter := parts.NewExporter(t, ports, authorities[i].start(t, ports))
			withNames(exporter)
			exporter.Serve()
			exporter.Scrape("profile")
			parts.Until(t, "the run is over, as "+outcome, func() bool {
				return exporter.Metrics().Sum("acme_probes_total", "module", "profile", "outcome", outcome) == 1
			})
			orders := exporter.Metrics().Sum("acme_requests_total", "module", "profile", "call", string(probe.CallNewOrder))
			if (orders > 0) != (outcome == "success") {
				t.Errorf("%v orders", orders)
			}
		})
	}
}
