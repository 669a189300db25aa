package report

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

const (
	familyDuration = "acme_probe_duration_seconds"
	// leastRuns is how many runs make a point of the chart; windowRuns how many are meant
	// to be in one of the windows of which it is made, so that they are at most 120.
	leastRuns, windowRuns = 100, 20
	// fewRuns are too few for a point, even before a gap.
	fewRuns = 10
)

// windows are the lengths that a window can have. In a shorter one there could be fewer than
// two samples.
var windows = []time.Duration{
	2 * time.Minute, 3 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 20 * time.Minute, 30 * time.Minute, time.Hour,
}

// drawnProbers are those that the chart can be of, the best first.
var drawnProbers = []string{"issue", "validate", "order", "account", "nonce", "directory"}

// latency puts in the chart.
func (m *maker) latency(ctx context.Context, of key, t *Target, now *timeline, line []state, c *counted) error {
	prober, modules, err := m.drawn(ctx, of, c)
	if err != nil || prober == "" {
		return err
	}
	l := &Latency{Prober: prober}
	for _, s := range now.spans(line, down, 0) {
		l.Gaps = append(l.Gaps, Gap{GapOutage, s})
	}
	for _, s := range now.spans(line, silent, lookBack) {
		l.Gaps = append(l.Gaps, Gap{GapMissing, s})
	}
	slices.SortFunc(l.Gaps, func(a, b Gap) int { return a.Start.Compare(b.Start) })

	var runs float64
	for _, module := range modules {
		runs += c.modules[module]
	}
	known := t.Availability.Up + t.Availability.Degraded + t.Availability.Down
	window := windowOf(runs, known)
	spreads, err := m.windows(ctx, of, modules, window, c)
	if err != nil {
		return err
	}
	if l.Points = points(m.Period, window, spreads, l.Gaps); l.Points != nil {
		t.Latency = l
	}
	return nil
}

// windowOf is the longest window in which there are not too many of so many runs.
func windowOf(runs float64, known time.Duration) time.Duration {
	window := windows[0]
	for _, w := range windows {
		if runs*float64(w) <= windowRuns*float64(known) {
			window = w
		}
	}
	return window
}

// drawn is the prober that the chart is of, and the modules that ran it.
func (m *maker) drawn(ctx context.Context, of key, c *counted) (prober string, modules []string, err error) {
	sets, err := m.client.series(ctx, m.Period.Since, m.Period.Until, "acme_probe_info{"+of.matchers()+"}")
	if err != nil {
		return "", nil, err
	}
	for _, prober := range drawnProbers {
		for _, labels := range sets {
			module := strings.Clone(string(labels["module"]))
			if string(labels["prober"]) == prober && c.modules[module] >= 1 && !slices.Contains(modules, module) {
				modules = append(modules, module)
			}
		}
		if len(modules) > 0 {
			slices.Sort(modules)
			return prober, modules, nil
		}
	}
	return "", nil, nil
}

// windows are the durations of the modules' runs in each window of the period, by its end.
func (m *maker) windows(ctx context.Context, of key, modules []string, window time.Duration, c *counted) (map[int64]*spread, error) {
	spreads := map[int64]*spread{}
	at := func(t model.Time) *spread {
		s := spreads[int64(t)]
		if s == nil {
			s = &spread{}
			spreads[int64(t)] = s
		}
		return s
	}
	sel := func(exporters []string) string {
		return "{" + of.matchers() + ",module=~" + oneOf(modules) + ",instance=~" + oneOf(exporters) + "}[" + model.Duration(window).String() + "]"
	}
	since, until := m.Period.Since.Add(window), m.Period.Until.Add(time.Millisecond)
	if len(c.native) > 0 {
		query := "sum(" + m.twins.once("increase("+familyDuration+sel(c.native)+")", window) + ")"
		err := m.client.each(ctx, query, since, until, window, func(matrix model.Matrix) {
			for _, stream := range matrix {
				for _, pair := range stream.Histograms {
					at(pair.Timestamp).add(nativeSpread(nil, pair.Histogram))
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	if len(c.classic) == 0 {
		return spreads, nil
	}
	classic := "increase(" + familyDuration + bucketSuffix + sel(c.classic) + ")"
	if slices.ContainsFunc(c.classic, func(e string) bool { return slices.Contains(c.native, e) }) {
		// It was native for a part of the period, in which it may have been classic too.
		classic += " unless on (job, instance, location, module) increase(" + familyDuration + sel(c.native) + ")"
	}
	query := "sum by (le) (" + m.twins.once(classic, window) + ")"
	err := m.client.each(ctx, query, since, until, window, func(matrix model.Matrix) {
		cumulative := map[model.Time]map[string]float64{}
		for _, stream := range matrix {
			for _, pair := range stream.Values {
				add(cumulative, pair.Timestamp, string(stream.Metric["le"]), float64(pair.Value))
			}
		}
		for t, by := range cumulative {
			at(t).add(classicSpread(by))
		}
	})
	return spreads, err
}

// oneOf is a regular expression, quoted, that matches these values only.
func oneOf(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = regexp.QuoteMeta(v)
	}
	return fmt.Sprintf("%q", strings.Join(quoted, "|"))
}

// points puts windows together until there are enough runs for a point. None has a part in
// a gap.
func points(p Period, window time.Duration, spreads map[int64]*spread, gaps []Gap) []Point {
	var list []Point
	var start, end time.Time
	sum := &spread{}
	flush := func(least float64) {
		if n := sum.total(); n >= least {
			list = append(list, Point{
				Start: start, End: end, Count: int64(math.Round(n)),
				P10: sum.quantile(.1).Value, P50: sum.quantile(.5).Value, P90: sum.quantile(.9).Value,
			})
			sum = &spread{}
		}
	}
	for from := p.Since; from.Before(p.Until); from = from.Add(window) {
		to := from.Add(window)
		if slices.ContainsFunc(gaps, func(g Gap) bool { return g.Start.Before(to) && from.Before(g.End) }) {
			flush(fewRuns)
			sum = &spread{}
			continue
		}
		s := spreads[to.UnixMilli()]
		if s == nil || s.total() <= 0 {
			continue
		}
		if sum.total() <= 0 {
			start = from
		}
		sum.add(s)
		end = to
		flush(leastRuns - 0.5)
	}
	flush(fewRuns)
	return list
}
