package incident

import (
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Rules are the thresholds. Zero fields have their defaults; none is more than 10.
type Rules struct {
	// Confirmations is how many conclusive failures after the first one make a pair
	// down, if no success comes between; 0: 1, negative: none is needed.
	Confirmations int
	// Inconclusive failures among the last InconclusiveOf runs make it down as well;
	// 0: 3 of 5.
	Inconclusive, InconclusiveOf int
	// Successes in a row of the same pair close its incident; 0: 2.
	Successes int
}

// most bounds each threshold, since the runs that it counts are kept.
const most = 10

func (r Rules) withDefaults() Rules {
	set := func(v, preset, least int) int {
		if v == 0 {
			v = preset
		}
		return min(max(v, least), most)
	}
	r.Confirmations = set(r.Confirmations, 1, 0)
	r.Inconclusive = set(r.Inconclusive, 3, 1)
	r.InconclusiveOf = max(set(r.InconclusiveOf, 5, 1), r.Inconclusive)
	r.Successes = set(r.Successes, 2, 1)
	return r
}

// remembered is how many of a pair's last runs are needed to find the first
// failure of what opens an incident.
func (r Rules) remembered() int { return (r.Confirmations + 1) * r.InconclusiveOf }

// class is what a run says about the CA.
type class string

const (
	silent       class = "silent"       // nothing
	success      class = "success"      // it works
	conclusive   class = "conclusive"   // it does not, or cannot be reached
	inconclusive class = "inconclusive" // something does not work
)

func classify(v probe.Verdict) class {
	switch v.Outcome {
	case probe.OutcomeSuccess:
		return success
	case probe.OutcomeFailure:
		switch v.Fault {
		case probe.FaultCA, probe.FaultUnreachable:
			return conclusive
		case probe.FaultUnknown:
			return inconclusive
		}
	}
	return silent // skipped, and what is local or the client's
}

const (
	// windowLeast is the least time for which a run says how a pair is, windowTicks
	// that time in intervals of the pair.
	windowLeast = 2 * time.Minute
	windowTicks = 3
	// scrapedGap is what may lie between two runs that belong together, of a pair that
	// has no interval: nobody knows how often it will be scraped.
	scrapedGap = time.Hour
)

// window is how long after its end a run says how the pair is. Of a pair that is only
// scraped, its runs say how far they are apart; until there are two, nobody knows.
func (p *pairRecord) window() time.Duration {
	switch {
	case p.Interval > 0:
		return p.Pair.window()
	case p.Between == 0:
		return scrapedGap
	default:
		return min(max(windowTicks*p.Between, windowLeast), scrapedGap)
	}
}

func (p Pair) window() time.Duration { return max(windowTicks*p.Interval, windowLeast) }

// gap is how long after a run another one may start and still belong to it.
func (p Pair) gap() time.Duration {
	if p.Interval == 0 {
		return scrapedGap
	}
	return p.window()
}
