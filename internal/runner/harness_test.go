package runner

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// The pair of most tests: due every minute, takes what the test says.
var pairA = probe.Pair{Target: "ca", Module: "a"}

// configured returns pairA as configured: an interval of a minute, a least
// interval of 10 s, a timeout of 20 s. change may change it.
func configured(change ...func(*config.Pair)) config.Pair {
	p := config.Pair{
		Pair:        pairA,
		Target:      &config.Target{Environment: config.Staging},
		Module:      &config.Module{Prober: probe.ProberValidate},
		Interval:    time.Minute,
		MinInterval: 10 * time.Second,
		Timeout:     20 * time.Second,
		Hash:        "one",
	}
	for _, c := range change {
		c(&p)
	}
	return p
}

func named(target, module string) func(*config.Pair) {
	return func(p *config.Pair) { p.Pair = probe.Pair{Target: target, Module: module} }
}

func hash(h string) func(*config.Pair) { return func(p *config.Pair) { p.Hash = h } }

func interval(d time.Duration) func(*config.Pair) {
	return func(p *config.Pair) { p.Interval = d }
}

// failed are the facts of a run that went wrong.
func failed(kind probe.FailureKind) probe.Facts {
	return probe.Facts{Failure: &probe.Failure{Step: probe.StepDirectory, Kind: kind, Call: -1}}
}

// lasting returns a run that takes d, or ends with ctx.
func lasting(d time.Duration) func(context.Context, Job) probe.Facts {
	return func(ctx context.Context, _ Job) probe.Facts {
		select {
		case <-time.After(d):
			return probe.Facts{}
		case <-ctx.Done():
			if errors.Is(context.Cause(ctx), ErrStopping) {
				return failed(probe.FailureCanceled)
			}
			return failed(probe.FailureTimeout)
		}
	}
}

// event is something that an observer was told, at a time since the start.
type event struct {
	At     time.Duration
	What   string // "observe", "restore", "schedule", "missed", "apply"
	Pair   string
	Hash   string
	Next   time.Duration // of a schedule; -1: never
	Result *probe.Result
}

// harness has a Runner in a synctest bubble, and remembers what happened.
type harness struct {
	t     *testing.T
	r     *Runner
	begun time.Time
	// run does the work of a run; nil: it succeeds at once. Set before start.
	run  func(context.Context, Job) probe.Facts
	stop func() // ends Run and waits for it

	mu     sync.Mutex // guards the rest
	events []event
	jobs   []Job
	active map[probe.Pair]int
}

// bubble runs f in a synctest bubble with a Runner that is not started.
func bubble(t *testing.T, o Options, f func(h *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, o)
		defer func() { h.stop() }()
		f(h)
	})
}

func newHarness(t *testing.T, o Options) *harness {
	h := &harness{t: t, begun: time.Now(), stop: func() {}, active: map[probe.Pair]int{}}
	o.Execute = h.execute
	o.Observers = append(o.Observers, h)
	h.r = New(o)
	return h
}

// start runs the Runner with pairs.
func (h *harness) start(pairs ...config.Pair) {
	h.t.Helper()
	h.r.Apply(pairs)
	ctx, cancel := context.WithCancel(h.t.Context())
	done := make(chan error, 1)
	go func() { done <- h.r.Run(ctx) }()
	h.stop = func() {
		h.stop = func() {}
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("Run = %v", err)
		}
	}
	synctest.Wait()
}

func (h *harness) execute(ctx context.Context, job Job) probe.Facts {
	h.mu.Lock()
	h.jobs = append(h.jobs, job)
	h.active[job.Pair.Pair]++
	if n := h.active[job.Pair.Pair]; n > 1 {
		h.t.Errorf("%d runs of %v at once", n, job.Pair.Pair)
	}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.active[job.Pair.Pair]--
		h.mu.Unlock()
	}()
	if h.run == nil {
		return probe.Facts{}
	}
	return h.run(ctx, job)
}

func (h *harness) note(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.At = time.Since(h.begun)
	h.events = append(h.events, e)
}

func (h *harness) Observe(r *probe.Result) {
	h.note(event{What: "observe", Pair: r.Pair.String(), Hash: r.ConfigHash, Result: r})
}

func (h *harness) Restore(r *probe.Result) {
	h.note(event{What: "restore", Pair: r.Pair.String(), Hash: r.ConfigHash, Result: r})
}

