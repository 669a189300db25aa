package main

import (
	"cmp"
	"slices"
	"time"
)

// ledger has the buckets of limits, a bucket for each key, made when it is
// first asked for. A limit that is not set has none: it always allows.
type ledger struct {
	limits  map[string]limit
	entries map[ledgerKey]*entry
}

// ledgerKey is whom a bucket is for.
type ledgerKey struct{ limit, key string }

// entry is a bucket with what has been asked of it.
type entry struct {
	*bucket
	spent, denied, over int
}

func newLedger(limits map[string]limit) *ledger {
	return &ledger{limits: limits, entries: map[ledgerKey]*entry{}}
}

// entry returns that of k; nil: the limit is not set.
func (l *ledger) entry(k ledgerKey, now time.Time) *entry {
	set, ok := l.limits[k.limit]
	if !ok {
		return nil
	}
	e, ok := l.entries[k]
	if !ok {
		e = &entry{bucket: newBucket(set, now)}
		l.entries[k] = e
	}
	return e
}

// check returns which of keys would have to wait longest for a token, and how
// long; 0: none would have to.
func (l *ledger) check(keys []ledgerKey, now time.Time) (strictest ledgerKey, wait time.Duration) {
	for _, k := range keys {
		if e := l.entry(k, now); e != nil && e.wait(now) > wait {
			strictest, wait = k, e.wait(now)
		}
	}
	if wait > 0 {
		l.entries[strictest].denied++
	}
	return strictest, wait
}

// spend takes a token of k. If there is none, nothing is taken, but it is noted
// that one was due: more has happened than the limit gives.
func (l *ledger) spend(k ledgerKey, now time.Time) bool {
	e := l.entry(k, now)
	if e == nil {
		return true
	}
	e.spent++
	if e.take(now) {
		return true
	}
	e.over++
	return false
}

// fill makes the bucket of k full.
func (l *ledger) fill(k ledgerKey, now time.Time) {
	if e := l.entry(k, now); e != nil {
		e.bucket = newBucket(e.limit, now)
	}
}

// bucketReport is a bucket as the control shows it.
type bucketReport struct {
	Limit     string `json:"limit"`
	Key       string `json:"key"`
	Remaining int    `json:"remaining"` // whole tokens
	Spent     int    `json:"spent"`     // how often a token was due
	Over      int    `json:"over"`      // how often of these there was none
	Denied    int    `json:"denied"`    // how often a request was denied for it
}

// report lists the buckets by limit and key.
func (l *ledger) report(now time.Time) []bucketReport {
	list := make([]bucketReport, 0, len(l.entries))
	for k, e := range l.entries {
		list = append(list, bucketReport{k.limit, k.key, e.remaining(now), e.spent, e.over, e.denied})
	}
	slices.SortFunc(list, func(a, b bucketReport) int {
		return cmp.Or(cmp.Compare(a.Limit, b.Limit), cmp.Compare(a.Key, b.Key))
	})
	return list
}
