package incident

import (
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Share says how a time was spent. Its parts add up to To - From.
type Share struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Up, Degraded and Down are known; Unknown is neither up nor down.
	Up       time.Duration `json:"up_ns"`
	Degraded time.Duration `json:"degraded_ns"`
	Down     time.Duration `json:"down_ns"`
	Unknown  time.Duration `json:"unknown_ns"`
}

// Available returns which part of the known time was not down, between 0 and 1;
// not ok: nothing is known.
func (s Share) Available() (part float64, ok bool) {
	known := s.Up + s.Degraded + s.Down
	if known <= 0 {
		return 0, false
	}
	return float64(s.Up+s.Degraded) / float64(known), true
}

// Availability says how the time between from and to was spent. The incidents are
// those of one target, or of one pair; others among them must not be. A closed one
// counts whole. An open one counts to its last failure, and after that as long as
// the condition is known.
func Availability(incidents []*probe.Incident, known []probe.Interval, from, to time.Time) Share {
	return spend(incidents, known).share(from, to)
}

// Bars is Availability for each step of the time between from and to, the last of
// which may be shorter; at most 10,000.
func Bars(incidents []*probe.Incident, known []probe.Interval, from, to time.Time, step time.Duration) []Share {
	var bars []Share
	s := spend(incidents, known)
	for step > 0 && from.Before(to) && len(bars) < 10_000 {
		next := earlier(from.Add(step), to)
		bars = append(bars, s.share(from, next))
		from = next
	}
	return bars
}

// spent are the times of each condition, without overlap.
type spent struct{ up, degraded, down intervals }

func spend(incidents []*probe.Incident, known []probe.Interval) spent {
	seen := union(known...)
	var down, degraded []probe.Interval
	for _, i := range incidents {
		list := i.Phases
		if i.Kind == probe.IncidentPair {
			list = []probe.IncidentPhase{{Condition: i.Condition, Start: i.Start, End: i.End}}
		}
		for _, p := range list {
			add := intervals{{Start: p.Start, End: p.End}}
			if p.End.IsZero() {
				add = append(intervals{{Start: p.Start, End: far}}.and(seen), probe.Interval{Start: p.Start, End: i.LastFailure})
			}
			if p.Condition == probe.ConditionDown {
				down = append(down, add...)
			} else {
				degraded = append(degraded, add...)
			}
		}
	}
	var s spent
	s.down = union(down...)
	s.degraded = union(degraded...).minus(s.down)
	s.up = seen.minus(s.down).minus(s.degraded)
	return s
}

func (s spent) share(from, to time.Time) Share {
	r := Share{From: from, To: to, Up: s.up.within(from, to), Degraded: s.degraded.within(from, to), Down: s.down.within(from, to)}
	r.Unknown = max(to.Sub(from), 0) - r.Up - r.Degraded - r.Down
	return r
}
