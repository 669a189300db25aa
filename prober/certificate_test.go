package prober

import (
	"crypto/x509"
	"math/big"
	"testing"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// checksOf returns the checks that were made.
func checksOf(c *probe.Certificate) (list []probe.Check) {
	for _, r := range c.Checks {
		list = append(list, r.Check)
	}
	return list
}

// issuing is a pair that has certificates issued by that target.
func issuing(t *config.Target) *config.Pair {
	return &config.Pair{Target: t, Module: &config.Module{Issue: &config.Issue{}}}
}

func TestHugeSerial(t *testing.T) {
	leaf := &x509.Certificate{SerialNumber: new(big.Int).Lsh(big.NewInt(1), 1<<20)}
	f := describe([]*x509.Certificate{leaf})
	if n := len(f.Serial); n > maxQuoted {
		t.Errorf("a serial number of %d bytes is kept", n)
	}
}

// The outcome has the checks that the configuration says, and no others.
func TestChecksOfConfiguration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		edit   func(*Request)
		more   []probe.Check
		failed probe.Check
	}{
		{"private", func(*Request) {}, nil, ""},
		{"linted", func(r *Request) { r.Pair.Module.Issue.Lint = true }, []probe.Check{probe.CheckLint}, ""},
		{"public", func(r *Request) { r.Pair.Target.Preset, r.Pair.Target.Environment = "google-test", config.Staging }, []probe.Check{probe.CheckProfile}, ""},
		{"trusting others", func(r *Request) { r.Pair.Target.IssuerRoots = config.RootsSystem }, []probe.Check{probe.CheckTrust}, probe.CheckTrust},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fakeca.Options{SyncValidation: true}).known()
			req := b.request(probe.ProberIssue)
			tt.edit(&req)
			if tt.failed == probe.CheckTrust && req.Pair.Target.Issuers() == nil {
				return // this machine has no roots, and nothing is compared with them
			}
			facts := Run(t.Context(), req)
			wantList(t, "checks", checksOf(facts.Certificate), req.Pair.Checks())
			if n := len(issuing(&config.Target{}).Checks()); len(facts.Certificate.Checks) != n+len(tt.more) {
				t.Errorf("%d checks, want %d and %v", len(facts.Certificate.Checks), n, tt.more)
			}
			for _, c := range facts.Certificate.Checks {
				if c.Passed == (c.Check == tt.failed) {
					t.Errorf("check %s: passed %t, %s", c.Check, c.Passed, c.Detail)
				}
			}
			if (facts.Certificate.Lints != nil) != req.Pair.Module.Issue.Lint {
				t.Errorf("lints %+v", facts.Certificate.Lints)
			}
			if tt.failed != "" {
				wantFailure(t, facts, probe.StepCertificate, probe.FailureCertificate, objectCertificate, string(tt.failed))
			}
		})
	}
}
