package budget

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

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
	// An account has no names, and so no set.
	account := issuance()
	account.What, account.Repeats = probe.SpendAccount, true
	settle(t, l, now, reserve(t, l, now, account), probe.Spent{Issued: true})
	if at := l.Issued(now, testCA, nil); !at.IsZero() {
		t.Errorf("no names are remembered: %v", at)
	}
	other := issuance("b.acme-probe.example")
	settle(t, l, now, reserve(t, l, now, other), probe.Spent{Valid: other.Names, Issued: true})
	if at := l.Issued(now, testCA, other.Names); !at.IsZero() {
		t.Errorf("a set that does not repeat is remembered: %v", at)
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
