package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRedacted holds the whole form of /config, and that nothing secret is in it.
func TestRedacted(t *testing.T) {
	data, err := os.ReadFile("testdata/full.yml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("testdata/full.yml", data)
	if err != nil {
		t.Fatal(err)
	}
	// Set here, so that no private key is in the repository.
	c.Targets["corp"].TLSConfig.Cert = "a certificate"
	c.Targets["corp"].TLSConfig.Key = "hunter6"
	got := string(c.Redacted())
	const golden = "testdata/full.redacted.yml"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, secret := range []string{"hunter", "aHVudGVy"} {
		if !strings.Contains(string(data), secret) {
			t.Errorf("%q is not in the file, so this proves nothing", secret)
		}
		if strings.Contains(got, secret) {
			t.Errorf("%q is shown", secret)
		}
	}
	if again := string(c.Redacted()); again != got {
		t.Error("showing it changes it")
	}
	if u := c.Targets["corp"].ProxyConfig.ProxyURL; u.User.String() != "me:hunter2" {
		t.Errorf("showing it changed the proxy's user to %q", u.User)
	}
	if u := c.Controls.ProxyConfig.ProxyURL; u.User.String() != "me:hunter8" {
		t.Errorf("showing it changed the user of the controls' proxy to %q", u.User)
	}
}

// TestRedactedIsAConfiguration holds that what is shown, secrets aside, can be
// used as a file and means the same.
func TestRedactedIsAConfiguration(t *testing.T) {
	secret, err := filepath.Abs("testdata/tsig.secret")
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, `
targets:
  zerossl: {preset: zerossl, probes: {directory: 1m, nonce: 0}}
  corp: {directory_url: "https://ca.corp.example/", rate_limits: none, allow_networks: [10.0.0.0/8], probes: {issue: 1m, order: 1m, mine: 1m}}
modules:
  mine: {prober: validate, timeout: 20s, ip_protocol: ip4}
responders:
  http: {}
  dns: {zones: [p.corp.example], nameserver: ns.corp.example, addresses: ["2001:db8::7"], caa: [{tag: issue, value: ca.corp.example}]}
  dns_updates: [{zone: _acme-challenge.corp.example, server: "2001:db8::53", tsig: {key_name: k, secret_file: `+secret+`}}]
  dns_aliases: [shop.corp.example]
resolvers: [192.0.2.53]
controls: {urls: [https://www.example.org/], names: [example.org], proxy_url: "http://proxy.corp.example:3128"}
`)
	again, err := Parse("again.yml", c.Redacted())
	if err != nil {
		t.Fatalf("%v\n%s", err, c.Redacted())
	}
	if diff := cmp.Diff(string(c.Redacted()), string(again.Redacted())); diff != "" {
		t.Errorf("-first +second:\n%s", diff)
	}
	if diff := cmp.Diff(hashes(c), hashes(again)); diff != "" {
		t.Errorf("-first +second:\n%s", diff)
	}
}
