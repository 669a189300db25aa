// Package runner decides when runs happen: at the ticks of each pair's
// timeline, when a scrape or a command asks, and when a side effect of an
// earlier run is to be undone. Of each pair one run is in flight at a time;
// runs of different pairs do not wait for each other. One rule holds for all:
//
//	A trigger joins the run in flight; it starts none sooner than min_interval
//	after the last start; it never waits past its own deadline; and nothing but
//	the module's timeout or the end of the grace period cancels a run.
//
// One run more is started at once where a failure has to be confirmed. A look at
// a revocation is no run that anybody waits for: one that takes long makes way.
//
// Beside it, runs and follow-ups of a target that have fixed names in common take
// turns: the wait is before the run's start, and in no duration.
//
// The runner makes the [probe.Result] of each run, tells the observers, and
// keeps the last ones: a few in memory, more of them in the store (history.go). It does not know how a probe is done, and looks into
// facts only for follow-ups.
package runner

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
	"github.com/acme-exporter/acme_exporter/prober"
)

var (
	// ErrUnknownPair is what a trigger of a pair that is not configured gets.
	ErrUnknownPair = errors.New("not a configured pair")
	// ErrStopping is what a trigger gets after the stop has begun. It is also
	// the cause ([context.Cause]) of the end of a run that outlasted the grace
	// period, as opposed to one that outlasted its own timeout.
	ErrStopping = errors.New("the exporter is stopping")
)

const (
	defaultGrace = 25 * time.Second
	// cleanUpTime is what follow-ups get after the grace period.
	cleanUpTime = 5 * time.Second
	// historyLen is how many Results of a pair are in memory, for pages.
	historyLen = 20
	// jitter is by how much a tick may be late and still count as punctual. A
	// min_interval as long as the interval would otherwise swallow every tick
	// that is some microseconds less late than the one before it.
	jitter = 100 * time.Millisecond
)

// Options are what a Runner works with.
type Options struct {
	// Logger: nil discards.
	Logger *slog.Logger
	// Execute does one run. It must return soon after ctx ends; a panic in it
	// becomes a failed run. Runs of different pairs call it at the same time,
	// and the number of pairs is the only bound.
	Execute func(ctx context.Context, job Job) probe.Facts
	// Store keeps the last Results, the history and the follow-ups; nil: memory only.
	Store Store
	// NoResults leaves the Results in the Store as they are: those of a process
	// that runs one pair once would take the place of the exporter's own.
	NoResults bool
	// Incidents is told of each run that is no follow-up, and of follow-ups that have
	// found what the CA had to refuse, after the observers, and says whether another run
	// is to confirm it at once, beside the timeline and the least interval; nil: none
	// is. It may wait for a disk: only the pair's next run waits for it. A reload at
	// that moment may have replaced the run's configuration.
	Incidents func(*probe.Result) (confirm bool)
	// Controls asks others than the target, which was not reached; nil: there are
	// none.
	Controls func(ctx context.Context, target string) []probe.Control
	// Observers are told in their order.
	Observers []Observer
	// GracePeriod is how long runs may go on after the stop has begun; 0: 25 s,
	// negative: not at all.
	GracePeriod time.Duration
	// Seed shifts the timelines, so that exporters with the same configuration
	// do not all tick at the same moment: the name of the host, for example.
	Seed string
}

// Job is one run to be executed.
type Job struct {
	ID    string    // probe.Result.ID
	Start time.Time // every offset counts from here
	// Trigger of the run; of those that joined it nothing is said.
	Trigger probe.Trigger
	Pair    config.Pair
	// FollowUp is what to do instead of the pair's own probe; nil: the probe. It
	// is done when the run's verdict is success.
	FollowUp *probe.FollowUp
	// FollowUps keeps what is to be done after this run. Add fills in the pair,
	// the parent, the time of creation and, where they are zero, an ID and an
	// expiry after 24 hours.
	FollowUps prober.FollowUps
}

// Store is what outlives the process, the part of [state.Store] that a Runner needs.
// What Commit changes is durable when it returns, all of it or nothing; to remove
// what is not there is no error. Get returns nil for it.
type Store interface {
	Commit(changes ...state.Change) error
	Get(bucket, key string) ([]byte, error)
	All(bucket string, each func(key string, value []byte) error) error
}

