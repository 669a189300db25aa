package report

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// Families of which it is read by how much they grew.
const (
	familyRuns     = "acme_probes_total"
	familySteps    = "acme_step_duration_seconds"
	familyCalls    = "acme_request_duration_seconds"
	familyChecks   = "acme_certificate_check_failures_total"
	familyLimited  = "acme_rate_limited_total"
	bucketSuffix   = "_bucket"
	countersNamed  = familyRuns + "|" + familySteps + "|" + familyCalls + "|" + familyLimited
	bucketsNamed   = familySteps + bucketSuffix + "|" + familyCalls + bucketSuffix
	persistedNamed = familyChecks
)

// grown is by how much a series grew in a period.
type grown struct {
	of     exporter
	life   int          // the stretch's place in their list
	labels model.Metric // with its name
	by     float64
	spread *spread // of a native histogram; nil: by says it
}

// reading is what a series was at a time.
type reading struct {
	labels    model.Metric
	value     float64
	histogram *model.SampleHistogram
}

// ownLabels are those by which an exporter tells its series apart. All others come from who
// scrapes it, and can change while it counts on.
var ownLabels = [...]model.LabelName{model.MetricNameLabel, "module", "outcome", "fault", "step", "call", "check", "limit", "le"}

// series are the values of ownLabels, which name a series of an exporter and a target.
type series [len(ownLabels)]model.LabelValue

func seriesOf(labels model.Metric) (s series) {
	for i, name := range ownLabels {
		s[i] = labels[name]
	}
	return s
}

// readings are those of one exporter at a time.
type readings map[series]reading

// add puts in a reading. Where the labels of a scrape have just changed there are two of a
// series, and the greater one is what has been counted by now.
func (r readings) add(s series, next reading) {
	if was, ok := r[s]; !ok || next.counted() > was.counted() {
		r[s] = next
	}
}

// readAll are the readings of exporters at the times that stretches need.
type readAll map[time.Time]map[exporter]readings

// ends returns what the stretch was at its begin, which is nothing where there is none, and
// at its end.
func (r readAll) ends(s stretch) (before, after readings) {
	if !s.begin.IsZero() {
		before = r[s.begin][s.of]
	}
	after = r[s.end][s.of]
	if !s.late.IsZero() {
		after = greater(after, r[s.late][s.of])
	}
	return before, after
}

// kept are readings of when the period begins, which is when the one before ends, by the query.
type kept map[string]map[exporter]readings

// read reads the series that are named at both ends of each of the stretches.
func (m *maker) read(ctx context.Context, of key, names string, list []stretch, shared kept) (readAll, error) {
	wanted := map[time.Time][]exporter{}
	for _, s := range list {
		wanted[s.end] = append(wanted[s.end], s.of)
		for _, at := range []time.Time{s.begin, s.late} {
			if !at.IsZero() {
				wanted[at] = append(wanted[at], s.of)
			}
		}
	}
	read := readAll{}
	for at, exporters := range wanted {
		var err error
		if read[at], err = m.readAt(ctx, of, names, at, exporters, shared); err != nil {
			return nil, err
		}
	}
	return read, nil
}

// grow returns by how much the series that are named grew in each of the stretches.
func (m *maker) grow(ctx context.Context, of key, names string, list []stretch, shared kept) ([]grown, error) {
	read, err := m.read(ctx, of, names, list, shared)
	if err != nil {
		return nil, err
	}
	return read.grown(list), nil
}

func (r readAll) grown(list []stretch) []grown {
	var all []grown
	for life, s := range list {
		before, after := r.ends(s)
		for _, g := range difference(s.of, before, after) {
			g.life = life
			all = append(all, g)
		}
	}
	return all
}

