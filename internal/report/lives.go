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
	until = until.Add(lifeStep)
	const by, info = "max by (job, instance, location) ", "last_over_time(acme_exporter_build_info[5m])"
	there, err := m.readExporters(ctx, by+"("+info+")", since, until)
	if err != nil {
		return nil, err
	}
	// Other programs have a start too.
	start := "last_over_time(process_start_time_seconds[5m]) and on (job, instance, location) " + info
	started, err := m.readExporters(ctx, by+"("+start+")", since, until)
	if err != nil {
		return nil, err
	}
	var lives []life
	for of, seen := range there {
		lives = append(lives, livesOf(of, seen, started[of])...)
	}
	slices.SortFunc(lives, inOrder)
	return lives, nil
}

// inOrder compares lives by their exporters, and those of one by their times.
func inOrder(a, b life) int {
	return cmp.Or(cmp.Compare(a.of.location, b.of.location), cmp.Compare(a.of.job, b.of.job), cmp.Compare(a.of.instance, b.of.instance), a.first().Compare(b.first()))
}

// readExporters evaluates a query, and returns what it was for each exporter.
func (m *maker) readExporters(ctx context.Context, query string, since, until time.Time) (map[exporter][]stay, error) {
	list, err := m.client.stays(ctx, query, since, until, lifeStep)
	by := map[exporter][]stay{}
	for _, s := range list {
		by[exporterOf(s.labels)] = s.stays
	}
	return by, err
}

// livesOf are those of an exporter, in order, by when it was there and when its process started.
func livesOf(of exporter, there, started []stay) []life {
	var lives []life
	var current *life
	for _, seen := range there {
		for when := seen.first; !when.After(seen.last); when = when.Add(lifeStep) {
			for len(started) > 0 && started[0].last.Before(when) {
				started = started[1:]
			}
			var born time.Time
			if len(started) > 0 && !started[0].first.After(when) {
				born = seconds(started[0].value)
			}
			switch {
			case current == nil:
				current = &life{of: of, born: born}
			case born.IsZero() || born.Sub(current.born).Abs() <= clockSlack:
			case born.After(current.last().Add(-2 * lookBack)):
				lives = append(lives, *current)
				current = &life{of: of, born: born}
			default:
				// It was there after that: its clock was set, and it counts on.
				current.born = born
			}
			if n := len(current.seen); n > 0 && when.Sub(current.last()) < 2*lifeStep {
				current.seen[n-1].End = when
			} else {
				current.seen = append(current.seen, Span{when, when})
			}
		}
	}
	if current != nil {
		lives = append(lives, *current)
	}
	return lives
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

// seconds is the time that many seconds after 1970.
func seconds(v float64) time.Time {
	whole, part := math.Modf(v)
	return time.Unix(int64(whole), int64(part*1e9)).UTC()
}
