package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// corpLimits is a target without a preset; %s is its rate_limits.
func corpLimits(limits string) string {
	return "corp: {directory_url: 'https://ca.corp.example/', rate_limits: " + limits + ", probes: {directory: 1m}}"
}

// TestLimits holds which limits are in force, and how much of them is ours.
func TestLimits(t *testing.T) {
	const hour = time.Hour
	production := []Limit{
		{Name: LimitNewOrders, Count: 300, Period: 3 * hour, Exempt: true},
		{Name: LimitCertificatesPerDomain, Count: 50, Period: 168 * hour, Shared: true, Exempt: true},
		{Name: LimitCertificatesPerSet, Count: 5, Period: 168 * hour, Shared: true},
		{Name: LimitFailedValidations, Count: 5, Period: hour},
		{Name: LimitConsecutiveFailures, Count: 1152, Period: 1152 * 24 * hour, Pauses: true},
		{Name: LimitNewAccountsPerIP, Count: 10, Period: 3 * hour},
		{Name: LimitNewAccountsPerNetwork, Count: 500, Period: 3 * hour},
	}
	with := func(edit func([]Limit)) []Limit {
		own := append([]Limit(nil), production...)
		edit(own)
		return own
	}
	for _, test := range []struct {
		name, target string
		want         []Limit
		share        float64
	}{
		{"production", "le: {preset: letsencrypt, probes: {directory: 1m}}", production, 0.5},
		{"staging", "le: {preset: letsencrypt-staging, probes: {directory: 1m}}", []Limit{
			{Name: LimitNewOrders, Count: 1500, Period: 3 * hour, Exempt: true},
			{Name: LimitCertificatesPerDomain, Count: 30000, Period: time.Second, Shared: true, Exempt: true},
			{Name: LimitCertificatesPerSet, Count: 30000, Period: 168 * hour, Shared: true},
			{Name: LimitFailedValidations, Count: 200, Period: hour},
			{Name: LimitConsecutiveFailures, Count: 3600, Period: 6 * hour, Pauses: true},
			{Name: LimitNewAccountsPerIP, Count: 50, Period: 3 * hour},
			{Name: LimitNewAccountsPerNetwork, Count: 500, Period: 3 * hour},
		}, 1},
		{"share", "le: {preset: letsencrypt, rate_limits: {share: 0.25}, probes: {directory: 1m}}", production, 0.25},
		{"an override", "le: {preset: letsencrypt, rate_limits: {new_orders: {count: 900}, certificates_per_set: {period: 1d}}, probes: {directory: 1m}}",
			with(func(l []Limit) { l[0].Count = 900; l[2].Period = 24 * hour }), 0.5},
		{"nothing written", "le: {preset: letsencrypt, rate_limits: , probes: {directory: 1m}}", production, 0.5},
		{"own_ca", "le: {preset: letsencrypt, own_ca: true, probes: {directory: 1m}}", nil, 1},
		{"own_ca and what is written", "le: {preset: letsencrypt, own_ca: true, rate_limits: {new_orders: {count: 4, period: 1h}}, probes: {directory: 1m}}",
			[]Limit{{Name: LimitNewOrders, Count: 4, Period: hour}}, 1},
		{"none known", "z: {preset: zerossl, probes: {directory: 1m}}", nil, 0.5},
		{"none", corpLimits("none"), nil, 1},
		{"private", corpLimits("{share: 0.5, new_accounts_per_ip: {count: 1, period: 1h}, certificates_per_domain: {count: 20, period: 7d}}"), []Limit{
			{Name: LimitCertificatesPerDomain, Count: 20, Period: 168 * hour, Shared: true},
			{Name: LimitNewAccountsPerIP, Count: 1, Period: hour},
		}, 0.5},
		{"nothing said", "corp: {directory_url: 'https://ca.corp.example/', probes: {directory: 1m}}", nil, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := parse(t, "targets:\n  "+test.target+"\n")
			for _, target := range c.Targets {
				if diff := cmp.Diff(test.want, target.Limits()); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				if got := target.Share(); got != test.share {
					t.Errorf("share %v, want %v", got, test.share)
				}
			}
			// What is shown means the same.
			again, err := Parse("again.yml", c.Redacted())
			if err != nil {
				t.Fatalf("%v\n%s", err, c.Redacted())
			}
			for name, target := range again.Targets {
				if diff := cmp.Diff(c.Targets[name].Limits(), target.Limits()); diff != "" || target.Share() != test.share {
					t.Errorf("what is shown has share %v and other limits, -want +got:\n%s", target.Share(), diff)
				}
			}
		})
	}
}

