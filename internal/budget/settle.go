package budget

import (
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Settle ends a reservation: what o says was not spent is given back, an
// identifier whose validation failed rests, and a certificate for a set that
// repeats is remembered. A second Settle does nothing.
//
// After an error this process goes on with what is settled; only one that
// starts later may take it for spent.
func (l *Ledger) Settle(now time.Time, res *Reservation, o probe.Spent) error {
	if res == nil || len(res.charges) == 0 && !(res.repeats && o.Issued) {
		return nil // there is nothing to settle
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if res.settled {
		return nil
	}
	res.settled = true
	l.mu.Lock()
	if l.broken != nil {
		defer l.mu.Unlock()
		if len(res.charges) == 0 {
			return nil // nothing that is limited depends on it
		}
		return l.broken
	}
	at := l.time(now)
	valid, untried := perIdentifier(res.account, o.Valid), perIdentifier(res.account, o.Untried)
	changed := make(map[Key]entry, len(res.charges)+1)
	for _, c := range res.charges {
		e, ok := l.entries[c.key]
		if !ok {
			continue // it was reset meanwhile
		}
		back := c.unspent(o, valid[c.key.ID]+untried[c.key.ID])
		// The CA counts failures in a row: a success ends the row.
		again := c.key.Limit == config.LimitConsecutiveFailures && !o.NoOrder && valid[c.key.ID] == c.tokens
		changed[c.key] = c.settle(e, at, back, again)
	}
	if res.repeats && o.Issued {
		e, ok := changed[res.set]
		if !ok {
			e = l.entries[res.set]
		}
		e.issued = at
		changed[res.set] = e
	}
	l.prune(at, changed)
	l.mu.Unlock()
	l.apply(at, changed)
	return l.commit(at, changed)
}

// settle returns what becomes of the entry when back tokens of the charge are
// given back. Again says that what the CA counts has begun again from nothing.
func (c *charge) settle(e entry, at int64, back int, again bool) entry {
	open := max(0, e.open-c.tokens)
	// The CA has counted by now what it counts: the others' reservations and this one
	// are at most as old as this moment.
	e.tat = c.bucket.hold(e.tat, at, open+c.tokens) - int64(back)*int64(c.bucket.Interval)
	if again {
		e.tat = c.bucket.hold(at, at, open)
	}
	if c.key.Limit == config.LimitFailedValidations && back < c.tokens {
		e.paused = max(e.paused, at+int64(restAfterFailure))
	}
	e.open, e.interval = open, c.bucket.Interval
	return e
}

// unspent is how many tokens of the charge were not spent, when that many
// validations that it is for did not fail.
func (c *charge) unspent(o probe.Spent, unfailed int) int {
	none := o.NoOrder
	switch c.key.Limit {
	case config.LimitNewAccountsPerIP, config.LimitNewAccountsPerNetwork:
		none = o.NoAccount
	case config.LimitFailedValidations, config.LimitConsecutiveFailures:
		if !none {
			return min(c.tokens, unfailed)
		}
	case config.LimitCertificatesPerDomain, config.LimitCertificatesPerSet:
		none = !o.Issued && (none || o.NoCertificate)
	}
	if none {
		return c.tokens
	}
	return 0
}

// perIdentifier counts the names by their keys' IDs.
func perIdentifier(account string, names []string) map[string]int {
	n := make(map[string]int, len(names))
	for _, name := range names {
		n[identifierOf(account, name)]++
	}
	return n
}

// prune adds entries that say nothing any more to those to be written, from time
// to time. It needs l.mu.
func (l *Ledger) prune(at int64, changed map[Key]entry) {
	if l.pruned != 0 && at-l.pruned < int64(pruneEvery) {
		return
	}
	n := 0
	for key, e := range l.entries {
		if _, ok := changed[key]; ok || !e.idle(at) {
			continue
		}
		changed[key] = e
		if n++; n == pruneMost {
			return // the rest the next time
		}
	}
	l.pruned = at
}
