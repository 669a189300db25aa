package budget

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Only what nobody but us spends, and what the ledger has watched long enough, can
// be known to be wrong.
func TestRefusedUnexpectedly(t *testing.T) {
	const orders, set, failures = "new-orders-per-account", "new-certificates-per-exact-set-of-identifiers", "authorization-failures-per-identifier-per-account"
	fixed := plannedProduction().issue("issue", time.Hour, fixedNames(nameA, nameB))
	for name, tt := range map[string]struct {
		cfg    planned
		anchor string
		age    time.Duration // of the ledger
		before func(*testing.T, *refused)
		spent  probe.Spending // what the run has reserved; 0: all that it may spend
		paused bool           // by another run
		want   bool
	}{
		"orders":                  {cfg: atProduction(), anchor: orders, age: 3 * time.Hour, want: true},
		"orders, too young":       {cfg: atProduction(), anchor: orders, age: 3*time.Hour - 1},
		"orders, fixed names":     {cfg: fixed, anchor: orders, age: day, want: true},
		"set":                     {cfg: atProduction(), anchor: set, age: 7 * day, want: true},
		"set, too young":          {cfg: atProduction(), anchor: set, age: 6 * day},
		"set that others know":    {cfg: fixed, anchor: set, age: 30 * day},
		"failures":                {cfg: atProduction(), anchor: failures, age: time.Hour, want: true},
		"failures in a row":       {cfg: atProduction(), anchor: "consecutive-authorization-failures-per-identifier-per-account", age: 1152 * day, want: true},
		"failures in a row, soon": {cfg: atProduction(), anchor: "consecutive-authorization-failures-per-identifier-per-account", age: 1000 * day},
		"domain":                  {cfg: atProduction(), anchor: "new-certificates-per-registered-domain", age: 2000 * day},
		"accounts":                {cfg: atProduction(), anchor: "new-registrations-per-ip-address", age: 2000 * day},
		"unknown":                 {cfg: atProduction(), anchor: "", age: 2000 * day},
		"limits not known":        {cfg: plannedAt("", config.Production).issue("issue", time.Hour, randomNames()), anchor: orders, age: 2000 * day},
		"after a reset": {cfg: atProduction(), anchor: orders, age: 3 * time.Hour, before: func(t *testing.T, r *refused) {
			if err := r.book.ledger.Reset(time.Now(), r.cfg.target.DirectoryURL); err != nil {
				t.Fatal(err)
			}
		}},
		"after a restart": {cfg: atProduction(), anchor: orders, age: 3 * time.Hour, want: true, before: func(t *testing.T, r *refused) {
			r.book = open(t, r.book.ledger.store)
		}},
		"paused meanwhile": {cfg: atProduction(), anchor: orders, age: 3 * time.Hour, paused: true},
		"nothing reserved": {cfg: atProduction(), anchor: orders, age: 3 * time.Hour, spent: probe.SpendAccount},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRefused(t, tt.cfg)
			time.Sleep(tt.age)
			if tt.before != nil {
				tt.before(t, r)
			}
			r.purse = r.book.Purse(tt.cfg.pair(t, "issue"), false)
			if tt.spent == 0 {
				tt.spent = issuing | probe.SpendAccount
			}
			ordered(t, r.purse, tt.spent, nameA, nameB)
			if tt.paused {
				now := time.Now()
				if err := r.book.ledger.Pause(now, Key{tt.cfg.target.DirectoryURL, config.LimitNewOrders, "ca"}, now.Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			if got := r.purse.Refused(refusedCall(probe.CallNewOrder, tt.anchor, "", time.Minute)); got.Unexpected != tt.want {
				t.Errorf("%s: unexpected is %v: %+v", name, got.Unexpected, got)
			}
		})
	}
}
