package report

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// paneSteps is how many steps the server looks at together, to see whether anything
// changes in them: of what is all the same a range has one sample then, and not sixty.
const paneSteps = 60

// stay is that a series had a value at each step from first to last.
type stay struct {
	first, last time.Time
	value       float64
}

// stayed is a series, and what it was, in the order of time. A step that is in none of the
// stays is one at which it had no value.
type stayed struct {
	labels model.Metric
	stays  []stay
}

func (s *stayed) add(next stay, step time.Duration) {
	if n := len(s.stays); n > 0 && s.stays[n-1].value == next.value && s.stays[n-1].last.Add(step).Equal(next.first) {
		s.stays[n-1].last = next.last
		return
	}
	s.stays = append(s.stays, next)
}

// stays evaluates a query at since, since+step … before until, as each does, and returns the
// same in fewer words. Only where something changes it is read step by step.
func (c *client) stays(ctx context.Context, query string, since, until time.Time, step time.Duration) ([]*stayed, error) {
	found := map[model.Fingerprint]*stayed{}
	add := func(labels model.Metric, next stay) {
		print := labels.Fingerprint()
		if found[print] == nil {
			found[print] = &stayed{labels: labels}
		}
		found[print].add(next, step)
	}
	p := panesOf(since, until, step)
	// As many values as steps, and none that differs from the one before.
	all := p.over(query)
	_, uneven, err := c.even(ctx, "count_over_time"+all+" - changes"+all, p)
	if err != nil {
		return nil, err
	}
	err = c.each(ctx, query, p.first(), p.until, p.length(), func(matrix model.Matrix) {
		for _, stream := range matrix {
			for _, pair := range stream.Values {
				if last := pair.Timestamp.Time(); !uneven[pair.Timestamp] {
					add(stream.Metric, stay{last.Add(step - p.length()), last, float64(pair.Value)})
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	for _, rest := range p.rest(uneven, until) {
		err := c.each(ctx, query, rest.Start, rest.End, step, func(matrix model.Matrix) {
			for _, stream := range matrix {
				for _, pair := range stream.Values {
					at := pair.Timestamp.Time()
					add(stream.Metric, stay{at, at, float64(pair.Value)})
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]*stayed, 0, len(found))
	for _, s := range found {
		in := s.stays
		slices.SortFunc(in, func(a, b stay) int { return a.first.Compare(b.first) })
		s.stays = nil
		for _, next := range in {
			s.add(next, step)
		}
		list = append(list, s)
	}
	return list, nil
}

// panes are the whole ones of paneSteps steps in a range.
type panes struct {
	since, until time.Time // of them all
	step         time.Duration
}

// panesOf are those of a range. There is none if its steps are not those at which a server
// evaluates a subquery: multiples since 1970.
func panesOf(since, until time.Time, step time.Duration) panes {
	p := panes{since, since, step}
	if since.UnixNano()%int64(step) == 0 {
		p.until = since.Add(until.Sub(since) / p.length() * p.length())
	}
	return p
}

func (p panes) length() time.Duration { return paneSteps * p.step }

// first is the last step of the first pane: where a query over it is to be evaluated.
func (p panes) first() time.Time { return p.since.Add(p.length() - p.step) }

// over is a range of all steps of the pane that ends where it is evaluated. Whether the
// first moment of a range is in it depends on the server, so it is a little shorter.
func (p panes) over(query string) string {
	return fmt.Sprintf("((%s)[%s:%s])", query, model.Duration(p.length()-time.Millisecond), model.Duration(p.step))
}

// even evaluates a query at the end of each pane, and tells by these ends for which series the
// answer is paneSteps, and the panes in which it is anything else for one of them.
func (c *client) even(ctx context.Context, query string, p panes) (even map[model.Time][]model.Metric, uneven map[model.Time]bool, err error) {
	even, uneven = map[model.Time][]model.Metric{}, map[model.Time]bool{}
	err = c.each(ctx, query, p.first(), p.until, p.length(), func(matrix model.Matrix) {
		for _, stream := range matrix {
			for _, pair := range stream.Values {
				if pair.Value == paneSteps {
					even[pair.Timestamp] = append(even[pair.Timestamp], stream.Metric)
				} else {
					uneven[pair.Timestamp] = true
				}
			}
		}
	})
	for last := range uneven {
		delete(even, last)
	}
	return even, uneven, err
}

// rest is what is to be read step by step: the panes that are uneven, by their last steps,
// and what comes after all panes.
func (p panes) rest(uneven map[model.Time]bool, until time.Time) []Span {
	var spans []Span
	add := func(s Span) {
		if n := len(spans); n > 0 && spans[n-1].End.Equal(s.Start) {
			spans[n-1].End = s.End
		} else if s.Start.Before(s.End) {
			spans = append(spans, s)
		}
	}
	for last := p.first(); last.Before(p.until); last = last.Add(p.length()) {
		if uneven[model.TimeFromUnixNano(last.UnixNano())] {
			add(Span{last.Add(p.step - p.length()), last.Add(p.step)})
		}
	}
	add(Span{p.until, until})
	return spans
}
