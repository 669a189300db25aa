package budget

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	nameA = "a.acme-probe.example"
	nameB = "b.acme-probe.example"
)

// refusedCall is an answer 429 with a problem as acmehttp reads it.
func refusedCall(name probe.CallName, anchor, detail string, retryAfter time.Duration) *probe.Call {
	c := &probe.Call{Name: name, Status: 429, Problem: &probe.Problem{Type: problemRateLimited, Status: 429, Anchor: anchor, Detail: detail}}
	if retryAfter != 0 {
		c.RetryAfter = &retryAfter
	}
	return c
}

// refused is a run for two names that the CA has refused.
type refused struct {
	cfg   planned
	book  *Book
	purse *Purse
}

func newRefused(t *testing.T, cfg planned) *refused {
	t.Helper()
	r := &refused{cfg: cfg, book: open(t, newDisk())}
	r.purse = r.book.Purse(cfg.pair(t, "issue"), false)
	ordered(t, r.purse, issuing|probe.SpendAccount, nameA, nameB)
	return r
}

// paused are the keys that are, without the CA, and for how long, 0: until somebody
// lifts it.
func (r *refused) paused() map[string]time.Duration {
	got := map[string]time.Duration{}
	for _, e := range r.book.ledger.Paused(time.Now(), r.cfg.target.DirectoryURL) {
		k := string(e.Key.Limit) + " " + e.Key.ID
		if got[k] = 0; !e.Until.IsZero() {
			got[k] = time.Until(e.Until)
		}
	}
	return got
}

// held is until when the edge's pause holds back call; zero: it does not.
func (r *refused) held(t *testing.T, call probe.CallName) time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if held, ok := errors.AsType[*probe.HeldError](r.book.Pacer(r.cfg.target).Wait(ctx, call, nil)); ok {
		return held.Until
	}
	return time.Time{}
}

func atProduction() planned { return plannedProduction().issue("issue", time.Hour, randomNames()) }

// The documentation's anchor says which limit it is: its buckets are paused that the
// run's names are counted by, or the one that the answer names.
func TestRefused(t *testing.T) {
	set := "certificates_per_set " + setOf([]string{nameA, nameB})
	all := func(limit string) []string { return []string{limit + " ca " + nameA, limit + " ca " + nameB} }
	for anchor, tt := range map[string]struct {
		detail, limit, what string
		keys                []string
	}{
		"new-orders-per-account":                                        {"too many new orders (300) from this account in the last 3h0m0s", "new_orders", "", []string{"new_orders ca"}},
		"new-certificates-per-registered-domain":                        {`too many certificates (50) already issued for "acme-probe.example" in the last 168h0m0s`, "certificates_per_domain", "acme-probe.example", []string{"certificates_per_domain acme-probe.example"}},
		"new-certificates-per-exact-set-of-identifiers":                 {"too many certificates (5) already issued for this exact set of identifiers", "certificates_per_set", "", []string{set}},
		"new-certificates-per-exact-set-of-hostnames":                   {"too many certificates (5) already issued for this exact set of domains", "certificates_per_set", "", []string{set}},
		"authorization-failures-per-identifier-per-account":             {`too many failed authorizations (5) for "B.acme-probe.example" in the last 1h0m0s`, "failed_validations", nameB, all("failed_validations")[1:]},
		"authorization-failures-per-hostname-per-account":               {"too many failed authorizations: see https://" + nameA + "/docs", "failed_validations", "", all("failed_validations")},
		"consecutive-authorization-failures-per-identifier-per-account": {`for "c.acme-probe.example"`, "consecutive_failures", "", all("consecutive_failures")},
		"consecutive-authorization-failures-per-hostname-per-account":   {"", "consecutive_failures", "", all("consecutive_failures")},
		"new-registrations-per-ip-address":                              {"", "new_accounts_per_ip", "", []string{"new_accounts_per_ip "}},
		"new-registrations-per-ipv6-range":                              {"", "new_accounts_per_network", "", []string{"new_accounts_per_network "}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRefused(t, atProduction())
			got := r.purse.Refused(refusedCall(probe.CallNewOrder, anchor, tt.detail, time.Minute))
			if got.Detail == "" || strings.Contains(got.Detail, "ca "+nameA) || !strings.Contains(got.Detail, tt.limit) {
				t.Errorf("%s: %s", anchor, got.Detail)
			}
			got.Detail = ""
			want := &probe.RateLimit{Limit: tt.limit, What: tt.what, Refused: true, Until: time.Now().Add(time.Minute)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", anchor, diff)
			}
			paused := map[string]time.Duration{}
			for _, key := range tt.keys {
				paused[key] = time.Minute
			}
			if diff := cmp.Diff(paused, r.paused()); diff != "" {
				t.Errorf("%s: paused: %s", anchor, diff)
			}
			if !r.held(t, probe.CallNewOrder).IsZero() {
				t.Errorf("%s: requests are held back", anchor)
			}
		})
	}
	for _, limit := range config.LimitNames() {
		known := false
		for _, l := range anchors {
			known = known || l == limit
		}
		if !known {
			t.Errorf("no anchor is known for %s", limit)
		}
	}
}

