package config

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzParse holds that no file makes Parse panic, that a refusal has positions,
// and that what is accepted can be shown and probed.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for i := 0; i < len(archive.Files); i += 2 {
			f.Add(archive.Files[i].Data)
		}
	}
	full, err := os.ReadFile("testdata/full.yml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("testdata/fuzzed.yml", data)
		if err != nil {
			checkErrors(t, err)
			return
		}
		if len(c.Redacted()) == 0 {
			t.Error("nothing is shown")
		}
		probes := 0
		for _, target := range c.Targets {
			probes += len(target.Probes)
		}
		if got := c.Pairs(); len(got) != probes || probes == 0 {
			t.Errorf("%d pairs of %d probes", len(got), probes)
		}
		for _, p := range c.Pairs() {
			if p.Timeout < minTimeout || p.MinInterval < minTimeout || p.Interval != 0 && p.Interval < p.MinInterval || p.Hash == "" {
				t.Errorf("%s: %+v", p, p)
			}
		}
		for _, r := range c.Resolvers {
			if _, err := netip.ParseAddrPort(r); err != nil {
				t.Errorf("resolver: %v", err)
			}
		}
		for _, u := range c.Responders.DNSUpdates {
			if _, _, err := net.SplitHostPort(u.Server); err != nil || u.TSIG == nil || u.TSIG.Algorithm == "" {
				t.Errorf("updates of %q: server %q, %v", u.Zone, u.Server, err)
			}
			if place, zone := c.Responders.Place("_acme-challenge." + u.Zone); place != PlaceUpdate || zone != u.Zone {
				t.Errorf("%q is at place %d of %q", u.Zone, place, zone)
			}
		}
		if _, err := Parse("again.yml", c.Redacted()); err != nil && !secretsOnly(c) {
			t.Errorf("what is shown is refused as a file: %v\n%s", err, c.Redacted())
		}
	})
}

// secretsOnly reports whether redaction takes away what a file needs.
func secretsOnly(c *Config) bool {
	for _, t := range c.Targets {
		if t.Account.ExternalAccountBinding != nil || t.TLSConfig.Key != "" || len(t.files) > 0 {
			return true
		}
	}
	return len(c.Responders.DNSUpdates) > 0
}
