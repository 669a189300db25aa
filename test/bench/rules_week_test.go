package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
)

// history is what a rule has recorded: so many series, named after what is in front
// of their first colon, as often as its group is evaluated and as far back as another
// rule looks.
type history struct {
	name     string
	labels   []string // environment is the same for all
	interval time.Duration
	back     time.Duration
	failing  bool // only of the target that fails
}

var histories = []history{
	{"environment_target_module_location:acme_probes_bad:increase15m", []string{"target", "module", "location"}, time.Minute, 6 * time.Hour, true},
	{"environment_target_module:acme_probes_good:increase15m", []string{"target", "module"}, time.Minute, 6 * time.Hour, false},
	{"environment_target_module_location:acme_probes_bad:increase1h", []string{"target", "module", "location"}, time.Minute, 3 * 24 * time.Hour, true},
	{"environment_target_module:acme_probes_good:increase1h", []string{"target", "module"}, time.Minute, 3 * 24 * time.Hour, false},
	{"environment_target_location_step:acme_step_duration_seconds:p95_1h_sampled30m", []string{"target", "location", "step"}, 30 * time.Minute, 7 * 24 * time.Hour, false},
	{"environment_target_location:acme_target_seen:timestamp", []string{"target", "location"}, time.Minute, 24 * time.Hour, false},
	{"environment_target_location:acme_target_seen:exporters", []string{"target", "location"}, time.Minute, 24 * time.Hour, false},
	{"environment_target:acme_target_down:quorum", []string{"target"}, 5 * time.Second, 6 * time.Hour, false},
}

// values are those of a label, by its name. The names are as exposed has them.
var values = map[string]func() []string{
	"target":   func() []string { return numbered("ca", ruleTargets) },
	"module":   func() []string { return ruleModules },
	"location": func() []string { return numbered("loc", ruleLocations) },
	"step":     func() []string { return []string{"account", "finalization", "order", "validation"} },
}

func numbered(name string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint(name, i))
	}
	return list
}

// remember writes a week of histories to the Prometheus at url, but for the hour
// before start, in the order of time and hour by hour.
func remember(b *testing.B, url string, start time.Time) {
	b.Helper()
	end := start.Add(-time.Hour).Truncate(time.Hour)
	for hour := end.Add(-7 * 24 * time.Hour); hour.Before(end); hour = hour.Add(time.Hour) {
		var request []byte
		for _, h := range histories {
			if hour.Before(end.Add(-h.back)) {
				continue
			}
			for _, labels := range combinations(h.labels) {
				if h.failing && !slices.Contains(labels, failing) {
					continue
				}
				request = protowire.AppendTag(request, 1, protowire.BytesType) // WriteRequest.timeseries
				request = protowire.AppendBytes(request, h.series(labels, hour))
			}
		}
		if err := write(b.Context(), url, request); err != nil {
			b.Fatal(err)
		}
	}
}

// combinations are all of the labels' values, each as name and value in turn.
func combinations(names []string) [][]string {
	if len(names) == 0 {
		return [][]string{nil}
	}
	var all [][]string
	for _, value := range values[names[0]]() {
		for _, rest := range combinations(names[1:]) {
			all = append(all, append([]string{names[0], value}, rest...))
		}
	}
	return all
}

// series is one TimeSeries of remote write, version 1: its labels, sorted, and an hour
// of samples. What a quiet CA makes does not matter to the cost, but what is all the
// same costs less than life.
func (h *history) series(labels []string, hour time.Time) (message []byte) {
	sorted := []string{"__name__", h.name, "environment", "production"}
	for _, name := range []string{"location", "module", "step", "target"} {
		for i := 0; i < len(labels); i += 2 {
			if labels[i] == name {
				sorted = append(sorted, name, labels[i+1])
			}
		}
	}
	message = appendLabels(message, sorted)
	for at := hour; at.Before(hour.Add(time.Hour)); at = at.Add(h.interval) {
		value := 1.0
		if h.interval > time.Minute {
			value = 0.3 + float64(at.Unix()%7919)/1e5
		}
		message = appendSample(message, at, value)
	}
	return message
}

// appendLabels appends the labels of a TimeSeries: names, which are sorted, and values.
func appendLabels(message []byte, sorted []string) []byte {
	for i := 0; i < len(sorted); i += 2 {
		label := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), sorted[i])
		label = protowire.AppendString(protowire.AppendTag(label, 2, protowire.BytesType), sorted[i+1])
		message = protowire.AppendBytes(protowire.AppendTag(message, 1, protowire.BytesType), label)
	}
	return message
}

// appendSample appends a Sample to a TimeSeries.
func appendSample(message []byte, at time.Time, value float64) []byte {
	milliseconds := uint64(at.UnixMilli())
	message = protowire.AppendTag(message, 2, protowire.BytesType)
	message = protowire.AppendVarint(message, uint64(1+8+1+protowire.SizeVarint(milliseconds)))
	message = protowire.AppendFixed64(protowire.AppendTag(message, 1, protowire.Fixed64Type), math.Float64bits(value))
	return protowire.AppendVarint(protowire.AppendTag(message, 2, protowire.VarintType), milliseconds)
}

// appendHistogram appends a native Histogram to a TimeSeries. It has no negative buckets.
func appendHistogram(message []byte, histogram *dto.Histogram, at time.Time) []byte {
	var h []byte
	integer := func(field protowire.Number, v uint64) {
		h = protowire.AppendVarint(protowire.AppendTag(h, field, protowire.VarintType), v)
	}
	float := func(field protowire.Number, v float64) {
		h = protowire.AppendFixed64(protowire.AppendTag(h, field, protowire.Fixed64Type), math.Float64bits(v))
	}
	integer(1, histogram.GetSampleCount())
	float(3, histogram.GetSampleSum())
	integer(4, protowire.EncodeZigZag(int64(histogram.GetSchema())))
	float(5, histogram.GetZeroThreshold())
	integer(6, histogram.GetZeroCount())
	for _, s := range histogram.GetPositiveSpan() {
		span := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), protowire.EncodeZigZag(int64(s.GetOffset())))
		span = protowire.AppendVarint(protowire.AppendTag(span, 2, protowire.VarintType), uint64(s.GetLength()))
		h = protowire.AppendBytes(protowire.AppendTag(h, 11, protowire.BytesType), span)
	}
	var deltas []byte
	for _, delta := range histogram.GetPositiveDelta() {
		deltas = protowire.AppendVarint(deltas, protowire.EncodeZigZag(delta))
	}
	h = protowire.AppendBytes(protowire.AppendTag(h, 12, protowire.BytesType), deltas)
	integer(15, uint64(at.UnixMilli()))
	return protowire.AppendBytes(protowire.AppendTag(message, 4, protowire.BytesType), h)
}

// write sends a WriteRequest.
func write(ctx context.Context, url string, request []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/v1/write", bytes.NewReader(literal(request)))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Encoding", "snappy")
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode/100 != 2 {
		err = fmt.Errorf("remote write: %s\n%s", answer.Status, text)
	}
	return err
}

// literal is data in the format of Snappy, not compressed: its length, and literals of
// at most 65,536 bytes.
func literal(data []byte) []byte {
	out := binary.AppendUvarint(make([]byte, 0, len(data)+len(data)>>14+16), uint64(len(data)))
	for len(data) > 0 {
		n := min(len(data), 1<<16)
		out = append(out, 61<<2) // a literal whose length has two bytes
		out = binary.LittleEndian.AppendUint16(out, uint16(n-1))
		out = append(out, data[:n]...)
		data = data[n:]
	}
	return out
}
