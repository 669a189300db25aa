package budget

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// disk is a Store in memory. It belongs to one goroutine.
type disk struct {
	kept    map[string]map[string][]byte
	commits int
	broken  error // of every Commit and All
}

func newDisk() *disk { return &disk{kept: map[string]map[string][]byte{}} }

func (d *disk) Commit(changes ...state.Change) error {
	if d.broken != nil {
		return d.broken
	}
	d.commits++
	for _, c := range changes {
		if c.Value == nil {
			delete(d.kept[c.Bucket], c.Key)
			continue
		}
		value, err := json.Marshal(c.Value)
		if err != nil {
			return err
		}
		if d.kept[c.Bucket] == nil {
			d.kept[c.Bucket] = map[string][]byte{}
		}
		d.kept[c.Bucket][c.Key] = value
	}
	return nil
}

func (d *disk) All(bucket string, each func(string, []byte) error) error {
	if d.broken != nil {
		return d.broken
	}
	for _, key := range slices.Sorted(maps.Keys(d.kept[bucket])) {
		if err := each(key, d.kept[bucket][key]); err != nil {
			return err
		}
	}
	return nil
}

// load returns the ledger that a process finds which starts at now.
func load(t testing.TB, store Store, now time.Time) *Ledger {
	t.Helper()
	l := NewLedger(store)
	if err := l.Load(now); err != nil {
		t.Fatal(err)
	}
	return l
}

const (
	testCA = "https://ca.example/directory"
	week   = 7 * day
)

// testLimits are Let's Encrypt's.
func testLimits() []config.Limit {
	return []config.Limit{
		{Name: config.LimitNewOrders, Count: 300, Period: 3 * time.Hour, Exempt: true},
		{Name: config.LimitCertificatesPerDomain, Count: 50, Period: week, Shared: true, Exempt: true},
		{Name: config.LimitCertificatesPerSet, Count: 5, Period: week},
		{Name: config.LimitFailedValidations, Count: 5, Period: time.Hour},
		{Name: config.LimitConsecutiveFailures, Count: 1152, Period: 1152 * day, Pauses: true},
	}
}

// issuance asks for what a run spends that issues for names.
func issuance(names ...string) Request {
	return Request{
		CA: testCA, Account: "acct/1", Names: names, Limits: testLimits(), Share: 0.5,
		What: probe.SpendOrder | probe.SpendValidation | probe.SpendCertificate,
	}
}

// reserve expects the request to be allowed.
func reserve(t testing.TB, l *Ledger, now time.Time, r Request) *Reservation {
	t.Helper()
	res, denied, err := l.Reserve(now, r)
	if err != nil || denied != nil {
		t.Fatalf("reserve: %v, %v", denied, err)
	}
	return res
}

// deny expects the request to be denied.
func deny(t testing.TB, l *Ledger, now time.Time, r Request) *Denied {
	t.Helper()
	_, denied, err := l.Reserve(now, r)
	if err != nil || denied == nil {
		t.Fatalf("reserve: %v, %v, want a denial", denied, err)
	}
	return denied
}

func settle(t testing.TB, l *Ledger, now time.Time, res *Reservation, o probe.Spent) {
	t.Helper()
	if err := l.Settle(now, res, o); err != nil {
		t.Fatal(err)
	}
}

// missing are the tokens that the CA's buckets lack, by limit and ID.
func missing(l *Ledger, now time.Time) map[string]int {
	got := map[string]int{}
	for _, e := range l.Entries(now, testCA) {
		if e.Missing != 0 {
			got[string(e.Key.Limit)+" "+e.Key.ID] = e.Missing
		}
	}
	return got
}
