package verdict_test

import (
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
)

// TestEarlySCT holds that an SCT of a time that is yet to come is ours if our clock is
// behind, and that no other SCT is.
func TestEarlySCT(t *testing.T) {
	start := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		status probe.SCTStatus
		behind time.Duration
		want   probe.Fault
	}{
		{probe.SCTFuture, 0, probe.FaultCA},
		{probe.SCTFuture, time.Hour, probe.FaultLocal},
		{probe.SCTInvalid, time.Hour, probe.FaultCA},
	} {
		f := &probe.Facts{
			Calls: []probe.Call{{Name: probe.CallNewOrder, Status: 201, Ready: 1, End: 2, Date: start.Add(tt.behind)}},
			Certificate: &probe.Certificate{
				Checks:       []probe.CheckResult{{Check: probe.CheckSCTs}},
				Transparency: &probe.Transparency{Count: 1, SCTs: []probe.SCT{{Status: tt.status}}},
			},
			Failure: &probe.Failure{Step: probe.StepCertificate, Kind: probe.FailureCertificate, Call: -1, Object: "certificate"},
		}
		if v := verdict.Judge(f, verdict.Context{Start: start}); v.Fault != tt.want || v.Reason != verdict.CertificateSCTs {
			t.Errorf("%s, %s behind: %+v, want %s", tt.status, tt.behind, v, tt.want)
		}
	}
}
