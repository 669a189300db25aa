package main

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/letsencrypt/pebble/v2/acme"
	"github.com/letsencrypt/pebble/v2/core"
)

// settlePeriod is how often the limiter looks at what Pebble has done by
// itself: no client has to ask for it to count.
const settlePeriod = 20 * time.Millisecond

// run settles until ctx ends.
func (l *limiter) run(ctx context.Context) {
	tick := time.NewTicker(settlePeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.settle()
		case <-ctx.Done():
			return
		}
	}
}

// settle spends what has become due since it last did.
func (l *limiter) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.orders = slices.DeleteFunc(l.orders, func(o *order) bool { return l.settleOrder(o, now) })
}

// settleOrder reports whether nothing more can become of o. The caller has
// l.mu.
func (l *limiter) settleOrder(o *order, now time.Time) bool {
	o.pending = slices.DeleteFunc(o.pending, func(authz *core.Authorization) bool {
		status, identifier := statusOf(authz)
		s := subject{o.account, identifier}
		switch status {
		case acme.StatusPending, acme.StatusProcessing:
			return false
		case acme.StatusValid:
			l.ledger.fill(ledgerKey{consecutiveFailures, s.key()}, now)
		default:
			// Invalid; or deactivated while it was pending, which counts as well.
			l.fail(s, now)
			o.failed = true
		}
		return true
	})
	if issued(o.order) {
		l.issue(o, now)
		return true
	}
	return o.failed && len(o.pending) == 0 || now.After(o.expires)
}

// fail counts a failed validation. What comes when nothing is left of the limit
// of consecutive ones pauses the pair. The caller has l.mu.
func (l *limiter) fail(s subject, now time.Time) {
	l.ledger.spend(ledgerKey{failedValidations, s.key()}, now)
	if l.ledger.spend(ledgerKey{consecutiveFailures, s.key()}, now) {
		return
	}
	if p := l.pauses[s]; p == nil || !p.lifted.IsZero() && now.Sub(p.lifted) > graceAfterPause {
		l.pauses[s] = new(pause)
	}
}

// issuance is a certificate.
type issuance struct {
	Time    time.Time `json:"time"` // when it was seen, settlePeriod late at most
	Account string    `json:"account"`
	Set     string    `json:"set"` // identifiers, sorted, joined by commas
	Domains []string  `json:"domains"`
	Exempt  bool      `json:"exempt"` // from the limit of its domains
	Over    []string  `json:"over"`   // the limits that had nothing left for it
}

// issue counts a certificate. The caller has l.mu.
func (l *limiter) issue(o *order, now time.Time) {
	certificate := issuance{
		Time: now, Account: o.account, Set: o.set(), Domains: o.domains(), Exempt: l.issued[o.set()], Over: []string{},
	}
	over := func(k ledgerKey) {
		if !l.ledger.spend(k, now) && !slices.Contains(certificate.Over, k.limit) {
			certificate.Over = append(certificate.Over, k.limit)
		}
	}
	if !certificate.Exempt {
		for _, domain := range certificate.Domains {
			over(ledgerKey{certificatesPerDomain, domain})
		}
	}
	over(ledgerKey{certificatesPerSet, certificate.Set})
	l.issued[certificate.Set] = true
	l.issuances = append(l.issuances, certificate)
}

// limitsReport is what the control shows.
type limitsReport struct {
	Denied    map[string]int `json:"denied"` // by limit, or [paused]: answers 429
	Busy      map[string]int `json:"busy"`   // by kind of call: answers 503 of the edge
	Buckets   []bucketReport `json:"buckets"`
	Issuances []issuance     `json:"issuances"` // in order
	Paused    []pauseReport  `json:"paused"`
}

// pauseReport is a pair that is paused.
type pauseReport struct {
	Account    string `json:"account"`
	Identifier string `json:"identifier"`
}

// show is GET /limits: what was spent and denied so far.
func (l *limiter) show(e *edge) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		l.settle()
		busy := e.turnedAway()
		l.mu.Lock()
		defer l.mu.Unlock()
		report := limitsReport{
			Denied: maps.Clone(l.denied), Busy: busy, Buckets: l.ledger.report(time.Now()),
			Issuances: l.issuances, Paused: []pauseReport{},
		}
		for s, p := range l.pauses {
			if p.lifted.IsZero() {
				report.Paused = append(report.Paused, pauseReport{s.account, s.identifier})
			}
		}
		slices.SortFunc(report.Paused, func(a, b pauseReport) int {
			return strings.Compare(a.Account+" "+a.Identifier, b.Account+" "+b.Identifier)
		})
		answer(w, report)
	}
}

// unpause is POST /unpause?account=URL: what a human does who has followed the
// link; without account, for all. It answers how many pairs were paused.
func (l *limiter) unpause(w http.ResponseWriter, r *http.Request) {
	account := r.FormValue("account")
	l.mu.Lock()
	defer l.mu.Unlock()
	lifted := 0
	for s, p := range l.pauses {
		if p.lifted.IsZero() && (account == "" || account == s.account) {
			p.lifted = time.Now()
			lifted++
		}
	}
	answer(w, lifted)
}
