package budget

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

var poolPair = probe.Pair{Target: "letsencrypt", Module: "issue"}

// poolNames are those of a pool of sets.
func poolNames(sets int) config.Names {
	return config.Names{Mode: config.NamesPool, Zone: "fra.acme-probe.example", Count: 1, Sets: sets}
}

// issues is a machine that issues for the names of a pool.
type issues struct {
	t      *testing.T
	store  *disk
	ledger *Ledger
	pool   *Pool
	names  config.Names
	r      Request
}

func newIssues(t *testing.T, sets int) *issues {
	i := &issues{t: t, store: newDisk(), names: poolNames(sets), r: issuance()}
	i.restart(begin)
	return i
}

func (i *issues) restart(now time.Time) {
	i.t.Helper()
	i.ledger = load(i.t, i.store, now)
	i.pool = NewPool(i.store, i.ledger)
	if err := i.pool.Load(); err != nil {
		i.t.Fatal(err)
	}
}

// next returns the names of a run that begins now; nil: it is denied.
func (i *issues) next(now time.Time) (Request, *Denied) {
	i.t.Helper()
	r, denied, err := i.pool.Next(now, poolPair, i.names, i.r)
	if err != nil {
		i.t.Fatal(err)
	}
	if (denied == nil) != (len(r.Names) > 0) {
		i.t.Fatalf("%+v, %+v", r, denied)
	}
	return r, denied
}

// issue runs once, and returns the names; nil: it was denied.
func (i *issues) issue(now time.Time) []string {
	i.t.Helper()
	names, _ := i.tick(now)
	return names
}

// tick is issue that says why it was denied.
func (i *issues) tick(now time.Time) ([]string, *Denied) {
	i.t.Helper()
	r, denied := i.next(now)
	if denied != nil {
		return nil, denied
	}
	settle(i.t, i.ledger, now, reserve(i.t, i.ledger, now, r), probe.Spent{Valid: r.Names, Issued: true})
	return r.Names, nil
}

// A pool of 404 sets is seeded as fast as half of the domain's certificates let,
// which takes about 16 weeks, and then keeps a cadence of five minutes. It does so
// through restarts, and against a CA that counts for itself.
func TestPoolOf404(t *testing.T) {
	t.Parallel()
	i := newIssues(t, 404)
	domain := published{parts: 25 * int64(24192*time.Second), size: 25, interval: int64(24192 * time.Second), at: begin.UnixNano()}
	type certificates struct {
		published
		turn int
	}
	sets := map[string]*certificates{}
	var until time.Time // that is when a denied run will be allowed
	var filled time.Duration
	var runs, denied, afterwards int
	for tick := range 17 * 7 * 24 * 12 {
		elapsed := time.Duration(tick) * 5 * time.Minute
		now := begin.Add(elapsed)
		if now.Before(until) {
			continue
		}
		names, d := i.tick(now)
		if filled != 0 {
			afterwards++
		}
		if names == nil {
			until = d.At
			if denied++; filled != 0 {
				t.Fatalf("denied after %v, when the pool is full since %v", elapsed, filled)
			}
			continue
		}
		if runs++; runs%1000 == 0 || filled != 0 && runs%100 == 0 {
			i.restart(now)
		}
		set := sets[names[0]]
		if set == nil {
			if set = (&certificates{published: published{parts: 5 * int64(120960*time.Second), size: 5, interval: int64(120960 * time.Second), at: now.UnixNano()}}); !domain.take(now.UnixNano()) {
				t.Fatalf("set %d after %v: more than half of what the CA gives", len(sets), elapsed)
			}
			sets[names[0]] = set
			if len(sets) == 404 {
				filled = elapsed
			}
		}
		if !set.take(now.UnixNano()) {
			t.Fatalf("after %v the CA denies another certificate for a set", elapsed)
		}
		if filled != 0 && set.turn > 0 && runs-set.turn != 404 && afterwards > 404 {
			t.Fatalf("after %v a set has its turn after %d runs", elapsed, runs-set.turn)
		}
		set.turn = runs
	}
	if weeks := filled.Hours() / 24 / 7; weeks < 15 || weeks > 16.5 {
		t.Errorf("filled after %.2f weeks, want about 16", weeks)
	}
	if n, issued := i.pool.Filled(begin.Add(17*week), poolPair, i.names, testCA); n != 404 || issued != 404 || len(sets) != 404 {
		t.Errorf("%d sets, %d of them issued, %d seen", n, issued, len(sets))
	}
	if denied == 0 {
		t.Error("nothing was denied while the pool was filled")
	}
}