// What the CA asks for is kept to, within bounds.
func TestRefusedFor(t *testing.T) {
	const orders, failures, row, domain, unknown = "new-orders-per-account", "authorization-failures-per-identifier-per-account",
		"consecutive-authorization-failures-per-identifier-per-account", "new-certificates-per-registered-domain", ""
	for _, tt := range []struct {
		anchor string
		call   probe.CallName
		after  time.Duration // 0: it does not say
		want   time.Duration
	}{
		{orders, probe.CallNewOrder, 0, 36 * time.Second},
		{orders, probe.CallNewOrder, -time.Hour, 36 * time.Second},
		{orders, probe.CallNewOrder, time.Second, time.Second},
		{orders, probe.CallNewOrder, 3 * time.Hour, 3 * time.Hour},
		{orders, probe.CallNewOrder, 100 * day, 3 * time.Hour},
		{orders, probe.CallNewOrder, math.MaxInt64, 3 * time.Hour},
		{orders, probe.CallNewOrder, math.MinInt64, 36 * time.Second},
		{failures, probe.CallNewOrder, 0, 12 * time.Minute},
		{domain, probe.CallNewOrder, 0, 12096 * time.Second},
		{domain, probe.CallNewOrder, 30 * day, 7 * day},
		{row, probe.CallNewOrder, 0, day},
		{row, probe.CallNewOrder, 2000 * day, 7 * day},
		{unknown, probe.CallNewOrder, 0, time.Minute},
		{unknown, probe.CallNewOrder, time.Hour, time.Hour},
		{unknown, probe.CallNewOrder, 30 * day, day},
		{unknown, probe.CallAuthz, 0, time.Minute},
		{unknown, probe.CallAuthz, time.Second, time.Second},
		{unknown, probe.CallAuthz, day, time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRefused(t, atProduction())
			got := r.purse.Refused(refusedCall(tt.call, tt.anchor, "", tt.after))
			if wait := time.Until(got.Until); wait != tt.want {
				t.Errorf("%q of %s, %v: wait for %v, want %v", tt.anchor, tt.call, tt.after, wait, tt.want)
			}
			for key, wait := range r.paused() {
				if wait != tt.want {
					t.Errorf("%q of %s, %v: %s is paused for %v, want %v", tt.anchor, tt.call, tt.after, key, wait, tt.want)
				}
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // of staging a thousandth of a second
		r := newRefused(t, plannedAt("letsencrypt-staging", config.Staging).issue("issue", time.Hour, randomNames()))
		got := r.purse.Refused(refusedCall(probe.CallNewOrder, domain, "", time.Hour))
		if wait := time.Until(got.Until); wait != time.Minute {
			t.Errorf("wait for %v, want a minute", wait)
		}
	})
}

// Without a name for the limit it is what the run wanted that is paused: the
// account, or new accounts; or else what the edge counts. So it is where no limits
// are known, and other runs are denied by it.
func TestRefusedWithoutALimit(t *testing.T) {
	cdn := func(c *probe.Call) { c.Problem = nil }
	other := func(c *probe.Call) { c.Problem.Type = "about:blank" }
	for name, tt := range map[string]struct {
		call   probe.CallName
		anchor string
		change func(*probe.Call)
		limit  string
		keys   []string
	}{
		"order":                {call: probe.CallNewOrder, keys: []string{"new_orders ca"}},
		"order, new limit":     {call: probe.CallNewOrder, anchor: "new-kind-of-limit", keys: []string{"new_orders ca"}},
		"finalize":             {call: probe.CallFinalize, keys: []string{"new_orders ca"}},
		"account":              {call: probe.CallNewAccount, keys: []string{"new_accounts_per_ip "}},
		"authorization":        {call: probe.CallAuthz, limit: probe.LimitRequests},
		"directory":            {call: probe.CallDirectory, limit: probe.LimitRequests},
		"order, of the edge":   {call: probe.CallNewOrder, change: cdn, limit: probe.LimitRequests},
		"order, other problem": {call: probe.CallNewOrder, change: other, limit: probe.LimitRequests},
		"edge with an anchor":  {call: probe.CallNewOrder, anchor: "new-orders-per-account", change: other, limit: probe.LimitRequests},
	} {
		for _, cfg := range []planned{atProduction(), plannedAt("", config.Production).issue("issue", time.Hour, randomNames())} {
			synctest.Test(t, func(t *testing.T) {
				r := newRefused(t, cfg)
				call := refusedCall(tt.call, tt.anchor, "slow down", time.Hour)
				if tt.change != nil {
					tt.change(call)
				}
				got := r.purse.Refused(call)
				until := time.Now().Add(time.Hour)
				want := &probe.RateLimit{Limit: tt.limit, Refused: true, Until: until, Detail: got.Detail}
				if diff := cmp.Diff(want, got); diff != "" || got.Detail == "" {
					t.Errorf("%s: %s", name, diff)
				}
				paused := map[string]time.Duration{}
				for _, key := range tt.keys {
					paused[key] = time.Hour
				}
				if diff := cmp.Diff(paused, r.paused()); diff != "" {
					t.Errorf("%s: paused: %s", name, diff)
				}
				wantHeld := time.Time{}
				if tt.limit != "" {
					wantHeld = until
				}
				if held := r.held(t, tt.call); !held.Equal(wantHeld) {
					t.Errorf("%s: held back until %v", name, held)
				}
				_, denied, err := r.book.Purse(cfg.pair(t, "issue"), true).Reserve(issuing, []string{"c.acme-probe.example"})
				if err != nil || (denied != nil) != slices.Contains(tt.keys, "new_orders ca") {
					t.Errorf("%s: the next run: %+v, %v", name, denied, err)
				}
			})
		}
	}
}

// A run that has no names, such as one that tidies up, pauses no names.
func TestRefusedWithoutNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefused(t, atProduction())
		r.purse = r.book.Purse(r.cfg.pair(t, "issue"), false)
		got := r.purse.Refused(refusedCall(probe.CallDeactivateAuthz, "new-certificates-per-exact-set-of-identifiers", "", time.Minute))
		if got.Limit != probe.LimitRequests || len(r.paused()) != 0 || r.held(t, probe.CallDeactivateAuthz).IsZero() {
			t.Errorf("%+v, paused %v", got, r.paused())
		}
	})
}

