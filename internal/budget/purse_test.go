package budget

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const issuing = probe.SpendOrder | probe.SpendValidation | probe.SpendCertificate

// open returns the book that a process finds which starts now.
func open(t *testing.T, store Store) *Book {
	t.Helper()
	b := NewBook(store)
	if err := b.Load(time.Now()); err != nil {
		t.Fatal(err)
	}
	return b
}

// pair returns the only target's pair of that module.
func (p planned) pair(t *testing.T, module string) config.Pair {
	t.Helper()
	pair, ok := p.Pair(probe.Pair{Target: "ca", Module: module})
	if !ok {
		t.Fatalf("no pair %s", module)
	}
	return pair
}

// ordered expects the run to be allowed, and returns the names.
func ordered(t *testing.T, p *Purse, what probe.Spending, names ...string) []string {
	t.Helper()
	got, denied, err := p.Reserve(what, names)
	if err != nil || denied != nil || len(got) == 0 && what&probe.SpendOrder != 0 {
		t.Fatalf("reserve: %v, %+v, %v", got, denied, err)
	}
	return got
}

// spentAt are the tokens that the target's buckets lack, by limit and ID.
func (p planned) spentAt(b *Book) map[string]int {
	got := map[string]int{}
	for _, e := range b.ledger.Entries(time.Now(), p.target.DirectoryURL) {
		if e.Missing != 0 {
			got[string(e.Key.Limit)+" "+e.Key.ID] = e.Missing
		}
	}
	return got
}

// A run that creates the account, drains an order and places another one settles
// all of it at once, and only once.
func TestPurse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := plannedProduction().issue("issue", time.Hour, randomNames())
		b := open(t, newDisk())
		p := b.Purse(cfg.pair(t, "issue"), false)
		if got, denied, err := p.Reserve(probe.SpendAccount, nil); err != nil || denied != nil || len(got) != 0 {
			t.Fatal(got, denied, err)
		}
		names := ordered(t, p, issuing, "a.acme-probe.example", "b.acme-probe.example")
		ordered(t, p, probe.SpendOrder, names...)
		set := setOf(names)
		want := map[string]int{
			"new_accounts_per_ip ": 1, "new_accounts_per_network ": 1, "new_orders ca": 2,
			"certificates_per_domain acme-probe.example": 1, "certificates_per_set " + set: 1,
			"failed_validations ca a.acme-probe.example": 1, "failed_validations ca b.acme-probe.example": 1,
			"consecutive_failures ca a.acme-probe.example": 1, "consecutive_failures ca b.acme-probe.example": 1,
		}
		if diff := cmp.Diff(want, cfg.spentAt(b)); diff != "" {
			t.Errorf("reserved: %s", diff)
		}
		for range 2 {
			if err := p.Settle(probe.Spent{NoAccount: true, NoCertificate: true, Valid: names[:1]}); err != nil {
				t.Fatal(err)
			}
			want = map[string]int{
				"new_orders ca": 2, "failed_validations ca b.acme-probe.example": 1, "consecutive_failures ca b.acme-probe.example": 1,
			}
			if diff := cmp.Diff(want, cfg.spentAt(b)); diff != "" {
				t.Errorf("settled: %s", diff)
			}
		}
		for _, e := range b.ledger.Entries(time.Now(), cfg.target.DirectoryURL) {
			if e.Open != 0 || !e.Issued.IsZero() {
				t.Errorf("%+v is left", e)
			}
		}
	})
}

// What denies is told without the account, and with the ledger's own sentence.
func TestPurseDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := plannedProduction().issue("issue", time.Hour, fixedNames("www.acme-probe.example"))
		b := open(t, newDisk())
		pair := cfg.pair(t, "issue")
		now := time.Now()
		key := Key{cfg.target.DirectoryURL, config.LimitConsecutiveFailures, "ca www.acme-probe.example"}
		if err := b.ledger.Pause(now, Key{key.CA, config.LimitFailedValidations, key.ID}, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		_, denied, err := b.Purse(pair, false).Reserve(issuing, []string{"www.acme-probe.example"})
		want := &probe.RateLimit{
			Limit: "failed_validations", What: "www.acme-probe.example", Until: now.Add(time.Hour),
			Detail: `rate limit failed_validations of "www.acme-probe.example": paused until 2000-01-01T01:00:00Z`,
		}
		if diff := cmp.Diff(want, denied); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
		if err := b.ledger.Pause(now, key, time.Time{}); err != nil {
			t.Fatal(err)
		}
		p := b.Purse(pair, false)
		_, denied, err = p.Reserve(issuing, []string{"www.acme-probe.example"})
		want = &probe.RateLimit{
			Limit: "consecutive_failures", What: "www.acme-probe.example", Paused: true,
			Detail: `rate limit consecutive_failures of "www.acme-probe.example": paused by the CA until somebody has it lifted`,
		}
		if diff := cmp.Diff(want, denied); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
		if spent := cfg.spentAt(b); len(spent) != 0 {
			t.Errorf("what was denied has spent %v", spent)
		}
		if err := p.Settle(probe.Spent{}); err != nil {
			t.Error(err)
		}
	})
}

