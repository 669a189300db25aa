package bench

import (
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	week = 7 * 24 * time.Hour
	// reportStep is the longest time between two scrapes that docs/report.md allows.
	reportStep = 30 * time.Second
	// around is for how long everything is there at each end of a week, where counters
	// and histograms are read.
	around = 10 * time.Minute
)

// Which families the report reads over a time: both weeks, or the one that it is about.
// All others it reads at the ends of weeks alone.
var (
	readAlways = []string{"acme_target_state", "acme_exporter_build_info", "process_start_time_seconds"}
	readInWeek = []string{
		"acme_probes_total", "acme_probe_duration_seconds", "acme_probe_info", "acme_directory_last_change_timestamp_seconds",
		"acme_rate_limit_remaining", "acme_rate_limit_capacity", "acme_incident_start_timestamp_seconds",
		"acme_incident_end_timestamp_seconds", "acme_incident_info",
	}
	readAtEnds = []string{
		"acme_step_duration_seconds", "acme_request_duration_seconds", "acme_certificate_check_failures_total", "acme_rate_limited_total",
	}
)

// past is a series of which there are two weeks.
type past struct {
	family string
	labels []byte // encoded
	// value is that of a gauge, or by how much a counter grows in an hour; of a native
	// histogram, that is. phase is how much of one a counter has had when all began.
	value     float64
	phase     float64
	grows     bool
	histogram *dto.Histogram
	// state and target are those of acme_target_state.
	state, target string
}

// sampled reports whether the series has samples at a time of the weeks that end then.
func (p *past) sampled(at, end time.Time) bool {
	switch {
	case slices.Contains(readAlways, p.family), slices.Contains(readInWeek, p.family) && at.After(end.Add(-week-around)):
		return true
	}
	untilEnd := end.Sub(at)
	return untilEnd >= 0 && untilEnd%week <= around
}

// pastOf are the series of an exporter at a location, as they are after an hour of runs, with
// classic histograms, native ones, or both.
func pastOf(b *testing.B, histograms, location string, born time.Time) []*past {
	b.Helper()
	e := newExposed(b, born)
	for minute := range 60 {
		for i, pair := range e.pairs {
			e.metrics.Observe(passed(pair, born.Add(time.Duration(minute)*time.Minute), time.Duration(100+(37*i+61*minute)%900)*time.Millisecond))
		}
	}
	families, err := e.registry.Gather()
	if err != nil {
		b.Fatal(err)
	}
	own := map[string]string{"job": "acme", "instance": location + ":18555", "location": location}
	var list []*past
	add := func(p *past, labels map[string]string) {
		all := maps.Clone(own)
		maps.Copy(all, labels)
		all["__name__"] = p.family + all["suffix"]
		delete(all, "suffix")
		p.labels = appendLabels(nil, sortedPairs(all))
		p.state, p.target = all["state"], all["target"]
		list = append(list, p)
	}
	for _, family := range families {
		name := family.GetName()
		if !slices.Contains(slices.Concat(readAlways, readInWeek, readAtEnds), name) {
			continue
		}
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range metric.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["outcome"] == "skipped" || name == "acme_probe_duration_seconds" && labels["module"] != "issue" {
				continue // read at the ends at most, and not what the report costs
			}
			h := metric.GetHistogram()
			if h == nil {
				add(&past{family: name, value: metric.GetGauge().GetValue() + metric.GetCounter().GetValue(), grows: metric.Counter != nil}, labels)
				continue
			}
			if histograms != classic {
				add(&past{family: name, histogram: h}, labels)
			}
			if histograms == native || histograms == both && !slices.Contains(readAtEnds, name) {
				continue // the native ones count where there are both
			}
			// What grew everywhere at once would mostly do so between two windows.
			phase := float64(crc32.ChecksumIEEE([]byte(fmt.Sprint(name, location, labels)))) / (1 << 32)
			for _, bucket := range h.GetBucket() {
				labels["suffix"], labels["le"] = "_bucket", fmt.Sprint(bucket.GetUpperBound())
				add(&past{family: name, value: float64(bucket.GetCumulativeCount()), phase: phase, grows: true}, labels)
			}
			labels["suffix"], labels["le"] = "_bucket", "+Inf"
			add(&past{family: name, value: float64(h.GetSampleCount()), phase: phase, grows: true}, labels)
		}
	}
	add(&past{family: "process_start_time_seconds", value: float64(born.Unix())}, nil)
	add(&past{family: "acme_exporter_build_info", value: 1}, map[string]string{"version": "1"})
	for _, target := range numbered("ca", ruleTargets) {
		of := map[string]string{"target": target, "environment": "production"}
		start := outageOf(target, born.Add(24*time.Hour+2*week))
		add(&past{family: "acme_incident_start_timestamp_seconds", value: float64(start.Unix())}, of)
		add(&past{family: "acme_incident_end_timestamp_seconds", value: float64(start.Add(time.Hour).Unix())}, of)
		add(&past{family: "acme_directory_last_change_timestamp_seconds", value: float64(start.Unix())}, of)
		for _, limit := range []string{"new_orders", "certificates_per_domain", "failed_validations"} {
			of["limit"] = limit
			add(&past{family: "acme_rate_limit_remaining", value: 100}, of)
			add(&past{family: "acme_rate_limit_capacity", value: 300}, of)
		}
		delete(of, "limit")
		of["kind"], of["stage"], of["reason"], of["fault"] = "down", "order", "server_internal", "ca"
		add(&past{family: "acme_incident_info", value: 1}, of)
	}
	return list
}

