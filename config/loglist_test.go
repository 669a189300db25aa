package config

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLogList holds whose SCTs are verified, with a list of the configuration's own
// and without one.
func TestLogList(t *testing.T) {
	const targets = `
targets:
  le: {preset: letsencrypt, probes: {directory: 1m}}
  staging: {preset: letsencrypt-staging, probes: {directory: 1m}}
  corp: {directory_url: "https://ca.corp.example/", probes: {directory: 1m}}
`
	dir := t.TempDir()
	file := filepath.Join(dir, "acme.yml")
	for _, content := range []string{"", "{}"} {
		if err := os.WriteFile(filepath.Join(dir, "logs.json"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		own, err := Parse(file, []byte(targets+"log_list_file: logs.json\n"))
		if err != nil {
			t.Fatal(err)
		}
		if own.LogList() == nil || string(own.LogList()) != content || own.LogListFile != filepath.Join(dir, "logs.json") {
			t.Errorf("%q: %q of %s", content, own.LogList(), own.LogListFile)
		}
		if le, staging, corp := own.Targets["le"].VerifiesSCTs(), own.Targets["staging"].VerifiesSCTs(), own.Targets["corp"].VerifiesSCTs(); !le || staging || !corp {
			t.Errorf("with a list: %t, %t, %t", le, staging, corp)
		}
	}
	c, err := Parse(file, []byte(targets))
	if err != nil {
		t.Fatal(err)
	}
	if le, staging, corp := c.Targets["le"].VerifiesSCTs(), c.Targets["staging"].VerifiesSCTs(), c.Targets["corp"].VerifiesSCTs(); !le || staging || corp || c.LogList() != nil {
		t.Errorf("without a list: %t, %t, %t", le, staging, corp)
	}
}
