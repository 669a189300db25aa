package live

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/acme-exporter/acme_exporter/test/dashboards"
)

// queries are those of the dashboards' annotations, or of their panels.
func queries(t *testing.T, annotations bool) (list []dashboards.Query) {
	t.Helper()
	for _, q := range dashboards.Queries(t) {
		if (q.Ref == "") == annotations {
			list = append(list, q)
		}
	}
	if len(list) == 0 {
		t.Fatal("no queries")
	}
	return list
}

// judgeAnnotations holds that what is drawn over graphs has an answer while CAs fail.
func (s *stack) judgeAnnotations(t *testing.T) {
	t.Helper()
	for _, q := range queries(t, true) {
		q.ReturnsData(t, s.prometheus)
	}
}

// judgePanels holds that the query of every panel has an answer when all this has happened.
// Those of histograms have the same series of locations that have only classic ones, only
// native ones and both, and these do not hide each other.
func (s *stack) judgePanels(t *testing.T, began time.Time) {
	t.Helper()
	// All that has happened is in the windows.
	window := fmt.Sprintf("%.0fs", time.Since(began).Seconds())
	for _, q := range queries(t, false) {
		q.ReturnsData(t, s.prometheus, "__range", window, "__rate_interval", window)
		if strings.Contains(q.Expr, "histogram_") {
			s.judgeHistograms(t, q, window)
		}
	}
}

// judgeHistograms asks a query of the CA of which there is everything to see.
func (s *stack) judgeHistograms(t *testing.T, q dashboards.Query, window string) {
	t.Helper()
	ask := func(locations string) model.Vector {
		return q.Ask(t, s.prometheus, "target", published, "location", locations, "__range", window, "__rate_interval", window)
	}
	var names []string
	series := map[string][]string{} // by what the location has
	for _, l := range s.groups[side][1:] {
		names = append(names, l.name)
		for _, sample := range ask(l.name) {
			series[l.histograms] = append(series[l.histograms], unlocated(sample))
		}
		slices.Sort(series[l.histograms])
	}
	want := series["both"]
	if len(want) == 0 || len(series) != len(names) || !slices.Equal(series["classic"], want) || !slices.Equal(series["native"], want) {
		t.Errorf("%s: of the same CA there is\n%q", q, series)
	}
	if !strings.Contains(q.Expr, "histogram_quantile") || strings.Contains(q.Expr, "max by") {
		return
	}
	seen := map[string]bool{}
	for _, sample := range ask(strings.Join(names, "|")) {
		seen[string(sample.Metric["location"])] = true
	}
	slices.Sort(names)
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, names) {
		t.Errorf("%s: of all locations together only %q; want %q", q, got, names)
	}
}

// unlocated is a series without the location, and without what says as much.
func unlocated(sample *model.Sample) string {
	labels := sample.Metric.Clone()
	for _, name := range []model.LabelName{"location", "instance"} {
		delete(labels, name)
	}
	return labels.String()
}
