package report

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// labels of a series, __name__ among them: names and values, each with a 0 after it.
type labels string

// labelled are labels of names and values.
func labelled(pairs ...string) labels {
	return labels("").with(pairs...)
}

// with is labels with some more of them.
func (l labels) with(pairs ...string) labels {
	return l + labels(strings.Join(pairs, "\x00")+"\x00")
}

// encoded are the labels as a series of remote write has them.
func (l labels) encoded() []byte {
	words := strings.Split(strings.TrimSuffix(string(l), "\x00"), "\x00")
	values := map[string]string{}
	for i := 0; i < len(words); i += 2 {
		values[words[i]] = words[i+1]
	}
	var all []byte
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] == "" {
			continue // as good as none
		}
		var one []byte
		one = protowire.AppendTag(one, 1, protowire.BytesType)
		one = protowire.AppendString(one, name)
		one = protowire.AppendTag(one, 2, protowire.BytesType)
		one = protowire.AppendString(one, values[name])
		all = protowire.AppendTag(all, 1, protowire.BytesType)
		all = protowire.AppendBytes(all, one)
	}
	return all
}

// native is a native histogram: how many durations fell into which bucket of schema 3,
// which has 8 for each power of two.
type native map[int]int64

const schema = 3

func (n native) observe(seconds float64) {
	n[int(math.Ceil(math.Log2(seconds)*(1<<schema)-1e-9))]++
}

// batch is what is written to Prometheus at once.
type batch struct{ series map[labels]*written }

type written struct{ labels, samples []byte } // encoded

func newBatch() *batch { return &batch{series: map[labels]*written{}} }

func (b *batch) of(l labels) *written {
	w := b.series[l]
	if w == nil {
		w = &written{labels: l.encoded()}
		b.series[l] = w
	}
	return w
}

// add adds a sample of a series, in the order of time.
func (b *batch) add(l labels, at time.Time, value float64) {
	var s []byte
	s = protowire.AppendTag(s, 1, protowire.Fixed64Type)
	s = protowire.AppendFixed64(s, math.Float64bits(value))
	s = protowire.AppendTag(s, 2, protowire.VarintType)
	s = protowire.AppendVarint(s, uint64(at.UnixMilli()))
	w := b.of(l)
	w.samples = protowire.AppendTag(w.samples, 2, protowire.BytesType)
	w.samples = protowire.AppendBytes(w.samples, s)
}

// addNative adds a sample of a native histogram.
func (b *batch) addNative(l labels, at time.Time, n native, sum float64) {
	var count int64
	var spans, deltas []byte
	next, last := 0, int64(0)
	for i, bucket := range slices.Sorted(maps.Keys(n)) {
		offset := bucket - next
		if i == 0 {
			offset = bucket
		}
		var span []byte
		span = protowire.AppendTag(span, 1, protowire.VarintType)
		span = protowire.AppendVarint(span, protowire.EncodeZigZag(int64(offset)))
		span = protowire.AppendTag(span, 2, protowire.VarintType)
		span = protowire.AppendVarint(span, 1)
		spans = protowire.AppendTag(spans, 11, protowire.BytesType)
		spans = protowire.AppendBytes(spans, span)
		deltas = protowire.AppendVarint(deltas, protowire.EncodeZigZag(n[bucket]-last))
		next, last, count = bucket+1, n[bucket], count+n[bucket]
	}
	var h []byte
	h = protowire.AppendTag(h, 1, protowire.VarintType)
	h = protowire.AppendVarint(h, uint64(count))
	h = protowire.AppendTag(h, 3, protowire.Fixed64Type)
	h = protowire.AppendFixed64(h, math.Float64bits(sum))
	h = protowire.AppendTag(h, 4, protowire.VarintType)
	h = protowire.AppendVarint(h, protowire.EncodeZigZag(schema))
	h = protowire.AppendTag(h, 5, protowire.Fixed64Type)
	h = protowire.AppendFixed64(h, math.Float64bits(1e-128))
	h = protowire.AppendTag(h, 6, protowire.VarintType)
	h = protowire.AppendVarint(h, 0)
	h = append(h, spans...)
	h = protowire.AppendTag(h, 12, protowire.BytesType)
	h = protowire.AppendBytes(h, deltas)
	h = protowire.AppendTag(h, 15, protowire.VarintType)
	h = protowire.AppendVarint(h, uint64(at.UnixMilli()))
	w := b.of(l)
	w.samples = protowire.AppendTag(w.samples, 4, protowire.BytesType)
	w.samples = protowire.AppendBytes(w.samples, h)
}

// write writes the batch by remote write 1.0, and empties it.
func (b *batch) write(ctx context.Context, tb testing.TB, url string) {
	tb.Helper()
	var request []byte
	for _, w := range b.series {
		if len(w.samples) == 0 {
			continue
		}
		request = protowire.AppendTag(request, 1, protowire.BytesType)
		request = protowire.AppendVarint(request, uint64(len(w.labels)+len(w.samples)))
		request = append(append(request, w.labels...), w.samples...)
		w.samples = w.samples[:0]
	}
	if len(request) == 0 {
		return
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/v1/write", bytes.NewReader(unpacked(request)))
	if err != nil {
		tb.Fatal(err)
	}
	post.Header.Set("Content-Type", "application/x-protobuf")
	post.Header.Set("Content-Encoding", "snappy")
	post.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	answer, err := http.DefaultClient.Do(post)
	if err != nil {
		tb.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if cmp.Or(answer.StatusCode, http.StatusOK) >= 300 || err != nil {
		tb.Fatalf("remote write: %s: %s, %v", answer.Status, text, err)
	}
}

// unpacked is data in Snappy's block format, as literals only.
func unpacked(data []byte) []byte {
	out := protowire.AppendVarint(nil, uint64(len(data)))
	for len(data) > 0 {
		n := min(len(data), 1<<16)
		// A literal with two bytes of length (format description, section 2.1).
		out = append(out, 61<<2, byte(n-1), byte((n-1)>>8))
		out = append(out, data[:n]...)
		data = data[n:]
	}
	return out
}
