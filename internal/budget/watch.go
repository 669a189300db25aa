package budget

import (
	"errors"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/state"
)

// sincePrefix begins the keys beneath which the ledger has since when it knows what
// is spent at a CA; no key of a limit, which begins with a URL, looks like it.
const sincePrefix = "since "

// parseSince returns the CA of such a key; ok is false if it is another key.
func parseSince(k string) (ca string, ok bool, err error) {
	ca, ok = strings.CutPrefix(k, sincePrefix)
	if ok && (ca == "" || strings.Contains(ca, " ")) {
		err = errors.New("it names no CA")
	}
	return ca, ok, err
}

// watch returns what has the store know that at is since when all that is spent at
// the CA is in the ledger; none if it knows already. It needs l.mu.
func (l *Ledger) watch(at int64, ca string) []state.Change {
	if _, ok := l.since[ca]; ok {
		return nil
	}
	k := sincePrefix + ca
	return []state.Change{{Bucket: ledgerBucket, Key: k, Value: entry{tat: at}.pack(k)}}
}

// watching has the ledger know it as well, once the store does. It needs l.mu.
func (l *Ledger) watching(at int64, ca string) {
	if _, ok := l.since[ca]; !ok {
		l.since[ca] = at
	}
}

// Watched is for how long all that was spent at the CA is in the ledger: since the
// first reservation, or the last Reset. What was spent before that, it does not know.
func (l *Ledger) Watched(now time.Time, ca string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	since, ok := l.since[ca]
	if !ok || l.broken != nil {
		return 0
	}
	return time.Duration(l.time(now) - since)
}

// readable reports whether what was spent is known.
func (l *Ledger) readable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken == nil
}

// reserved reports whether a run that is not over has something of the key's.
func (l *Ledger) reserved(key Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[key].open > 0
}

// issuedSets returns the IDs of the sets of names that had a certificate lately at any
// CA.
func (l *Ledger) issuedSets(now time.Time) map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.time(now)
	issued := map[string]bool{}
	for key := range l.entries {
		if l.exempt(at, key) {
			issued[key.ID] = true
		}
	}
	return issued
}

// paused reports whether any of the keys is.
func (l *Ledger) paused(now time.Time, keys []Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.time(now)
	for _, key := range keys {
		if l.entries[key].paused > at {
			return true
		}
	}
	return false
}
