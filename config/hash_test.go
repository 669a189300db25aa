package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const hashed = `
targets:
  corp:
    directory_url: https://ca.corp.example/directory
    rate_limits: none
    account:
      contact: [mailto:pki@corp.example]
      external_account_binding: {key_id: k, hmac_key_file: hmac}
    tls_config: {server_name: ca.corp.example}
    proxy_url: http://me:hunter2@proxy.corp.example
    proxy_connect_header: {X-Token: [hunter3]}
    probes: {directory: 15s, issue: 30s}
  other:
    preset: letsencrypt
    probes: {directory: 30s}
responders:
  dns: {zones: [p.corp.example], nameserver: ns.corp.example}
`

func hashes(c *Config) map[string]string {
	m := map[string]string{}
	for _, p := range c.Pairs() {
		m[p.String()] = p.Hash
	}
	return m
}

// TestHash holds that a pair's hash changes with what is in force for it, and
// with nothing else.
func TestHash(t *testing.T) {
	dir := t.TempDir()
	hmac := filepath.Join(dir, "hmac")
	load := func(t *testing.T, text, key string) map[string]string {
		t.Helper()
		if err := os.WriteFile(hmac, []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Parse(filepath.Join(dir, "a.yml"), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return hashes(c)
	}
	before := load(t, hashed, "AAAA")
	if len(before) != 3 {
		t.Fatalf("got %v", before)
	}
	for name, h := range before {
		if len(h) != 16 || strings.Count(strings.Join(values(before), " "), h) != 1 {
			t.Errorf("%s: hash %q is not its own", name, h)
		}
	}

	const dirPair, issue, other = "corp/directory", "corp/issue", "other/directory"
	for _, test := range []struct {
		name, old, new string
		changed        []string
	}{
		{"nothing", "", "", nil},
		{"a comment", "targets:\n", "# changed\ntargets:\n", nil},
		{"defaults in writing", "responders:", "modules: {issue: {timeout: 90s, min_interval: 1s, connection: fresh, issue: {challenge: dns-01, names: {zone: p.corp.example}}}}\nresponders:", nil},
		{"a preset's default in writing", "    preset: letsencrypt\n", "    preset: letsencrypt\n    environment: production\n", nil},
		{"another module", "responders:", "modules: {mine: {prober: nonce}}\nresponders:", nil},
		{"another probe", "issue: 30s}", "issue: 30s, nonce: 5s}", nil},
		{"the listener", "{zones:", "{listen_address: ':5353', zones:", nil},
		{"the proxy's password", "hunter2", "hunter4", nil},
		{"the proxy's header", "hunter3", "hunter4", nil},
		{"what is made of its runs", "responders:", "modules: {directory: {critical: false}}\nincidents: {failures: 1}\nresponders:", nil},
		{"an interval", "issue: 30s", "issue: 31s", []string{issue}},
		{"a timeout", "responders:", "modules: {directory: {timeout: 5s}}\nresponders:", []string{dirPair, other}},
		{"the zone", "[p.corp", "[q.corp", []string{issue}},
		{"the challenge", "responders:", "modules: {issue: {issue: {authorization: reuse}}}\nresponders:", []string{issue}},
		{"the URL", "example/directory", "example/dir", []string{dirPair, issue}},
		{"the contact", "pki@", "ca@", []string{dirPair, issue}},
		{"trust", "server_name: ca.", "server_name: acme.", []string{dirPair, issue}},
		{"the proxy", "@proxy.", "@proxy2.", []string{dirPair, issue}},
		{"the key identifier", "key_id: k", "key_id: l", []string{dirPair, issue}},
		{"the issuer", "    preset: letsencrypt\n", "    preset: letsencrypt\n    issuer_domain_name: ca.example\n", []string{other}},
		{"the preset's issuer in writing", "    preset: letsencrypt\n", "    preset: letsencrypt\n    issuer_domain_name: letsencrypt.org\n", nil},
		{"resolvers", "responders:", "resolvers: [192.0.2.53]\nresponders:", nil},
		{"controls", "responders:", "controls: {urls: [https://www.example.org/], names: [example.org]}\nresponders:", nil},
		{"own_ca", "    preset: letsencrypt\n", "    preset: letsencrypt\n    own_ca: true\n", []string{other}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !strings.Contains(hashed, test.old) {
				t.Fatalf("%q is not in the configuration", test.old)
			}
			check(t, before, load(t, strings.Replace(hashed, test.old, test.new, 1), "AAAA"), test.changed)
		})
	}
	t.Run("a file's content", func(t *testing.T) {
		check(t, before, load(t, hashed, "BBBB"), []string{dirPair, issue})
	})
}

// TestHashOfInlineSecrets holds that what stands for itself in the file counts
// as a file's content does.
func TestHashOfInlineSecrets(t *testing.T) {
	seen := map[string]string{}
	for name, edit := range map[string]func(*Target){
		"none":          func(*Target) {},
		"a key":         func(t *Target) { t.TLSConfig.Key = "one" },
		"another key":   func(t *Target) { t.TLSConfig.Key = "two" },
		"a binding":     func(t *Target) { t.Account.ExternalAccountBinding = &ExternalAccountBinding{HMACKey: "one"} },
		"another's key": func(t *Target) { t.Account.ExternalAccountBinding = &ExternalAccountBinding{HMACKey: "two"} },
		"another's name": func(t *Target) {
			t.Account.ExternalAccountBinding = &ExternalAccountBinding{KeyID: "k", HMACKey: "two"}
		},
	} {
		c := Default()
		edit(c.Targets["letsencrypt"])
		h := hashes(c)["letsencrypt/nonce"]
		if seen[h] != "" {
			t.Errorf("%s has the hash of %s", name, seen[h])
		}
		seen[h] = name
	}
}

func check(t *testing.T, before, after map[string]string, changed []string) {
	t.Helper()
	want := map[string]bool{}
	for _, name := range changed {
		want[name] = true
	}
	got := map[string]bool{}
	for name, h := range before {
		if after[name] != h {
			got[name] = true
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changed, -want +got:\n%s", diff)
	}
}

func values(m map[string]string) (list []string) {
	for _, v := range m {
		list = append(list, v)
	}
	return list
}
