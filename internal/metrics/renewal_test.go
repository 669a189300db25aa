package metrics

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

var renewing = probe.Pair{Target: "corp", Module: "renewal_info"}

// renewals is a run that was told of those windows.
func renewals(at time.Time, list ...probe.Renewal) *probe.Result {
	return &probe.Result{
		Version: probe.Version, ID: probe.NewID(at), Pair: renewing, Prober: probe.ProberRenewalInfo, Trigger: probe.TriggerTick, ConfigHash: "1", Start: at,
		Verdict: probe.Verdict{Outcome: probe.OutcomeSuccess}, Facts: probe.Facts{Renewals: list},
	}
}

// TestRenewals holds that of several windows the one that starts first is shown, and
// that a run without an answer changes nothing.
func TestRenewals(t *testing.T) {
	m, reg := newMetricsOf(t, Options{Histograms: Classic})
	m.Apply([]config.Pair{beside(renewing, probe.ProberRenewalInfo)})
	names := []string{"acme_renewal_due", "acme_renewal_window_start_timestamp_seconds", "acme_renewal_window_end_timestamp_seconds"}
	if got := values(t, reg, names...); len(got) > 0 {
		t.Errorf("there before anything was asked: %v", got)
	}
	window := func(from, to int64, due bool) probe.Renewal {
		return probe.Renewal{Start: time.Unix(from, 0), End: time.Unix(to, 0), Due: due}
	}
	m.Observe(renewals(start, window(3000, 3500, true), window(1000, 9000, true), window(2000, 2100, false)))
	want := map[string]float64{
		"acme_renewal_due{}": 2, "acme_renewal_window_start_timestamp_seconds{}": 1000, "acme_renewal_window_end_timestamp_seconds{}": 9000,
	}
	m.Observe(renewals(start.Add(time.Minute)))
	m.Restore(renewals(start.Add(-time.Minute), window(1, 2, true)))
	if diff := cmp.Diff(want, values(t, reg, names...)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	m.Observe(renewals(start.Add(2*time.Minute), window(5000, 6000, false)))
	want = map[string]float64{
		"acme_renewal_due{}": 0, "acme_renewal_window_start_timestamp_seconds{}": 5000, "acme_renewal_window_end_timestamp_seconds{}": 6000,
	}
	if diff := cmp.Diff(want, values(t, reg, names...)); diff != "" {
		t.Errorf("after a renewal: -want +got:\n%s", diff)
	}
	changed := beside(renewing, probe.ProberRenewalInfo)
	changed.Hash = "2"
	m.Apply([]config.Pair{changed})
	if got := values(t, reg, names...); len(got) > 0 {
		t.Errorf("there after the module has changed: %v", got)
	}
}