// TestLimitNames holds that each limit can be written, and is in the list.
func TestLimitNames(t *testing.T) {
	names := LimitNames()
	for _, name := range names {
		c := parse(t, "targets:\n  "+corpLimits("{"+string(name)+": {count: 7, period: 1m}}")+"\n")
		got := c.Targets["corp"].Limits()
		if len(got) != 1 || got[0].Name != name || got[0].Count != 7 || got[0].Period != time.Minute {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if len(names) != 7 {
		t.Errorf("%d names", len(names))
	}
}

// TestPairLimits holds that nobody shares the limit of sets that nobody else can
// know.
func TestPairLimits(t *testing.T) {
	c := parse(t, `
targets: {le: {preset: letsencrypt-staging, account: {agree_to_terms: true}, probes: {random: 5m, pool: 5m, fixed: 5m, directory: 1m}}}
responders: {dns: {zones: [p.corp.example], nameserver: ns.corp.example}}
modules:
  random: {prober: issue}
  pool: {prober: issue, issue: {names: {mode: pool, size: 9}}}
  fixed: {prober: issue, issue: {names: {mode: fixed, list: [www.p.corp.example]}}}
`)
	for module, want := range map[string]bool{"random": false, "pool": false, "fixed": true, "directory": true} {
		pair, ok := c.Pair(probe.Pair{Target: "le", Module: module})
		if !ok {
			t.Fatalf("no pair %s", module)
		}
		for _, limit := range pair.Limits() {
			switch {
			case limit.Name == LimitCertificatesPerSet && limit.Shared != want:
				t.Errorf("%s: shared is %v", module, limit.Shared)
			case limit.Name == LimitCertificatesPerDomain && !limit.Shared:
				t.Errorf("%s: nobody shares the domain", module)
			}
		}
	}
}

// TestHashOfLimits holds that limits count for what spends and nothing else, and
// that writing a default down changes nothing.
func TestHashOfLimits(t *testing.T) {
	const file = `
targets: {le: {preset: letsencrypt-staging, account: {agree_to_terms: true}, rate_limits: {}, probes: {issue: 5m, order: 5m, account: 5m, directory: 1m}}}
responders: {dns: {zones: [p.corp.example], nameserver: ns.corp.example}}
`
	before := hashes(parse(t, file))
	for _, test := range []struct {
		limits  string
		changed []string
	}{
		{"{share: 1}", nil},
		{"{new_orders: {count: 1500}}", nil},
		{"{share: 0.5}", []string{"le/issue", "le/order"}},
		{"{failed_validations: {count: 3}}", []string{"le/issue", "le/order"}},
	} {
		t.Run(test.limits, func(t *testing.T) {
			check(t, before, hashes(parse(t, strings.Replace(file, "rate_limits: {}", "rate_limits: "+test.limits, 1))), test.changed)
		})
	}
}

// TestDocumentedLimits holds that docs/configuration.md says of limits what the
// presets do.
func TestDocumentedLimits(t *testing.T) {
	data, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	size := func(preset string, name LimitName) string {
		for _, limit := range (&Target{Preset: preset}).Limits() {
			if limit.Name == name {
				// As people write it: 7d, and 1152d instead of 3y 57d.
				period := duration(limit.Period)
				if limit.Period%day == 0 {
					period = fmt.Sprintf("%dd", limit.Period/day)
				}
				return fmt.Sprintf("%d / %s", limit.Count, period)
			}
		}
		return ""
	}
	for _, name := range LimitNames() {
		begin, end := "| `"+string(name)+"` | ", " | "+size("letsencrypt", name)+" | "+size("letsencrypt-staging", name)+" |\n"
		found := false
		for line := range strings.Lines(string(data)) {
			found = found || strings.HasPrefix(line, begin) && strings.HasSuffix(line, end)
		}
		if !found {
			t.Errorf("no row that begins %q and ends %q", begin, end)
		}
	}
}
