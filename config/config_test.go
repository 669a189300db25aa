package config

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse(filepath.Join(t.TempDir(), "test.yml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pair is what of a Pair is easy to compare.
type pair struct {
	Name                           string
	Prober                         probe.Prober
	Interval, MinInterval, Timeout time.Duration
}

func pairs(c *Config) (list []pair) {
	for _, p := range c.Pairs() {
		list = append(list, pair{p.String(), p.Module.Prober, p.Interval, p.MinInterval, p.Timeout})
	}
	return list
}

func TestDefault(t *testing.T) {
	c := Default()
	want := []pair{
		{"letsencrypt/directory", probe.ProberDirectory, 30 * time.Second, 30 * time.Second, 10 * time.Second},
		{"letsencrypt/nonce", probe.ProberNonce, 30 * time.Second, 30 * time.Second, 10 * time.Second},
	}
	if diff := cmp.Diff(want, pairs(c)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	again, err := Parse("default.yml", c.Redacted())
	if err != nil {
		t.Fatalf("the built-in configuration is refused as a file: %v", err)
	}
	if diff := cmp.Diff(hashes(c), hashes(again)); diff != "" {
		t.Errorf("-built-in +as a file:\n%s", diff)
	}
}

func TestPairs(t *testing.T) {
	c := parse(t, `
targets:
  staging:
    preset: letsencrypt-staging
    account: {agree_to_terms: true}
    probes: {issue: 15m, validate: 0, quick: 6m, lazy: 2h}
  own:
    preset: letsencrypt-staging
    own_ca: true
    account: {agree_to_terms: true}
    probes: {issue: 20s}
  zerossl:
    preset: zerossl
    probes: {directory: 1m, patient: 1m}
  corp:
    directory_url: https://ca.corp.example/directory
    rate_limits: none
    probes: {issue: 30s, order: 1s}
modules:
  quick: {prober: validate, timeout: 20s}
  lazy: {prober: nonce, min_interval: 1h}
  patient: {prober: directory, timeout: 5s}
responders:
  dns: {zones: [p.corp.example], nameserver: ns.corp.example}
`)
	want := []pair{
		{"corp/issue", probe.ProberIssue, 30 * time.Second, time.Second, 90 * time.Second},
		{"corp/order", probe.ProberOrder, time.Second, time.Second, 30 * time.Second},
		{"own/issue", probe.ProberIssue, 20 * time.Second, time.Second, 90 * time.Second},
		{"staging/issue", probe.ProberIssue, 15 * time.Minute, 5 * time.Minute, 90 * time.Second},
		{"staging/lazy", probe.ProberNonce, 2 * time.Hour, time.Hour, 10 * time.Second},
		{"staging/quick", probe.ProberValidate, 6 * time.Minute, 5 * time.Minute, 20 * time.Second},
		{"staging/validate", probe.ProberValidate, 0, 5 * time.Minute, 90 * time.Second},
		{"zerossl/directory", probe.ProberDirectory, time.Minute, 30 * time.Second, 20 * time.Second},
		{"zerossl/patient", probe.ProberDirectory, time.Minute, 30 * time.Second, 5 * time.Second},
	}
	if diff := cmp.Diff(want, pairs(c)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, p := range c.Pairs() {
		got, ok := c.Pair(p.Pair)
		if !ok || got.Hash != p.Hash {
			t.Errorf("Pair(%s): ok %t, hash %s, want %s", p, ok, got.Hash, p.Hash)
		}
		if time.Duration(p.Module.Timeout) != p.Timeout || time.Duration(p.Module.MinInterval) != p.MinInterval {
			t.Errorf("%s: the module's %s and %s are not the pair's", p, p.Module.Timeout, p.Module.MinInterval)
		}
	}
}

func TestDefaults(t *testing.T) {
	const head = "targets: {corp: {directory_url: 'https://ca.corp.example/', rate_limits: none, probes: {issue: 1m}}}\n"
	names := Names{Zone: "p.corp.example", Count: 1, Mode: "random"}
	for _, test := range []struct {
		name, rest string
		want       Issue
	}{
		{
			"dns responder", "responders: {dns: {zones: [p.corp.example], nameserver: ns.corp.example}}",
			Issue{Challenge: probe.DNS01, Names: names, Authorization: AuthorizationFresh, KeyType: KeyECDSAP256},
		},
		{
			"both responders", "responders: {http: {}, dns: {zones: [p.corp.example], nameserver: ns.corp.example}}",
			Issue{Challenge: probe.DNS01, Names: names, Authorization: AuthorizationFresh, KeyType: KeyECDSAP256},
		},
		{
			"http responder", "responders: {http: {}}\nmodules: {issue: {issue: {names: {zone: p.corp.example}}}}",
			Issue{Challenge: probe.HTTP01, Names: names, Authorization: AuthorizationFresh, KeyType: KeyECDSAP256},
		},
		{
			"updates", "responders: {http: {}, dns_updates: [{zone: p.corp.example, server: ns.corp.example, tsig: {key_name: k, secret: AAAA}}]}",
			Issue{Challenge: probe.DNS01, Names: names, Authorization: AuthorizationFresh, KeyType: KeyECDSAP256},
		},
		{
			"updates and aliases", "responders: {dns_aliases: [q.corp.example], dns_updates: [&u {zone: p.corp.example, server: ns.corp.example, tsig: {key_name: k, secret: AAAA}}, {<<: *u, zone: _acme-challenge.q.corp.example}]}",
			Issue{Challenge: probe.DNS01, Names: names, Authorization: AuthorizationFresh, KeyType: KeyECDSAP256},
		},
		{
			"written", "responders: {http: {}, dns: {zones: [p.corp.example], nameserver: ns.corp.example, addresses: [192.0.2.1]}}\n" +
				"modules: {issue: {issue: {challenge: http-01, authorization: reuse, names: {zone: a.p.corp.example}}}}",
			Issue{Challenge: probe.HTTP01, Names: Names{Zone: "a.p.corp.example", Count: 1, Mode: "random"}, Authorization: AuthorizationReuse, KeyType: KeyECDSAP256},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := parse(t, head+test.rest)
			m := c.Modules["issue"]
			if diff := cmp.Diff(&test.want, m.Issue); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if m.IPProtocol != IPAny || m.Connection != ConnectionFresh || m.Order != nil || m.Validate != nil {
				t.Errorf("got %+v", m)
			}
			if h := c.Responders.HTTP; h != nil && h.ListenAddress != ":80" {
				t.Errorf("http listens at %q", h.ListenAddress)
			}
			if d := c.Responders.DNS; d != nil && d.ListenAddress != ":53" {
				t.Errorf("dns listens at %q", d.ListenAddress)
			}
			if e := c.Targets["corp"].Environment; e != Production {
				t.Errorf("environment %q", e)
			}
		})
	}
}

func TestAnchorsAndMerges(t *testing.T) {
	c := parse(t, `
targets:
  a: &a
    preset: letsencrypt-staging
    account: &account {agree_to_terms: true}
    probes: {account: 1m}
  b:
    <<: *a
    preset: letsencrypt
  c:
    <<: [{probes: {nonce: 1m}}, *a]
    account: *account
`)
	if got := c.Targets["b"]; got.Preset != "letsencrypt" || !got.Account.AgreeToTerms || len(got.Probes) != 1 {
		t.Errorf("b: %+v", got)
	}
	if got := c.Targets["c"]; !got.Account.AgreeToTerms || got.Probes["nonce"] == 0 || len(got.Probes) != 1 {
		t.Errorf("c: %+v", got)
	}
}

func TestAdhoc(t *testing.T) {
	c := Default()
	if p, err := c.Lookup("letsencrypt", "nonce"); err != nil || p.String() != "letsencrypt/nonce" || p.Timeout == 0 {
		t.Errorf("got %v, %v", p, err)
	}
	for _, test := range []struct{ target, module, want string }{
		{"corp", "nonce", `unknown target "corp": configured are letsencrypt`},
		{"letsencrypt", "issue", `the target "letsencrypt" has no probe "issue": configured are directory, nonce`},
	} {
		if _, err := c.Lookup(test.target, test.module); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

func TestPresets(t *testing.T) {
	names := map[string]bool{}
	for _, s := range Presets() {
		u, err := url.Parse(s.DirectoryURL)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			t.Errorf("%s: directory %q", s.Name, s.DirectoryURL)
		}
		if names[s.Name] || !label.MatchString(s.Name) || s.CA == "" {
			t.Errorf("name %q, CA %q", s.Name, s.CA)
		}
		names[s.Name] = true
		if err := checkDomain(s.IssuerDomainName); err != nil {
			t.Errorf("%s: issuer domain name: %v", s.Name, err)
		}
		if s.EAB != (s.EABFrom != "") {
			t.Errorf("%s: EAB %t, from %q", s.Name, s.EAB, s.EABFrom)
		}
		if s.Environment != Production && (s.Environment != Staging || s.Staging != "") {
			t.Errorf("%s: environment %q, staging %q", s.Name, s.Environment, s.Staging)
		}
		if got := presetsAt(u); !slices.Equal(got, []string{s.Name}) {
			t.Errorf("%s: its URL is that of %q", s.Name, got)
		}
		for _, p := range probers {
			if s.Floor(p.name) < 30*time.Second {
				t.Errorf("%s: floor of %s is %s", s.Name, p.name, s.Floor(p.name))
			}
			if at := s.Timeout(p.name); at != 0 && at < p.timeout {
				t.Errorf("%s: timeout of %s is %s, less than for others", s.Name, p.name, at)
			}
		}
	}
	for _, s := range Presets() {
		if s.Staging != "" && (!names[s.Staging] || presetNamed(s.Staging).Environment != Staging) {
			t.Errorf("%s: staging is %q", s.Name, s.Staging)
		}
	}
	if len(names) != 8 {
		t.Errorf("%d presets", len(names))
	}
}

func TestExternalAccountBindingKey(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "hmac")
	if err := os.WriteFile(file, []byte("  -_8AAQ\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		in   ExternalAccountBinding
		want string
	}{
		{"base64url", ExternalAccountBinding{HMACKey: "-_8AAQ"}, "fbff0001"},
		{"padded", ExternalAccountBinding{HMACKey: "-_8AAQ=="}, "fbff0001"},
		{"base64", ExternalAccountBinding{HMACKey: "+/8AAQ=="}, "fbff0001"},
		{"file", ExternalAccountBinding{HMACKeyFile: file}, "fbff0001"},
	} {
		key, err := test.in.Key()
		if err != nil || hex.EncodeToString(key) != test.want {
			t.Errorf("%s: got %x, %v, want %s", test.name, key, err, test.want)
		}
	}
}

func TestFilesAreRelativeToTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("AAAA"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "acme.yml")
	text := "targets: {corp: {directory_url: 'https://ca.corp.example/', account: {external_account_binding: {key_id: k, hmac_key_file: key}}, probes: {account: 1m}}}"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	b := c.Targets["corp"].Account.ExternalAccountBinding
	if b.HMACKeyFile != filepath.Join(dir, "key") {
		t.Errorf("file %q", b.HMACKeyFile)
	}
}

func TestTLSAndProxy(t *testing.T) {
	c := parse(t, `
targets:
  plain: {directory_url: "https://ca.corp.example/", probes: {directory: 1m}}
  odd:
    directory_url: https://ca.corp.example/
    tls_config: {server_name: other.example, min_version: TLS13}
    proxy_url: http://user:pass@proxy.corp.example:3128
    no_proxy: direct.corp.example
    probes: {directory: 1m}
`)
	if conf, err := c.Targets["plain"].TLS(); err != nil || conf == nil || conf.RootCAs != nil || conf.InsecureSkipVerify {
		t.Errorf("TLS of plain: %+v, %v", conf, err)
	}
	if c.Targets["plain"].Proxy() != nil {
		t.Error("plain has a proxy")
	}
	odd := c.Targets["odd"]
	conf, err := odd.TLS()
	if err != nil || conf.ServerName != "other.example" || conf.MinVersion != 0x0304 {
		t.Errorf("TLS of odd: %+v, %v", conf, err)
	}
	for host, want := range map[string]string{"ca.corp.example": "http://user:pass@proxy.corp.example:3128", "direct.corp.example": ""} {
		got := ""
		u, err := odd.Proxy()(&http.Request{URL: &url.URL{Scheme: "https", Host: host}})
		if u != nil {
			got = u.String()
		}
		if err != nil || !strings.EqualFold(got, want) {
			t.Errorf("proxy for %s: %q, %v, want %q", host, got, err, want)
		}
	}
}
