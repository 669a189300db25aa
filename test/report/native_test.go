package report

import (
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/report"
)

// TestBecomesNative holds that the runs of an exporter that has classic histograms, and after a
// restart native ones too, are in the chart once.
func TestBecomesNative(t *testing.T) {
	t.Parallel()
	p := startPrometheus(t, t.TempDir(), false)
	again, until := monday.Add(6*time.Hour), monday.Add(12*time.Hour)
	e, mode, b := newExporter("iad", monday.Add(-time.Hour)), "classic", newBatch()
	ran := 0
	for at := monday.Add(-interval); !at.After(until); at = at.Add(stateInterval) {
		when := at.Add(offset("iad"))
		states(b, "iad", when)
		if mode == "classic" && when.After(again) {
			e, mode = newExporter("iad", again), "both"
		}
		if at.Sub(begin)%interval == 0 {
			r := runAt("iad", at.Add(-20*time.Second))
			if _, ok := r.took["run"]; ok && at.After(monday) {
				ran++
			}
			e.observe(r)
			e.scrape(b, mode, when)
		}
		if at.Sub(begin)%time.Hour == 0 {
			b.write(t.Context(), t, p.url)
		}
	}
	b.write(t.Context(), t, p.url)
	r, err := report.Make(t.Context(), report.Options{Prometheus: p.url, Period: report.Period{Since: monday, Until: until, Timezone: "Europe/Berlin"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Targets) != 1 || r.Targets[0].Latency == nil || r.Sources.Histograms != "both" {
		t.Fatalf("%d targets of %s histograms, want one of both, with a chart", len(r.Targets), r.Sources.Histograms)
	}
	var shown int64
	for _, point := range r.Targets[0].Latency.Points {
		shown += point.Count
	}
	if least, most := int64(ran*8/10), int64(ran*11/10); shown < least || shown > most {
		t.Errorf("%d runs in the chart of %d", shown, ran)
	}
	t.Logf("%d runs, %d of them in %d points", ran, shown, len(r.Targets[0].Latency.Points))
}
