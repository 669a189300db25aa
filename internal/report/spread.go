package report

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
)

// bucket is a range of durations in seconds: above low, up to high. One without an end
// has +Inf.
type bucket struct{ low, high float64 }

// spread says how many durations fell into which buckets. Those of different histograms
// can be added even where their buckets are not the same.
type spread struct {
	in      []filled // each bucket once, by its upper end and then by its lower one
	native  bool     // something native is in it
	classic bool     // something classic is in it
}

// filled is a bucket, and how many durations are in it.
type filled struct {
	bucket
	n float64
}

func (b bucket) compare(other bucket) int {
	return cmp.Or(cmp.Compare(b.high, other.high), cmp.Compare(b.low, other.low))
}

// put adds n durations to a bucket.
func (s *spread) put(b bucket, n float64) {
	i, found := slices.BinarySearchFunc(s.in, b, func(f filled, b bucket) int { return f.compare(b) })
	if found {
		s.in[i].n += n
		return
	}
	s.in = slices.Insert(s.in, i, filled{b, n})
}

func (s *spread) add(other *spread) {
	for _, f := range other.in {
		s.put(f.bucket, f.n)
	}
	s.native, s.classic = s.native || other.native, s.classic || other.classic
}

// total is how many durations there are.
func (s *spread) total() float64 {
	var n float64
	for _, f := range s.in {
		n += f.n
	}
	return n
}

// nativeSpread is what came to a native histogram; was is nil if it was not there.
// Its buckets may have been merged since: those of now contain those of before. A count
// that has fallen has begun anew.
func nativeSpread(was, now *model.SampleHistogram) *spread {
	s := &spread{native: true, in: make([]filled, 0, len(now.Buckets))}
	for _, b := range now.Buckets {
		// The one around zero reaches below it, which no duration does.
		s.put(bucket{max(float64(b.Lower), 0), float64(b.Upper)}, float64(b.Count))
	}
	if was == nil || was.Count > now.Count {
		return s
	}
	for _, b := range was.Buckets {
		// The bucket of now that has the middle of the one of before.
		middle := (max(float64(b.Lower), 0) + float64(b.Upper)) / 2
		i := sort.Search(len(s.in), func(i int) bool { return s.in[i].high >= middle })
		if i == len(s.in) || s.in[i].low > middle || s.in[i].n < float64(b.Count)-0.5 {
			return nativeSpread(nil, now)
		}
		s.in[i].n -= float64(b.Count)
	}
	return s
}

// classicSpread is what came to the buckets of a classic histogram, which are cumulative:
// by how much each grew, by its label le.
func classicSpread(cumulative map[string]float64) *spread {
	s := &spread{classic: true}
	type upTo struct{ le, n float64 }
	var list []upTo
	for le, n := range cumulative {
		if v, err := strconv.ParseFloat(le, 64); err == nil {
			list = append(list, upTo{v, n})
		}
	}
	slices.SortFunc(list, func(a, b upTo) int { return cmp.Compare(a.le, b.le) })
	last := upTo{}
	for _, u := range list {
		s.put(bucket{last.le, u.le}, max(u.n-last.n, 0))
		last = upTo{u.le, max(u.n, last.n)}
	}
	return s
}

// quantiles are nil where there is nothing.
func (s *spread) quantiles() *Quantiles {
	n := int64(math.Round(s.total()))
	if n <= 0 {
		return nil
	}
	return &Quantiles{Count: n, P50: s.quantile(.5), P95: s.quantile(.95), P99: s.quantile(.99)}
}

// quantile estimates it as histogram_quantile does: the durations are spread evenly
// within a classic bucket. Low and High hold wherever in their buckets they are.
func (s *spread) quantile(q float64) Quantile {
	low := s.weighted(q, func(b bucket) float64 { return b.low })
	high := s.weighted(q, func(b bucket) float64 { return b.high })
	if math.IsInf(high, 1) {
		return Quantile{Value: duration(low), Low: duration(low)}
	}
	target := q * s.total()
	from, to := low, high
	for range 60 {
		middle := (from + to) / 2
		if s.below(middle) < target {
			from = middle
		} else {
			to = middle
		}
	}
	return Quantile{Value: duration(to), Low: duration(low), High: max(duration(high), time.Microsecond)}
}

// weighted is the quantile of one end of the buckets.
func (s *spread) weighted(q float64, end func(bucket) float64) float64 {
	sorted := slices.SortedStableFunc(slices.Values(s.in), func(a, b filled) int { return cmp.Compare(end(a.bucket), end(b.bucket)) })
	target, sum, last := q*s.total(), 0.0, 0.0
	for _, f := range sorted {
		if f.n <= 0 {
			continue
		}
		sum, last = sum+f.n, end(f.bucket)
		if sum >= target {
			break
		}
	}
	return last
}

// below estimates how many durations are not longer than v seconds.
func (s *spread) below(v float64) float64 {
	var n float64
	for _, f := range s.in {
		switch {
		case v >= f.high:
			n += f.n
		case v > f.low:
			n += f.n * f.part(v)
		}
	}
	return n
}

// part is which part of a bucket's durations is not longer than v, which is in it. Native
// buckets, which are narrow, grow by a factor: so does what is in them.
func (b bucket) part(v float64) float64 {
	const narrow = 1.5
	if b.low > 0 && b.high/b.low < narrow {
		return math.Log(v/b.low) / math.Log(b.high/b.low)
	}
	return (v - b.low) / (b.high - b.low)
}

// duration of seconds, to the microsecond.
func duration(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds*1e6)) * time.Microsecond
}
