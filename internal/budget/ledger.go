package budget

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/state"
)

const (
	// ledgerBucket is where the store has the ledger, clockKey what the ledger's clock
	// showed when something was last written; no key of a limit looks like it.
	ledgerBucket = "ledger"
	clockKey     = "clock"
	// pruneEvery is how often entries are dropped that say nothing any more,
	// pruneMost how many at a time, so that no commit becomes long.
	pruneEvery = 10 * time.Minute
	pruneMost  = 1000
)

// ErrUnreadable is in the error of whatever needs a ledger that could not be read.
var ErrUnreadable = errors.New("the ledger of rate limits cannot be read")

// Store is the part of [state.Store] that the ledger needs. What Commit changes is
// durable when it returns, all of it or nothing.
type Store interface {
	Commit(changes ...state.Change) error
	All(bucket string, each func(key string, value []byte) error) error
}

// Ledger is our durable account of what we have spent of the CAs' limits. A run
// reserves all that it may spend before the first request that spends, and settles
// when it is over. Until then the CA may count what was reserved at any moment, so
// that nothing of it comes back; after a crash it counts as spent. It is safe for
// concurrent use.
type Ledger struct {
	store Store

	writing sync.Mutex // held from a decision until it is durable: they take turns

	mu      sync.Mutex // guards the fields below; never held while something is written
	entries map[Key]entry
	since   map[string]int64 // when the ledger began to know what is spent, by CA
	clock   clock
	begun   time.Time // the clock's monotonic readings count from here
	broken  error     // why nothing can be decided; nil: it can
	failed  error     // of the last write; nil: it succeeded
	pruned  int64     // when entries were last dropped
}

// NewLedger returns the ledger that store keeps. It decides nothing before Load.
func NewLedger(store Store) *Ledger {
	return &Ledger{
		store: store, entries: map[Key]entry{}, since: map[string]int64{},
		broken: errors.New("the ledger of rate limits has not been loaded"),
	}
}

// Load reads what the store has, and books as spent what was not settled. After an
// error, which is [ErrUnreadable] or one of writing, nothing is decided until a
// Load or a Reset succeeds.
func (l *Ledger) Load(now time.Time) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.load(now)
}

// load needs l.writing.
func (l *Ledger) load(now time.Time) error {
	entries, since, at, err := l.read()
	l.mu.Lock()
	if err != nil {
		l.broken = fmt.Errorf("%w: %w: restore store.db, or forget what was spent with acme_exporter budget reset", ErrUnreadable, err)
		l.mu.Unlock()
		return l.broken
	}
	l.clock.at = max(l.clock.at, at)
	at = l.time(now)
	l.mu.Unlock()

	changed := map[Key]entry{}
	for key, e := range entries {
		if e.open > 0 {
			// A crash. What was reserved has been counted by now, or never will be.
			e.tat = Bucket{Interval: e.interval}.hold(e.tat, at, e.open)
			e.open = 0
			changed[key] = e
		}
	}
	if err := l.commit(at, changed); err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.broken = err
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(entries, changed)
	l.entries, l.since, l.broken, l.pruned = entries, since, nil, 0
	return nil
}

// read returns what the store has, since when by CA, and what the clock showed.
func (l *Ledger) read() (entries map[Key]entry, since map[string]int64, at int64, err error) {
	entries, since = map[Key]entry{}, map[string]int64{}
	err = l.store.All(ledgerBucket, func(k string, value []byte) error {
		e, err := unpack(k, value)
		if err != nil {
			return fmt.Errorf("entry %q: %w", k, err)
		}
		if k == clockKey {
			at = e.tat
			return nil
		}
		ca, ok, err := parseSince(k)
		if err == nil && ok {
			since[ca] = e.tat
			return nil
		}
		var key Key
		if err == nil {
			key, err = parseKey(k)
		}
		if err != nil {
			return fmt.Errorf("entry %q: %w", k, err)
		}
		entries[key] = e
		return nil
	})
	return entries, since, at, err
}

