package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocumentedRefusal holds that what docs/configuration.md says of a
// configuration that spends too much is true to the letter.
func TestDocumentedRefusal(t *testing.T) {
	data, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "acme.yml")
	if err := os.WriteFile(file, []byte(`targets:
  staging:
    preset: letsencrypt-staging
    account: {agree_to_terms: true}
    rate_limits: {certificates_per_domain: {count: 50, period: 7d}, certificates_per_set: {count: 5, period: 7d}}
    probes: {issue: 5m}
responders:
  dns: {zones: [fra.acme-probe.example], nameserver: ns.acme-probe.example}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, plan, err := loadFile(file)
	if err == nil || cfg == nil || plan == nil || !plan.Refused() {
		t.Fatalf("loadFile() = %v, %v, %v", cfg, plan, err)
	}
	if want := "\n    " + strings.TrimPrefix(err.Error(), filepath.Dir(file)+"/") + "\n"; !strings.Contains(string(data), want) {
		t.Errorf("not in the documentation: %s", want)
	}
	if list := mistakes(err); len(list) != 1 || list[0].Line != 6 || list[0].Column != 21 {
		t.Errorf("mistakes: %+v", list)
	}
}

// TestPoolRefused holds that no run takes a pool for random names.
func TestPoolRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "acme.yml")
	if err := os.WriteFile(file, []byte(`targets:
  corp: {directory_url: "https://ca.corp.example/directory", rate_limits: none, probes: {rotating: 5m}}
responders:
  dns: {zones: [fra.acme-probe.example], nameserver: ns.acme-probe.example}
modules:
  rotating: {prober: issue, issue: {names: {mode: pool, size: 404}}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := loadFile(file)
	want := file + ":6:51: modules.rotating.issue.names.mode: pools can be planned, but runs do not take their names from them yet: choose random or fixed"
	if err == nil || err.Error() != want {
		t.Errorf("loadFile() = %v, want %s", err, want)
	}
}
