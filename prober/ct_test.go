package prober

import (
	"slices"
	"testing"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/ct"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestSCTs has a CA that embeds none: a failure of a public one, counted of its
// staging, and nothing that a private one would have to do.
func TestSCTs(t *testing.T) {
	t.Parallel()
	logs, err := ct.Load(config.Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name        string
		preset      string
		environment config.Environment
		logs        *ct.Logs
		seen        bool
		failed      bool
	}{
		{"public", "google", config.Production, logs, true, true},
		{"staging", "google-test", config.Staging, logs, true, false},
		{"private", "", config.Production, logs, false, false},
		{"nobody looks", "google", config.Production, nil, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fakeca.Options{SyncValidation: true}).known()
			req := b.request(probe.ProberIssue)
			req.Pair.Target.Preset, req.Pair.Target.Environment, req.Logs = tt.preset, tt.environment, tt.logs
			facts := Run(t.Context(), req)
			if facts.Certificate == nil {
				t.Fatalf("no certificate: %+v", facts.Failure)
			}
			if (facts.Certificate.Transparency != nil) != tt.seen {
				t.Errorf("transparency %+v", facts.Certificate.Transparency)
			}
			checked := slices.ContainsFunc(facts.Certificate.Checks, func(c probe.CheckResult) bool { return c.Check == probe.CheckSCTs && !c.Passed })
			if checked != tt.failed {
				t.Errorf("checks %+v", facts.Certificate.Checks)
			}
			if tt.failed {
				wantFailure(t, facts, probe.StepCertificate, probe.FailureCertificate, objectCertificate, "scts: Chrome's policy is not met: SCTs of 0 logs count, and 2 are needed")
			} else if facts.Failure != nil {
				t.Errorf("failure %+v", facts.Failure)
			}
		})
	}
}
