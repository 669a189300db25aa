package runner

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// BenchmarkDispatch is what each tick, each trigger and each end of a run costs
// beside the run itself.
func BenchmarkDispatch(b *testing.B) {
	for _, n := range []int{150, 3000} {
		b.Run(fmt.Sprintf("pairs=%d", n), func(b *testing.B) {
			r := New(Options{})
			pairs := make([]config.Pair, n)
			for i := range pairs {
				pairs[i] = configured(named("ca", fmt.Sprint(i)), interval(1000*time.Hour))
			}
			r.Apply(pairs)
			if err := r.begin(); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if next, inFlight := r.dispatch(b.Context(), b.Context()); next.IsZero() || inFlight != 0 {
					b.Fatalf("next %v, %d in flight", next, inFlight)
				}
			}
		})
	}
}

// BenchmarkKeep is what a run costs after its Result is published: a commit, and
// compression.
func BenchmarkKeep(b *testing.B) {
	s, err := state.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r := New(Options{Store: s})
	pair := configured(interval(0))
	r.Apply([]config.Pair{pair})
	res := &probe.Result{Version: probe.Version, Pair: pairA, ConfigHash: pair.Hash, Verdict: probe.Verdict{Outcome: probe.OutcomeSuccess}}
	for i := range 12 {
		res.Calls = append(res.Calls, probe.Call{Name: probe.CallAuthz, URL: incompressible(60), Start: time.Duration(i), Status: 200})
	}
	for b.Loop() {
		next := *res
		next.Start = time.Now()
		next.ID = probe.NewID(next.Start)
		r.mu.Lock()
		ru := &run{lane: r.lanes[pairA], gen: r.lanes[pairA].gen, pair: pair}
		r.enter(ru, &next)
		r.mu.Unlock()
		r.keep(ru, &next)
	}
}

// BenchmarkRestore is what a start costs with a full history of many small runs.
func BenchmarkRestore(b *testing.B) {
	store := newMemory()
	var pairs []config.Pair
	for n := range 3000 {
		p := configured(named("ca", fmt.Sprint(n)), interval(0))
		pairs = append(pairs, p)
		for i := range 6 {
			rec, err := newRecord(&probe.Result{
				Version: probe.Version, ID: fmt.Sprint("20261123T061703Z-", i), Pair: p.Pair, ConfigHash: p.Hash,
				Facts: probe.Facts{Directory: &probe.Directory{Website: incompressible(300)}},
			}, uint64(i+1))
			if err := errors.Join(err, store.Commit(rec.changes...)); err != nil {
				b.Fatal(err)
			}
		}
	}
	for b.Loop() {
		r := New(Options{Store: store})
		r.Apply(pairs)
		if err := r.Restore(); err != nil {
			b.Fatal(err)
		}
		if r.historyUsed == 0 || len(r.stale) != 0 {
			b.Fatal("nothing was restored")
		}
		b.ReportMetric(float64(r.historyUsed)/(1<<20), "MiB")
	}
}
