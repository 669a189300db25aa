package config

import (
	"crypto/x509"
	_ "embed" // the roots of stagings
	"strings"
	"sync"

	promconfig "github.com/prometheus/common/config"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// The values of issuer_roots that are no file.
const (
	RootsSystem = "system" // this host's
	RootsPreset = "preset" // those that the preset has
	RootsNone   = "none"   // not known: trust is not checked
)

// letsEncryptStagingRoots are from the CA's page on its staging environment. No
// trust store has them.
//
//go:embed roots/letsencrypt-staging.pem
var letsEncryptStagingRoots string

// systemRoots are this host's; nil: it has none.
var systemRoots = sync.OnceValue(func() *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil || pool.Equal(x509.NewCertPool()) {
		return nil
	}
	return pool
})

// Issuers are the roots to which the chains of issued certificates have to lead;
// nil: not known.
func (t *Target) Issuers() *x509.CertPool {
	if t.IssuerRoots == RootsSystem {
		return systemRoots()
	}
	return t.issuers
}

// Public reports whether the CA is one of the presets: browsers trust it, or it is
// the staging of one that they do.
func (t *Target) Public() bool { return presetNamed(t.Preset) != nil }

// completeRoots reads the roots of the CA's certificates.
func (t *Target) completeRoots(ps *problems, at path, dir string) {
	at = at.key("issuer_roots")
	preset := presetNamed(t.Preset)
	if t.IssuerRoots == "" {
		switch {
		case preset != nil && preset.roots != "":
			t.IssuerRoots = RootsPreset
		case preset != nil && preset.Environment == Production:
			t.IssuerRoots = RootsSystem
		default:
			t.IssuerRoots = RootsNone
		}
	}
	var content string
	switch t.IssuerRoots {
	case RootsSystem, RootsNone:
		return
	case RootsPreset:
		if preset != nil {
			content = preset.roots
		}
		if content == "" {
			ps.add(at, "only these presets have roots of their own: %s; want a file, system or none", strings.Join(presetsWithRoots(), ", "))
			return
		}
	default:
		t.IssuerRoots = promconfig.JoinDir(dir, t.IssuerRoots)
		data, ok := t.readFile(ps, at, t.IssuerRoots)
		if !ok {
			return
		}
		content = string(data)
	}
	t.issuers = x509.NewCertPool()
	if !t.issuers.AppendCertsFromPEM([]byte(content)) {
		ps.add(at, "%q: no certificate in PEM in it: give the roots of the certificates that the CA issues", t.IssuerRoots)
	}
}

func presetsWithRoots() (names []string) {
	for i := range presets {
		if presets[i].roots != "" {
			names = append(names, presets[i].Name)
		}
	}
	return names
}

// Checks are those that a certificate of the pair undergoes, in the order of
// [probe.Checks]; empty: it has none issued. With lint a certificate that is too
// large for zlint is not linted all the same, and nothing is said of SCTs where the list
// of logs does not know enough.
func (p *Pair) Checks() []probe.Check {
	if p.Module.Issue == nil {
		return nil
	}
	var list []probe.Check
	for _, c := range probe.Checks() {
		switch c {
		case probe.CheckProfile:
			if !p.Target.Public() {
				continue
			}
		case probe.CheckTrust:
			if p.Target.Issuers() == nil {
				continue
			}
		case probe.CheckLint:
			if !p.Module.Issue.Lint {
				continue
			}
		case probe.CheckSCTs:
			if !p.Target.VerifiesSCTs() {
				continue
			}
		}
		list = append(list, c)
	}
	return list
}
