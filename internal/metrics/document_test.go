package metrics

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

var update = flag.Bool("update", false, "rewrite docs/metrics.md")

func TestDocument(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "metrics.md")
	got := Document()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(written), got); diff != "" {
		t.Errorf("docs/metrics.md is not what the declarations say; run go test ./internal/metrics -update (-file +declared):\n%s", diff)
	}
}

// populated returns a registry in which every family has series.
func populated(t *testing.T, histograms string) *prometheus.Registry {
	t.Helper()
	m, reg := newMetricsOf(t, Options{
		Histograms: histograms,
		Budget:     &fakeBudget{ok: true, budgets: []probe.Budget{levels("corp", 3)}},
		Incidents:  outage().past(),

		Revocations: pending{{Pair: issuing, Revocation: &probe.Revocation{At: start, Via: probe.ViaCRL}}},
	})
	m.Apply([]config.Pair{revoking("1"), beside(listing, probe.ProberCRL), beside(asking, probe.ProberOCSP), beside(renewing, probe.ProberRenewalInfo), beside(saying, probe.ProberStatusPage), refused(refusing, "1", "caa")})
	m.Observe(said(start, probe.ServiceMajor, start))
	m.Observe(renewals(start, probe.Renewal{Start: start, End: start.Add(time.Hour)}))
	m.Observe(read(listing, probe.ProberCRL, start))
	m.Observe(read(asking, probe.ProberOCSP, start))
	issued := issuance(issuing, "1", start)
	issued.Perspectives = &probe.Perspectives{Networks: 1, Minimum: 2}
	issued.Certificate.Lints, issued.Certificate.Transparency = &probe.Lints{}, &probe.Transparency{}
	m.Observe(issued)
	changed := failed(issuance(issuing, "1", start.Add(time.Minute)), probe.FaultCA)
	changed.Directory.Change = &probe.DirectoryChange{At: changed.Start}
	changed.Calls[2].Attempt, changed.Calls[2].RetryCause = 1, "bad_nonce"
	m.Observe(changed)
	m.Observe(followUp(issuing, "1", start))
	m.Schedule(issuing, start, true)
	m.Reloaded(true, start)
	return reg
}

func TestEveryFamilyCanBeThere(t *testing.T) {
	d := newDeclarer(prometheus.NewRegistry(), Both)
	declare(d)
	families, err := populated(t, Both).Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool)
	for _, f := range families {
		there[f.GetName()] = true
	}
	for _, f := range d.families {
		if !there[f.name] {
			t.Errorf("%s is declared, and nothing sets it", f.name)
		}
	}
	if len(there) != len(d.families) {
		t.Errorf("%d families are there, %d declared", len(there), len(d.families))
	}
}

func TestPromlint(t *testing.T) {
	for name, g := range map[string]prometheus.Gatherer{
		"classic": populated(t, Classic),
		"native":  populated(t, Native),
		"both":    populated(t, Both),
		"/probe":  Probe(probe.Answer{Result: failed(issuance(issuing, "1", start), probe.FaultCA)}, start),
	} {
		problems, err := testutil.GatherAndLint(g)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s: %s", name, p.Metric, p.Text)
		}
	}
}

func TestHistogramForms(t *testing.T) {
	for _, form := range []string{Classic, Native, Both, ""} {
		families, err := populated(t, form).Gather()
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, f := range families {
			for _, m := range f.Metric {
				if m.Histogram == nil {
					continue
				}
				checked++
				classic, native := len(m.Histogram.Bucket) > 0, m.Histogram.Schema != nil
				if classic != (form != Native) || native != (form != Classic) {
					t.Errorf("%q: %s: classic %v, native %v", form, f.GetName(), classic, native)
				}
			}
		}
		if checked < 20 {
			t.Errorf("%q: only %d histograms", form, checked)
		}
	}
}

func TestNativeHistogramsAreBounded(t *testing.T) {
	m, reg := newMetrics(t, Native)
	m.Apply([]config.Pair{configured(issuing, "1")})
	r := issuance(issuing, "1", start)
	for d := time.Microsecond; d < 24*time.Hour; d += d/20 + 1 {
		r.Duration = d
		m.Observe(r)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "acme_probe_duration_seconds" {
			if n := len(f.Metric[0].Histogram.PositiveDelta); n == 0 || n > maxNativeBuckets {
				t.Errorf("%d buckets, want 1 to %d", n, maxNativeBuckets)
			}
			return
		}
	}
	t.Error("no acme_probe_duration_seconds")
}

func TestNamesAreDisjointAndLabelsNotOurs(t *testing.T) {
	d := newDeclarer(prometheus.NewRegistry(), Both)
	declare(d)
	for _, f := range d.families {
		if !strings.HasPrefix(f.name, "acme_") {
			t.Errorf("%s does not begin with acme_", f.name)
		}
		for _, l := range f.scope.with(f.labels) {
			switch l {
			case "job", "instance", "namespace", "pod", "service", "container", "endpoint", "node", "cluster":
				t.Errorf("%s has the label %s, which service monitors set", f.name, l)
			}
		}
	}
	answer := newDeclarer(prometheus.NewRegistry(), Classic)
	declareAnswer(answer)
	for _, f := range answer.families {
		if !strings.HasPrefix(f.name, "probe_") {
			t.Errorf("%s does not begin with probe_", f.name)
		}
	}
}