// time reads the clock; it needs l.mu.
func (l *Ledger) time(now time.Time) int64 {
	if l.begun.IsZero() {
		l.begun = now
	}
	return l.clock.read(now, now.Sub(l.begun))
}

// OK reports whether the ledger can be read, and could be written the last time.
func (l *Ledger) OK() bool { return l.Problem() == nil }

// Problem says why it is not OK; nil: it is.
func (l *Ledger) Problem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.broken, l.failed)
}

// Check is Reserve without taking anything; nil: it would be allowed.
func (l *Ledger) Check(now time.Time, r Request) (*Denied, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(r.Limits) == 0 && len(l.entries) == 0 {
		return nil, nil // nothing is paused
	}
	_, _, denied, err := l.decide(now, l.time(now), &r)
	return denied, err
}

// Reserve takes all that the request asks for, or nothing and says why. When it
// returns a reservation, that is durable. Where no limits are in force there is
// nothing to take, but what is paused denies it, a certificate for a set that repeats
// is remembered, and a ledger that cannot be read does not matter; otherwise it is an
// error, and nothing must be spent.
func (l *Ledger) Reserve(now time.Time, r Request) (*Reservation, *Denied, error) {
	res := &Reservation{account: r.Account, set: setKey(r.CA, r.Names), repeats: r.Repeats && len(r.Names) > 0}
	if len(r.Limits) == 0 {
		denied, err := l.Check(now, r)
		if denied != nil || err != nil {
			return nil, denied, err
		}
		return res, nil, nil
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	at := l.time(now)
	charges, changed, denied, err := l.decide(now, at, &r)
	watch := l.watch(at, r.CA)
	l.mu.Unlock()
	if err != nil || denied != nil {
		return nil, denied, err
	}
	if res.charges = charges; len(charges) == 0 {
		return res, nil, nil
	}
	if err := l.commit(at, changed, watch...); err != nil {
		// Nothing will be spent. The store may have it or not: what is written next
		// says how it is.
		return nil, nil, err
	}
	l.mu.Lock()
	l.watching(at, r.CA)
	l.mu.Unlock()
	l.apply(at, changed)
	return res, nil, nil
}

// decide says what the request takes and what becomes of the entries. It needs
// l.mu.
func (l *Ledger) decide(now time.Time, at int64, r *Request) (spent []charge, changed map[Key]entry, denied *Denied, err error) {
	if l.broken != nil && len(r.Limits) > 0 {
		return nil, nil, nil, l.broken
	}
	charges, err := r.charges(l.exempt(at, setKey(r.CA, r.Names)))
	if err != nil {
		return nil, nil, nil, err
	}
	changed = make(map[Key]entry, len(charges))
	for _, c := range charges {
		e := l.entries[c.key]
		if d := c.denied(e, now, at, r.Confirmation); d != nil {
			if d.longer(denied) {
				denied = d
			}
			continue
		}
		if c.look || c.unlimited {
			continue
		}
		e.tat = c.bucket.decide(c.bucket.hold(e.tat, at, e.open), at, c.tokens, 0).tat
		e.open += c.tokens
		e.interval = c.bucket.Interval
		changed[c.key] = e
		spent = append(spent, c)
	}
	if denied != nil {
		return nil, nil, denied, nil
	}
	return spent, changed, nil, nil
}

// denied says why the charge cannot be taken; nil: it can.
func (c *charge) denied(e entry, now time.Time, at int64, confirmation bool) *Denied {
	d := &Denied{Key: c.key, Cause: CausePaused, Capacity: c.bucket.Size}
	switch {
	case e.paused == forever:
		return d
	case e.paused > at:
		d.At = now.Add(time.Duration(e.paused - at))
		return d
	}
	if c.unlimited {
		return nil
	}
	kept := c.bucket.Kept
	if confirmation {
		kept = 0
	}
	tat := c.bucket.hold(e.tat, at, e.open)
	got := c.bucket.decide(tat, at, c.tokens, kept)
	switch {
	case got.allowed:
		return nil
	case got.wait == never:
		d.Cause = CauseNever
		return d
	case kept > 0 && c.bucket.decide(tat, at, c.tokens, 0).allowed:
		d.Cause = CauseKept
	default:
		d.Cause = CauseEmpty
	}
	d.At = now.Add(got.wait)
	return d
}

// exempt reports whether the set had a certificate lately. It needs l.mu.
func (l *Ledger) exempt(at int64, set Key) bool {
	issued := l.entries[set].issued
	return issued != 0 && at-issued < int64(exemptFor)
}

// Issued returns when a set of names that is ordered again and again last had a
// certificate; zero: never, or so long ago that it does not count any more.
func (l *Ledger) Issued(now time.Time, ca string, names []string) time.Time {
	return l.issuedAt(now, setKey(ca, names))
}

func (l *Ledger) issuedAt(now time.Time, set Key) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.time(now)
	if !l.exempt(at, set) {
		return time.Time{}
	}
	return now.Add(-time.Duration(at - l.entries[set].issued))
}

