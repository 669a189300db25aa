package budget

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// Entry is what the ledger knows of one key, for people.
type Entry struct {
	Key Key `json:"key"`
	// Missing is how many tokens the bucket lacks, and Full when it lacks none.
	Missing int       `json:"missing"`
	Full    time.Time `json:"full_at,omitzero"`
	Open    int       `json:"open,omitempty"` // of them reserved by runs that are not over
	// Paused says that nothing is spent until Until; zero: until somebody lifts it.
	Paused bool      `json:"paused,omitempty"`
	Until  time.Time `json:"until,omitzero"`
	// Issued is the last certificate for a set that repeats.
	Issued time.Time `json:"issued_at,omitzero"`
}

// Entries returns what is known of a CA's keys, sorted: those that are full and
// not paused are left out, unless there is something else to know of them.
func (l *Ledger) Entries(now time.Time, ca string) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.time(now)
	wall := func(ns int64) time.Time { return now.Add(time.Duration(ns - at)) }
	var list []Entry
	for key, e := range l.entries {
		if key.CA != ca || e.idle(at) {
			continue
		}
		out := Entry{Key: key, Open: e.open, Paused: e.paused > at}
		if e.interval > 0 {
			b := Bucket{Interval: e.interval}
			if tat := b.hold(e.tat, at, e.open); tat > at {
				out.Missing = int((tat - at + int64(e.interval) - 1) / int64(e.interval))
				out.Full = wall(tat)
			}
		}
		if out.Paused && e.paused != forever {
			out.Until = wall(e.paused)
		}
		if e.issued != 0 {
			out.Issued = wall(e.issued)
		}
		list = append(list, out)
	}
	slices.SortFunc(list, func(a, b Entry) int { return compareKeys(a.Key, b.Key) })
	return list
}

// Paused returns the entries of a CA's keys that are paused, sorted.
func (l *Ledger) Paused(now time.Time, ca string) []Entry {
	return slices.DeleteFunc(l.Entries(now, ca), func(e Entry) bool { return !e.Paused })
}

// Paused is [Ledger.Paused].
func (b *Book) Paused(now time.Time, ca string) []Entry { return b.ledger.Paused(now, ca) }

// Filled is [Pool.Filled] for a pair that takes its names from a pool.
func (b *Book) Filled(now time.Time, pair config.Pair) (sets, issued int) {
	return b.pool.Filled(now, pair.Pair, *pair.Names(), pair.Target.DirectoryURL)
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.CA, b.CA), cmp.Compare(a.Limit, b.Limit), cmp.Compare(a.ID, b.ID))
}

// Remaining returns how full the buckets of an account's limits are, one for each
// limit, with what the tightest one is counted by. A ledger that cannot be read knows none.
func (l *Ledger) Remaining(now time.Time, ca, account string, limits []config.Limit, share float64) ([]probe.Level, error) {
	levels := make([]probe.Level, len(limits))
	buckets := make([]Bucket, len(limits))
	index := make(map[config.LimitName]int, len(limits))
	for i, limit := range limits {
		b, err := NewBucket(limit, share)
		if err != nil {
			return nil, err
		}
		buckets[i], index[limit.Name] = b, i
		levels[i] = probe.Level{Limit: string(limit.Name), Remaining: b.Size, Capacity: b.Size}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return nil, l.broken
	}
	at := l.time(now)
	latest := make([]int64, len(limits))
	for key, e := range l.entries {
		i, ok := index[key.Limit]
		if !ok || key.CA != ca || !key.of(account) {
			continue
		}
		if e.paused > at {
			levels[i].Paused++
		}
		if tat := buckets[i].hold(e.tat, at, e.open); tat > at && tat > latest[i] {
			latest[i] = tat
			levels[i].What, levels[i].Remaining = key.ID, buckets[i].remaining(tat, at)
			levels[i].Full = now.Add(time.Duration(tat - at))
		}
	}
	return levels, nil
}

// of reports whether what the account does is counted by the key.
func (k Key) of(account string) bool {
	switch k.Limit {
	case config.LimitNewOrders:
		return k.ID == account
	case config.LimitFailedValidations, config.LimitConsecutiveFailures:
		id, ok := strings.CutPrefix(k.ID, account)
		return ok && strings.HasPrefix(id, " ")
	default:
		return true
	}
}

// Reset forgets what was spent at the CA, and lifts its pauses; what cannot be
// read at all is forgotten too. Sets that were issued are forgotten as well, so
// that they count as new. It is for those who know better than the ledger: the CA
// forgets nothing.
//
// No run may be in flight, at any CA: as Load does, it takes open reservations for what
// a crash has left, and their tokens would begin to come back before the CA has counted
// them. Only a command resets, while it holds the store, so that no exporter runs.
func (l *Ledger) Reset(now time.Time, ca string) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	var changes []state.Change
	err := l.store.All(ledgerBucket, func(k string, value []byte) error {
		key, err := parseKey(k)
		forget := err != nil || key.CA == ca
		if watched, ok, err := parseSince(k); ok {
			forget = err != nil || watched == ca
		}
		if k == clockKey {
			_, err := unpack(k, value)
			forget = err != nil
		}
		if forget {
			changes = append(changes, state.Change{Bucket: ledgerBucket, Key: k})
		}
		return nil
	})
	if err == nil {
		err = l.store.Commit(changes...)
	}
	if err != nil {
		return fmt.Errorf("reset the ledger of rate limits: %w", err)
	}
	if err := l.load(now); err != nil {
		return err
	}
	// What was spent before is not known any more.
	l.mu.Lock()
	at := l.time(now)
	watch := l.watch(at, ca)
	l.mu.Unlock()
	if err := l.commit(at, nil, watch...); err != nil {
		return fmt.Errorf("reset the ledger of rate limits: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watching(at, ca)
	return nil
}
