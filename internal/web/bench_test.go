package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/incident"
)

// BenchmarkIndex draws the index of 15 pairs on 3 targets, with 100 runs of each and
// 500 incidents in 90 days: as it is usually seen, and with all of the incidents in
// its table; and as reference that of an exporter without anything. p99-ms is to stay
// below 50 on a machine that does nothing else; ratio is that of the medians.
func BenchmarkIndex(b *testing.B) {
	full, empty := New(yearning(b).options()), New(options(&fakeRunner{}))
	for name, path := range map[string]string{"usual": "/", "all": "/?kind=all&limit=500"} {
		b.Run(name, func(b *testing.B) {
			draw := func(h http.Handler) time.Duration {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, nil)
				w := httptest.NewRecorder()
				begin := time.Now()
				h.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
				return time.Since(begin)
			}
			var took, reference []time.Duration
			for b.Loop() {
				took = append(took, draw(full))
				reference = append(reference, draw(empty))
			}
			b.ReportMetric(quantile(took, 99), "p99-ms")
			b.ReportMetric(quantile(took, 50), "median-ms")
			b.ReportMetric(quantile(reference, 99), "empty-p99-ms")
			b.ReportMetric(quantile(took, 50)/quantile(reference, 50), "ratio")
		})
	}
}

// quantile returns what so many of 100 are below, in milliseconds.
func quantile(list []time.Duration, percent int) float64 {
	slices.Sort(list)
	return float64(list[len(list)*percent/100]) / float64(time.Millisecond)
}

// yearning returns a world of 15 pairs that run each hour, and fail now and then.
func yearning(tb testing.TB) *sampleWorld {
	tb.Helper()
	now := time.Now()
	var pairs []incident.Pair
	for _, target := range []string{"a", "b", "c"} {
		for _, module := range []string{"account", "directory", "issue", "nonce", "validate"} {
			pairs = append(pairs, pairOf(target, module, "production", time.Hour))
		}
	}
	w := newWorld(now.Add(-90*day), pairs...)
	w.now = now
	outages := map[string][]outage{}
	for i := range 250 { // each is an incident of the pair and one of its target
		from := time.Duration(i+1) * 8 * time.Hour
		p := w.pairs[i%len(w.pairs)].String()
		outages[p] = append(outages[p], outage{from, from - 3*time.Hour, broken})
	}
	w.play(89*day, outages)
	if n := len(w.tracker.Incidents(incident.Filter{})); n < 480 {
		tb.Fatalf("%d incidents", n)
	}
	for _, p := range w.pairs {
		if n := len(w.recent[p.Pair]); n != shownRuns {
			tb.Fatal(fmt.Errorf("%s: %d runs", p, n))
		}
	}
	return w
}

// TestIndexIsCheap is the benchmark for every machine: a third more than what the
// index takes now is too much.
func TestIndexIsCheap(t *testing.T) {
	h := New(yearning(t).options())
	if n := testing.AllocsPerRun(5, func() { fetch(t, h, "/") }); n > mostAllocations {
		t.Errorf("the index takes %.0f allocations", n)
	}
}
