package app

import (
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/runner"
	"github.com/acme-exporter/acme_exporter/internal/state"
	"github.com/acme-exporter/acme_exporter/prober"
)

const (
	quarterLength = 90 * day
	// The accounts: our own, and that of an exporter at another location.
	quarterOurs, quarterOthers = "fra", "nyc"
	// quarterImpatience is how often somebody asks for a run while the CA is out.
	quarterImpatience = 5 * time.Minute
)

// quarterOutages are when every validation fails: once while the pool is filled, and
// once when it is full.
var quarterOutages = []struct{ at, lasts time.Duration }{
	{3*day + 9*time.Hour, 6 * time.Hour},
	{45*day + 14*time.Hour, 8 * time.Hour},
}

// quarterStops are the ends of the process, some of them in the middle of a run,
// with what it was down for.
var quarterStops = []struct {
	at, down time.Duration
	crash    bool
}{
	{3 * time.Hour, time.Second, true}, {7 * time.Hour, time.Minute, true}, {day, 20 * time.Second, false},
	{4 * day, 10 * time.Second, true}, {8 * day, time.Second, true}, {11 * day, 15 * time.Minute, false},
	{22 * day, time.Second, true}, {30 * day, 10 * time.Second, true}, {38 * day, 5 * time.Hour, false},
	{50 * day, time.Second, true}, {61 * day, 30 * time.Second, true}, {70 * day, time.Minute, false},
	{80 * day, time.Second, true}, {quarterLength, 0, false},
}

// quarter is three months of one CA, of our exporter, which lives and dies, and of
// another one that takes the other half of what the CA gives the domain.
type quarter struct {
	t     *testing.T
	ca    *quarterCA
	begun time.Time
	pairs []config.Pair

	account sync.Mutex // guards the field below
	created bool       // our account

	mu     sync.Mutex // guards the rest
	random *rand.Rand
	runs   map[string]map[probe.Outcome]int // by module
	skips  []quarterSkip
	starts []time.Time // of runs of issue that were not skipped
	missed int         // ticks
	// cut are runs that a crash has cut, drained those that found what one had left.
	cut, drained int

	down time.Duration // in all; of the test's own goroutine
}

// quarterSkip is a run that our budget has denied.
type quarterSkip struct {
	at    time.Time
	limit probe.RateLimit
}

// TestQuarter holds what the budget is for. The shipped example of production runs
// for 90 days against a limiter that knows nothing of ours: nothing is ever
// answered 429, and what `check config` promises is kept.
//
// Only issue and validate run. The other modules spend nothing that is counted, and
// would be 20 times as many runs.
func TestQuarter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, pool := newQuarter(t)
		store := &quarterStore{kept: map[string]map[string][]byte{}}
		q.pass(func(p *quarterProcess) func(config.Pair) prober.Budget {
			book := budget.NewBook(quarterHandle{store, p})
			if err := book.Load(time.Now()); err != nil {
				t.Fatal(err)
			}
			return func(pair config.Pair) prober.Budget { return book.Purse(pair, false) }
		})
		q.report()
		q.neverRefused()
		q.rested()
		q.filled(pool)
		q.kept(pool)
	})
}

// TestQuarterUnlimited holds that it is the budget that does it. With new names in
// each run even validate is refused, since the CA looks at all limits when it is
// asked for an order; with the same names it is not, and left out.
func TestQuarterUnlimited(t *testing.T) {
	for name, names := range map[string][]string{"random": nil, "fixed": {"www.fra.acme-probe.example"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				q, _ := newQuarter(t)
				if names != nil {
					q.pairs = []config.Pair{q.issue()}
				}
				q.pass(func(*quarterProcess) func(config.Pair) prober.Budget {
					return func(config.Pair) prober.Budget { return unlimited{names} }
				})
				q.report()
				if n := q.ca.refusals(quarterOurs); n < 200 {
					t.Errorf("%d times 429, want hundreds: the CA has no limits", n)
				}
			})
		})
	}
}

// newQuarter loads the example, and returns what is promised of its pool.
func newQuarter(t *testing.T) (*quarter, budget.PoolPlan) {
	cfg, plan, err := loadFile("../../examples/letsencrypt-production.yml")
	if err != nil {
		t.Fatal(err)
	}
	q := &quarter{
		t: t, ca: newQuarterCA(t), begun: time.Now(), random: rand.New(rand.NewPCG(1, 1)),
		runs: map[string]map[probe.Outcome]int{},
	}
	for _, p := range cfg.Pairs() {
		if p.Module.Prober.Orders() {
			q.pairs = append(q.pairs, p)
			q.runs[p.Pair.Module] = map[probe.Outcome]int{}
		}
	}
	if len(q.pairs) != 2 || len(plan.Targets) != 1 || len(plan.Targets[0].Pools) != 1 {
		t.Fatalf("%d pairs, plan %+v", len(q.pairs), plan)
	}
	return q, plan.Targets[0].Pools[0]
}

// chance returns something below n.
func (q *quarter) chance(n time.Duration) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	return time.Duration(q.random.Int64N(int64(n)))
}

// issue is the pair that takes its names from the pool.
func (q *quarter) issue() config.Pair {
	i := slices.IndexFunc(q.pairs, func(p config.Pair) bool { return p.Module.Prober == probe.ProberIssue })
	return q.pairs[i]
}

