// Package incident turns Results into what people want to know: how each pair and
// each target is, since when and why, and which outages there were.
//
// Its core is pure: rules.go says what a run counts for, pair.go makes incidents of
// a pair's runs, target.go those of a target of its pairs' incidents, and
// availability.go adds up the time. [Tracker] holds all of it, and has every change
// on disk before anybody sees it. It judges no run (that is done), starts none (it
// says when one is to be confirmed), and knows no latency.
package incident

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// Store is the part of [state.Store] that a Tracker needs. What Commit changes is
// durable when it returns, all of it or nothing.
type Store interface {
	Commit(changes ...state.Change) error
	All(bucket string, each func(key string, value []byte) error) error
}

// Options are what a Tracker works with. Zero values are useful.
type Options struct {
	// Store keeps everything; nil: memory only.
	Store Store
	Rules Rules
	// Logger is told of incidents that begin and end; nil discards.
	Logger *slog.Logger
}

// Pair is a configured pair as far as a Tracker has to know it.
type Pair struct {
	probe.Pair
	Environment string        `json:"environment,omitempty"`
	Interval    time.Duration `json:"interval_ns"` // 0: only when scraped
	// Critical: while it is down, its target is; else its target is degraded only.
	Critical bool `json:"critical"`
}

// Critical reports whether pairs of the prober are critical where nobody says
// otherwise: those that do what a client of the CA needs.
func Critical(p probe.Prober) bool {
	switch p {
	case probe.ProberDirectory, probe.ProberNonce, probe.ProberAccount, probe.ProberOrder, probe.ProberValidate, probe.ProberIssue:
		return true
	}
	return false
}

// pruneEvery is how often incidents are removed that are too old.
const pruneEvery = time.Hour

// Tracker makes incidents of Results. It is safe for concurrent use.
type Tracker struct {
	store Store // nil: none
	rules Rules
	log   *slog.Logger

	storeLog rate.Sometimes // for errors of the store; has its own lock

	writing sync.Mutex // held from a change until it is durable and shown: they take turns
	// unsaved are changes that could not be written, by bucket and key. It belongs to
	// who holds writing, and so does pruned: when old incidents were last removed.
	unsaved map[[2]string]state.Change
	pruned  time.Time

	mu    sync.RWMutex // guards model; who holds writing may read it without
	model *model
}

// New returns a Tracker that knows nothing. It starts nothing and reads nothing;
// see [Tracker.Restore] and [Tracker.Apply].
func New(o Options) *Tracker {
	t := &Tracker{
		store:    o.Store,
		rules:    o.Rules.withDefaults(),
		log:      o.Logger,
		storeLog: rate.Sometimes{First: 1, Interval: time.Minute},
		unsaved:  map[[2]string]state.Change{},
		model:    newModel(),
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	return t
}

// SetRules changes the thresholds; what has been decided stays.
func (t *Tracker) SetRules(r Rules) {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.rules = r.withDefaults()
}

// Apply makes pairs the configured ones. What is known of a pair stays as long as
// its names and its environment do; the incident of one that has gone is closed as
// withdrawn, and so is that of its target with the last of them.
func (t *Tracker) Apply(now time.Time, pairs []Pair) {
	t.writing.Lock()
	defer t.writing.Unlock()
	c := t.model.change(t.rules)
	c.configure(plain(now), pairs)
	t.publish(c)
}

// Observe takes in a run that has ended. When it returns, what it changes is
// durable and shown, in this order, and it says whether another run of the pair is
// wanted at once: one conclusive failure alone is no incident. Follow-ups count for nothing, and neither do
// runs of pairs that are not configured and the run that was the pair's last. The
// runs of a pair are observed in their order.
//
// When the store fails, the change is shown all the same, and written with the
// next one that can be: not to show an outage would be worse than to forget it.
func (t *Tracker) Observe(r *probe.Result) (confirm bool) {
	t.writing.Lock()
	defer t.writing.Unlock()
	c := t.model.change(t.rules)
	confirm = c.observe(r)
	if now := plain(r.End()); now.Sub(t.pruned) >= pruneEvery {
		c.prune(now)
		t.pruned = now
	}
	t.publish(c)
	return confirm
}

// publish makes c durable, shows it, and says so. It needs writing.
func (t *Tracker) publish(c *change) {
	t.save(c.stored())
	began, ended := news(c)
	t.mu.Lock()
	t.model.apply(c)
	t.mu.Unlock()
	for _, i := range began {
		t.log.Warn("Incident began", append(logged(i), "summary", i.Summary)...)
	}
	for _, i := range ended {
		t.log.Info("Incident ended", append(logged(i), "end", i.End, "failures", i.Failures, "withdrawn", i.Withdrawn)...)
	}
}

// save commits the changes, with those that could not be written before.
func (t *Tracker) save(changes []state.Change) {
	if t.store == nil || len(changes) == 0 {
		return
	}
	for _, c := range changes {
		t.unsaved[[2]string{c.Bucket, c.Key}] = c
	}
	if err := t.store.Commit(slices.Collect(maps.Values(t.unsaved))...); err != nil {
		t.storeLog.Do(func() {
			t.log.Error("cannot write incidents to the state directory; they are shown all the same", "err", err)
		})
		return
	}
	clear(t.unsaved)
}

// news returns the incidents that c opens and closes.
func news(c *change) (began, ended []*probe.Incident) {
	for _, i := range newestFirst(maps.Values(c.incidents)) {
		before := c.of.incidents[i.ID]
		if before == nil {
			began = append(began, i)
		}
		if !i.Open() && (before == nil || before.Open()) {
			ended = append(ended, i)
		}
	}
	return began, ended
}

func logged(i *probe.Incident) []any {
	attrs := []any{"incident", i.ID, "kind", i.Kind, "target", i.Target, "module", i.Module, "condition", i.Condition}
	return append(attrs, "start", i.Start, "stage", i.Stage, "reason", i.Reason, "fault", i.Fault)
}
