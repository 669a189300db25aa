package challenge

import (
	"net/netip"
	"sync"
	"time"
)

// dnsLimits bounds what one network gets over UDP, where its address may be
// forged and the answers hit somebody else.
type dnsLimits struct {
	// rate and burst of whole answers; beyond, the same rate and burst of empty
	// answers with TC set, which are no longer than the query and send a real
	// resolver to TCP; beyond, silence.
	rate, burst int // per second; answers at once
	networks    int // how many are told apart at once
}

// defaultDNSLimits leaves room for a hundred names that are validated at once
// by resolvers of one network: each name costs at most about ten queries (TXT,
// A, AAAA, CAA up to the zone, the intermediate names of RFC 9156), so that
// 1,000 arrive together, and 2,000 pass. What is beyond is told to use TCP
// rather than dropped. A victim of forged queries gets at most 200 answers a
// second and as many empty ones.
func defaultDNSLimits() dnsLimits {
	return dnsLimits{rate: 200, burst: 2000, networks: 16384}
}

// allowance is what an answer may be.
type allowance int

const (
	allowAnswer allowance = iota
	allowSlip             // empty, with TC
	allowNothing
)

// limiter is response rate limiting by network: /24 and /56. Each network has
// two buckets, kept as the time at which they are full again (GCRA).
type limiter struct {
	interval, tolerance time.Duration
	networks            int

	mu      sync.Mutex // guards what follows
	entries map[netip.Prefix]*limiterEntry
	// rest is shared by those for whom there is no room.
	rest limiterEntry
}

type limiterEntry struct{ answers, slips time.Time }

// idleTries is how many entries are looked at to find one that can go. Entries
// are idle milliseconds after a single query, so that nearly all of them are.
const idleTries = 32

func newLimiter(l dnsLimits) *limiter {
	interval := time.Second / time.Duration(l.rate)
	return &limiter{
		interval: interval, tolerance: interval * time.Duration(l.burst-1), networks: l.networks,
		entries: make(map[netip.Prefix]*limiterEntry),
	}
}

// take counts one answer to from at the time now.
func (l *limiter) take(from netip.Addr, now time.Time) allowance {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(network(from, 56), now)
	switch {
	case l.conforms(&e.answers, now):
		return allowAnswer
	case l.conforms(&e.slips, now):
		return allowSlip
	}
	return allowNothing
}

// conforms takes one from the bucket that is full at *full, if it holds one.
func (l *limiter) conforms(full *time.Time, now time.Time) bool {
	at := *full
	if at.Before(now) {
		at = now
	}
	if at.Sub(now) > l.tolerance {
		return false
	}
	*full = at.Add(l.interval)
	return true
}

// entry returns the buckets of n. A full table first loses entries whose buckets
// are full, which are as good as none; map iteration begins anywhere, so that
// each is found in time. It is called with mu held.
func (l *limiter) entry(n netip.Prefix, now time.Time) *limiterEntry {
	if e := l.entries[n]; e != nil {
		return e
	}
	if len(l.entries) >= l.networks {
		tries := 0
		for k, e := range l.entries {
			if !e.answers.After(now) && !e.slips.After(now) {
				delete(l.entries, k)
			}
			if tries++; tries == idleTries {
				break
			}
		}
	}
	if len(l.entries) >= l.networks {
		return &l.rest
	}
	e := new(limiterEntry)
	l.entries[n] = e
	return e
}