func (h *harness) Schedule(p probe.Pair, next time.Time, missed bool) {
	e := event{What: "schedule", Pair: p.String(), Next: -1}
	if missed {
		e.What = "missed"
	}
	if !next.IsZero() {
		e.Next = next.Sub(h.begun)
	}
	h.note(e)
}

func (h *harness) Apply(pairs []config.Pair) {
	var names []string
	for _, p := range pairs {
		names = append(names, p.Pair.String())
	}
	h.note(event{What: "apply", Pair: strings.Join(names, " ")})
}

// seen returns the events of the kinds, in order, and forgets all so far.
func (h *harness) seen(kinds ...string) []event {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.DeleteFunc(h.events, func(e event) bool { return !slices.Contains(kinds, e.What) })
	h.events = nil
	return all
}

// starts returns when the runs so far started, by trigger.
func (h *harness) starts(by ...probe.Trigger) []time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []time.Duration
	for _, j := range h.jobs {
		if len(by) == 0 || slices.Contains(by, j.Trigger) {
			all = append(all, j.Start.Sub(h.begun))
		}
	}
	return all
}

// trigger triggers pairA with a deadline and returns the answer and how long it took.
func (h *harness) trigger(deadline time.Duration) (probe.Answer, time.Duration) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), deadline)
	defer cancel()
	begun := time.Now()
	a, err := h.r.Trigger(ctx, pairA, probe.TriggerScrape)
	if err != nil {
		h.t.Errorf("Trigger = %v", err)
	}
	return a, time.Since(begun)
}

// sleepTo sleeps until d after the start and lets everything settle.
func (h *harness) sleepTo(d time.Duration) {
	time.Sleep(time.Until(h.begun.Add(d)))
	synctest.Wait()
}

// status returns pairA's Status.
func (h *harness) status() *probe.Status {
	h.t.Helper()
	for _, s := range h.r.Status() {
		if s.Pair == pairA {
			return &s
		}
	}
	h.t.Fatal("no status of", pairA)
	panic("unreachable")
}

// memory is a Store in memory, in which writes can be made to fail.
type memory struct {
	mu      sync.Mutex // guards the rest
	content map[string]map[string][]byte
	broken  error
	writes  int
	onPut   func(bucket, key string) // called before each Put; nil: nothing
}

func newMemory() *memory { return &memory{content: map[string]map[string][]byte{}} }

// Put stores one value.
func (m *memory) Put(bucket, key string, value any) error {
	return m.Commit(state.Change{Bucket: bucket, Key: key, Value: value})
}

func (m *memory) Commit(changes ...state.Change) error {
	values := make([][]byte, len(changes))
	var err error
	for i, c := range changes {
		if c.Value == nil {
			continue
		}
		if m.onPut != nil {
			m.onPut(c.Bucket, c.Key)
		}
		var failed error
		values[i], failed = json.Marshal(c.Value)
		err = errors.Join(err, failed)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	if m.broken != nil || err != nil {
		return errors.Join(m.broken, err)
	}
	for i, c := range changes {
		if values[i] == nil {
			delete(m.content[c.Bucket], c.Key)
			continue
		}
		if m.content[c.Bucket] == nil {
			m.content[c.Bucket] = map[string][]byte{}
		}
		m.content[c.Bucket][c.Key] = values[i]
	}
	return nil
}

func (m *memory) Get(bucket, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.content[bucket][key], m.broken
}

func (m *memory) All(bucket string, each func(key string, value []byte) error) error {
	m.mu.Lock()
	copied, broken := maps.Clone(m.content[bucket]), m.broken
	m.mu.Unlock()
	if broken != nil {
		return broken
	}
	for _, k := range slices.Sorted(maps.Keys(copied)) {
		if err := each(k, copied[k]); err != nil {
			return err
		}
	}
	return nil
}

// keys returns the keys of bucket.
func (m *memory) keys(bucket string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.content[bucket]))
}

// followUp returns the stored follow-up id.
func (m *memory) followUp(t *testing.T, id string) (f probe.FollowUp) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := json.Unmarshal(m.content[bucketFollowUps][id], &f); err != nil {
		t.Errorf("stored follow-up %q: %v", id, err)
	}
	return f
}

func (m *memory) setBroken(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = err
}
