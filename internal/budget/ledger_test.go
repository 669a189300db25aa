package budget

import (
	"fmt"
	"strings"
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

func TestSettle(t *testing.T) {
	names := []string{"a.acme-probe.example", "b.acme-probe.example"}
	all := map[string]int{
		"new_orders acct/1":                                1,
		"certificates_per_domain acme-probe.example":       1,
		"certificates_per_set " + setOf(names):             1,
		"failed_validations acct/1 a.acme-probe.example":   1,
		"failed_validations acct/1 b.acme-probe.example":   1,
		"consecutive_failures acct/1 a.acme-probe.example": 1,
		"consecutive_failures acct/1 b.acme-probe.example": 1,
	}
	for name, test := range map[string]struct {
		outcome probe.Spent
		spent   []string // beginnings of keys
	}{
		"nobody knows":     {probe.Spent{}, []string{""}},
		"no order":         {probe.Spent{NoOrder: true}, nil},
		"order only":       {probe.Spent{NoCertificate: true, Untried: names}, []string{"new_orders"}},
		"one failed":       {probe.Spent{NoCertificate: true, Valid: names[:1]}, []string{"new_orders", "failed_validations acct/1 b", "consecutive_failures acct/1 b"}},
		"one tried":        {probe.Spent{NoCertificate: true, Untried: names[1:]}, []string{"new_orders", "failed_validations acct/1 a", "consecutive_failures acct/1 a"}},
		"issued":           {probe.Spent{Issued: true, Valid: names}, []string{"new_orders", "certificates"}},
		"issued after all": {probe.Spent{Issued: true, NoCertificate: true, Valid: names}, []string{"new_orders", "certificates"}},
		"finalized":        {probe.Spent{Valid: names}, []string{"new_orders", "certificates"}},
	} {
		store := newDisk()
		l := load(t, store, begin)
		res := reserve(t, l, begin, issuance(names...))
		for range 2 { // the second does nothing
			settle(t, l, begin, res, test.outcome)
		}
		want := map[string]int{}
		for key, n := range all {
			for _, prefix := range test.spent {
				if strings.HasPrefix(key, prefix) {
					want[key] = n
				}
			}
		}
		if diff := cmp.Diff(want, missing(l, begin)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(want, missing(load(t, store, begin), begin)); diff != "" {
			t.Errorf("%s, after a restart: %s", name, diff)
		}
		if n := len(store.kept[ledgerBucket]); n != len(want)+2 {
			t.Errorf("%s: %d keys are stored, want %d, the clock and since when", name, n, len(want))
		}
	}
	if err := load(t, newDisk(), begin).Settle(begin, nil, probe.Spent{}); err != nil {
		t.Error(err)
	}
}

// A token counts from when it was settled at the latest: the CA counts later than
// we reserve.
func TestSettleCountsFromTheEnd(t *testing.T) {
	l := load(t, newDisk(), begin)
	r := issuance("a.example")
	res := reserve(t, l, begin, r)
	end := begin.Add(90 * time.Second)
	settle(t, l, end, res, probe.Spent{Valid: r.Names, Issued: true})
	for _, e := range l.Entries(end, testCA) {
		want := map[config.LimitName]time.Duration{
			config.LimitNewOrders: 36 * time.Second, config.LimitCertificatesPerDomain: 24192 * time.Second, config.LimitCertificatesPerSet: 120960 * time.Second,
		}[e.Key.Limit]
		if got := e.Full.Sub(end); got != want {
			t.Errorf("%v is full in %v, want %v", e.Key, got, want)
		}
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

// A set that had a certificate lately is exempt where limits say so.
func TestExempt(t *testing.T) {
	store := newDisk()
	l := load(t, store, begin)
	r := issuance("a.acme-probe.example")
	r.Repeats = true
	issue := func(now time.Time) (spent []config.LimitName) {
		res := reserve(t, l, now, r)
		for _, c := range res.charges {
			spent = append(spent, c.key.Limit)
		}
		settle(t, l, now, res, probe.Spent{Valid: r.Names, Issued: true})
		return spent
	}
	if got := issue(begin); len(got) != 5 {
		t.Errorf("the first spends %v", got)
	}
	if at := l.Issued(begin.Add(day), testCA, r.Names); !at.Equal(begin) {
		t.Errorf("issued at %v", at)
	}
	exempt := []config.LimitName{config.LimitCertificatesPerSet, config.LimitFailedValidations, config.LimitConsecutiveFailures}
	now := begin.Add(118 * day)
	if diff := cmp.Diff(exempt, issue(now)); diff != "" {
		t.Errorf("118 days later: %s", diff)
	}
	l = load(t, store, now)
	now = now.Add(118 * day)
	if diff := cmp.Diff(exempt, issue(now)); diff != "" {
		t.Errorf("118 days later, after a restart: %s", diff)
	}
	if got := issue(now.Add(119 * day)); len(got) != 5 {
		t.Errorf("119 days later it spends %v", got)
	}
	other := issuance("b.acme-probe.example")
	settle(t, l, now, reserve(t, l, now, other), probe.Spent{Valid: other.Names, Issued: true})
	if at := l.Issued(now, testCA, other.Names); !at.IsZero() {
		t.Errorf("a set that does not repeat is remembered: %v", at)
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

// After a failed validation an identifier rests, whatever the tokens.
func TestRest(t *testing.T) {
	l := load(t, newDisk(), begin)
	r := issuance("a.acme-probe.example", "b.acme-probe.example")
	settle(t, l, begin, reserve(t, l, begin, r), probe.Spent{NoCertificate: true, Valid: r.Names[:1]})
	d := deny(t, l, begin, r)
	if d.Cause != CausePaused || d.Key.ID != "acct/1 b.acme-probe.example" || !d.At.Equal(begin.Add(12*time.Minute)) {
		t.Errorf("%+v", d)
	}
	reserve(t, l, begin, issuance("a.acme-probe.example"))
	reserve(t, l, begin.Add(12*time.Minute), r)
}

// A success ends a row of failures.
func TestFailuresInARow(t *testing.T) {
	l := load(t, newDisk(), begin)
	r := issuance("a.acme-probe.example")
	r.Limits = r.Limits[4:]
	for range 10 {
		settle(t, l, begin, reserve(t, l, begin, r), probe.Spent{NoCertificate: true})
	}
	settle(t, l, begin, reserve(t, l, begin, r), probe.Spent{NoCertificate: true, Untried: r.Names})
	if got := missing(l, begin)["consecutive_failures acct/1 a.acme-probe.example"]; got != 10 {
		t.Errorf("%d are missing, want 10", got)
	}
	open := reserve(t, l, begin, r)
	settle(t, l, begin, reserve(t, l, begin, r), probe.Spent{NoCertificate: true, Valid: r.Names})
	if got := missing(l, begin)["consecutive_failures acct/1 a.acme-probe.example"]; got != 1 {
		t.Errorf("%d are missing after a success, want the one that is open", got)
	}
	settle(t, l, begin, open, probe.Spent{NoCertificate: true, Valid: r.Names})
	if got := missing(l, begin); len(got) != 0 {
		t.Error(got)
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

func TestRemaining(t *testing.T) {
	l := load(t, newDisk(), begin)
	for range 3 {
		settle(t, l, begin, reserve(t, l, begin, issuance("a.one.example")), probe.Spent{Valid: []string{"a.one.example"}})
	}
	settle(t, l, begin, reserve(t, l, begin, issuance("b.two.example")), probe.Spent{Valid: []string{"b.two.example"}})
	other := issuance("c.one.example")
	other.Account = "acct/10"
	settle(t, l, begin, reserve(t, l, begin, other), probe.Spent{})
	got, err := l.Remaining(begin.Add(time.Second), testCA, "acct/1", testLimits(), 0.5)
	if err != nil {
		t.Fatal(err)
	}
	set := setOf([]string{"a.one.example"})
	want := []probe.Level{
		{Limit: "new_orders", What: "acct/1", Remaining: 296, Capacity: 300, Full: begin.Add(4 * 36 * time.Second)},
		{Limit: "certificates_per_domain", What: "one.example", Remaining: 21, Capacity: 25, Full: begin.Add(4 * 24192 * time.Second)},
		{Limit: "certificates_per_set", What: set, Remaining: 2, Capacity: 5, Full: begin.Add(3 * 120960 * time.Second)},
		{Limit: "failed_validations", Remaining: 5, Capacity: 5},
		{Limit: "consecutive_failures", Remaining: 1152, Capacity: 1152},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDeniedText(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))
	domain := Key{testCA, config.LimitCertificatesPerDomain, "acme-probe.example"}
	for want, d := range map[string]Denied{
		`rate limit certificates_per_domain of "acme-probe.example": all 25 are spent; the next one is due at 2026-03-04T04:06:07Z`:                                 {domain, CauseEmpty, at, 25},
		`rate limit certificates_per_domain of "acme-probe.example": what is left of 25 is kept for confirmation runs; the next one is due at 2026-03-04T04:06:07Z`: {domain, CauseKept, at, 25},
		`rate limit certificates_per_domain of "acme-probe.example": paused until 2026-03-04T04:06:07Z`:                                                             {domain, CausePaused, at, 25},
		`rate limit consecutive_failures of "a.example": paused by the CA until somebody has it lifted`:                                                             {Key{testCA, config.LimitConsecutiveFailures, "1 a.example"}, CausePaused, time.Time{}, 25},
		`rate limit certificates_per_set: the run needs more than the 2 that a full bucket lets it have`:                                                            {Key{testCA, config.LimitCertificatesPerSet, "0123"}, CauseNever, time.Time{}, 2},
	} {
		if got := d.String(); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
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
