package budget

import (
	"errors"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// The ledger knows since when it does: from the first reservation on, over restarts,
// until a reset of that CA.
func TestWatched(t *testing.T) {
	store := newDisk()
	l := load(t, store, begin)
	r, other := issuance("a.example"), issuance("a.example")
	other.CA = "https://other.example/directory"
	watched := func(now, since time.Time, ca string) {
		t.Helper()
		want := now.Sub(since)
		if since.IsZero() {
			want = 0
		}
		if got := l.Watched(now, ca); got != want {
			t.Errorf("after %v %s is known for %v, want %v", now.Sub(begin), ca, got, want)
		}
	}
	watched(begin, time.Time{}, r.CA)
	store.broken = errors.New("no space left on device")
	if _, _, err := l.Reserve(begin, r); err == nil {
		t.Fatal("it was written")
	}
	watched(begin.Add(time.Hour), time.Time{}, r.CA)
	store.broken = nil
	first := begin.Add(time.Hour)
	reserve(t, l, first, r)
	reserve(t, l, first.Add(time.Hour), r)
	watched(first.Add(2*time.Hour), first, r.CA)
	watched(first.Add(2*time.Hour), time.Time{}, other.CA)
	second := first.Add(3 * time.Hour)
	l = load(t, store, second)
	watched(second, first, r.CA)
	reserve(t, l, second, other)
	third := second.Add(time.Hour)
	if err := l.Reset(third, r.CA); err != nil {
		t.Fatal(err)
	}
	watched(third.Add(time.Minute), third, r.CA)
	watched(third.Add(time.Minute), second, other.CA)
	l = load(t, store, third.Add(time.Hour))
	watched(third.Add(time.Hour), third, r.CA)
	watched(third.Add(time.Hour), second, other.CA)
	if l = NewLedger(store); l.Watched(third, r.CA) != 0 {
		t.Error("a ledger that was not loaded knows")
	}
}

// A pause is obeyed where no limits are known, and by sets that are exempt if it
// concerns the account; then nothing is taken either.
func TestPauseOfWhatHasNoLimit(t *testing.T) {
	until := begin.Add(time.Hour)
	account := Key{testCA, config.LimitNewOrders, "acct/1"}
	for name, limits := range map[string][]config.Limit{"none": nil, "others": testLimits()[1:], "itself": testLimits()[:1]} {
		store := newDisk()
		l := load(t, store, begin)
		r := issuance("a.example")
		r.Limits, r.Repeats = testLimits(), true
		settle(t, l, begin, reserve(t, l, begin, r), probe.Spent{Valid: r.Names, Issued: true}) // it is exempt now
		r.Limits = limits
		if err := l.Pause(begin, account, until); err != nil {
			t.Fatal(err)
		}
		l = load(t, store, begin)
		d := deny(t, l, begin, r)
		if d.Key != account || d.Cause != CausePaused || !d.At.Equal(until) {
			t.Errorf("%s: %+v", name, d)
		}
		if checked, err := l.Check(begin, r); err != nil || checked == nil || *checked != *d {
			t.Errorf("%s: check says %+v, %v", name, checked, err)
		}
		commits := store.commits
		reserve(t, l, until, r)
		if limits == nil && store.commits != commits {
			t.Errorf("%s: something was written", name)
		}
		if n := missing(l, until)["new_orders acct/1"]; n != 0 {
			t.Errorf("%s: %d orders were taken", name, n)
		}
	}
	// A domain's does not concern them: the CA does not count them.
	l := load(t, newDisk(), begin)
	r := issuance("a.example")
	r.Repeats = true
	settle(t, l, begin, reserve(t, l, begin, r), probe.Spent{Valid: r.Names, Issued: true})
	if err := l.Pause(begin, Key{testCA, config.LimitCertificatesPerDomain, "a.example"}, until); err != nil {
		t.Fatal(err)
	}
	reserve(t, l, begin, r)
	// A ledger that cannot be read remembers pauses as long as the process lives.
	broken := NewLedger(newDisk())
	if err := broken.Pause(begin, account, until); err == nil {
		t.Error("a ledger that was not loaded has written")
	}
	r.Limits = nil
	deny(t, broken, begin, r)
	reserve(t, broken, until, r)
}
