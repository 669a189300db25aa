package app

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const day = 24 * time.Hour

// quarterLimits are the limits that Let's Encrypt publishes, written out: config
// has a table of its own, and is judged by this one.
var quarterLimits = map[string]struct {
	count  int64
	period time.Duration
}{
	"orders per account":      {300, 3 * time.Hour},
	"certificates per domain": {50, 7 * day},
	"certificates per set":    {5, 7 * day},
	"failures per identifier": {5, time.Hour},
	"failures in a row":       {1152, 1152 * day},
	"accounts per address":    {10, 3 * time.Hour},
	"accounts per network":    {500, 3 * time.Hour},
}

// quarterRenewal is how long after a certificate one for the same set is a renewal,
// exempt from the limits of orders and domains.
const quarterRenewal = 120 * day

// tokens is a plain bucket: each nanosecond brings one part, and each parts are a
// token.
type tokens struct {
	parts, full, each int64
	at                time.Time
}

func (b *tokens) fill(now time.Time) {
	b.parts = min(b.full, b.parts+int64(now.Sub(b.at)))
	b.at = now
}

// quarterCA is Let's Encrypt as far as it counts, and nothing else of it: a new
// order is held against all limits, and spends from that of orders; a certificate
// spends when it is issued and a failed validation when it fails, both whether or
// not there is anything left. What the edge counts per second is left out: runs
// are seconds apart.
type quarterCA struct {
	t *testing.T

	mu         sync.Mutex                // guards the rest
	buckets    map[[2]string]*tokens     // by limit and key; none: full
	issued     map[string]time.Time      // the last certificate, by set
	authorized map[string]time.Time      // until when, by account and name
	paused     map[string]bool           // by account and name
	outage     bool                      // of the validators: every validation fails
	refused    map[string]map[string]int // 429s by account, and by limit
	over       int                       // certificates for which a limit had nothing left
	issuances  []quarterIssuance
	failures   map[string][]time.Time // by account and name
	orders     int
}

type quarterIssuance struct {
	account, set string
	at           time.Time
	fresh        bool // not a renewal
}

// quarterOrder is an order that the CA has taken.
type quarterOrder struct {
	account string
	names   []string
	renewal bool
}

func newQuarterCA(t *testing.T) *quarterCA {
	return &quarterCA{
		t: t, buckets: map[[2]string]*tokens{}, issued: map[string]time.Time{}, authorized: map[string]time.Time{},
		paused: map[string]bool{}, refused: map[string]map[string]int{}, failures: map[string][]time.Time{},
	}
}

// left reports whether a token is left. It needs ca.mu.
func (ca *quarterCA) left(limit, key string) bool {
	b := ca.buckets[[2]string{limit, key}]
	if b == nil {
		return true
	}
	b.fill(time.Now())
	return b.parts >= b.each
}

// spend takes a token if one is left. It needs ca.mu.
func (ca *quarterCA) spend(limit, key string) bool {
	if !ca.left(limit, key) {
		return false
	}
	b := ca.buckets[[2]string{limit, key}]
	if b == nil {
		l := quarterLimits[limit]
		each := int64(l.period) / l.count
		b = &tokens{parts: l.count * each, full: l.count * each, each: each, at: time.Now()}
		ca.buckets[[2]string{limit, key}] = b
	}
	b.parts -= b.each
	return true
}

// refuse counts a 429. It needs ca.mu.
func (ca *quarterCA) refuse(account, limit string) string {
	if ca.refused[account] == nil {
		ca.refused[account] = map[string]int{}
	}
	ca.refused[account][limit]++
	return limit
}

// refusals are the account's 429s.
func (ca *quarterCA) refusals(account string) (n int) {
	for _, count := range ca.refused[account] {
		n += count
	}
	return n
}

