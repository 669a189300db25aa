package report

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

const (
	// lifeStep is how far apart the times are at which it is asked which exporters are
	// there; lookBack is how old a sample can be that is still taken for now.
	lifeStep = time.Minute
	lookBack = 5 * time.Minute
	// clockSlack is how much the start of a process can seem to move without a restart.
	clockSlack = 3 * time.Second
)

// exporter is one of the processes that are scraped, as its labels tell.
type exporter struct{ job, instance, location string }

func exporterOf(labels model.Metric) exporter {
	return exporter{string(labels["job"]), string(labels["instance"]), string(labels["location"])}
}

// life is the time in which the counters of an exporter only grow.
type life struct {
	of exporter
	// born is when the process started; zero: not known.
	born time.Time
	// seen are the times, in order and never empty, in which it had been scraped within
	// lookBack: at both ends of each too.
	seen []Span
}

func (l life) first() time.Time { return l.seen[0].Start }

func (l life) last() time.Time { return l.seen[len(l.seen)-1].End }

// lastBefore is when it was last seen at or before t; it was seen then.
func (l life) lastBefore(t time.Time) time.Time {
	at := l.first()
	for _, s := range l.seen {
		switch {
		case s.Start.After(t):
			return at
		case s.End.After(t):
			return t
		}
		at = s.End
	}
	return at
}

// readLives asks which exporters were there, and when they were restarted, in order.
func (m *maker) readLives(ctx context.Context, since, until time.Time) ([]life, error) {
	type sighting struct {
		there bool
		born  time.Time
	}
	seen := map[exporter]map[model.Time]*sighting{}
	read := func(query string, set func(s *sighting, v time.Time)) error {
		return m.client.each(ctx, query, since, until.Add(lifeStep), lifeStep, func(matrix model.Matrix) {
			for _, stream := range matrix {
				of := exporterOf(stream.Metric)
				if seen[of] == nil {
					seen[of] = map[model.Time]*sighting{}
				}
				for _, pair := range stream.Values {
					s := seen[of][pair.Timestamp]
					if s == nil {
						s = &sighting{}
						seen[of][pair.Timestamp] = s
					}
					set(s, seconds(float64(pair.Value)))
				}
			}
		})
	}
	const by, info = "max by (job, instance, location) ", "last_over_time(acme_exporter_build_info[5m])"
	if err := read(by+"("+info+")", func(s *sighting, _ time.Time) { s.there = true }); err != nil {
		return nil, err
	}
	// Other programs have a start too.
	start := "last_over_time(process_start_time_seconds[5m]) and on (job, instance, location) " + info
	if err := read(by+"("+start+")", func(s *sighting, v time.Time) { s.born = v }); err != nil {
		return nil, err
	}
	var lives []life
	for of, sightings := range seen {
		var current *life
		for _, at := range sorted(sightings) {
			s, when := sightings[at], at.Time()
			if !s.there {
				continue
			}
			switch {
			case current == nil:
				current = &life{of: of, born: s.born}
			case s.born.IsZero() || s.born.Sub(current.born).Abs() <= clockSlack:
			case s.born.After(current.last().Add(-2 * lookBack)):
				lives = append(lives, *current)
				current = &life{of: of, born: s.born}
			default:
				// It was there after that: its clock was set, and it counts on.
				current.born = s.born
			}
			if n := len(current.seen); n > 0 && when.Sub(current.last()) < 2*lifeStep {
				current.seen[n-1].End = when
			} else {
				current.seen = append(current.seen, Span{when, when})
			}
		}
		if current != nil {
			lives = append(lives, *current)
		}
	}
	slices.SortFunc(lives, func(a, b life) int {
		return cmp.Or(cmp.Compare(a.of.location, b.of.location), cmp.Compare(a.of.job, b.of.job), cmp.Compare(a.of.instance, b.of.instance), a.first().Compare(b.first()))
	})
	return lives, nil
}

// stretch is the part of a life that is in a period: what counters grew in it is their
// value at end less that at begin.
type stretch struct {
	of exporter
	// begin is when to read what had been counted before; zero: nothing had.
	begin time.Time
	// end is when to read what has been counted.
	end time.Time
	// late is when to read that once more, since there can have been samples between end
	// and a restart; zero: not. What was counted is the greater one.
	late time.Time
	// first is when it was first there in the period, or just before it.
	first time.Time
}

// stretches are those of the lives that are in a period.
func stretches(lives []life, p Period) []stretch {
	var list []stretch
	for i, l := range lives {
		if l.last().Before(p.Since) || !l.first().Before(p.Until) {
			continue
		}
		s := stretch{of: l.of, end: l.lastBefore(p.Until), first: l.first()}
		if s.first.Before(p.Since) {
			s.first = l.lastBefore(p.Since)
		}
		if i+1 < len(lives) && lives[i+1].of == l.of {
			// Where the exporter's clock is ahead, samples of the next life come before its start.
			next := lives[i+1]
			if next.born.After(s.end) && next.born.Before(p.Until) && next.born.Before(s.end.Add(2*lifeStep)) && !next.first().Before(next.born) {
				s.late = next.born
			}
		}
		if l.born.IsZero() || l.born.Before(p.Since) || renamed(lives, l) {
			s.begin = s.first
		}
		list = append(list, s)
	}
	return list
}

// renamed reports whether the life is of a process that was scraped before with other
// labels, so that what it had counted by then is counted there.
func renamed(lives []life, l life) bool {
	return slices.ContainsFunc(lives, func(o life) bool {
		return o.of != l.of && !o.born.IsZero() && o.born.Sub(l.born).Abs() <= clockSlack &&
			o.first().Before(l.first()) && !o.last().After(l.first().Add(lookBack+lifeStep))
	})
}

// sorted are the keys of a map of times, in order.
func sorted[V any](of map[model.Time]V) []model.Time {
	keys := make([]model.Time, 0, len(of))
	for k := range of {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// seconds is the time that many seconds after 1970.
func seconds(v float64) time.Time {
	whole, part := math.Modf(v)
	return time.Unix(int64(whole), int64(part*1e9)).UTC()
}
