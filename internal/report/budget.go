package report

import (
	"cmp"
	"context"
	"slices"

	"github.com/prometheus/common/model"
)

// budgets puts in what the locations have left of the limits.
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
