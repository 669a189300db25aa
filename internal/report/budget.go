package report

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// budgets puts in what the locations have left of the limits.
func (m *maker) budgets(ctx context.Context, of key, t *Target) error {
	const remaining, capacity = "acme_rate_limit_remaining", "acme_rate_limit_capacity"
	entry := func(labels model.Metric) *Budget {
		limit, location := label(labels, "limit"), label(labels, "location")
		i := slices.IndexFunc(t.Budget, func(b Budget) bool { return b.Limit == limit && b.Location == location })
		if i < 0 {
			t.Budget = append(t.Budget, Budget{Limit: limit, Location: location})
			i = len(t.Budget) - 1
		}
		return &t.Budget[i]
	}
	read := func(query string, set func(b *Budget, s *model.Sample)) error {
		vector, err := m.client.instant(ctx, query, m.Period.Until)
		for _, s := range vector {
			set(entry(s.Metric), s)
		}
		return err
	}
	sel, long := "{"+of.matchers()+"}", "{"+of.matchers()+"}["+model.Duration(m.Period.Duration()).String()+"]"
	const by = "min by (limit, location) "
	err := read(by+"(min_over_time("+remaining+long+"))", func(b *Budget, s *model.Sample) { b.Lowest = new(float64(s.Value)) })
	if err != nil {
		return err
	}
	if err := read(by+"("+remaining+sel+")", func(b *Budget, s *model.Sample) { b.Remaining = new(float64(s.Value)) }); err != nil {
		return err
	}
	if err := read(by+"("+capacity+sel+")", func(b *Budget, s *model.Sample) { b.Capacity = float64(s.Value) }); err != nil {
		return err
	}
	slices.SortFunc(t.Budget, func(a, b Budget) int {
		return cmp.Or(cmp.Compare(a.Limit, b.Limit), cmp.Compare(a.Location, b.Location))
	})
	if !slices.ContainsFunc(t.Budget, func(b Budget) bool { return b.Lowest != nil && b.Remaining == nil }) {
		return nil
	}
	// Of what nobody tells any more, the exporters know that were there last, and not those before them.
	seen := map[[2]string]time.Time{}
	err = read("last_over_time("+remaining+long+")", func(b *Budget, s *model.Sample) {
		of, at, v := [2]string{b.Limit, b.Location}, m.lastSeen(exporterOf(s.Metric)), float64(s.Value)
		if was, ok := seen[of]; ok && at.Equal(was) {
			b.Remaining = new(min(v, *b.Remaining))
		} else if b.Remaining == nil || ok && at.After(was) {
			b.Remaining, seen[of] = &v, at
		}
	})
	if err != nil {
		return err
	}
	return read("last_over_time("+capacity+long+")", func(b *Budget, s *model.Sample) {
		if at, ok := seen[[2]string{b.Limit, b.Location}]; ok && at.Equal(m.lastSeen(exporterOf(s.Metric))) {
			b.Capacity = float64(s.Value)
		}
	})
}

// lastSeen is when an exporter was last there in the period; zero: never.
func (m *maker) lastSeen(e exporter) time.Time {
	var at time.Time
	for _, l := range m.lives {
		if l.of == e && l.first().Before(m.Period.Until) {
			at = l.lastBefore(m.Period.Until)
		}
	}
	return at
}