// Names that only a human can free are paused until somebody does, and a pool lets
// go of the set.
func TestRefusedUntilLifted(t *testing.T) {
	const before, after = "Your account is temporarily prevented from requesting certificates for ", " and possibly others. Please visit: https://portal.letsencrypt.org/sfe/v1/unpause"
	one := []string{"consecutive_failures ca " + nameA}
	both := append(slices.Clone(one), "consecutive_failures ca "+nameB)
	for name, tt := range map[string]struct {
		call *probe.Call
		what string
		keys []string // none: it is no such pause
	}{
		"one":             {refusedCall(probe.CallNewOrder, "", before+nameA+after, 0), nameA, one},
		"both":            {refusedCall(probe.CallNewOrder, "", before+nameA+", "+nameB+after, 0), "", both},
		"in other words":  {refusedCall(probe.CallNewOrder, "", "This identifier is Paused.", 0), "", both},
		"and in others":   {refusedCall(probe.CallFinalize, "", "unpause "+nameA+".", 0), nameA, one},
		"with a time":     {refusedCall(probe.CallNewOrder, "", before+nameA+after, time.Hour), "", nil},
		"with an anchor":  {refusedCall(probe.CallNewOrder, "some-limit", before+nameA+after, 0), "", nil},
		"other words":     {refusedCall(probe.CallNewOrder, "", "too many "+nameA, 0), "", nil},
		"another problem": {&probe.Call{Name: probe.CallNewOrder, Status: 429, Problem: &probe.Problem{Type: "malformed", Detail: before + nameA + after}}, "", nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRefused(t, atProduction())
			time.Sleep(2000 * day) // the ledger is old enough for every limit, and still expects it
			r.purse = r.book.Purse(r.cfg.pair(t, "issue"), false)
			ordered(t, r.purse, issuing, nameA, nameB)
			got := r.purse.Refused(tt.call)
			if tt.keys == nil {
				if got.Paused || got.Until.IsZero() {
					t.Errorf("%s: %+v", name, got)
				}
				return
			}
			want := &probe.RateLimit{Limit: "consecutive_failures", What: tt.what, Refused: true, Paused: true, Detail: got.Detail}
			if diff := cmp.Diff(want, got); diff != "" || !strings.Contains(got.Detail, `"`+nameA+`"`) {
				t.Errorf("%s: %s %s", name, got.Detail, diff)
			}
			paused := map[string]time.Duration{}
			for _, key := range tt.keys {
				paused[key] = 0
			}
			if diff := cmp.Diff(paused, r.paused()); diff != "" {
				t.Errorf("%s: paused: %s", name, diff)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		cfg := plannedProduction().issue("pool", time.Hour, poolOf(1))
		b := open(t, newDisk())
		p := b.Purse(cfg.pair(t, "pool"), false)
		first := ordered(t, p, issuing)
		if got := p.Refused(refusedCall(probe.CallNewOrder, "", before+first[0]+after, 0)); !got.Paused || got.What != first[0] {
			t.Errorf("%+v", got)
		}
		if err := p.Settle(probe.Spent{NoOrder: true}); err != nil {
			t.Fatal(err)
		}
		if second := ordered(t, b.Purse(cfg.pair(t, "pool"), false), issuing); cmp.Diff(first, second) == "" {
			t.Errorf("the pool gives %v again", second)
		}
	})
}

// A set that the CA does not take for exempt counts as new, and others go on.
func TestRefusedThoughExempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := plannedProduction().issue("issue", time.Hour, fixedNames(nameA))
		b := open(t, newDisk())
		for _, names := range [][]string{{nameA}, {nameB}} {
			p := b.Purse(cfg.pair(t, "issue"), false)
			ordered(t, p, issuing, names...)
			if err := p.Settle(probe.Spent{Issued: true, Valid: names}); err != nil {
				t.Fatal(err)
			}
		}
		p := b.Purse(cfg.pair(t, "issue"), false)
		ordered(t, p, issuing, nameA)
		p.Refused(refusedCall(probe.CallNewOrder, "new-certificates-per-registered-domain", `for "acme-probe.example"`, time.Hour))
		if err := p.Settle(probe.Spent{NoOrder: true}); err != nil {
			t.Fatal(err)
		}
		if _, denied, err := b.Purse(cfg.pair(t, "issue"), false).Reserve(issuing, []string{nameA}); err != nil || denied == nil || denied.What != "acme-probe.example" {
			t.Errorf("%+v, %v", denied, err)
		}
		ordered(t, b.Purse(cfg.pair(t, "issue"), false), issuing, nameB)
	})
}

// The sentence is short, however many names there are.
func TestRefusedText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRefused(t, atProduction())
		var names []string
		for i := range 100 {
			names = append(names, fmt.Sprintf("n%02d.%s.acme-probe.example", i, strings.Repeat("x", 60)))
		}
		r.purse = r.book.Purse(r.cfg.pair(t, "issue"), false)
		ordered(t, r.purse, probe.SpendOrder|probe.SpendValidation, names...)
		got := r.purse.Refused(refusedCall(probe.CallNewOrder, "", "paused", 0)).Detail
		if len(got) > 500 || !strings.Contains(got, "97 more") {
			t.Error(got)
		}
		got = r.purse.Refused(refusedCall(probe.CallNewNonce, "", "", 0)).Detail
		if want := "its limit of requests: refused by the CA, and paused until 2000-01-01T00:01:00Z"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}
