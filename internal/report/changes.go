package report

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

const (
	// changeStep is how far apart the times are at which metrics are asked when the directory
	// has changed last: of several changes within it the last one is seen, and all are counted.
	changeStep = 5 * time.Minute
	// sameChange is how long after the first exporter another one may see a change.
	sameChange = 24 * time.Hour
	// changesTold is how many changes an exporter keeps, see docs/api.md.
	changesTold = 50
	// sameTime is how much a time can differ between metrics and the API.
	sameTime = time.Millisecond
)

// seenChange is a change of a directory as one exporter has seen it.
type seenChange struct {
	at time.Time
	by exporter
	// count is how many there were of which this is the last one that metrics tell; 0: it is
	// from the exporter.
	count  int64
	fields []Field // empty: it is from metrics
}

// changesFromMetrics are those of which metrics tell, in no order.
func (m *maker) changesFromMetrics(ctx context.Context, of key) ([]seenChange, error) {
	type first struct {
		by exporter
		at model.Time
	}
	const by = "max by (job, instance, location) "
	read := func(name string, do func(by exporter, pair model.SamplePair)) error {
		return m.client.each(ctx, by+"("+name+"{"+of.matchers()+"})", m.Period.Since, m.Period.Until.Add(changeStep), changeStep, func(matrix model.Matrix) {
			for _, stream := range matrix {
				for _, pair := range stream.Values {
					do(exporterOf(stream.Metric), pair)
				}
			}
		})
	}
	var list []seenChange
	shown := map[first]int{} // at which look, and which of the list
	last := map[exporter]model.SampleValue{}
	err := read("acme_directory_last_change_timestamp_seconds", func(by exporter, pair model.SamplePair) {
		if pair.Value == last[by] {
			return
		}
		last[by] = pair.Value
		at := seconds(float64(pair.Value)).Round(sameTime)
		had := slices.ContainsFunc(list, func(s seenChange) bool { return s.by == by && s.at.Equal(at) })
		if !had && !at.Before(m.Period.Since) && at.Before(m.Period.Until) {
			shown[first{by, pair.Timestamp}] = len(list)
			list = append(list, seenChange{at: at, by: by, count: 1})
		}
	})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	counted := map[exporter]model.SampleValue{}
	err = read("acme_directory_changes_total", func(by exporter, pair model.SamplePair) {
		before, known := counted[by]
		counted[by] = pair.Value
		if i, ok := shown[first{by, pair.Timestamp}]; ok && known && pair.Value > before {
			list[i].count = int64(pair.Value - before)
		}
	})
	return list, err
}

// changes are those of the directory in the period: what the exporters told, and what metrics
// tell of all others and of what these have forgotten.
func (m *maker) changes(of key, seen []seenChange, told []told) []Change {
	list := slices.Clone(seen)
	for _, x := range told {
		own := x.from.changes[of]
		if len(own) >= changesTold && own[0].at.After(m.Period.Since) {
			m.miss(Missing{
				Kind: MissingChanges, Target: of.target, Environment: of.environment, Location: x.location(), Spans: []Span{{m.Period.Since, own[0].at}},
				Text: fmt.Sprintf("The directory of %s has changed so often that %s does not know all of it any more.", of.target, x.from.URL),
			})
		}
		list = slices.DeleteFunc(list, func(s seenChange) bool {
			if slices.Contains(x.exporters, s.by) {
				return len(own) > 0 && !s.at.Before(own[0].at.Add(-sameTime))
			}
			// Prometheus scraped it by another name.
			return s.by.location == x.location() && slices.ContainsFunc(own, func(o seenChange) bool { return o.at.Sub(s.at).Abs() <= sameTime })
		})
		for _, o := range own {
			if !o.at.Before(m.Period.Since) && o.at.Before(m.Period.Until) {
				o.by = x.exporters[0]
				list = append(list, o)
			}
		}
	}
	return mergeChanges(list)
}

// mergeChanges makes one change of what exporters have seen of it. They see it within their
// intervals: what they see within a day of each other is the same, unless one of them sees two
// in it, or it is known that other fields have changed.
func mergeChanges(list []seenChange) []Change {
	slices.SortFunc(list, func(a, b seenChange) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.by.location, b.by.location), cmp.Compare(a.by.instance, b.by.instance), cmp.Compare(a.by.job, b.by.job))
	})
	var merged []Change
	next := map[exporter]int{} // which of merged is the first that each can see next
	for _, s := range list {
		find := func(so func(c Change) bool) int {
			for i := next[s.by]; i < len(merged); i++ {
				if s.at.Sub(merged[i].At) < sameChange && so(merged[i]) {
					return i
				}
			}
			return -1
		}
		i := find(func(c Change) bool { return slices.Equal(c.Fields, s.fields) })
		if i < 0 {
			i = find(func(c Change) bool { return len(c.Fields) == 0 || len(s.fields) == 0 })
		}
		if i < 0 {
			i, merged = len(merged), append(merged, Change{At: s.at.Truncate(time.Second)})
		}
		next[s.by] = i + 1
		c := &merged[i]
		if len(c.Fields) == 0 {
			c.Fields = s.fields
		}
		if c.Count = max(c.Count, s.count); len(c.Fields) > 0 || c.Count == 1 {
			c.Count = 0
		}
		if !slices.Contains(c.Locations, s.by.location) {
			c.Locations = append(c.Locations, s.by.location)
			slices.Sort(c.Locations)
		}
	}
	return merged
}