// newAccount returns the limit that refuses one; empty: none.
func (ca *quarterCA) newAccount(account string) (refused string) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	for _, limit := range []string{"accounts per address", "accounts per network"} {
		if !ca.spend(limit, "ours") {
			return ca.refuse(account, limit)
		}
	}
	return ""
}

// newOrder returns the limit that refuses it; empty: none.
func (ca *quarterCA) newOrder(account string, names []string) (o *quarterOrder, refused string) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.orders++
	set := setOfQuarter(names)
	last, had := ca.issued[set]
	o = &quarterOrder{account, names, had && time.Since(last) < quarterRenewal}
	for _, name := range names {
		switch {
		case ca.paused[account+" "+name]:
			return nil, ca.refuse(account, "paused")
		case !ca.left("failures per identifier", account+" "+name):
			return nil, ca.refuse(account, "failures per identifier")
		}
	}
	if !o.renewal && !ca.left("certificates per domain", ca.domain(names)) {
		return nil, ca.refuse(account, "certificates per domain")
	}
	if !ca.left("certificates per set", set) {
		return nil, ca.refuse(account, "certificates per set")
	}
	if !o.renewal && !ca.spend("orders per account", account) {
		return nil, ca.refuse(account, "orders per account")
	}
	return o, ""
}

func setOfQuarter(names []string) string {
	return strings.Join(slices.Sorted(slices.Values(names)), ",")
}

// domain is the registered domain of names, of which the example has one.
func (ca *quarterCA) domain(names []string) string {
	const domain = "acme-probe.example"
	for _, name := range names {
		if !strings.HasSuffix(name, "."+domain) {
			ca.t.Errorf("the name %q was ordered", name)
		}
	}
	return domain
}

// isAuthorized reports whether a name of the order needs no validation.
func (ca *quarterCA) isAuthorized(o *quarterOrder) bool {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return slices.ContainsFunc(o.names, func(name string) bool {
		return time.Now().Before(ca.authorized[o.account+" "+name])
	})
}

// deactivate ends the order's authorizations.
func (ca *quarterCA) deactivate(o *quarterOrder) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	for _, name := range o.names {
		delete(ca.authorized, o.account+" "+name)
	}
}

// validate takes so long, and goes on whatever becomes of who has asked. The
// channel says whether it succeeded.
func (ca *quarterCA) validate(o *quarterOrder, lasts time.Duration, ok bool) <-chan bool {
	done := make(chan bool, 1)
	go func() {
		time.Sleep(lasts)
		ca.mu.Lock()
		defer ca.mu.Unlock()
		ok = ok && !ca.outage
		for _, name := range o.names {
			key := o.account + " " + name
			if ok {
				ca.authorized[key] = time.Now().Add(30 * day)
				delete(ca.buckets, [2]string{"failures in a row", key})
				continue
			}
			ca.failures[key] = append(ca.failures[key], time.Now())
			ca.spend("failures per identifier", key)
			if !ca.spend("failures in a row", key) {
				ca.paused[key] = true
			}
		}
		done <- ok
	}()
	return done
}

// finalize takes so long, and goes on whatever becomes of who has asked.
func (ca *quarterCA) finalize(o *quarterOrder, lasts time.Duration) <-chan bool {
	done := make(chan bool, 1)
	go func() {
		time.Sleep(lasts)
		ca.mu.Lock()
		defer ca.mu.Unlock()
		set := setOfQuarter(o.names)
		if !o.renewal && !ca.spend("certificates per domain", ca.domain(o.names)) {
			ca.over++
		}
		if !ca.spend("certificates per set", set) {
			ca.over++
		}
		ca.issued[set] = time.Now()
		ca.issuances = append(ca.issuances, quarterIssuance{o.account, set, time.Now(), !o.renewal})
		done <- true
	}()
	return done
}

// setOutage begins or ends an outage of the validators.
func (ca *quarterCA) setOutage(on bool) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.outage = on
}

func (ca *quarterCA) inOutage() bool {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.outage
}
