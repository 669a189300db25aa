package app

import (
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// bucketLists has the latest revocation list of each URL, by target and URL.
const bucketLists = "lists"

// maxLatest is how many URLs of a target are remembered: a CA with many shards names
// another one in each certificate.
const maxLatest = 500

// latestLists remembers the latest revocation list of each URL, over restarts where
// there is a store. A list is forgotten when it has expired.
type latestLists struct {
	store  *store
	logger *slog.Logger

	mu     sync.Mutex // guards the field below
	latest map[listKey]probe.LatestCRL
}

type listKey struct{ target, url string }

// stored is the key in the store; names of targets have no line feed.
func (k listKey) stored() string { return k.target + "\n" + k.url }

func newLists(s *store, logger *slog.Logger) *latestLists {
	return &latestLists{store: s, logger: logger, latest: map[listKey]probe.LatestCRL{}}
}

// restore reads what the store has.
func (l *latestLists) restore() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	var gone []state.Change
	err := l.store.All(bucketLists, func(key string, value []byte) error {
		var c probe.LatestCRL
		target, url, ok := strings.Cut(key, "\n")
		// What was seen by a clock that was wrong would be older for ever.
		if err := json.Unmarshal(value, &c); err != nil || !ok || !now.Before(c.NextUpdate) || c.SeenAt.After(now) {
			gone = append(gone, state.Change{Bucket: bucketLists, Key: key})
			return nil
		}
		if k := (listKey{target, url}); l.latest[k].SeenAt.Before(c.SeenAt) {
			l.latest[k] = c
		}
		return nil
	})
	l.commit(gone)
	return err
}

// of returns those of one target, as a run needs them.
func (l *latestLists) of(target string) listsOf { return listsOf{l, target} }

// listsOf implements prober.Lists.
type listsOf struct {
	all    *latestLists
	target string
}

// Latest implements prober.Lists.
func (o listsOf) Latest(url string) *probe.LatestCRL {
	o.all.mu.Lock()
	defer o.all.mu.Unlock()
	if c, ok := o.all.latest[listKey{o.target, url}]; ok {
		return &c
	}
	return nil
}

// Keep implements prober.Lists. That it could not be stored harms nothing until the
// next start.
func (o listsOf) Keep(url string, c probe.LatestCRL) {
	l, k := o.all, listKey{o.target, url}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.latest[k] == c {
		return
	}
	l.latest[k] = c
	l.commit(append(l.forget(o.target), state.Change{Bucket: bucketLists, Key: k.stored(), Value: c}))
}

// forget removes what has expired, and of a target with too many the one that was seen
// first. It needs mu.
func (l *latestLists) forget(target string) (gone []state.Change) {
	now, n := time.Now(), 0
	var first listKey
	remove := func(k listKey) {
		delete(l.latest, k)
		gone = append(gone, state.Change{Bucket: bucketLists, Key: k.stored()})
	}
	for k, c := range l.latest {
		switch {
		case !now.Before(c.NextUpdate):
			remove(k)
		case k.target == target:
			if n++; n == 1 || c.SeenAt.Before(l.latest[first].SeenAt) {
				first = k
			}
		}
	}
	if n > maxLatest {
		remove(first)
	}
	return gone
}

// commit stores the changes, or says that they will be lost with the process.
func (l *latestLists) commit(changes []state.Change) {
	if len(changes) == 0 {
		return
	}
	if err := l.store.Commit(changes...); err != nil {
		l.logger.Warn("What was seen of revocation lists is not stored", "err", err)
	}
}
