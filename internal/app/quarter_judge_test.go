package app

import (
	"maps"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// report writes down what happened.
func (q *quarter) report() {
	ours := q.ours()
	fresh, by := 0, map[string]int{}
	for _, i := range ours {
		if i.fresh {
			fresh++
		}
	}
	for _, s := range q.skips {
		by[s.limit.Limit]++
	}
	q.t.Logf("%d orders, ours and others'; %d certificates of ours, %d of them for new sets; runs %v; %d of issue held back by our budget %v; %d ticks missed; %d runs cut by crashes, %d drained",
		q.ca.orders, len(ours), fresh, q.runs, len(q.skips), by, q.missed, q.cut, q.drained)
	q.t.Logf("429: ours %d %v, others %v", q.ca.refusals(quarterOurs), q.ca.refused[quarterOurs], q.ca.refused[quarterOthers])
}

// ours are our certificates, in order.
func (q *quarter) ours() []quarterIssuance {
	return slices.DeleteFunc(slices.Clone(q.ca.issuances), func(i quarterIssuance) bool { return i.account != quarterOurs })
}

// neverRefused: neither we nor who shares the domain with us were answered 429, and
// nothing was paused.
func (q *quarter) neverRefused() {
	if len(q.ca.refused) > 0 || q.ca.over > 0 || len(q.ca.paused) > 0 {
		q.t.Errorf("429: %v; %d certificates over a limit; paused: %v", q.ca.refused, q.ca.over, slices.Collect(maps.Keys(q.ca.paused)))
	}
	if q.cut < 5 || q.drained == 0 {
		q.t.Errorf("%d runs were cut, %d found what they had left behind: too few crashes", q.cut, q.drained)
	}
}

// rested: names that failed were left alone for 12 minutes, though somebody asked
// for a run every five, and the CA was tried all the while.
func (q *quarter) rested() {
	again := 0
	for name, failures := range q.ca.failures {
		for i := 1; i < len(failures); i++ {
			again++
			if gap := failures[i].Sub(failures[i-1]); gap < 12*time.Minute {
				q.t.Errorf("%s failed at %v and %v after that", name, failures[i-1].Sub(q.begun), gap)
			}
		}
	}
	for _, o := range quarterOutages {
		from := q.begun.Add(o.at)
		tried := 0
		for _, at := range q.starts {
			if at.After(from) && at.Before(from.Add(o.lasts)) {
				tried++
			}
		}
		q.t.Logf("outage of %v: %d runs of issue", o.lasts, tried)
		if least := int(o.lasts/quarterImpatience) / 2; tried < least {
			q.t.Errorf("outage of %v: %d runs of issue, want %d or more", o.lasts, tried, least)
		}
	}
	if again < 10 {
		q.t.Errorf("%d names failed more than once: nothing had to rest", again)
	}
}

// filled: the pool gets new sets at the rate that is promised, and is full when it
// should be.
func (q *quarter) filled(pool budget.PoolPlan) {
	allowed := time.Hour // for the runs in which it might have been
	sets := 0
	var last time.Time
	for _, i := range q.ours() {
		if !i.fresh {
			continue
		}
		sets++
		last = i.at
		if due := pool.FillEvery*time.Duration(sets) + allowed; i.at.Sub(q.begun) > due {
			q.t.Errorf("set %d was new after %v, promised are %v", sets, i.at.Sub(q.begun), due)
		}
	}
	q.t.Logf("pool full after %v of the %v that are promised", last.Sub(q.begun).Round(time.Hour), pool.FilledAfter.Round(time.Hour))
	if sets != pool.Sets {
		q.t.Errorf("%d sets had a certificate, want %d", sets, pool.Sets)
	}
	// Until then, runs are never further apart than is said.
	for i := 1; i < len(q.starts); i++ {
		if gap := q.starts[i].Sub(q.starts[i-1]); gap > pool.FillEvery+q.issue().Interval {
			q.t.Errorf("no run of issue for %v from %v on", gap, q.starts[i-1].Sub(q.begun))
		}
	}
}

// kept: a full pool keeps issue's interval, and validate keeps its own from the
// first day.
func (q *quarter) kept(pool budget.PoolPlan) {
	full := q.begun.Add(pool.FilledAfter)
	for _, s := range q.skips {
		if s.at.After(full) {
			q.t.Errorf("skipped after %v: %+v", s.at.Sub(q.begun), s.limit)
		}
		if s.limit.Limit == "" || !s.limit.Until.After(s.at) {
			q.t.Errorf("skipped after %v, without saying until when: %+v", s.at.Sub(q.begun), s.limit)
		}
	}
	q.untilThen()

	lasts := quarterLength - pool.FilledAfter - q.down
	for _, o := range quarterOutages {
		if o.at > pool.FilledAfter {
			lasts -= o.lasts
		}
	}
	issued := 0
	for _, i := range q.ours() {
		if i.at.After(full) {
			issued++
		}
	}
	perDay, promised := float64(issued)/lasts.Hours()*24, float64(day)/float64(q.issue().Interval)
	q.t.Logf("full pool: %d certificates in %v, %.2f a day of %.2f", issued, lasts.Round(time.Hour), perDay, promised)
	if perDay < promised*0.98 {
		q.t.Errorf("%.2f certificates a day, promised are %.2f", perDay, promised)
	}
	for _, p := range q.pairs {
		if p.Module.Prober != probe.ProberValidate {
			continue
		}
		runs := q.runs[p.Pair.Module]
		up := float64(quarterLength - q.down)
		if n := runs[probe.OutcomeSuccess] + runs[probe.OutcomeFailure]; float64(n) < 0.99*up/float64(p.Interval) || runs[probe.OutcomeSkipped] > 0 {
			q.t.Errorf("validate: %v, promised is one every %v", runs, p.Interval)
		}
	}
}

// untilThen: a run that is skipped says from when on one is allowed, and that is
// true of the first one after that.
func (q *quarter) untilThen() {
	for i := 1; i < len(q.skips); i++ {
		said, next := q.skips[i-1].limit, q.skips[i]
		if next.at.Before(said.Until) {
			continue
		}
		ran := slices.ContainsFunc(q.starts, func(at time.Time) bool { return !at.Before(said.Until) && at.Before(next.at) })
		if !ran {
			q.t.Errorf("skipped after %v until %v, and again after %v: %+v", q.skips[i-1].at.Sub(q.begun), said.Until.Sub(q.begun), next.at.Sub(q.begun), next.limit)
		}
	}
}
