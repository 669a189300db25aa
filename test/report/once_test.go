package report

import (
	"fmt"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/report"
)

// TestOnce holds that the runs of an exporter are counted and shown once, though it has classic
// histograms, and after a restart native ones too, and though a second job scrapes it for a while.
func TestOnce(t *testing.T) {
	t.Parallel()
	p := startPrometheus(t, t.TempDir(), false)
	again, until := monday.Add(6*time.Hour), monday.Add(12*time.Hour)
	e, mode, b := newExporter("iad", monday.Add(-time.Hour)), "classic", newBatch()
	ran := 0
	var runs report.Runs
	for at := monday.Add(-interval); !at.After(until); at = at.Add(stateInterval) {
		when := at.Add(offset("iad"))
		states(b, "iad", when)
		if mode == "classic" && when.After(again) {
			e, mode = newExporter("iad", again), "both"
		}
		if at.Sub(begin)%interval == 0 {
			r := runAt("iad", at.Add(-20*time.Second))
			if at.After(monday) {
				count(&runs, []run{r})
				if _, ok := r.took["run"]; ok {
					ran++
				}
			}
			e.observe(r)
			e.scrape(b, mode, when)
			if at.After(monday.Add(2*time.Hour)) && at.Before(monday.Add(9*time.Hour)) {
				e.job = "again"
				e.scrape(b, mode, when.Add(10*time.Second))
				e.job = "acme"
			}
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
	x := r.Targets[0]
	equal(t, "runs", fmt.Sprint(x.Runs), fmt.Sprint(runs))
	equal(t, "finalizations", x.Steps[2].All.Count, int64(len(durations("iad", "finalization", monday.Add(interval), until.Add(interval)))))
	about := func(what string, got int64, want int) {
		if float64(got) < 0.9*float64(want) || float64(got) > 1.05*float64(want) {
			t.Errorf("%d runs in %s of %d", got, what, want)
		}
	}
	var inPoints, inHours int64
	for _, p := range x.Latency.Points {
		inPoints += p.Count
	}
	for _, h := range x.Heat {
		inHours += h.Runs
	}
	about("the chart", inPoints, ran)
	about("the hours", inHours, int(runs.Success+runs.Failed()))
}
