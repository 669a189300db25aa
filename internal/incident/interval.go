package incident

import (
	"slices"
	"sort"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// far is the end of what has not ended.
var far = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// intervals are in order, not empty, and neither overlap nor touch.
type intervals []probe.Interval

// union returns what is in any of all; those that end before they begin are empty.
func union(all ...probe.Interval) intervals {
	sorted := slices.DeleteFunc(slices.Clone(all), func(i probe.Interval) bool { return !i.Start.Before(i.End) })
	slices.SortFunc(sorted, func(a, b probe.Interval) int { return a.Start.Compare(b.Start) })
	var u intervals
	for _, i := range sorted {
		if n := len(u); n > 0 && !u[n-1].End.Before(i.Start) {
			u[n-1].End = later(u[n-1].End, i.End)
			continue
		}
		u = append(u, i)
	}
	return u
}

// minus returns what is in a and not in b.
func (a intervals) minus(b intervals) intervals {
	var left intervals
	for _, i := range a {
		for len(b) > 0 && !b[0].End.After(i.Start) {
			b = b[1:]
		}
		for _, hole := range b {
			if !hole.Start.Before(i.End) {
				break
			}
			if i.Start.Before(hole.Start) {
				left = append(left, probe.Interval{Start: i.Start, End: hole.Start})
			}
			i.Start = hole.End
		}
		if i.Start.Before(i.End) {
			left = append(left, i)
		}
	}
	return left
}

// and returns what is in both.
func (a intervals) and(b intervals) intervals { return a.minus(a.minus(b)) }

// within adds up what is between from and to.
func (a intervals) within(from, to time.Time) (d time.Duration) {
	first := sort.Search(len(a), func(k int) bool { return a[k].End.After(from) })
	for _, i := range a[first:] {
		if !i.Start.Before(to) {
			break
		}
		d += max(earlier(i.End, to).Sub(later(i.Start, from)), 0)
	}
	return d
}

// length adds up how long they are.
func (a intervals) length() (d time.Duration) {
	for _, i := range a {
		d += i.End.Sub(i.Start)
	}
	return d
}

// later returns the later of two times, earlier the earlier one that is not zero.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
