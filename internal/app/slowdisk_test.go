package app

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/runner"
)

// TestDiskHangs has the disk hang while there is something to store of every kind:
// whoever waits for a run gets its Result, runs of other pairs start, pages are
// answered; and when it goes on, everything is stored.
func TestDiskHangs(t *testing.T) {
	dir := t.TempDir()
	kept := &store{dir: dir}
	if err := kept.take(probe.ProberIssue); err != nil {
		t.Fatal(err)
	}
	var pairs []config.Pair
	pair := func(module string, p probe.Prober) config.Pair {
		c := config.Pair{
			Pair: probe.Pair{Target: "corp", Module: module}, Target: &config.Target{Environment: config.Staging},
			Module: &config.Module{Prober: p}, Timeout: time.Minute, Hash: module,
		}
		pairs = append(pairs, c)
		return c
	}
	status, issue, other, last := pair("status", probe.ProberStatusPage), pair("issue", probe.ProberIssue), pair("other", probe.ProberDirectory), pair("last", probe.ProberCRL)
	first := slices.Clone(pairs)
	reloaded := pair("reloaded", probe.ProberNonce)

	logger := slog.New(slog.DiscardHandler)
	tracker := newIncidents(incident.New(incident.Options{Store: kept}))
	counted := newCounts(kept, logger, func(probe.Pair, map[probe.Check]uint64, map[probe.Misissuance]uint64) {})
	revoked := newRevocations(kept, logger)
	directory := newDirectories(kept, logger, func(string, uint64, time.Time) {})
	left, hangs := make(chan struct{}), make(chan struct{})
	r := runner.New(runner.Options{
		Store: kept, Incidents: tracker.judge, Observers: []runner.Observer{tracker, counted, directory, revoked},
		Execute: func(_ context.Context, job runner.Job) (f probe.Facts) {
			switch {
			case job.Pair.Pair == status.Pair:
				f.StatusPage = &probe.StatusPage{Announcements: []probe.Announcement{{Name: "outage", Start: job.Start}}}
			case job.FollowUp != nil:
				f.Revocation = &probe.Revocation{Serial: "2a", At: job.Start}
			case job.Pair.Pair == last.Pair, job.Pair.Pair == reloaded.Pair:
			case job.Pair.Pair == issue.Pair:
				f.Certificate = &probe.Certificate{Checks: []probe.CheckResult{{Check: probe.CheckKey}}}
				if err := job.FollowUps.Add(probe.FollowUp{ID: "1", Kind: probe.FollowUpRevoke, Revocation: &probe.Revocation{}}); err != nil {
					t.Error(err)
				}
				close(left)
				<-hangs
			default:
				kept.mu.Lock() // the disk hangs from here on, and first for the tracker
				close(hangs)
			}
			return f
		},
	})
	r.Apply(first)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	goesOn := sync.OnceFunc(kept.mu.Unlock)
	var reloading sync.WaitGroup
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		var asked sync.WaitGroup
		ask := func(p config.Pair) {
			a, err := r.Trigger(ctx, p.Pair, probe.TriggerScrape)
			if err != nil || !a.Fresh {
				t.Errorf("%s: fresh %v, error %v", p.Pair, a.Fresh, err)
			}
		}
		asked.Go(func() { ask(issue) })
		<-left
		ask(other)
		asked.Wait()
		ask(status)
		ask(last)
		reloading.Go(func() { r.Apply(pairs) }) // it returns when the tracker's pairs are stored
		for len(r.Status()) < len(pairs) && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		ask(reloaded)
		if state := tracker.State(time.Now()); len(state) != 1 || len(state[0].Pairs) != len(first)-1 { // status is none of the tracker's
			t.Errorf("before it is stored the tracker has %+v", state)
		}
		counted.Apply(pairs)
		directory.Apply(pairs)
		// What is told of a follow-up too.
		revoked.Observe(&probe.Result{Pair: issue.Pair, FollowUp: probe.FollowUpRevoke, Facts: probe.Facts{Revocation: &probe.Revocation{Serial: "29", At: time.Now()}}})
	}()
	select {
	case <-answered:
	case <-time.After(30 * time.Second):
		t.Error("a disk that hangs holds up the answers")
	}
	goesOn()
	<-answered
	reloading.Wait()
	if state := tracker.State(time.Now()); len(state) != 1 || len(state[0].Pairs) != len(pairs)-1 {
		t.Errorf("after the reload the tracker has %+v", state)
	}
	stop()
	running.Wait() // which does what was left
	if err := kept.close(); err != nil {
		t.Fatal(err)
	}

	kept = &store{dir: dir}
	if err := kept.take(probe.ProberIssue); err != nil {
		t.Fatal(err)
	}
	defer kept.close()
	var failed uint64
	counted = newCounts(kept, logger, func(p probe.Pair, f map[probe.Check]uint64, _ map[probe.Misissuance]uint64) {
		failed = f[probe.CheckKey]
	})
	if err := counted.restore(); err != nil {
		t.Fatal(err)
	}
	counted.Apply(pairs)
	if failed != 1 {
		t.Errorf("failed checks after a start: %d, want 1", failed)
	}
	if last := newRevocations(kept, logger).Last(issue.Pair); last == nil || last.Serial != "2a" {
		t.Errorf("the last revocation after a start: %v", last)
	}
}

// TestBehind holds that what cannot be stored is stored later, as it was changed last.
func TestBehind(t *testing.T) {
	dir := t.TempDir()
	c := newCounts(&store{broken: context.Canceled}, slog.New(slog.DiscardHandler), nil)
	pair := probe.Pair{Target: "corp", Module: "issue"}
	c.Apply([]config.Pair{{Pair: pair, Target: &config.Target{}}})
	failed := &probe.Result{Pair: pair}
	failed.Certificate = &probe.Certificate{Checks: []probe.CheckResult{{Check: probe.CheckKey}}}
	c.Observe(failed)
	c.Keep()
	c.Observe(failed)
	c.Keep()
	kept := &store{dir: dir}
	if err := kept.take(probe.ProberIssue); err != nil {
		t.Fatal(err)
	}
	defer kept.close()
	c.store = kept
	c.Keep()
	c.Keep()
	if got, err := kept.Get(bucketFailedChecks, pair.String()); err != nil || string(got) != `{"target":"corp","module":"issue","environment":"","failed":{"key":2}}` {
		t.Errorf("stored: %s, %v", got, err)
	}
}
