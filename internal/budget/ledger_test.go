package budget

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// A run takes everything that it may spend, in one commit; a crash gives nothing of
// it back.
func TestReserveIsDurable(t *testing.T) {
	store := newDisk()
	l := load(t, store, begin)
	names := []string{"a.acme-probe.example", "*.a.acme-probe.example"}
	reserve(t, l, begin, issuance(names...))
	if store.commits != 1 {
		t.Errorf("%d commits, want 1", store.commits)
	}
	want := map[string]int{
		"new_orders acct/1":                                1,
		"certificates_per_domain acme-probe.example":       1,
		"certificates_per_set " + setOf(names):             1,
		"failed_validations acct/1 a.acme-probe.example":   2,
		"consecutive_failures acct/1 a.acme-probe.example": 2,
	}
	if diff := cmp.Diff(want, missing(l, begin)); diff != "" {
		t.Error(diff)
	}
	// While nothing is settled, nothing comes back; nor does a crash give it back.
	later := begin.Add(100 * day)
	if diff := cmp.Diff(want, missing(l, later)); diff != "" {
		t.Errorf("100 days later: %s", diff)
	}
	l = load(t, store, later)
	if diff := cmp.Diff(want, missing(l, later)); diff != "" {
		t.Errorf("after a crash: %s", diff)
	}
	// From then on it does, but for the set and a failure in a row.
	if got := missing(l, later.Add(25*time.Hour)); len(got) != 2 {
		t.Errorf("25 hours after the crash: %v", got)
	}
	l = load(t, store, later.Add(20*day))
	if got := missing(l, later.Add(20*day)); len(got) != 0 {
		t.Errorf("20 days after the crash: %v", got)
	}
}

// What is denied by one limit takes nothing of any.
func TestReserveAllOrNothing(t *testing.T) {
	store := newDisk()
	l := load(t, store, begin)
	r := issuance("a.acme-probe.example", "b.other.example")
	r.Share = 0.04 // 2 of 50
	for range 2 {
		reserve(t, l, begin, r)
	}
	before, commits := missing(l, begin), store.commits
	d := deny(t, l, begin, r)
	if d.Key.Limit != config.LimitCertificatesPerDomain || d.Cause != CauseEmpty || d.Capacity != 2 {
		t.Errorf("%+v", d)
	}
	if diff := cmp.Diff(before, missing(l, begin)); diff != "" || store.commits != commits {
		t.Errorf("%d commits; %s", store.commits-commits, diff)
	}
	// At the time that it says, and not before.
	settled := begin.Add(84 * time.Hour) // 7 d / 50 / 0.04
	if !d.At.Equal(settled) {
		t.Errorf("allowed at %v, want %v", d.At, settled)
	}
	l = load(t, store, begin)
	deny(t, l, settled.Add(-time.Nanosecond), r)
	reserve(t, l, settled, r)
	if d, err := l.Check(settled, r); d == nil || err != nil {
		t.Errorf("Check: %v, %v", d, err)
	}
}

// Ticks leave a fifth of the tokens to confirmation runs.
func TestKept(t *testing.T) {
	l := load(t, newDisk(), begin)
	r := issuance("a.example")
	r.Limits, r.What = r.Limits[:1], probe.SpendOrder
	for range 240 {
		reserve(t, l, begin, r)
	}
	d := deny(t, l, begin, r)
	if d.Cause != CauseKept || !d.At.Equal(begin.Add(36*time.Second)) {
		t.Errorf("%+v", d)
	}
	r.Confirmation = true
	for range 60 {
		reserve(t, l, begin, r)
	}
	if d := deny(t, l, begin, r); d.Cause != CauseEmpty {
		t.Errorf("%+v", d)
	}
	r.Confirmation = false
	if d := deny(t, l, begin, r); d.Cause != CauseEmpty || !d.At.Equal(begin.Add(61*36*time.Second)) {
		t.Errorf("%+v", d)
	}
}