// growCounters returns by how much counters and histograms grew in each of the stretches.
// The classic buckets, ten times as many series as all others, are read only of stretches
// in which the native histograms may not count.
func (m *maker) growCounters(ctx context.Context, of key, list []stretch, shared kept) ([]grown, error) {
	read, err := m.read(ctx, of, countersNamed, list, shared)
	if err != nil {
		return nil, err
	}
	var unsure []stretch
	for _, s := range list {
		before, after := read.ends(s)
		was, _ := families(before)
		is, _ := families(after)
		for _, family := range []model.LabelValue{familySteps, familyCalls} {
			if !is[family] || !was[family] && !s.begin.IsZero() {
				unsure = append(unsure, s)
				break
			}
		}
	}
	buckets, err := m.read(ctx, of, bucketsNamed, unsure, shared)
	if err != nil {
		return nil, err
	}
	for at, exporters := range buckets {
		for e, found := range exporters {
			if read[at][e] == nil {
				read[at][e] = readings{}
			}
			maps.Copy(read[at][e], found)
		}
	}
	return read.grown(list), nil
}

// readAt reads the series that are named, as the exporters had them at a time.
func (m *maker) readAt(ctx context.Context, of key, names string, at time.Time, exporters []exporter, shared kept) (map[exporter]readings, error) {
	var instances []string
	for _, e := range exporters {
		instances = append(instances, e.instance)
	}
	slices.Sort(instances)
	query := fmt.Sprintf("last_over_time({__name__=~%q,%s,instance=~%s}[%s])", names, of.matchers(),
		oneOf(slices.Compact(instances)), model.Duration(lookBack))
	if read, ok := shared[query]; ok && at.Equal(m.Period.Since) {
		delete(shared, query)
		return read, nil
	}
	vector, err := m.client.instant(ctx, query, at)
	if err != nil {
		return nil, err
	}
	read := map[exporter]readings{}
	for _, sample := range vector {
		e := m.twins.counts(exporterOf(sample.Metric))
		if read[e] == nil {
			read[e] = readings{}
		}
		read[e].add(seriesOf(sample.Metric), reading{sample.Metric, float64(sample.Value), sample.Histogram})
	}
	if at.Equal(m.Period.Since) {
		shared[query] = read
	}
	return read, nil
}

// greater are the readings of both, and of a series that is in both the greater one.
func greater(one, other readings) readings {
	all := maps.Clone(one)
	if all == nil {
		all = readings{}
	}
	for of, r := range other {
		all.add(of, r)
	}
	return all
}

// counted is a counter's value, or how many a native histogram has taken in.
func (r reading) counted() float64 {
	if r.histogram != nil {
		return float64(r.histogram.Count)
	}
	return r.value
}

// difference is by how much series grew from before to after. One that was not there
// before has counted from 0, and so has one that is less.
//
// A histogram that is native and classic is taken as native; unless only the classic one
// was there before: then it is native only since somebody began to ask for it.
func difference(of exporter, before, after readings) []grown {
	native := map[model.LabelValue]bool{}
	wasNative, wasClassic := families(before)
	isNative, isClassic := families(after)
	for _, family := range []model.LabelValue{familySteps, familyCalls} {
		native[family] = isNative[family] && (!isClassic[family] || wasNative[family] || !wasClassic[family])
	}
	var list []grown
	for key, now := range after {
		name := now.labels[model.MetricNameLabel]
		was := before[key]
		if now.histogram != nil {
			if native[name] {
				list = append(list, grown{of: of, labels: now.labels, spread: nativeSpread(was.histogram, now.histogram)})
			}
			continue
		}
		if family, ok := strings.CutSuffix(string(name), bucketSuffix); ok && native[model.LabelValue(family)] {
			continue
		}
		by := now.value - was.value
		if by < 0 {
			by = now.value
		}
		list = append(list, grown{of: of, labels: now.labels, by: by})
	}
	return list
}

// families are the histograms that are there as native and as classic ones.
func families(of readings) (native, classic map[model.LabelValue]bool) {
	native, classic = map[model.LabelValue]bool{}, map[model.LabelValue]bool{}
	for _, r := range of {
		name := r.labels[model.MetricNameLabel]
		if r.histogram != nil {
			native[name] = true
		} else if family, ok := strings.CutSuffix(string(name), bucketSuffix); ok {
			classic[model.LabelValue(family)] = true
		}
	}
	return native, classic
}
