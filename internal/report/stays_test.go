package report

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

// TestStays holds that stays tells what each would: of series that change, begin, end or have
// gaps, at steps of any phase.
func TestStays(t *testing.T) {
	t.Parallel()
	ctx, since := context.Background(), monday
	dice := rand.New(rand.NewPCG(1, 2))
	var list []fakeSeries
	for i := range 6 {
		// What each was from one time to the next; negative: it was not there.
		var from []time.Time
		var was []float64
		for at := since; at.Before(since.Add(10 * time.Hour)); at = at.Add(time.Duration(1+dice.IntN(1+60*i)) * time.Minute) {
			from, was = append(from, at), append(was, float64(dice.IntN(4)-1))
		}
		s := always(0, "instance", fmt.Sprint(i))
		s.at = func(at time.Time) (float64, bool) {
			n, found := slices.BinarySearchFunc(from, at, time.Time.Compare)
			if !found {
				n--
			}
			return was[max(n, 0)], n >= 0 && was[n] >= 0
		}
		list = append(list, s)
	}
	list = append(list, always(7, "instance", "7"))
	c := fakePrometheus(t, map[string][]fakeSeries{"some": list})
	for _, r := range []Span{
		{since, since.Add(10 * time.Hour)},
		{since.Add(7 * time.Minute), since.Add(8*time.Hour + 30*time.Second)},
		{since.Add(time.Second), since.Add(3 * time.Hour)}, // there are no panes
		{since, since.Add(20 * time.Minute)},               // no whole one
		{since, since},
	} {
		want, got := map[string]float64{}, map[string]float64{}
		err := c.each(ctx, "some", r.Start, r.End, time.Minute, func(matrix model.Matrix) {
			for _, stream := range matrix {
				for _, pair := range stream.Values {
					want[fmt.Sprint(stream.Metric, pair.Timestamp)] = float64(pair.Value)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		stayed, err := c.stays(ctx, "some", r.Start, r.End, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range stayed {
			for i, is := range s.stays {
				if i > 0 && !is.first.After(s.stays[i-1].last) || is.last.Before(is.first) {
					t.Errorf("%v: from %v to %v after %v", s.labels, is.first, is.last, s.stays[max(i-1, 0)].last)
				}
				for at := is.first; !at.After(is.last); at = at.Add(time.Minute) {
					got[fmt.Sprint(s.labels, model.TimeFromUnixNano(at.UnixNano()))] = is.value
				}
			}
			if s.labels["instance"] == "7" && len(s.stays) != 1 {
				t.Errorf("%d stays of what never changes", len(s.stays))
			}
		}
		if diff := differing(want, got); diff != "" {
			t.Errorf("from %v to %v: %s", r.Start, r.End, diff)
		}
	}
}

// differing says what is not the same in two maps; empty: nothing.
func differing(want, got map[string]float64) string {
	if len(want) != len(got) {
		return fmt.Sprintf("%d values, want %d", len(got), len(want))
	}
	for k, v := range want {
		if n, ok := got[k]; !ok || n != v {
			return fmt.Sprintf("%s: %v (there: %v), want %v", k, n, ok, v)
		}
	}
	return ""
}
