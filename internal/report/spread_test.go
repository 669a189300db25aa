package report

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

func TestClassicQuantiles(t *testing.T) {
	s := classicSpread(map[string]float64{"0.5": 10, "1": 90, "2.5": 98, "+Inf": 100})
	q := s.quantiles()
	if q == nil || q.Count != 100 {
		t.Fatalf("quantiles %+v, want those of 100", q)
	}
	// histogram_quantile says the same: evenly within the bucket.
	if want := (Quantile{750 * time.Millisecond, 500 * time.Millisecond, time.Second}); q.P50 != want {
		t.Errorf("p50 %+v, want %+v", q.P50, want)
	}
	if want := (Quantile{1937500 * time.Microsecond, time.Second, 2500 * time.Millisecond}); q.P95 != want {
		t.Errorf("p95 %+v, want %+v", q.P95, want)
	}
	if want := (Quantile{Value: 2500 * time.Millisecond, Low: 2500 * time.Millisecond}); q.P99 != want || !q.P99.Beyond() {
		t.Errorf("p99 %+v, want %+v", q.P99, want)
	}
	if q := classicSpread(map[string]float64{"1": 0, "+Inf": 0}).quantiles(); q != nil {
		t.Errorf("of nothing: %+v", q)
	}
}

// TestMixedQuantiles adds a native and a classic histogram: the ends hold for both.
func TestMixedQuantiles(t *testing.T) {
	s := classicSpread(map[string]float64{"1": 0, "2.5": 10, "+Inf": 10})
	s.add(nativeSpread(nil, nativeOf([3]float64{1.9, 2.1, 10})))
	q := s.quantile(.5)
	if q.Low != time.Second || q.High != 2100*time.Millisecond || q.Value < 1900*time.Millisecond || q.Value > 2100*time.Millisecond {
		t.Errorf("p50 %+v, want about 2 s, from 1 s to 2.1 s", q)
	}
	if !s.native || !s.classic {
		t.Error("it does not know of what it is made")
	}
}

// nativeOf is a native histogram of buckets: lower, upper, count.
func nativeOf(buckets ...[3]float64) *model.SampleHistogram {
	h := &model.SampleHistogram{}
	for _, b := range buckets {
		h.Buckets = append(h.Buckets, &model.HistogramBucket{Lower: model.FloatString(b[0]), Upper: model.FloatString(b[1]), Count: model.FloatString(b[2])})
		h.Count += model.FloatString(b[2])
	}
	return h
}

func TestNativeSpread(t *testing.T) {
	for _, c := range []struct {
		name     string
		was, now *model.SampleHistogram
		want     map[bucket]float64
	}{
		{"new", nil, nativeOf([3]float64{1, 2, 5}), map[bucket]float64{{1, 2}: 5}},
		{"grown", nativeOf([3]float64{1, 2, 5}), nativeOf([3]float64{1, 2, 7}, [3]float64{2, 4, 1}), map[bucket]float64{{1, 2}: 2, {2, 4}: 1}},
		{"merged buckets", nativeOf([3]float64{1, 2, 5}, [3]float64{2, 4, 3}), nativeOf([3]float64{1, 4, 10}), map[bucket]float64{{1, 4}: 2}},
		{"around zero", nativeOf([3]float64{-.1, .1, 1}), nativeOf([3]float64{-.1, .1, 3}), map[bucket]float64{{0, .1}: 2}},
		{"begun anew", nativeOf([3]float64{1, 2, 5}), nativeOf([3]float64{1, 2, 3}), map[bucket]float64{{1, 2}: 3}},
		{"begun anew, and more in all", nativeOf([3]float64{1, 2, 5}), nativeOf([3]float64{4, 8, 9}), map[bucket]float64{{4, 8}: 9}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := nativeSpread(c.was, c.now)
			for b, n := range c.want {
				i := slices.IndexFunc(got.in, func(f filled) bool { return f.bucket == b })
				if i < 0 || got.in[i].n != n {
					t.Errorf("bucket %v is not in %v with %v", b, got.in, n)
				}
			}
			var want float64
			for _, n := range c.want {
				want += n
			}
			if math.Abs(got.total()-want) > 1e-9 {
				t.Errorf("%v in all, want %v", got.total(), want)
			}
		})
	}
}

func TestPoints(t *testing.T) {
	p := Period{Since: monday, Until: monday.Add(10 * time.Hour)}
	spreads := map[int64]*spread{}
	for h := 1; h <= 10; h++ {
		spreads[p.Since.Add(time.Duration(h)*time.Hour).UnixMilli()] = classicSpread(map[string]float64{"1": 0, "2": 40, "+Inf": 40})
	}
	// An outage of a minute in the fifth hour.
	gaps := []Gap{{GapOutage, Span{monday.Add(270 * time.Minute), monday.Add(271 * time.Minute)}}}
	var got []int64
	for _, point := range points(p, time.Hour, spreads, gaps) {
		got = append(got, point.Count, int64(point.Start.Sub(monday)/time.Hour), int64(point.End.Sub(monday)/time.Hour))
		if gaps[0].overlap(point.Start, point.End) > 0 {
			t.Errorf("the point from %v to %v is in the gap", point.Start, point.End)
		}
		if point.P50 != 1500*time.Millisecond {
			t.Errorf("median %v, want 1.5 s", point.P50)
		}
	}
	want := []int64{120, 0, 3, 40, 3, 4, 120, 5, 8, 80, 8, 10}
	if len(got) != len(want) {
		t.Fatalf("points (count, start, end) %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("points (count, start, end) %v, want %v", got, want)
		}
	}
}

func TestWindowOf(t *testing.T) {
	week := 7 * 24 * time.Hour
	for runs, want := range map[float64]time.Duration{
		80_000: 2 * time.Minute, 1e6: 2 * time.Minute, 20_000: 10 * time.Minute, 100: time.Hour, 0: time.Hour,
	} {
		if got := windowOf(runs, week); got != want {
			t.Errorf("of %v runs in a week: %v, want %v", runs, got, want)
		}
	}
}

// TestOtherBuckets holds that the buckets of a life are not mixed with others of another life.
func TestOtherBuckets(t *testing.T) {
	var all []grown
	for life, by := range []map[string]float64{{"1": 50, "5": 100, "+Inf": 100}, {"2": 0, "5": 100, "+Inf": 100}} {
		for le, n := range by {
			all = append(all, grown{life: life, by: n, labels: model.Metric{
				model.MetricNameLabel: familySteps + bucketSuffix, "step": "order", "le": model.LabelValue(le), "location": "fra",
			}})
		}
	}
	got := together(countedOf(all).spreads[familySteps]["order"]).quantiles()
	if got.Count != 200 || got.P50.Low != time.Second || got.P50.High != 5*time.Second {
		t.Errorf("%+v, want a median of 200 between 1 s and 5 s", got)
	}
}