// A pause concerns its key, and nothing else.
func TestPause(t *testing.T) {
	store := newDisk()
	l := load(t, store, begin)
	a, b := issuance("a.acme-probe.example"), issuance("b.acme-probe.example")
	keys := a.Keys(config.LimitConsecutiveFailures)
	if err := l.Pause(begin, keys[0], time.Time{}); err != nil {
		t.Fatal(err)
	}
	orders := a.Keys(config.LimitNewOrders)[0]
	for _, until := range []time.Duration{time.Hour, time.Minute} { // never shortened
		if err := l.Pause(begin, orders, begin.Add(until)); err != nil {
			t.Fatal(err)
		}
	}
	hour := begin.Add(time.Hour)
	want := []Entry{{Key: keys[0], Paused: true}, {Key: orders, Paused: true, Until: hour}}
	for range 2 {
		if d := deny(t, l, hour.Add(-1), b); d.Cause != CausePaused || d.Key != orders || !d.At.Equal(hour) {
			t.Errorf("%+v", d)
		}
		if diff := cmp.Diff(want, l.Paused(hour.Add(-1), testCA)); diff != "" {
			t.Error(diff)
		}
		l = load(t, store, hour.Add(-1))
	}
	reserve(t, l, hour, b)
	later := hour.Add(1000 * day)
	if d := deny(t, l, later, a); d.Cause != CausePaused || d.Key != keys[0] || !d.At.IsZero() {
		t.Errorf("%+v", d)
	}
	other := a
	other.CA = "https://other.example/directory"
	reserve(t, l, later, other)
	if err := l.Reset(later, testCA); err != nil {
		t.Fatal(err)
	}
	reserve(t, l, later, a)
	if n := len(l.Entries(later, other.CA)); n != 5 {
		t.Errorf("the other CA has %d entries after the reset, want 5", n)
	}
	if err := l.Pause(begin, Key{CA: testCA, Limit: "other"}, hour); err == nil {
		t.Error("a pause of a limit that does not exist")
	}
}

// A pause that lasts longer than the clock can show lasts, and still ends by itself.
func TestPauseFarAway(t *testing.T) {
	for _, until := range []time.Time{begin.Add(math.MaxInt64), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		store := newDisk()
		l := load(t, store, begin)
		r := issuance("a.acme-probe.example")
		if err := l.Pause(begin, r.Keys(config.LimitNewOrders)[0], until); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if d := deny(t, l, begin.Add(day), r); d.Cause != CausePaused || d.At.Before(begin.Add(200*365*day)) {
				t.Errorf("until %v: %+v", until, d)
			}
			l = load(t, store, begin)
		}
	}
}

// CAs look at all limits when an order is made: an order that would not issue is
// refused too where the domain's certificates are spent.
func TestLook(t *testing.T) {
	l := load(t, newDisk(), begin)
	domain := []config.Limit{{Name: config.LimitCertificatesPerDomain, Count: 2, Period: time.Hour, Shared: true}}
	issue := issuance("a.acme-probe.example")
	issue.Limits, issue.Share, issue.Confirmation = domain, 1, true
	validate := issue
	validate.What = probe.SpendOrder | probe.SpendValidation
	reserve(t, l, begin, issue)
	for range 3 {
		reserve(t, l, begin, validate)
	}
	reserve(t, l, begin, issue)
	if d := deny(t, l, begin, validate); d.Cause != CauseEmpty || !d.At.Equal(begin.Add(30*time.Minute)) {
		t.Errorf("%+v", d)
	}
}

// Many at a time take no more than there is, with the real store.
func TestParallel(t *testing.T) {
	store, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	l := load(t, store, begin)
	var (
		group   sync.WaitGroup
		allowed atomic.Int64
	)
	for i := range 50 {
		group.Go(func() {
			r := issuance(fmt.Sprintf("name%d.acme-probe.example", i))
			res, _, err := l.Reserve(begin, r)
			if err != nil {
				t.Error(err)
			}
			if res != nil {
				allowed.Add(1)
				if err := l.Settle(begin, res, probe.Spent{Valid: r.Names, Issued: true}); err != nil {
					t.Error(err)
				}
			}
			l.Remaining(begin, testCA, r.Account, r.Limits, r.Share)
		})
	}
	group.Wait()
	if allowed.Load() != 20 { // of 25, of which 5 are kept
		t.Errorf("%d were allowed, want 20", allowed.Load())
	}
	if diff := cmp.Diff(missing(l, begin), missing(load(t, store, begin), begin)); diff != "" {
		t.Error(diff)
	}
}
