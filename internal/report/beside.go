package report

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// changeStep is how far apart the times are at which it is asked when the directory has
// changed last: of several changes within it the last one is seen.
const changeStep = 5 * time.Minute

// besides puts in what is known of budgets and directories.
func (m *maker) besides(ctx context.Context, of key, t *Target) error {
	if err := m.budgets(ctx, of, t); err != nil {
		return err
	}
	return m.changes(ctx, of, t)
}

func (m *maker) budgets(ctx context.Context, of key, t *Target) error {
	sel, long := "{"+of.matchers()+"}", model.Duration(m.Period.Duration()).String()
	entry := func(labels model.Metric) *Budget {
		limit, location := label(labels, "limit"), label(labels, "location")
		i := slices.IndexFunc(t.Budget, func(b Budget) bool { return b.Limit == limit && b.Location == location })
		if i < 0 {
			t.Budget = append(t.Budget, Budget{Limit: limit, Location: location})
			i = len(t.Budget) - 1
		}
		return &t.Budget[i]
	}
	const by = "min by (limit, location) "
	for _, q := range []struct {
		query string
		set   func(b *Budget, v float64)
	}{
		{by + "(last_over_time(acme_rate_limit_remaining" + sel + "[" + long + "]))", func(b *Budget, v float64) { b.Remaining = v }},
		{by + "(min_over_time(acme_rate_limit_remaining" + sel + "[" + long + "]))", func(b *Budget, v float64) { b.Lowest = v }},
		{by + "(last_over_time(acme_rate_limit_capacity" + sel + "[" + long + "]))", func(b *Budget, v float64) { b.Capacity = v }},
	} {
		vector, err := m.client.instant(ctx, q.query, m.Period.Until)
		if err != nil {
			return err
		}
		for _, s := range vector {
			q.set(entry(s.Metric), float64(s.Value))
		}
	}
	slices.SortFunc(t.Budget, func(a, b Budget) int {
		return cmp.Or(cmp.Compare(a.Limit, b.Limit), cmp.Compare(a.Location, b.Location))
	})
	return nil
}

// changes are those of the directory. Locations see one within their intervals: what they
// see within a day of each other is one change, if no exporter sees two in it.
func (m *maker) changes(ctx context.Context, of key, t *Target) error {
	type seen struct {
		at time.Time
		of exporter
	}
	var list []seen
	query := "max by (job, instance, location) (acme_directory_last_change_timestamp_seconds{" + of.matchers() + "})"
	err := m.client.each(ctx, query, m.Period.Since, m.Period.Until.Add(changeStep), changeStep, func(matrix model.Matrix) {
		for _, stream := range matrix {
			for _, pair := range stream.Values {
				s := seen{seconds(float64(pair.Value)).Truncate(time.Second), exporterOf(stream.Metric)}
				if !s.at.Before(m.Period.Since) && s.at.Before(m.Period.Until) && !slices.Contains(list, s) {
					list = append(list, s)
				}
			}
		}
	})
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b seen) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.of.location, b.of.location)) })
	by := map[exporter]bool{} // have seen the last change
	for _, s := range list {
		if n := len(t.Changes); n > 0 {
			last := &t.Changes[n-1]
			if s.at.Sub(last.At) < 24*time.Hour && !by[s.of] {
				by[s.of] = true
				if !slices.Contains(last.Locations, s.of.location) {
					last.Locations = append(last.Locations, s.of.location)
					slices.Sort(last.Locations)
				}
				continue
			}
		}
		by = map[exporter]bool{s.of: true}
		t.Changes = append(t.Changes, Change{At: s.at, Locations: []string{s.of.location}})
	}
	return nil
}
