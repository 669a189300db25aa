package runner

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// lane is the place of a pair, whatever its configuration: one run at a time
// goes through it, across reloads too.
type lane struct {
	pair    probe.Pair
	gen     *generation // nil: not configured (any more)
	current *run        // the run in flight; nil: none
	wanted  *run        // to be started as soon as the lane is free; nil: none
	// floor is when the last run that is not a follow-up started; min_interval
	// counts from here.
	floor time.Time
	// asked is that run's asked.
	asked time.Time
	// blocked says that the lane waits for a run that holds one of its names.
	blocked bool
	// items are the follow-ups that are not done, by ID.
	items map[string]*item
	// rests is until when a lane without a configuration has to be kept for its
	// floor's sake.
	rests time.Time
}

// generation is a pair under one effective configuration.
type generation struct {
	pair config.Pair
	next time.Time // the next tick; zero: none
	last *probe.Result
	// success is the last one that is a success; nil: none.
	success *probe.Result
	// recent are the last Results, newest first, last among them.
	recent []*probe.Result
	// history has more of them, in fewer words.
	history history
	// worked is when this process last saw a success start, and account whose it was;
	// zero: never.
	worked  time.Time
	account string
}

// run is one run, wanted, in flight or over.
type run struct {
	trigger probe.Trigger
	// asked is when somebody wanted it; for a tick, when it was due.
	asked time.Time

	// Set when it starts, and not changed after that.
	lane     *lane
	gen      *generation
	pair     config.Pair
	id       string
	start    time.Time
	names    []heldName      // that it holds until its end
	item     *item           // what it follows up; nil: it is the pair's own probe
	followUp *probe.FollowUp // item as it was at the start
	next     time.Time       // the pair's next tick at the start; zero: none
	// inTheWay is closed by makeWay when somebody asks for the pair's probe meanwhile.
	// Both are nil of a run that is not cut short for that.
	inTheWay <-chan struct{}
	makeWay  func()
	patience time.Duration // that such a run has in any case
	// cut says that it has made way. It belongs to who performs the run.
	cut bool

	entry *entry // in the history, once it is over; nil: it has no place there

	// repeat says that another run at once would tell whose failure it is. It belongs
	// to who performs the run.
	repeat bool

	// done is closed when result or err is final; they are read after that.
	done   chan struct{}
	result *probe.Result
	err    error
}

// makesWay has what is asked for now go before ru when ru, which does a follow-up, has
// had the time that it has in any case: patientTimeout, and twice that after each time
// that it was not enough, so that what takes long is seen at last.
func (ru *run) makesWay() {
	ru.patience = min(patientTimeout<<min(ru.item.cuts, 10), followUpTimeout)
	ask := make(chan struct{})
	ru.inTheWay, ru.makeWay = ask, sync.OnceFunc(func() { close(ask) })
}

// stay returns true when ru has to make way, and false when ctx ends.
func (ru *run) stay(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-ru.inTheWay:
	}
	timer := time.NewTimer(time.Until(ru.start.Add(ru.patience)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func newRun(by probe.Trigger, asked time.Time) *run {
	return &run{trigger: by, asked: asked, done: make(chan struct{})}
}

// item is a follow-up that is not done.
type item struct {
	probe.FollowUp
	// gen says with which configuration it is done; nil: it was restored, and the
	// pair's present one does it.
	gen *generation
	// reported: it was logged that no configured pair can do it.
	reported bool
	// cuts is how often it had to make way since it last had all of its time.
	cuts int
}

// joinable returns the run that a trigger joins; nil: none. A follow-up is not
// the pair's probe, and a run of an earlier configuration does not answer for
// this one: both are waited for, but not joined.
func (l *lane) joinable() *run {
	if l.current != nil && l.current.item == nil && l.current.gen == l.gen {
		return l.current
	}
	return l.wanted
}

// tooSoon reports whether a run must not start at t.
func (l *lane) tooSoon(t time.Time) bool { return t.Sub(l.floor) < l.gen.pair.MinInterval }

// add makes res the newest Result. A crowd of follow-ups does not push the last
// probe out.
func (g *generation) add(res *probe.Result) {
	if res.FollowUp == "" {
		g.last = res
		if res.Verdict.Success() {
			g.success = res
			g.worked, g.account = res.Start, res.Account
		}
	}
	// Of the many looks at a revocation the last one says what there is to say.
	g.recent = slices.DeleteFunc(g.recent, func(o *probe.Result) bool { return repeats(res, o) })
	g.recent = slices.Insert(g.recent, 0, res)
	if len(g.recent) <= historyLen {
		return
	}
	// A new slice would let go of the Results behind its end; Delete does it too.
	g.recent = slices.Delete(g.recent, historyLen, len(g.recent))
	if g.last != nil && !slices.Contains(g.recent, g.last) {
		g.recent[historyLen-1] = g.last
	}
}

// repeats reports whether two Results are of looks at one revocation, in one way.
func repeats(a, b *probe.Result) bool {
	return a.FollowUp == probe.FollowUpWatchRevocation && a.FollowUp == b.FollowUp && a.Parent == b.Parent &&
		a.Revocation != nil && b.Revocation != nil && a.Revocation.Via == b.Revocation.Via
}

// configuration returns what the follow-up is done with; nil: nothing is there
// that could do it. What watches a revocation asks for no more than URLs, and what it
// sees is told of the pair as it is configured now.
func (l *lane) configuration(it *item) *generation {
	if it.Kind == probe.FollowUpWatchRevocation && l.gen != nil {
		return l.gen
	}
	if it.gen != nil {
		return it.gen
	}
	return l.gen
}
