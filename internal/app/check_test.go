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
