package e2e_test

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// TestRenewalInfo holds that a CA which wants a certificate to be renewed at once, be
// it the last one that we were issued or the user's own, is noticed, and that this is
// no failure.
func TestRenewalInfo(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, "-smooth", "-always-valid")
	own := newPlainClient(t, pebble.CA).download(t, "own.acme-probe.example").chain[0]
	exporter := parts.NewExporter(t, ports, pebble.CA)
	exporter.Reconfigure("      directory: 0s\n", "      directory: 0s\n      renewal_info: 0s\n      own: 0s\n")
	exporter.Reconfigure("modules:\n", fmt.Sprintf("modules:\n  own: {prober: renewal_info, renewal_info: {certificates: [%q]}}\n", pemFile(t, "CERTIFICATE", own.Raw)))
	exporter.Serve()

	if r := exporter.RunNow("renewal_info"); r.Verdict.Outcome != probe.OutcomeSkipped {
		t.Errorf("before anything was issued: %+v", r.Verdict)
	}
	issued := exporter.RunNow("issue_http").Certificate
	if issued == nil {
		t.Fatal("nothing was issued")
	}
	serial, _ := new(big.Int).SetString(issued.Serial, 16)
	for _, tt := range []struct {
		module string
		serial *big.Int
	}{{"renewal_info", serial}, {"own", own.SerialNumber}} {
		due := func() float64 { return exporter.Metrics().Sum("acme_renewal_due", "module", tt.module) }
		r := exporter.RunNow(tt.module)
		checkNames(t, r)
		if !r.Verdict.Success() || len(r.Renewals) != 1 || r.Renewals[0].Due || r.Renewals[0].RetryAfter != 6*time.Hour || due() != 0 {
			t.Errorf("%s: %+v, %+v, due %v", tt.module, r.Verdict, r.Renewals, due())
		}
		pebble.RenewalInfo(tt.serial, `{"suggestedWindow": {"start": "2026-01-02T03:04:05Z", "end": "2026-01-02T04:04:05Z"}, "explanationURL": "https://ca.example/incident"}`)
		r = exporter.RunNow(tt.module)
		if !r.Verdict.Success() || len(r.Renewals) != 1 || !r.Renewals[0].Due || r.Renewals[0].ExplanationURL != "https://ca.example/incident" || due() != 1 {
			t.Errorf("%s, moved: %+v, %+v, due %v", tt.module, r.Verdict, r.Renewals, due())
		}
		start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		if got := exporter.Metrics().Sum("acme_renewal_window_start_timestamp_seconds", "module", tt.module); got != float64(start.Unix()) {
			t.Errorf("%s: the window starts at %v", tt.module, got)
		}
		pebble.RenewalInfo(tt.serial, `{"suggestedWindow": {"start": "2026-01-02T03:04:05Z"}}`)
		if r = exporter.RunNow(tt.module); r.Verdict.Fault != probe.FaultCA || r.Verdict.Stage != probe.StepRenewalInfo {
			t.Errorf("%s, no window: %+v", tt.module, r.Verdict)
		}
	}
}
