package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// twins are exporters that two jobs scrape at the same time, each by the one whose series count.
type twins map[exporter]exporter

// fold returns the lives that count, in order: one of each process, however many jobs scrape it. The
// jobs see the same counters, so that what one of them has missed the other one knows.
func fold(lives []life) ([]life, twins) {
	same := func(a, b life) bool {
		return a.of.instance == b.of.instance && a.of.location == b.of.location && !a.born.IsZero() && !b.born.IsZero() && a.born.Sub(b.born).Abs() <= clockSlack
	}
	of := twins{}
	for i, a := range lives {
		for _, b := range lives[i+1:] {
			if a.of == b.of || !same(a, b) || of.counts(b.of) != b.of {
				continue
			}
			from, to := later(a.first(), b.first()), a.last()
			if b.last().Before(to) {
				to = b.last()
			}
			// A job of another name begins while the samples of the old one are not yet too old.
			if to.Sub(from) > 2*lookBack {
				of[b.of] = of.counts(a.of)
			}
		}
	}
	if len(of) == 0 {
		return lives, of
	}
	all := slices.Clone(lives)
	for i := range all {
		all[i].of = of.counts(all[i].of)
	}
	slices.SortStableFunc(all, inOrder)
	var folded []life
	for _, l := range all {
		if n := len(folded); n > 0 && folded[n-1].of == l.of && same(folded[n-1], l) {
			folded[n-1].seen = united(slices.Concat(folded[n-1].seen, l.seen))
			continue
		}
		folded = append(folded, l)
	}
	return folded, of
}

// counts is the exporter that counts for e: mostly e itself.
func (t twins) counts(e exporter) exporter {
	if other, ok := t[e]; ok {
		return other
	}
	return e
}

// united are spans, of which those are one that overlap, or between which nothing is.
func united(spans []Span) []Span {
	slices.SortFunc(spans, func(a, b Span) int { return a.Start.Compare(b.Start) })
	var list []Span
	for _, s := range spans {
		if n := len(list); n > 0 && s.Start.Sub(list[n-1].End) < 2*lifeStep {
			list[n-1].End = later(list[n-1].End, s.End)
		} else {
			list = append(list, s)
		}
	}
	return list
}

// once is a query for what is counted in a window, without what exporters have as twins while
// those are there that count.
func (t twins) once(query string, window time.Duration) string {
	instances := map[[2]string][]string{} // by both jobs
	for e, counts := range t {
		jobs := [2]string{e.job, counts.job}
		instances[jobs] = append(instances[jobs], e.instance)
	}
	var without []string
	for _, jobs := range slices.SortedFunc(maps.Keys(instances), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		list := instances[jobs]
		slices.Sort(list)
		list = slices.Compact(list)
		there := func(job string) string {
			return fmt.Sprintf("last_over_time(acme_exporter_build_info{%s,instance=~%s}[%s])", matcher("job", job), oneOf(list), model.Duration(window))
		}
		without = append(without, there(jobs[0])+" and on (instance, location) "+there(jobs[1]))
	}
	if without == nil {
		return query
	}
	return query + " unless on (job, instance, location) (" + strings.Join(without, " or ") + ")"
}