// pass lets the time pass. Each process gets what open returns.
func (q *quarter) pass(open func(*quarterProcess) func(config.Pair) prober.Budget) {
	ctx, cancel := context.WithCancel(q.t.Context())
	defer cancel()
	var beside sync.WaitGroup
	beside.Go(func() { q.others(ctx) })
	beside.Go(func() { q.outages(ctx) })
	for _, stop := range quarterStops {
		p := &quarterProcess{quarter: q}
		p.budget = open(p)
		p.live(stop.at, stop.crash)
		q.down += stop.down
		time.Sleep(stop.down)
	}
	cancel()
	beside.Wait()
	time.Sleep(time.Minute) // what the CA still has in hand
}

// live runs the process until then or, for a crash, until soon after, in the
// middle of the next run of issue.
func (p *quarterProcess) live(until time.Duration, crash bool) {
	grace := time.Duration(0)
	if crash {
		grace = -1
	}
	p.runner = runner.New(runner.Options{Execute: p.execute, Observers: []runner.Observer{p}, GracePeriod: grace, Seed: "fra"})
	p.runner.Apply(p.pairs)
	ctx, cancel := context.WithCancel(p.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.runner.Run(ctx); err != nil {
			p.t.Error(err)
		}
	})
	running.Go(func() { p.impatient(ctx) })
	time.Sleep(time.Until(p.begun.Add(until)))
	if crash {
		for _, s := range p.runner.Status() {
			if s.Prober == probe.ProberIssue {
				// A challenge is accepted after one second, and no run is over after five.
				time.Sleep(time.Until(s.NextDue) + 1500*time.Millisecond + p.chance(5*time.Second))
			}
		}
		p.dead.Store(true)
	}
	cancel()
	running.Wait()
}

// impatient is somebody who wants to know whether the CA is back.
func (p *quarterProcess) impatient(ctx context.Context) {
	for ctx.Err() == nil {
		if p.ca.inOutage() {
			asking, cancel := context.WithTimeout(ctx, time.Minute)
			_, _ = p.runner.Trigger(asking, p.issue().Pair, probe.TriggerScrape) // it may be stopping
			cancel()
		}
		pauseFor(ctx, quarterImpatience)
	}
}

// others is the other exporter: as greedy as the other half of the domain's limit
// lets it be, with new names each time.
func (q *quarter) others(ctx context.Context) {
	limit := quarterLimits["certificates per domain"]
	each := limit.period / time.Duration(limit.count/2)
	for n := int64(0); ctx.Err() == nil; n++ {
		if order, refused := q.ca.newOrder(quarterOthers, []string{randomQuarterName("nyc.acme-probe.example")}); refused == "" {
			<-q.ca.finalize(order, 0)
		}
		if n+1 >= limit.count/2 { // what it had saved up is spent
			pauseFor(ctx, each)
		}
	}
}

func (q *quarter) outages(ctx context.Context) {
	for _, o := range quarterOutages {
		pauseFor(ctx, time.Until(q.begun.Add(o.at)))
		q.ca.setOutage(true)
		pauseFor(ctx, o.lasts)
		q.ca.setOutage(false)
	}
}

// pauseFor sleeps, but not longer than ctx.
func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// Observe implements runner.Observer.
func (p *quarterProcess) Observe(r *probe.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.Failure != nil && r.Failure.Kind == probe.FailureCanceled {
		return // a crash: nobody hears of it
	}
	p.runs[r.Pair.Module][r.Verdict.Outcome]++
	switch {
	case r.Verdict.Outcome == probe.OutcomeSkipped && r.RateLimit != nil && !r.RateLimit.Refused:
		p.skips = append(p.skips, quarterSkip{r.Start, *r.RateLimit})
	case r.Prober == probe.ProberIssue:
		p.starts = append(p.starts, r.Start)
	}
}

// Restore implements runner.Observer.
func (p *quarterProcess) Restore(*probe.Result) {}

// Schedule implements runner.Observer.
func (p *quarterProcess) Schedule(_ probe.Pair, _ time.Time, missed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if missed {
		p.missed++
	}
}

// quarterStore is a disk. A real one would be synced a hundred thousand times.
type quarterStore struct {
	mu   sync.Mutex // guards the rest
	kept map[string]map[string][]byte
}

// quarterHandle is what one process has open of it.
type quarterHandle struct {
	*quarterStore
	by *quarterProcess
}

// Commit implements budget.Store.
func (h quarterHandle) Commit(changes ...state.Change) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by.dead.Load() {
		h.by.t.Error("a process writes that was killed")
	}
	for _, c := range changes {
		if c.Value == nil {
			delete(h.kept[c.Bucket], c.Key)
			continue
		}
		value, err := json.Marshal(c.Value)
		if err != nil {
			return err
		}
		if h.kept[c.Bucket] == nil {
			h.kept[c.Bucket] = map[string][]byte{}
		}
		h.kept[c.Bucket][c.Key] = value
	}
	return nil
}

// All implements budget.Store.
func (h quarterHandle) All(bucket string, each func(string, []byte) error) error {
	h.mu.Lock()
	kept := maps.Clone(h.kept[bucket])
	h.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(kept)) {
		if err := each(key, kept[key]); err != nil {
			return err
		}
	}
	return nil
}