// outageOf is when a target was down for an hour: in the second week, on a day for each.
func outageOf(target string, end time.Time) time.Time {
	day := int(target[len(target)-1]) % 6
	return end.Add(-week + time.Duration(day)*24*time.Hour + 10*time.Hour)
}

// at is the value at a time.
func (p *past) at(at, born, end time.Time) float64 {
	switch {
	case p.state != "":
		down := outageOf(p.target, end)
		state := "up"
		if !at.Before(down) && at.Before(down.Add(time.Hour)) {
			state = "down"
		}
		if p.state == state {
			return 1
		}
		return 0
	case p.grows:
		return math.Floor(p.value*at.Sub(born).Hours() + p.phase)
	}
	return p.value
}

// histogramAt is the native histogram at a time. Each bucket grows at times of its own,
// as runs would have it: what grew everywhere at once would mostly do so between two windows.
func (p *past) histogramAt(at, born time.Time) *dto.Histogram {
	hours := at.Sub(born).Hours()
	var count, last, sum int64 // of the buckets
	deltas := make([]int64, 0, len(p.histogram.GetPositiveDelta()))
	for i, delta := range p.histogram.GetPositiveDelta() {
		sum += delta
		phase := float64(crc32.Update(crc32.ChecksumIEEE(p.labels), crc32.IEEETable, []byte{byte(i)})) / (1 << 32)
		now := int64(float64(sum)*hours + phase)
		deltas = append(deltas, now-last)
		count, last = count+now, now
	}
	return &dto.Histogram{
		SampleCount: new(uint64(count)), SampleSum: new(p.histogram.GetSampleSum() * hours), Schema: p.histogram.Schema,
		ZeroThreshold: p.histogram.ZeroThreshold, PositiveSpan: p.histogram.PositiveSpan, PositiveDelta: deltas,
	}
}

// rememberWeeks writes to the Prometheus at url what five exporters exposed in the two weeks before
// end, as far as the report reads it. It returns how many samples that is.
func rememberWeeks(b *testing.B, histograms, url string, end time.Time) (samples int) {
	b.Helper()
	begin := end.Add(-2 * week)
	born := begin.Add(-24 * time.Hour)
	var exporters [][]*past
	for _, location := range numbered("loc", ruleLocations) {
		exporters = append(exporters, pastOf(b, histograms, location, born))
	}
	counts := make([]int, len(exporters))
	// Hour by hour: Prometheus takes nothing that is much older than the newest it has.
	for hour := begin.Add(-time.Hour); !hour.After(end); hour = hour.Add(time.Hour) {
		var writing errgroup.Group
		writing.SetLimit(2)
		for i, exporter := range exporters {
			writing.Go(func() error {
				var request, message []byte
				offset := time.Duration(3+5*i) * time.Second // after the full minute
				for _, p := range exporter {
					message = append(message[:0], p.labels...)
					for at := hour.Add(offset); at.Before(hour.Add(time.Hour)) && at.Before(end); at = at.Add(reportStep) {
						switch {
						case at.Before(begin.Add(-around)) || !p.sampled(at, end):
							continue
						case p.histogram != nil:
							message = appendHistogram(message, p.histogramAt(at, born), at)
						default:
							message = appendSample(message, at, p.at(at, born, end))
						}
						counts[i]++
					}
					if len(message) > len(p.labels) {
						request = protowire.AppendBytes(protowire.AppendTag(request, 1, protowire.BytesType), message)
					}
				}
				if len(request) == 0 {
					return nil
				}
				return write(b.Context(), url, request)
			})
		}
		if err := writing.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	for _, n := range counts {
		samples += n
	}
	return samples
}

// told is a time as the command line takes it.
func told(t time.Time) string { return strings.TrimSuffix(t.UTC().Format(time.RFC3339), "Z") }
