package budget

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// A ledger that cannot be trusted lets nothing be spent; a reset mends it.
func TestUnreadable(t *testing.T) {
	for name, damage := range map[string]func(*disk){
		"garbage": func(d *disk) { d.kept[ledgerBucket][testCA+" new_orders acct/1"] = []byte("{") },
		"a digit": func(d *disk) {
			key := testCA + " new_orders acct/1"
			d.kept[ledgerBucket][key] = []byte(strings.Replace(string(d.kept[ledgerBucket][key]), `"full_at_ns":17`, `"full_at_ns":16`, 1))
		},
		"another's": func(d *disk) {
			d.kept[ledgerBucket][testCA+" new_orders acct/1"] = d.kept[ledgerBucket][testCA+" certificates_per_domain a.example"]
		},
		"no key": func(d *disk) { d.kept[ledgerBucket]["x"] = []byte(fmt.Sprintf(`{"sum":%d}`, stored{}.sum("x"))) },
		"no limit": func(d *disk) {
			d.kept[ledgerBucket]["ca limit x"] = []byte(fmt.Sprintf(`{"sum":%d}`, stored{}.sum("ca limit x")))
		},
		"since when": func(d *disk) {
			d.kept[ledgerBucket][sincePrefix+testCA] = d.kept[ledgerBucket][clockKey]
		},
		"since when for nobody": func(d *disk) {
			d.kept[ledgerBucket][sincePrefix] = []byte(fmt.Sprintf(`{"sum":%d}`, stored{}.sum(sincePrefix)))
		},
		"clock": func(d *disk) { d.kept[ledgerBucket][clockKey] = []byte("0") },
	} {
		store := newDisk()
		reserve(t, load(t, store, begin), begin, issuance("a.example"))
		damage(store)
		l := NewLedger(store)
		if err := l.Load(begin); !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), "acme_exporter budget reset") {
			t.Errorf("%s: %v", name, err)
		}
		if l.OK() {
			t.Errorf("%s: it is well", name)
		}
		if _, d, err := l.Reserve(begin, issuance("b.example")); !errors.Is(err, ErrUnreadable) || d != nil {
			t.Errorf("%s: %v, %v", name, d, err)
		}
		if _, err := l.Check(begin, issuance("b.example")); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%s: check: %v", name, err)
		}
		if _, err := l.Remaining(begin, testCA, "acct/1", testLimits(), 1); !errors.Is(err, ErrUnreadable) {
			t.Errorf("%s: remaining: %v", name, err)
		}
		if _, d, err := l.Reserve(begin, Request{What: probe.SpendOrder}); d != nil || err != nil {
			t.Errorf("%s: without limits: %v, %v", name, d, err)
		}
		if err := l.Reset(begin, testCA); err != nil || !l.OK() {
			t.Errorf("%s: reset: %v", name, err)
		}
		reserve(t, l, begin, issuance("b.example"))
	}
	store := newDisk()
	l := NewLedger(store)
	if _, _, err := l.Reserve(begin, issuance("a.example")); err == nil || l.OK() {
		t.Error("a ledger that was not loaded lets spend")
	}
	store.broken = errors.New("read: input/output error")
	if err := l.Load(begin); !errors.Is(err, store.broken) || !errors.Is(err, ErrUnreadable) {
		t.Error(err)
	}
}

// What cannot be written is not spent, and takes nothing.
func TestUnwritable(t *testing.T) {
	store := newDisk()
	l := load(t, store, begin)
	r := issuance("a.example")
	res := reserve(t, l, begin, r)
	before := missing(l, begin)
	store.broken = errors.New("no space left on device")
	for range 500 {
		if _, _, err := l.Reserve(begin, r); !errors.Is(err, store.broken) {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, missing(l, begin)); diff != "" || l.OK() {
		t.Errorf("OK is %v; %s", l.OK(), diff)
	}
	if err := l.Settle(begin, res, probe.Spent{NoOrder: true}); !errors.Is(err, store.broken) {
		t.Error(err)
	}
	if got := missing(l, begin); len(got) != 0 {
		t.Errorf("what could not be written is still settled: %v", got)
	}
	store.broken = nil
	if diff := cmp.Diff(before, missing(load(t, store, begin), begin)); diff != "" {
		t.Errorf("a process that starts now: %s", diff)
	}
	reserve(t, l, begin, r)
	if !l.OK() {
		t.Error("it can be written again, and is not well")
	}
}

// A process that starts with a clock an hour behind books nothing in the past: the
// tokens would be back as soon as the clock is put right.
func TestStartWithAClockBehind(t *testing.T) {
	store := newDisk()
	r := issuance("a.example")
	r.Limits, r.What = r.Limits[:1], probe.SpendOrder
	l := load(t, store, begin)
	settle(t, l, begin, reserve(t, l, begin, r), probe.Spent{NoOrder: true})
	behind := begin.Add(-time.Hour)
	l = load(t, store, behind)
	for range 100 {
		settle(t, l, behind, reserve(t, l, behind, r), probe.Spent{})
	}
	l.begun = begin // it is put right at once: on the monotonic clock nothing has passed
	if got := missing(l, begin)["new_orders acct/1"]; got != 100 {
		t.Errorf("%d are missing, want 100", got)
	}
}

// What says nothing any more is dropped, of the store too.
func TestPrune(t *testing.T) {
	store := newDisk()
	l := load(t, store, begin)
	for i := range 3000 {
		settle(t, l, begin, reserve(t, l, begin, requestOf(i)), probe.Spent{NoCertificate: true})
	}
	later := begin.Add(2 * day)
	for i := range 7 { // two keys each, a thousand at a time
		settle(t, l, later.Add(time.Duration(i)), reserve(t, l, later.Add(time.Duration(i)), requestOf(0)), probe.Spent{NoOrder: true})
	}
	if n := len(store.kept[ledgerBucket]); n != 2 {
		t.Errorf("%d keys are left, want the clock's, and since when", n)
	}
	if n := len(l.Entries(later, testCA)); n != 0 || len(l.entries) != 0 {
		t.Errorf("%d entries are left, and %d shown", len(l.entries), n)
	}
}

// requestOf is the i-th of many issuances for a name of its own, that nothing but
// its failures hold up.
func requestOf(i int) Request {
	r := issuance(fmt.Sprintf("name%d.acme-probe.example", i))
	r.Limits = r.Limits[3:]
	return r
}
