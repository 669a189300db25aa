package main

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/letsencrypt/pebble/v2/acme"
	"github.com/letsencrypt/pebble/v2/core"
)

func TestDomains(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ names, want []string }{
		{[]string{"a.example.com", "example.com", "*.b.example.com"}, []string{"example.com"}},
		{[]string{"a.example.co.uk", "b.example.com"}, []string{"example.co.uk", "example.com"}},
		{[]string{"x.github.io", "github.io"}, []string{"x.github.io", "github.io"}},
		{[]string{"1.acme-probe.example"}, []string{"acme-probe.example"}},
		{[]string{"192.0.2.7", "2001:db8::1", "2001:db8::2"}, []string{"192.0.2.7/32", "2001:db8::/64"}},
	} {
		if got := (&order{names: test.names}).domains(); !slices.Equal(got, test.want) {
			t.Errorf("%v: %v, want %v", test.names, got, test.want)
		}
	}
}

func TestAccountKeys(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][]ledgerKey{
		"192.0.2.7":       {{newAccountsPerIP, "192.0.2.7"}},
		"2001:db8:1:2::3": {{newAccountsPerIP, "2001:db8:1:2::3"}, {newAccountsPerNetwork, "2001:db8:1::/48"}},
	} {
		if got := accountKeys(netip.MustParseAddr(address)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
}

// TestDeny holds the texts of Boulder's.
func TestDeny(t *testing.T) {
	t.Parallel()
	const see = ": see https://letsencrypt.org/docs/rate-limits/#"
	for name, want := range map[string]string{
		newOrders:             "too many new orders (7) from this account in the last 3h0m0s, retry after 2026-11-23 10:00:00 UTC" + see + "new-orders-per-account",
		certificatesPerDomain: `too many certificates (7) already issued for "example.com" in the last 3h0m0s, retry after 2026-11-23 10:00:00 UTC` + see + "new-certificates-per-registered-domain",
		certificatesPerSet:    "too many certificates (7) already issued for this exact set of identifiers in the last 3h0m0s, retry after 2026-11-23 10:00:00 UTC" + see + "new-certificates-per-exact-set-of-identifiers",
		failedValidations:     `too many failed authorizations (7) for "example.com" in the last 3h0m0s, retry after 2026-11-23 10:00:00 UTC` + see + "authorization-failures-per-identifier-per-account",
		newAccountsPerIP:      "too many new registrations (7) from this IP address in the last 3h0m0s, retry after 2026-11-23 10:00:00 UTC" + see + "new-registrations-per-ip-address",
		newAccountsPerNetwork: "too many new registrations (7) from this /48 subnet of IPv6 addresses in the last 3h0m0s, retry after 2026-11-23 10:00:00 UTC" + see + "new-registrations-per-ipv6-range",
	} {
		l := limit{Name: name, Count: 5, Burst: 7, Period: duration(3 * time.Hour)}
		// Jitter is up to 3% and would show.
		if got := deny(l, "example.com", time.Nanosecond, start).detail; got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestDenyJitter(t *testing.T) {
	t.Parallel()
	seen := map[time.Duration]bool{}
	for range 100 {
		d := deny(limit{Name: newOrders}, "", 100*time.Hour, start).retry
		if d < 100*time.Hour || d > 103*time.Hour {
			t.Errorf("retry after %s, want 0 to 3%% more than 100h", d)
		}
		seen[d] = true
	}
	if len(seen) < 50 {
		t.Errorf("%d different waits of 100", len(seen))
	}
}

// TestPauseGrace holds that a pair that a human has unpaused is not paused
// again for two weeks, and then is.
func TestPauseGrace(t *testing.T) {
	t.Parallel()
	l := newLimiter(map[string]limit{consecutiveFailures: {Name: consecutiveFailures, Count: 1, Burst: 1, Period: duration(1000 * time.Hour)}})
	s, now := subject{"account", "a.example"}, time.Now()
	isPaused := func() bool { return l.pausedNames(&order{account: "account", names: []string{"a.example"}}) != nil }
	for i, want := range []bool{false, true} {
		if l.fail(s, now); isPaused() != want {
			t.Errorf("paused after %d failures: %t", i+1, !want)
		}
	}
	l.pauses[s].lifted = now
	if l.fail(s, now.Add(13*24*time.Hour)); isPaused() {
		t.Error("paused again within two weeks")
	}
	if l.fail(s, now.Add(15*24*time.Hour)); !isPaused() {
		t.Error("not paused again after two weeks")
	}
}

// TestReplaces holds that an order that says what it renews is exempt from all
// limits, but not from a pause.
func TestReplaces(t *testing.T) {
	t.Parallel()
	l := newLimiter(map[string]limit{newOrders: {Name: newOrders, Count: 1, Burst: 1, Period: duration(1000 * time.Hour)}})
	plain := &order{account: "account", names: []string{"a.example"}}
	renewal := &order{account: "account", names: []string{"a.example"}, replaces: true}
	for i, test := range []struct {
		order  *order
		denied bool
	}{{renewal, false}, {plain, false}, {plain, true}, {renewal, false}} {
		if d := l.admitOrder(test.order); (d != nil) != test.denied {
			t.Errorf("order %d: %+v", i, d)
		}
	}
	l.pauses[subject{"account", "a.example"}] = new(pause)
	if d := l.admitOrder(renewal); d == nil || d.limit != paused {
		t.Errorf("paused: %+v", d)
	}
}

// TestSettlesByItself holds that what happens counts when it happens, also for
// a client that never asks again.
func TestSettlesByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limits := map[string]limit{}
		for _, name := range limitNames {
			limits[name] = limit{Name: name, Count: 5, Burst: 5, Period: duration(1000 * time.Hour)}
		}
		l := newLimiter(limits)
		var running sync.WaitGroup
		defer running.Wait()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		running.Go(func() { l.run(ctx) })

		admit := func(name string) (*core.Order, *core.Authorization) {
			authz := &core.Authorization{Authorization: acme.Authorization{
				Status: acme.StatusPending, Identifier: acme.Identifier{Type: acme.IdentifierDNS, Value: name},
			}}
			made := &core.Order{
				Order:     acme.Order{Identifiers: []acme.Identifier{authz.Identifier}},
				AccountID: "1", ExpiresDate: time.Now().Add(time.Hour), AuthorizationObjects: []*core.Authorization{authz},
			}
			if d := l.admitOrder(newWatchedOrder(made, "ca")); d != nil {
				t.Fatalf("%s: %+v", name, d)
			}
			return made, authz
		}
		made, authz := admit("a.example")
		_, failing := admit("b.example")
		admit("c.example") // and never again
		set := func(authz *core.Authorization, status string) {
			authz.Lock()
			defer authz.Unlock()
			authz.Status = status
		}

		time.Sleep(time.Minute)
		set(authz, acme.StatusValid)
		set(failing, acme.StatusInvalid)
		made.Lock()
		made.CertificateObject = new(core.Certificate)
		made.Unlock()
		due := time.Now()
		time.Sleep(time.Minute)

		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.issuances) != 1 || l.issuances[0].Time.Sub(due) > settlePeriod || l.issuances[0].Account != "https://ca/my-account/1" {
			t.Errorf("issuances %+v, want one at %s", l.issuances, due)
		}
		failures := l.ledger.entries[ledgerKey{failedValidations, "https://ca/my-account/1 b.example"}]
		if failures.spent != 1 || failures.at.Sub(due) > settlePeriod {
			t.Errorf("failures %+v", failures)
		}
		if len(l.orders) != 1 {
			t.Errorf("%d orders are watched, want only that of which more may come", len(l.orders))
		}
	})
}
