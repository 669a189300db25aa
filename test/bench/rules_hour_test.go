package bench

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
)

// storedKey tells metrics apart: most have the same first label, not only an equal one,
// each time that they are gathered. Of the others there are few.
type storedKey struct {
	family string
	first  *dto.LabelPair
}

// stored is what Prometheus stores of one metric: a series, or all those of a histogram,
// the native one first.
type stored struct {
	labels   [][]byte // of each series, encoded
	messages [][]byte // of each series: the labels and the samples that are to be written; empty: none
}

// sampled is what a rule has recorded of the hour, once a minute.
var sampled = sampling{
	record: "environment_target_module_location_instance_step:acme_step_duration_seconds:sampled1m",
	family: "acme_step_duration_seconds",
	steps:  []string{"account", "order", "validation", "finalization"},
}

type sampling struct {
	record, family string
	steps          []string
}

// matches reports whether the rule reads the metric.
func (s *sampling) matches(family string, metric *dto.Metric) bool {
	return family == s.family && slices.ContainsFunc(metric.GetLabel(), func(l *dto.LabelPair) bool {
		return l.GetName() == "step" && slices.Contains(s.steps, l.GetValue())
	})
}

// rememberHour writes to the Prometheus at url what it would have scraped of the exporters
// from where they are to now. To scrape so much takes longer, and what a busy machine
// does not expose in time is not stored. Prometheus takes nothing that is more than an hour
// older than the newest it has, so the exporters take turns.
func rememberHour(b *testing.B, url string, exporters []*exposed) {
	b.Helper()
	for more := true; more; {
		more = false
		for i, e := range exporters {
			more = e.remember(b, url, fmt.Sprint("loc", i)) || more
		}
	}
}

// remember writes the next five minutes, and returns false when there are no more.
func (e *exposed) remember(b *testing.B, url, location string) (more bool) {
	b.Helper()
	own := map[string]string{"job": "acme", "instance": e.address, "location": location}
	for range 20 {
		if more = e.next(); !more {
			break
		}
		families, err := e.registry.Gather()
		if err != nil {
			b.Fatal(err)
		}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				key := storedKey{family: family.GetName()}
				if len(metric.GetLabel()) > 0 {
					key.first = metric.GetLabel()[0]
				}
				if e.stored[key] == nil {
					e.stored[key] = newStored(key.family, metric, own)
				}
				e.stored[key].sample(metric, e.now)
				if sampled.matches(family.GetName(), metric) && e.steps%4 == 0 {
					key.family = sampled.record
					if e.stored[key] == nil {
						e.stored[key] = newStored(key.family, metric, own)
					}
					e.stored[key].sample(metric, e.now)
				}
			}
		}
	}
	var request []byte
	for _, s := range e.stored {
		for i, message := range s.messages {
			if len(message) > 0 {
				request = protowire.AppendBytes(protowire.AppendTag(request, 1, protowire.BytesType), message) // WriteRequest.timeseries
				s.messages[i] = message[:0]
			}
		}
	}
	if err := write(b.Context(), url, request); err != nil {
		b.Fatal(err)
	}
	return more
}

// newStored returns what is stored of a metric, without samples.
func newStored(family string, metric *dto.Metric, own map[string]string) *stored {
	labels := maps.Clone(own)
	for _, l := range metric.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	s := &stored{}
	add := func(suffix string) {
		labels["__name__"] = family + suffix
		s.labels = append(s.labels, appendLabels(nil, sortedPairs(labels)))
		s.messages = append(s.messages, nil)
	}
	add("")
	if h := metric.GetHistogram(); h != nil && family != sampled.record {
		add("_sum")
		add("_count")
		for _, bucket := range h.GetBucket() {
			labels["le"] = bound(bucket.GetUpperBound())
			add("_bucket")
		}
		labels["le"] = "+Inf"
		add("_bucket")
	}
	return s
}

// sample appends the metric as it is at a time.
func (s *stored) sample(metric *dto.Metric, at time.Time) {
	for i, message := range s.messages {
		if len(message) == 0 {
			s.messages[i] = append(message, s.labels[i]...)
		}
	}
	h := metric.GetHistogram()
	if h == nil {
		s.messages[0] = appendSample(s.messages[0], at, metric.GetGauge().GetValue()+metric.GetCounter().GetValue())
		return
	}
	s.messages[0] = appendHistogram(s.messages[0], h, at)
	if len(s.messages) == 1 {
		return // recorded, which the native one is alone
	}
	values := []float64{h.GetSampleSum(), float64(h.GetSampleCount())}
	for _, bucket := range h.GetBucket() {
		values = append(values, float64(bucket.GetCumulativeCount()))
	}
	for i, value := range append(values, float64(h.GetSampleCount())) {
		s.messages[1+i] = appendSample(s.messages[1+i], at, value)
	}
}

// bound is a bucket's label le as Prometheus writes it: 1 as "1.0".
func bound(le float64) string {
	text := strconv.FormatFloat(le, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}

// sortedPairs are names, sorted, and values of labels, without those that are empty.
func sortedPairs(labels map[string]string) (sorted []string) {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if labels[name] != "" {
			sorted = append(sorted, name, labels[name])
		}
	}
	return sorted
}
