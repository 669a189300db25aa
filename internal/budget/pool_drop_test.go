package budget

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// What another zone or count has left is kept while it is worth something.
func TestPoolChanges(t *testing.T) {
	i := newIssues(t, 3)
	before := i.issue(begin)
	i.next(begin) // a set that never had a certificate
	zone := i.names.Zone
	i.names.Zone = "par.acme-probe.example"
	i.issue(begin)
	if n := len(i.store.kept[poolBucket]); n != 2 {
		t.Errorf("%d sets are stored, want the issued one and the new one", n)
	}
	i.names.Zone = zone
	i.r.Confirmation = true
	if got := i.issue(begin.Add(day)); !slices.Equal(got, before) {
		t.Errorf("%v, want %v", got, before)
	}
	i.names.Zone = "lon.acme-probe.example"
	i.issue(begin.Add(200 * day))
	if n := len(i.store.kept[poolBucket]); n != 1 {
		t.Errorf("%d sets are stored, want the new one", n)
	}
}

// The sets of pairs that are not configured any more, or have no pool, are kept while
// they are worth something.
func TestPoolUnconfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newDisk()
		b := open(t, store)
		names := poolNames(3)
		cfg := plannedProduction().issue("kept", time.Hour, names).issue("renamed", time.Hour, names).issue("random", time.Hour, names)
		for _, module := range []string{"kept", "renamed", "random"} {
			for _, issued := range []bool{true, false} {
				p := b.Purse(cfg.pair(t, module), false)
				got := ordered(t, p, issuing)
				if err := p.Settle(probe.Spent{Valid: got, Issued: issued, NoCertificate: !issued}); err != nil {
					t.Fatal(err)
				}
			}
		}
		after := plannedProduction().issue("kept", time.Hour, names).issue("random", time.Hour, randomNames())
		for _, test := range []struct {
			when string
			wait time.Duration
			cfg  planned
			want map[string]int
		}{
			{"before", 0, cfg, map[string]int{"kept": 2, "renamed": 2, "random": 2}},
			{"at once", 0, after, map[string]int{"kept": 2, "renamed": 1, "random": 1}},
			{"again", 0, after, map[string]int{"kept": 2, "renamed": 1, "random": 1}},
			{"when they are worth nothing", 120 * day, after, map[string]int{"kept": 2}},
		} {
			time.Sleep(test.wait)
			if err := b.Apply(time.Now(), test.cfg.Pairs()); err != nil {
				t.Fatal(err)
			}
			for what, b := range map[string]*Book{"": b, ", after a restart": open(t, store)} {
				got := map[string]int{}
				for pt, sets := range b.pool.sets {
					if len(sets) > 0 {
						got[pt.pair.Module] += len(sets)
					}
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("%s%s: %s", test.when, what, diff)
				}
			}
		}
		none := plannedProduction()
		store.broken = errors.New("read-only file system")
		if err := b.Apply(time.Now(), none.Pairs()); !errors.Is(err, store.broken) {
			t.Errorf("got %v, want what the store says", err)
		}
		store.broken = nil
		b.ledger = NewLedger(store) // which was not read
		b.pool.ledger = b.ledger
		if err := b.Apply(time.Now(), none.Pairs()); err != nil || len(store.kept[poolBucket]) != 2 {
			t.Errorf("%d sets are stored, error %v: what they are worth is not known", len(store.kept[poolBucket]), err)
		}
	})
}

// A pool that is made smaller keeps the sets that are worth most.
func TestPoolSmaller(t *testing.T) {
	i := newIssues(t, 6)
	var sets [][]string
	for n := range 5 {
		sets = append(sets, i.issue(begin.Add(time.Duration(n)*day)))
	}
	now := begin.Add(5 * day)
	failed, _ := i.next(now) // it never gets a certificate, although it was taken last
	settle(t, i.ledger, now, reserve(t, i.ledger, now, failed), probe.Spent{NoCertificate: true})
	i.names.Sets = 3
	i.restart(now)
	want := sets[2:]
	for n := range 6 {
		if got := i.issue(now.Add(2 * day)); !slices.Equal(got, want[n%3]) {
			t.Errorf("run %d: %v, want %v", n, got, want[n%3])
		}
	}
	if n := len(i.store.kept[poolBucket]); n != 3 {
		t.Errorf("%d sets are stored, want 3", n)
	}
}

// A set with which a run is busy is not dropped, and one is not while it is not known
// what it is worth.
func TestPoolSmallerLater(t *testing.T) {
	i := newIssues(t, 3)
	oldest, _ := i.next(begin)
	open := reserve(t, i.ledger, begin, oldest)
	i.issue(begin)
	i.issue(begin)
	i.names.Sets = 1
	i.next(begin)
	if n := len(i.store.kept[poolBucket]); n != 1 {
		t.Errorf("%d sets are stored, want the one that is busy", n)
	}
	settle(t, i.ledger, begin, open, probe.Spent{Valid: oldest.Names, Issued: true})
	if got := i.issue(begin.Add(2 * day)); !slices.Equal(got, oldest.Names) {
		t.Errorf("%v, want %v", got, oldest.Names)
	}

	i = newIssues(t, 3)
	i.r.Limits = nil
	for range 3 {
		i.issue(begin)
	}
	i.ledger = NewLedger(i.store) // which was not read
	i.names.Sets, i.pool.ledger = 1, i.ledger
	i.issue(begin)
	if n := len(i.store.kept[poolBucket]); n != 3 {
		t.Errorf("%d sets are stored, want all", n)
	}
	i.names.Zone = "par.acme-probe.example"
	i.issue(begin)
	if n := len(i.store.kept[poolBucket]); n != 4 {
		t.Errorf("%d sets are stored, want all and one in the other zone", n)
	}
}