// The tokens that are kept are for runs that confirm.
func TestPurseConfirmation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := plannedProduction().issue("issue", time.Hour, randomNames())
		b := open(t, newDisk())
		pair := cfg.pair(t, "issue")
		for {
			_, denied, err := b.Purse(pair, false).Reserve(issuing, []string{setOf(nil)[:8] + ".acme-probe.example"})
			if err != nil {
				t.Fatal(err)
			}
			if denied != nil {
				break
			}
		}
		ordered(t, b.Purse(pair, true), issuing, setOf(nil)[:8]+".acme-probe.example")
	})
}

// A pair with a pool gets its sets in turn, each remembered once it has a
// certificate, and keeps its set when it orders again; fixed names are remembered
// as well, new ones are not.
func TestPurseNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := plannedProduction().issue("pool", time.Hour, poolOf(2)).
			issue("fixed", time.Hour, fixedNames("www.acme-probe.example")).issue("random", time.Hour, randomNames())
		store := newDisk()
		b := open(t, store)
		issued := func(module string, names ...string) []string {
			t.Helper()
			p := b.Purse(cfg.pair(t, module), false)
			got := ordered(t, p, issuing, names...)
			if module == "pool" {
				if again := ordered(t, p, probe.SpendOrder); cmp.Diff(got, again) != "" {
					t.Errorf("one run orders for %v and %v", got, again)
				}
			}
			if err := p.Settle(probe.Spent{Issued: true, Valid: got}); err != nil {
				t.Fatal(err)
			}
			return got
		}
		first, second := issued("pool"), issued("pool")
		if cmp.Diff(first, second) == "" {
			t.Errorf("the same set twice: %v", first)
		}
		b = open(t, store)
		if third := issued("pool"); cmp.Diff(first, third) != "" {
			t.Errorf("%v, want the first set again, %v", third, first)
		}
		for module, want := range map[string]bool{"fixed": true, "random": false} {
			names := issued(module, module+".acme-probe.example")
			if got := !b.ledger.Issued(time.Now(), cfg.target.DirectoryURL, names).IsZero(); got != want {
				t.Errorf("%s: remembered is %v", module, got)
			}
		}
	})
}

// A run that only creates the account takes no set of the pool.
func TestPurseAccountTakesNoNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := plannedProduction().issue("pool", time.Hour, poolOf(2))
		b := open(t, newDisk())
		pair := cfg.pair(t, "pool")
		if names, denied, err := b.Purse(pair, false).Reserve(probe.SpendAccount, nil); len(names) != 0 || denied != nil || err != nil {
			t.Error(names, denied, err)
		}
		if n, _ := b.pool.Filled(time.Now(), pair.Pair, *pair.Names(), pair.Target.DirectoryURL); n != 0 {
			t.Errorf("the pool has %d sets", n)
		}
	})
}

// Where there are no limits nothing is written, and a ledger that cannot be read is
// nothing to runs; where there are, it is an error.
func TestPurseWithoutLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free, limited := plannedAt("", config.Production).issue("issue", time.Hour, randomNames()), plannedProduction().issue("issue", time.Hour, randomNames())
		store := newDisk()
		b := open(t, store)
		p := b.Purse(free.pair(t, "issue"), false)
		ordered(t, p, issuing, "a.acme-probe.example")
		if err := p.Settle(probe.Spent{}); err != nil || store.commits != 0 {
			t.Errorf("%v, %d commits", err, store.commits)
		}
		store.broken = errors.New("read: input/output error")
		b = NewBook(store)
		if err := b.Load(time.Now()); !errors.Is(err, ErrUnreadable) || b.OK() || !errors.Is(b.Problem(), store.broken) {
			t.Errorf("load: %v; problem: %v", err, b.Problem())
		}
		p = b.Purse(free.pair(t, "issue"), false)
		ordered(t, p, issuing, "a.acme-probe.example")
		if err := p.Settle(probe.Spent{}); err != nil {
			t.Error(err)
		}
		p = b.Purse(limited.pair(t, "issue"), false)
		if names, denied, err := p.Reserve(issuing, []string{"a.acme-probe.example"}); !errors.Is(err, ErrUnreadable) || denied != nil || names != nil {
			t.Error(names, denied, err)
		}
		if err := p.Settle(probe.Spent{}); err != nil {
			t.Error(err)
		}
	})
}
