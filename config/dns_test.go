package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlace(t *testing.T) {
	r := parse(t, `
targets: {corp: {directory_url: "https://ca.corp.example/", probes: {directory: 1m}}}
responders:
  dns: {zones: [ours.example, b.u.example], nameserver: ns.corp.example}
  dns_updates:
    - {zone: u.example, server: ns.corp.example, tsig: &k {key_name: k, secret: AAAA}}
    - {zone: c.b.u.example, server: ns.corp.example, tsig: *k}
    - {zone: _acme-challenge.www.alias.example, server: ns.corp.example, tsig: *k}
  dns_aliases: [alias.example, d.c.b.u.example]
`).Responders
	for _, test := range []struct {
		name  string
		place Place
		zone  string
	}{
		{"ours.example", PlaceResponder, "ours.example"},
		{"_acme-challenge.x.ours.example", PlaceResponder, "ours.example"},
		{"u.example", PlaceUpdate, "u.example"},
		{"_acme-challenge.u.example", PlaceUpdate, "u.example"},
		{"_acme-challenge.a.u.example", PlaceUpdate, "u.example"},
		{"_acme-challenge.b.u.example", PlaceResponder, "b.u.example"},
		{"_acme-challenge.c.b.u.example", PlaceUpdate, "c.b.u.example"},
		{"_acme-challenge.d.c.b.u.example", PlaceAlias, "d.c.b.u.example"},
		{"_acme-challenge.www.alias.example", PlaceUpdate, "_acme-challenge.www.alias.example"},
		{"_acme-challenge.ftp.alias.example", PlaceAlias, "alias.example"},
		{"www.alias.example", PlaceAlias, "alias.example"},
		{"xu.example", PlaceNobody, ""},
		{"example", PlaceNobody, ""},
		{"", PlaceNobody, ""},
	} {
		if place, zone := r.Place(test.name); place != test.place || zone != test.zone {
			t.Errorf("%q is at place %d of %q, want %d of %q", test.name, place, zone, test.place, test.zone)
		}
	}
	if u := r.Update("c.b.u.example"); u == nil || u.Zone != "c.b.u.example" || u.Server != "ns.corp.example:53" {
		t.Errorf("got %+v", u)
	}
	for _, zone := range []string{"", "ours.example", "x.u.example", "alias.example"} {
		if u := r.Update(zone); u != nil {
			t.Errorf("%q takes updates at %s", zone, u.Server)
		}
	}
}

// TestServers holds that resolvers and servers have a port after loading.
func TestServers(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"192.0.2.53", "192.0.2.53:53"},
		{"192.0.2.53:5353", "192.0.2.53:5353"},
		{"2001:db8::53", "[2001:db8::53]:53"},
		{"[2001:db8::53]", "[2001:db8::53]:53"},
		{"[2001:db8::53]:5353", "[2001:db8::53]:5353"},
		{"fe80::53%eth0", "[fe80::53%eth0]:53"},
		{"ns.corp.example", "ns.corp.example:53"},
		{"ns.corp.example:5353", "ns.corp.example:5353"},
		{"localhost", "localhost:53"},
	} {
		config := `
targets: {corp: {directory_url: "https://ca.corp.example/", probes: {directory: 1m}}}
responders: {dns_updates: [{zone: u.example, server: "` + test.in + `", tsig: {key_name: k, secret: AAAA}}]}
`
		isName := strings.Contains(test.in, "ns.") || test.in == "localhost"
		if !isName {
			config += `resolvers: ["` + test.in + `"]`
		}
		c := parse(t, config)
		if got := c.Responders.DNSUpdates[0].Server; got != test.want {
			t.Errorf("the server %q became %q", test.in, got)
		}
		if !isName && (len(c.Resolvers) != 1 || c.Resolvers[0] != test.want) {
			t.Errorf("the resolver %q became %q", test.in, c.Resolvers)
		}
	}
	want := []string{"1.1.1.1:53", "9.9.9.9:53"}
	for name, c := range map[string]*Config{
		"built in": Default(),
		"a file":   parse(t, `targets: {corp: {directory_url: "https://ca.corp.example/", probes: {directory: 1m}}}`),
	} {
		if diff := cmp.Diff(want, c.Resolvers); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestTSIGKey(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tsig.secret")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(" AAAA\n")
	config := filepath.Join(dir, "acme.yml")
	if err := os.WriteFile(config, []byte(`
targets: {corp: {directory_url: "https://ca.corp.example/", probes: {directory: 1m}}}
responders:
  dns_updates:
    - {zone: a.example, server: ns.example, tsig: {key_name: k, secret_file: tsig.secret}}
    - {zone: b.example, server: ns.example, tsig: {key_name: k, secret: "BBBB "}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(config)
	if err != nil {
		t.Fatal(err)
	}
	a, b := c.Responders.Update("a.example").TSIG, c.Responders.Update("b.example").TSIG
	if a.SecretFile != file || a.Algorithm != HMACSHA256 {
		t.Errorf("got %q, %q", a.SecretFile, a.Algorithm)
	}
	for tsig, want := range map[*TSIG]string{a: "AAAA", b: "BBBB"} {
		if got, err := tsig.Key(); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	write("CCCC")
	if got, err := a.Key(); err != nil || got != "CCCC" {
		t.Errorf("after the file has changed: %q, %v", got, err)
	}
	for text, want := range map[string]string{
		"":                       "the TSIG secret is empty",
		"hunter 2":               "the TSIG secret is not base64",
		`secret "aHVudGVyMg==";`: "the TSIG secret is not base64",
	} {
		write(text)
		if got, err := a.Key(); err == nil || got != "" || err.Error() != want {
			t.Errorf("of %q: %q, %v, want %s", text, got, err, want)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Key(); err == nil || !strings.HasPrefix(err.Error(), `"`+file+`": cannot open it`) {
		t.Errorf("without the file: %v", err)
	}
}

// TestIssuerDomainName holds where dns-persist-01's issuer comes from.
func TestIssuerDomainName(t *testing.T) {
	c := parse(t, `
targets:
  preset: {preset: zerossl, probes: {directory: 1m}}
  written: {preset: zerossl, issuer_domain_name: usertrust.com, probes: {directory: 1m}}
  empty: {preset: zerossl, issuer_domain_name: "", probes: {directory: 1m}}
  corp: {directory_url: "https://ca.corp.example/", probes: {directory: 1m}}
`)
	for target, want := range map[string]string{"preset": "sectigo.com", "written": "usertrust.com", "empty": "sectigo.com", "corp": ""} {
		if got := c.Targets[target].IssuerDomainName; got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}