// Each pair has sets of its own, in its own zone, with as many names as configured.
func TestPoolPartition(t *testing.T) {
	i := newIssues(t, 2)
	i.names.Count, i.names.Wildcard = 2, true
	seen := map[string]string{}
	take := func(who string, pair probe.Pair, names config.Names) []string {
		r, denied, err := i.pool.Next(begin, pair, names, i.r)
		if err != nil || denied != nil || !r.Repeats {
			t.Fatalf("%s: %+v, %v, %v", who, r, denied, err)
		}
		for _, name := range r.Names {
			if other := seen[name]; other != "" && other != who {
				t.Errorf("%s and %s share %s", who, other, name)
			}
			if seen[name] = who; !strings.HasSuffix(name, "."+names.Zone) {
				t.Errorf("%s has %s", who, name)
			}
		}
		if !slices.IsSorted(r.Names) {
			t.Errorf("not sorted: %v", r.Names)
		}
		return r.Names
	}
	first := take("a", poolPair, i.names)
	if len(first) != 4 || !strings.HasPrefix(first[0], "*.") || first[0][2:] != first[2] && first[0][2:] != first[3] {
		t.Errorf("%v", first)
	}
	take("b", probe.Pair{Target: "letsencrypt", Module: "issue2"}, i.names)
	take("c", probe.Pair{Target: "other", Module: "issue"}, i.names)
	elsewhere := i.names
	elsewhere.Zone = "par.acme-probe.example"
	take("d", poolPair, elsewhere)
	single := i.names
	single.Wildcard = false
	if got := take("e", poolPair, single); len(got) != 2 {
		t.Errorf("%v", got)
	}
	i.restart(begin)
	second := probe.Pair{Target: "letsencrypt", Module: "issue2"}
	if n, _ := i.pool.Filled(begin, second, i.names, testCA); n != 1 {
		t.Errorf("b has %d sets after a restart, want 1", n)
	}
}

// While issuance fails, a pool does not make more and more names; each run tries
// others, and the ones that failed rest.
func TestPoolWhileIssuanceFails(t *testing.T) {
	i := newIssues(t, 100)
	seen := map[string]int{}
	for tick := range 100 {
		now := begin.Add(time.Duration(tick) * time.Minute)
		r, denied := i.next(now)
		if denied != nil {
			continue
		}
		seen[r.Names[0]]++
		settle(t, i.ledger, now, reserve(t, i.ledger, now, r), probe.Spent{NoCertificate: true})
	}
	if len(seen) != 3 {
		t.Errorf("%d names, want 3", len(seen))
	}
	for name, n := range seen {
		if n < 7 { // once in 12 minutes, but for the kept token
			t.Errorf("%s was tried %d times", name, n)
		}
	}
	now := begin.Add(day)
	failed := i.issue(now)
	if seen[failed[0]] == 0 {
		t.Errorf("%v is new", failed)
	}
}

// A run that confirms takes another set than the one that failed, and no new names.
func TestPoolConfirmation(t *testing.T) {
	i := newIssues(t, 10)
	sets := [][]string{i.issue(begin), i.issue(begin), i.issue(begin)}
	i.r.Confirmation = true
	for n := range 6 {
		r, denied := i.next(begin)
		if denied != nil || !slices.Equal(r.Names, sets[n%3]) {
			t.Errorf("confirmation %d: %v, %v, want %v", n, r.Names, denied, sets[n%3])
		}
	}
}

