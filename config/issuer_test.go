package config

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// stagingRoots are the fingerprints (SHA-256) of Let's Encrypt's staging roots.
var stagingRoots = map[string]string{
	"(STAGING) Pretend Pear X1":        "e70570a989f8565aabdf7cae27abd1621872d6a3f811e3fef27e3dba02912198",
	"(STAGING) Bogus Broccoli X2":      "9b2a339fe6a3e85585c4cd75536cb8c1cf7cd603b9a64bec2521858ae48da85d",
	"(STAGING) Yonder Yam Root YR":     "ef115fb59e040ff39d15fd8f3ef54063c704321d83cb081213272f77d3091672",
	"(STAGING) Yearning Yucca Root YE": "b59bfc0ba52daf849853b7324a91e82f031db3397f35644157352cde6384b56c",
}

// TestStagingRoots holds that the preset's roots are those of the CA, each of which
// signs itself, and no others.
func TestStagingRoots(t *testing.T) {
	rest, seen := []byte(letsEncryptStagingRoots), 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(cert.Raw)
		want := stagingRoots[cert.Subject.CommonName]
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%s: fingerprint %s, want %s", cert.Subject.CommonName, got, want)
		}
		if err := cert.CheckSignatureFrom(cert); err != nil {
			t.Errorf("%s: %v", cert.Subject.CommonName, err)
		}
		seen++
	}
	if seen != len(stagingRoots) {
		t.Errorf("%d roots, want %d", seen, len(stagingRoots))
	}
}

// TestIssuerRoots holds whom each kind of target trusts, and which checks its
// certificates undergo.
func TestIssuerRoots(t *testing.T) {
	file := filepath.Join(t.TempDir(), "root.pem")
	writeRoot(t, file)
	conditional := []probe.Check{probe.CheckProfile, probe.CheckTrust, probe.CheckLint, probe.CheckSCTs}
	for _, tt := range []struct {
		name, target, issue string
		roots               string
		checks              []probe.Check // of the conditional ones
	}{
		{"private", "rate_limits: none, directory_url: https://ca.corp.example/", "", RootsNone, nil},
		{"private, linted", "rate_limits: none, directory_url: https://ca.corp.example/", "lint: true", RootsNone, []probe.Check{probe.CheckLint}},
		{"file", "rate_limits: none, directory_url: https://ca.corp.example/, issuer_roots: " + file, "", file, []probe.Check{probe.CheckTrust}},
		{"Let's Encrypt", "preset: letsencrypt-staging", "", RootsPreset, []probe.Check{probe.CheckProfile, probe.CheckTrust}},
		{"Let's Encrypt, untrusted", "preset: letsencrypt-staging, issuer_roots: none", "", RootsNone, []probe.Check{probe.CheckProfile}},
		{"production, untrusted", "preset: letsencrypt, issuer_roots: none", "", RootsNone, []probe.Check{probe.CheckProfile, probe.CheckSCTs}},
		{"another staging", "preset: google-test", "", RootsNone, []probe.Check{probe.CheckProfile}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse("acme.yml", []byte("targets:\n  ca: {"+tt.target+", account: {agree_to_terms: true, "+
				"external_account_binding: {key_id: k, hmac_key: c2VjcmV0}}, probes: {i: 1h}}\n"+
				"responders: {http: {listen_address: ':80'}}\n"+
				"modules: {i: {prober: issue, issue: {challenge: http-01, names: {mode: fixed, list: [a.acme-probe.net]}, "+tt.issue+"}}}\n"))
			if err != nil {
				t.Fatal(err)
			}
			p, _ := c.Pair(probe.Pair{Target: "ca", Module: "i"})
			if p.Target.IssuerRoots != tt.roots {
				t.Errorf("issuer_roots %q, want %q", p.Target.IssuerRoots, tt.roots)
			}
			if (p.Target.Issuers() != nil) != slices.Contains(tt.checks, probe.CheckTrust) {
				t.Errorf("roots %v", p.Target.Issuers())
			}
			var got []probe.Check
			for _, check := range p.Checks() {
				if slices.Contains(conditional, check) {
					got = append(got, check)
				}
			}
			if !slices.Equal(got, tt.checks) {
				t.Errorf("checks %v, want %v", got, tt.checks)
			}
			if want := len(probe.Checks()) - len(conditional) + len(tt.checks); len(p.Checks()) != want {
				t.Errorf("%d checks, want %d", len(p.Checks()), want)
			}
		})
	}
	for _, p := range Presets() {
		target := &Target{Preset: p.Name}
		target.complete(newProblems("x"), "targets.x", ".")
		want := map[string]string{"letsencrypt-staging": RootsPreset, "google-test": RootsNone}[p.Name]
		if want == "" {
			want = RootsSystem
		}
		if target.IssuerRoots != want || !target.Public() {
			t.Errorf("%s: roots %q, want %q; public %t", p.Name, target.IssuerRoots, want, target.Public())
		}
	}
}

func TestMaxLifetime(t *testing.T) {
	for _, tt := range []struct {
		preset, profile, start string
		days                   float64
	}{
		{"", "", "2026-11-23", 0},
		{"letsencrypt", "", "2026-11-23", 90},
		{"letsencrypt", "classic", "2027-02-10", 90},
		{"letsencrypt", "classic", "2027-02-11", 64},
		{"letsencrypt-staging", "classic", "2028-02-17", 45},
		{"letsencrypt", "tlsserver", "2026-11-23", 45},
		{"letsencrypt", "shortlived", "2026-11-23", 160. / 24},
		{"letsencrypt", "unheard of", "2026-11-23", 200},
		{"google", "", "2026-03-14", 398},
		{"google", "", "2026-03-15", 200},
		{"zerossl", "", "2027-03-14", 200},
		{"zerossl", "", "2027-03-15", 100},
		{"actalis", "", "2029-03-14", 100},
		{"actalis", "", "2029-03-15", 47},
	} {
		start, err := time.Parse(time.DateOnly, tt.start)
		if err != nil {
			t.Fatal(err)
		}
		target := &Target{Preset: tt.preset}
		if got := target.MaxLifetime(tt.profile, start).Hours() / 24; got != tt.days {
			t.Errorf("%s, profile %q, %s: %v days, want %v", tt.preset, tt.profile, tt.start, got, tt.days)
		}
	}
}
