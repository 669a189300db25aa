// Package series writes the input series of promtool's unit tests: what exporters
// would have exposed, with classic histograms, native ones, or both.
package series

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// classicBounds are those of acme_step_duration_seconds in docs/metrics.md.
var classicBounds = []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 45, 90}

// nativeSchema has 8 buckets for each power of two: the growth factor 1.1.
const nativeSchema = 3

// States returns the four series of acme_target_state of one exporter. The
// location may have a suffix that names one of several exporters (fra/2), and
// may be empty. The steps are words like up*8 (eight samples up) or _*4 (no
// sample).
func States(environment, target, location, steps string) (string, error) {
	var out strings.Builder
	for _, state := range []string{"up", "degraded", "down", "unknown"} {
		var samples []string
		for word := range strings.FieldsSeq(steps) {
			name, n, err := repeated(word)
			if err != nil {
				return "", err
			}
			sample := "0"
			switch {
			case name == "_":
				sample = "_"
			case name == state:
				sample = "1"
			case !slices.Contains([]string{"up", "degraded", "down", "unknown"}, name):
				return "", fmt.Errorf("no state: %q", word)
			}
			samples = append(samples, slices.Repeat([]string{sample}, n)...)
		}
		labels := fmt.Sprintf("environment=%q,target=%q,%s,state=%q", environment, target, Exporter(location), state)
		out.WriteString(series("acme_target_state{"+labels+"}", strings.Join(samples, " ")))
	}
	return out.String(), nil
}

// Exporter returns the labels of the exporter at a location as in [States].
func Exporter(location string) string {
	name, number, _ := strings.Cut(location, "/")
	labels := fmt.Sprintf(`job="acme_exporter",instance="%s:18555"`, name+number)
	if name != "" {
		labels += fmt.Sprintf(`,location=%q`, name)
	}
	return labels
}

// series is one input series, its values as in [Values].
func series(name, samples string) string {
	return fmt.Sprintf("      - series: '%s'\n        values: '%s'\n", name, samples)
}

// Values writes out words like 3*20 (twenty samples of 3), which no version of
// promtool understands in the same way, and leaves all others alone.
func Values(words string) (string, error) {
	var out []string
	for word := range strings.FieldsSeq(words) {
		sample, n, err := repeated(word)
		if err != nil {
			return "", err
		}
		out = append(out, slices.Repeat([]string{sample}, n)...)
	}
	return strings.Join(out, " "), nil
}

// repeated splits a word like 3*20. Without a number it is once.
func repeated(word string) (sample string, n int, err error) {
	sample, number, found := strings.Cut(word, "*")
	if !found {
		return word, 1, nil
	}
	if n, err = strconv.Atoi(number); err != nil {
		return "", 0, fmt.Errorf("%q: %w", word, err)
	}
	return sample, n, nil
}

// Mode is what an exporter sends, and Prometheus keeps, of histograms.
type Mode string

// What there is of it.
const (
	Classic Mode = "classic"
	Native  Mode = "native"
	Both    Mode = "both"
)

// Durations returns the series of the histogram of one step in this mode. The
// steps are words like 2x0.3*12: for twelve samples, two runs more of 0.3 s each.
func (m Mode) Durations(labels, steps string) (string, error) {
	h := histogram{labels: labels, buckets: map[int]int{}, native: m != Classic, classic: m != Native}
	for word := range strings.FieldsSeq(steps) {
		runs, n, err := repeated(word)
		if err != nil {
			return "", err
		}
		count, seconds, _ := strings.Cut(runs, "x")
		number, err := strconv.Atoi(count)
		if err != nil {
			return "", fmt.Errorf("%q: %w", word, err)
		}
		duration, err := strconv.ParseFloat(seconds, 64)
		if err != nil {
			return "", fmt.Errorf("%q: %w", word, err)
		}
		h.add(n, number, duration)
	}
	return h.String(), nil
}

// histogram is one that grows, sample by sample.
type histogram struct {
	labels          string
	native, classic bool

	count     int
	sum       float64
	durations []float64
	buckets   map[int]int // native: index → observations

	natives, counts, sums []string
	bounds                [][]string // of each classic bound, and +Inf
}

// add appends n samples, each with number runs more that took the duration.
func (h *histogram) add(n, number int, duration float64) {
	if h.bounds == nil {
		h.bounds = make([][]string, len(classicBounds)+1)
	}
	for range n {
		h.count += number
		h.sum += float64(number) * duration
		h.durations = append(h.durations, slices.Repeat([]float64{duration}, number)...)
		h.buckets[int(math.Ceil(math.Log2(duration)*(1<<nativeSchema)))] += number
		h.counts = append(h.counts, strconv.Itoa(h.count))
		h.sums = append(h.sums, strconv.FormatFloat(h.sum, 'g', 12, 64))
		for i := range h.bounds {
			below := 0
			for _, d := range h.durations {
				if i == len(classicBounds) || d <= classicBounds[i] {
					below++
				}
			}
			h.bounds[i] = append(h.bounds[i], strconv.Itoa(below))
		}
		h.natives = append(h.natives, h.sample())
	}
}

// sample is the native histogram in promtool's notation.
func (h *histogram) sample() string {
	first, last := math.MaxInt, math.MinInt
	for i := range h.buckets {
		first, last = min(first, i), max(last, i)
	}
	var buckets []string
	for i := first; i <= last; i++ {
		buckets = append(buckets, strconv.Itoa(h.buckets[i]))
	}
	return fmt.Sprintf("{{schema:%d sum:%g count:%d buckets:[%s] offset:%d}}",
		nativeSchema, h.sum, h.count, strings.Join(buckets, " "), first)
}

// String returns the input series.
func (h *histogram) String() string {
	var out strings.Builder
	if h.native {
		out.WriteString(series("acme_step_duration_seconds{"+h.labels+"}", strings.Join(h.natives, " ")))
	}
	if !h.classic {
		return out.String()
	}
	for i, samples := range h.bounds {
		le := "+Inf"
		if i < len(classicBounds) {
			le = strconv.FormatFloat(classicBounds[i], 'g', -1, 64)
		}
		out.WriteString(series(fmt.Sprintf("acme_step_duration_seconds_bucket{%s,le=%q}", h.labels, le), strings.Join(samples, " ")))
	}
	out.WriteString(series("acme_step_duration_seconds_count{"+h.labels+"}", strings.Join(h.counts, " ")))
	out.WriteString(series("acme_step_duration_seconds_sum{"+h.labels+"}", strings.Join(h.sums, " ")))
	return out.String()
}