// Where there are no limits a pool has as many sets as anywhere, and a ledger that
// cannot be read stops nobody.
func TestPoolWithoutLimits(t *testing.T) {
	i := newIssues(t, 5)
	i.r.Limits = nil
	taken := func(runs int) map[string]int {
		t.Helper()
		turns := map[string]int{}
		for range runs {
			names := i.issue(begin)
			if names == nil {
				t.Fatal("denied")
			}
			turns[names[0]]++
		}
		return turns
	}
	check := func(what string, turns map[string]int, each int) {
		t.Helper()
		for name, n := range turns {
			if n != each {
				t.Errorf("%s: %s had its turn %d times, want %d", what, name, n, each)
			}
		}
		if len(turns) != 5 {
			t.Errorf("%s: %d sets, want 5", what, len(turns))
		}
	}
	first := taken(15)
	check("at first", first, 3)
	i.restart(begin)
	if n, issued := i.pool.Filled(begin, poolPair, i.names, testCA); n != 5 || issued != 5 {
		t.Errorf("%d sets, %d of them issued, want 5 and 5", n, issued)
	}
	if got := missing(i.ledger, begin); len(got) != 0 {
		t.Errorf("spent: %v", got)
	}
	for key := range i.store.kept[ledgerBucket] {
		i.store.kept[ledgerBucket][key] = []byte("{")
	}
	i.ledger = NewLedger(i.store)
	if err := i.ledger.Load(begin); !errors.Is(err, ErrUnreadable) {
		t.Fatal(err)
	}
	i.pool = NewPool(i.store, i.ledger)
	if err := i.pool.Load(); err != nil {
		t.Fatal(err)
	}
	again := taken(10)
	check("without a ledger", again, 2)
	for name := range again {
		if first[name] == 0 {
			t.Errorf("%s is new", name)
		}
	}
}

// Names that the CA has paused until a human lifts that are replaced.
func TestPoolRetires(t *testing.T) {
	i := newIssues(t, 1)
	i.r.Limits = i.r.Limits[4:]
	names := i.issue(begin)
	if again := i.issue(begin); !slices.Equal(again, names) {
		t.Errorf("%v, want %v", again, names)
	}
	r := i.r
	r.Names = names
	if err := i.ledger.Pause(begin, r.Keys(config.LimitConsecutiveFailures)[0], time.Time{}); err != nil {
		t.Fatal(err)
	}
	others := i.issue(begin)
	if others == nil || slices.Equal(others, names) {
		t.Errorf("%v", others)
	}
	i.restart(begin)
	if n, _ := i.pool.Filled(begin, poolPair, i.names, testCA); n != 1 || len(i.store.kept[poolBucket]) != 1 {
		t.Errorf("%d sets, %d stored", n, len(i.store.kept[poolBucket]))
	}
}

// A denial says when the first of all sets will be allowed.
func TestPoolDenied(t *testing.T) {
	i := newIssues(t, 2)
	for n := range 8 { // four of the five tokens of each set
		if i.issue(begin.Add(time.Duration(n)*time.Hour)) == nil {
			t.Fatalf("run %d is denied", n)
		}
	}
	now := begin.Add(8 * time.Hour)
	_, denied := i.next(now)
	if denied == nil || denied.Key.Limit != config.LimitCertificatesPerSet || denied.Cause != CauseKept {
		t.Fatalf("%+v", denied)
	}
	if i.issue(denied.At.Add(-1)) != nil {
		t.Error("allowed sooner")
	}
	if i.issue(denied.At) == nil {
		t.Error("denied then")
	}
}

func TestPoolDamaged(t *testing.T) {
	i := newIssues(t, 3)
	i.issue(begin)
	good := i.store.kept[poolBucket]
	for key, value := range good {
		for name, bad := range map[string]map[string][]byte{
			"garbage":   {key: []byte("{")},
			"another's": {key + "0": value},
		} {
			i.store.kept[poolBucket] = bad
			p := NewPool(i.store, i.ledger)
			if err := p.Load(); err == nil || !strings.Contains(err.Error(), "restore store.db") {
				t.Errorf("%s: %v", name, err)
			}
			if _, _, err := p.Next(begin, poolPair, i.names, i.r); err == nil {
				t.Errorf("%s: there are names", name)
			}
		}
	}
	i.store.kept[poolBucket] = good
	i.restart(begin)
	i.store.broken = errors.New("no space left on device")
	if _, _, err := i.pool.Next(begin, poolPair, i.names, i.r); !errors.Is(err, i.store.broken) {
		t.Errorf("names that are not stored: %v", err)
	}
	if _, _, err := NewPool(i.store, i.ledger).Next(begin, poolPair, i.names, i.r); err == nil {
		t.Error("a pool that was not loaded has names")
	}
}