// commit makes the entries durable, what else there is, and what the clock shows.
// It needs l.writing.
func (l *Ledger) commit(at int64, changed map[Key]entry, also ...state.Change) error {
	if len(changed)+len(also) == 0 {
		return nil
	}
	changes := slices.Grow(also, len(changed)+1)
	for key, e := range changed {
		k := key.String()
		c := state.Change{Bucket: ledgerBucket, Key: k}
		if !e.idle(at) {
			c.Value = e.pack(k)
		}
		changes = append(changes, c)
	}
	changes = append(changes, state.Change{Bucket: ledgerBucket, Key: clockKey, Value: entry{tat: at}.pack(clockKey)})
	err := l.store.Commit(changes...)
	if err != nil {
		err = fmt.Errorf("write the ledger of rate limits: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = err
	return err
}

// apply makes the entries known as they are at that moment.
func (l *Ledger) apply(at int64, changed map[Key]entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, e := range changed {
		if e.idle(at) {
			delete(l.entries, key)
		} else {
			l.entries[key] = e
		}
	}
}

// later is d after at. What the clock cannot show is the last moment that it can:
// far away, and yet not [forever].
func later(at int64, d time.Duration) int64 {
	end := at + int64(d)
	if d > 0 && end < at { // it is too large for an int64
		return forever - 1
	}
	return min(end, forever-1)
}

// Pause lets nothing be spent from the bucket of key until then; zero: until
// somebody lifts it with Reset. It never shortens a pause.
func (l *Ledger) Pause(now time.Time, key Key, until time.Time) error {
	return l.pause(now, until, Key{}, key)
}

// pause pauses all the keys. The certificate for issued, unless that is the zero Key,
// is remembered no more.
func (l *Ledger) pause(now, until time.Time, issued Key, keys ...Key) error {
	for _, key := range keys {
		if _, err := parseKey(key.String()); err != nil {
			return fmt.Errorf("pause %q: %w", key, err)
		}
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	at := l.time(now)
	end := forever
	if !until.IsZero() {
		end = later(at, until.Sub(now))
	}
	changed := make(map[Key]entry, len(keys)+1)
	if e, ok := l.entries[issued]; ok {
		e.issued = 0
		changed[issued] = e
	}
	for _, key := range keys {
		e, ok := changed[key]
		if !ok {
			e = l.entries[key]
		}
		e.paused = max(e.paused, end)
		changed[key] = e
	}
	broken := l.broken
	l.mu.Unlock()
	// It holds for this process even if it cannot be written.
	l.apply(at, changed)
	if broken != nil {
		return broken
	}
	return l.commit(at, changed)
}