// Observer is told what happens. Calls come one at a time, and every timeline and
// every answer waits for them: they must not block, not for a disk either (see
// [Keeper]), must not modify a Result and must not call Apply or Restore. What belongs to a
// configuration that a reload has replaced or removed is never told after Apply
// has returned.
type Observer interface {
	// Observe is told of each run when it has ended, follow-ups included.
	Observe(*probe.Result)
	// Restore is told of a pair's last Result from before the start.
	Restore(*probe.Result)
	// Schedule is told when the pair's next tick is due, at first and after each
	// tick; missed reports that the tick before it started nothing and joined
	// nothing. A zero next: the pair has no ticks.
	Schedule(p probe.Pair, next time.Time, missed bool)
}

// Configured is implemented by an Observer that wants to know which pairs there
// are. Apply is called between the last that is told of the old pairs and the
// first that is told of the new ones.
type Configured interface {
	Apply(pairs []config.Pair)
}

// Keeper is implemented by an Observer that stores what it is told. Keep is called
// after each run that it was told of, and after each Apply. It may wait for a disk:
// only the next run of that pair, or the caller of Apply, waits for it. Calls overlap,
// also with those of an Observer. Run does not return before they have.
type Keeper interface {
	Keep()
}

// Runner runs the configured pairs. Its zero value is not useful; see [New].
// Its methods may be called at any time and from any goroutine.
type Runner struct {
	log       *slog.Logger
	execute   func(context.Context, Job) probe.Facts
	store     Store // nil: none
	noResults bool
	observers []Observer
	keepers   []Keeper // of observers
	incidents func(*probe.Result) bool
	controls  func(context.Context, string) []probe.Control
	grace     time.Duration
	seed      string
	// historyCap bounds historyUsed.
	historyCap int

	storeLog rate.Sometimes // for errors of the store; has its own lock
	wake     chan struct{}  // capacity 1: there may be something for Run to do
	runs     sync.WaitGroup // every goroutine that Run has started

	// deliver is held while observers are told, so that Apply can fall between
	// two deliveries and never into one. It is taken before mu.
	deliver sync.Mutex

	// mu guards the fields below and those of every lane, generation, run and
	// item, unless they say otherwise.
	mu       sync.Mutex
	phase    phase
	lanes    map[probe.Pair]*lane
	held     held
	inFlight int
	applied  bool // Apply was called
	// restored are the stored Results that no pair has adopted, by their keys;
	// nil for those that are of no use any more.
	restored map[string]kept
	// restoredRuns are the stored histories that no pair has adopted, by its name.
	restoredRuns map[string][]stored
	// historyUsed is how many bytes of the store the histories of all pairs take;
	// stale are the keys of what is in none of them any more, and still stored.
	historyUsed int
	stale       map[string]bool
}

// phase is how far a Runner's life has come.
type phase int

const (
	phaseNew      phase = iota // Run was not called: triggers wait
	phaseRunning               // everything starts when it is due
	phaseDraining              // only follow-ups of this process's runs start
	phaseClosed                // nothing starts
)

// New returns a Runner without pairs; see [Runner.Apply]. It starts nothing.
func New(o Options) *Runner {
	r := &Runner{
		log:       o.Logger,
		execute:   o.Execute,
		store:     o.Store,
		noResults: o.NoResults,
		observers: slices.Clone(o.Observers),
		incidents: o.Incidents,
		controls:  o.Controls,
		grace:     o.GracePeriod,
		seed:      o.Seed,
		storeLog:  rate.Sometimes{First: 1, Interval: time.Minute},
		wake:      make(chan struct{}, 1),
		lanes:     make(map[probe.Pair]*lane),
		held:      make(held),
		stale:     make(map[string]bool),

		historyCap: historySize,
	}
	for _, o := range r.observers {
		if k, ok := o.(Keeper); ok {
			r.keepers = append(r.keepers, k)
		}
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.grace == 0 {
		r.grace = defaultGrace
	}
	return r
}

// Status returns every configured pair as it stands, sorted by target and module.
func (r *Runner) Status() []probe.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []probe.Status
	for _, l := range r.lanes {
		if l.gen == nil {
			continue
		}
		s := probe.Status{
			Pair:        l.pair,
			Prober:      l.gen.pair.Module.Prober,
			Environment: string(l.gen.pair.Target.Environment),
			Interval:    l.gen.pair.Interval,
			NextDue:     l.gen.next,
			Recent:      slices.Clone(l.gen.recent),
		}
		if l.current != nil {
			s.Running = l.current.start
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b probe.Status) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Module, b.Module))
	})
	return all
}

// wakeUp has Run look for something to do.
func (r *Runner) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default: // it will look anyway
	}
}
