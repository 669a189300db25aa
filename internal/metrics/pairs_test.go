package metrics

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// seriesWith returns the names of the families that have a series with this label.
func seriesWith(t *testing.T, g prometheus.Gatherer, name, value string) []string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if l.GetName() == name && l.GetValue() == value {
					found = append(found, f.GetName())
				}
			}
		}
	}
	return slices.Compact(found)
}

func TestRemovedPairLosesAllSeries(t *testing.T) {
	m, reg := newMetrics(t, "")
	other := probe.Pair{Target: "corp", Module: "other"}
	both := []config.Pair{configured(issuing, "1"), configured(other, "1")}
	m.Apply(both)
	m.Observe(issuance(issuing, "1", start))
	m.Observe(failed(issuance(issuing, "1", start.Add(time.Minute)), probe.FaultCA)) // lazily created labels
	m.Observe(followUp(issuing, "1", start))
	m.Observe(issuance(other, "1", start))
	m.Schedule(issuing, start, true)
	if n := len(seriesWith(t, reg, "module", "issue_dns")); n < 15 {
		t.Fatalf("only %d families before the removal", n)
	}
	kept := seriesWith(t, reg, "module", "other")

	m.Apply(both[1:])
	if left := seriesWith(t, reg, "module", "issue_dns"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	// A run that was in flight comes back late.
	m.Observe(issuance(issuing, "1", start.Add(time.Hour)))
	m.Observe(followUp(issuing, "1", start.Add(time.Hour)))
	m.Restore(issuance(issuing, "1", start.Add(time.Hour)))
	m.Schedule(issuing, start, true)
	if back := seriesWith(t, reg, "module", "issue_dns"); len(back) != 0 {
		t.Errorf("brought back: %v", back)
	}
	if got := seriesWith(t, reg, "module", "other"); !slices.Equal(got, kept) {
		t.Errorf("the other pair has %v, want %v", got, kept)
	}
}

func TestRemovedTargetLosesAllSeries(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	m.Observe(issuance(issuing, "1", start))
	m.Apply(nil)
	m.Observe(issuance(issuing, "1", start))
	if left := seriesWith(t, reg, "target", "corp"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestApplyKeepsCounters(t *testing.T) {
	observed := func() (*Metrics, *prometheus.Registry) {
		m, reg := newMetrics(t, "")
		m.Apply([]config.Pair{configured(issuing, "1")})
		m.Observe(issuance(issuing, "1", start))
		return m, reg
	}
	t.Run("unchanged", func(t *testing.T) {
		m, reg := observed()
		before := values(t, reg)
		m.Apply([]config.Pair{configured(issuing, "1")})
		want(t, reg, before)
	})
	t.Run("changed", func(t *testing.T) {
		m, reg := observed()
		changed := configured(issuing, "2")
		changed.Module.Issue.Challenge = probe.HTTP01
		m.Apply([]config.Pair{changed})
		got := values(t, reg)
		if got["acme_probes_total{fault=,outcome=success}"] != 1 || got["acme_request_duration_seconds{call=authz}"] != 2 {
			t.Error("counters were lost")
		}
		if got := values(t, reg, "acme_probe_success", "acme_probe_last_run_timestamp_seconds", "acme_certificate_check_passed"); len(got) != 0 {
			t.Errorf("measured with another configuration: %v", got)
		}
		want(t, reg, map[string]float64{"acme_probe_info{challenge=http-01,prober=issue}": 1})
		// A run of the former configuration comes late, one of the new one in time.
		m.Observe(issuance(issuing, "1", start.Add(time.Minute)))
		if n := values(t, reg)["acme_probes_total{fault=,outcome=success}"]; n != 1 {
			t.Errorf("%v successes after the late run, want 1", n)
		}
		m.Observe(issuance(issuing, "2", start.Add(time.Minute)))
		if n := values(t, reg)["acme_probes_total{fault=,outcome=success}"]; n != 2 {
			t.Errorf("%v successes after the new run, want 2", n)
		}
	})
	t.Run("another prober", func(t *testing.T) {
		m, reg := observed()
		changed := configured(issuing, "2")
		changed.Module = &config.Module{Prober: probe.ProberNonce}
		m.Apply([]config.Pair{changed})
		if got := values(t, reg, "acme_request_duration_seconds", "acme_certificate_check_failures_total"); len(got) != 0 {
			t.Errorf("of the former prober: %v", got)
		}
	})
	t.Run("another environment", func(t *testing.T) {
		m, reg := observed()
		changed := configured(issuing, "2")
		changed.Target = &config.Target{DirectoryURL: corp.DirectoryURL, Environment: config.Production}
		m.Apply([]config.Pair{changed})
		if left := seriesWith(t, reg, "environment", "staging"); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
		m.Observe(issuance(issuing, "2", start.Add(time.Minute)))
		if n := len(seriesWith(t, reg, "environment", "production")); n < 15 {
			t.Errorf("only %d families in the new environment", n)
		}
	})
}

// Changes of a directory are counted, and go on where they were.
func TestDirectoryChanges(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	m.RestoreDirectory("gone", 7, start)
	m.Observe(issuance(issuing, "1", start))
	if got := values(t, reg, "acme_directory_last_change_timestamp_seconds"); len(got) != 0 {
		t.Errorf("without a change: %v", got)
	}
	m.RestoreDirectory("corp", 2, start.Add(-time.Hour))
	expect := func(changes int, last time.Time) {
		t.Helper()
		want(t, reg, map[string]float64{
			"acme_directory_changes_total{}": float64(changes), "acme_directory_last_change_timestamp_seconds{}": float64(last.Unix()),
		})
	}
	expect(2, start.Add(-time.Hour))
	change := func(at time.Time) *probe.Result {
		r := issuance(issuing, "1", at)
		r.Directory.Change = &probe.DirectoryChange{At: at}
		return r
	}
	m.Observe(change(start.Add(time.Hour)))
	expect(3, start.Add(time.Hour))
	m.Observe(change(start.Add(time.Minute))) // two runs at once
	expect(4, start.Add(time.Hour))
	m.Restore(change(start.Add(2 * time.Hour))) // which is in what was kept
	expect(4, start.Add(time.Hour))
}

func TestAnotherDirectoryURLIsAnotherTarget(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	m.Observe(issuance(issuing, "1", start))
	m.RestoreDirectory("corp", 2, start)
	moved := configured(issuing, "2")
	moved.Target = &config.Target{DirectoryURL: "https://other.example/dir", Environment: config.Staging}
	m.Apply([]config.Pair{moved})
	if got := values(t, reg, "acme_api_certificate_not_after_timestamp_seconds"); len(got) != 0 {
		t.Errorf("of the former address: %v", got)
	}
	want(t, reg, map[string]float64{"acme_directory_changes_total{}": 0})
}

// TestConcurrentUse lets the race detector look, and holds that a removal wins
// over whatever is observed around it.
func TestConcurrentUse(t *testing.T) {
	m, reg := newMetrics(t, "")
	pairs := []config.Pair{configured(issuing, "1")}
	m.Apply(pairs)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 25 {
				m.Observe(issuance(issuing, "1", start.Add(time.Duration(i)*time.Second)))
				m.Schedule(issuing, start, true)
				m.Restore(issuance(issuing, "1", start))
			}
		})
	}
	wg.Go(func() {
		for range 25 {
			m.Apply(nil)
			m.Apply(pairs)
			m.Reloaded(true, start)
		}
		m.Apply(nil)
	})
	wg.Go(func() {
		for range 5 {
			if _, err := reg.Gather(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if left := seriesWith(t, reg, "target", "corp"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
