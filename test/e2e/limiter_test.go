package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// smooth has Pebble do what it is asked, at once.
var smooth = []string{"-smooth", "-quiet"}

// long is a period in which nothing comes back while a test runs.
const long = "1000h"

// denied holds that err is a 429 whose detail matches pattern, and says when to
// come back the same way twice.
func denied(t *testing.T, err error, pattern string) *acme.Error {
	t.Helper()
	problem, ok := errors.AsType[*acme.Error](err)
	if !ok {
		t.Fatalf("got %v, want a problem document", err)
	}
	if problem.StatusCode != http.StatusTooManyRequests || problem.ProblemType != "urn:ietf:params:acme:error:rateLimited" {
		t.Fatalf("status %d, type %s: %s", problem.StatusCode, problem.ProblemType, problem.Detail)
	}
	if problem.Header.Get("Replay-Nonce") == "" || !strings.Contains(strings.Join(problem.Header["Link"], " "), `rel="index"`) {
		t.Errorf("the headers of an answer of the CA's are missing: %v", problem.Header)
	}
	if problem.Header.Get("Location") != "" {
		t.Error("an order that was denied has a URL")
	}
	match := regexp.MustCompile("^" + pattern + "$").FindStringSubmatch(problem.Detail)
	if match == nil {
		t.Fatalf("detail %q, want %s", problem.Detail, pattern)
	}
	if len(match) == 1 {
		return problem
	}
	when, err := time.Parse("2006-01-02 15:04:05 MST", match[1])
	must(t, err)
	seconds, err := strconv.Atoi(problem.Header.Get("Retry-After"))
	must(t, err)
	if apart := time.Until(when) - time.Duration(seconds)*time.Second; apart.Abs() > parts.Timeout {
		t.Errorf("Retry-After of %d seconds and %s are %s apart", seconds, when, apart)
	}
	return problem
}

// retryAfter is how the details of 429s go on.
const retryAfter = `, retry after (.*): see https://letsencrypt\.org/docs/rate-limits/#`

// TestLimitNewOrders holds that orders are counted by account, that those of a
// set that had a certificate are not, and that tokens come back.
func TestLimitNewOrders(t *testing.T) {
	t.Parallel()
	pebble := parts.StartPebble(t, parts.NewPorts(t), append(smooth, "-always-valid",
		parts.RateLimits(parts.Limit{Name: "new_orders", Count: 3, Period: "1000h"}))...)
	c, other := newPlainClient(t, pebble.CA), newPlainClient(t, pebble.CA)
	must(t, c.issue("a.example"))
	must(t, c.order("b.example"))
	must(t, c.order("c.example"))
	denied(t, c.order("d.example"), `too many new orders \(3\) from this account in the last 1000h0m0s`+retryAfter+"new-orders-per-account")
	must(t, c.order("A.example")) // exempt
	must(t, other.order("d.example"))
	if s := pebble.Spent(); s.Limited() != 1 || s.Bucket("new_orders", c.account).Spent != 3 || s.Bucket("new_orders", other.account).Remaining != 2 {
		t.Errorf("%+v", s)
	}

	pebble = parts.StartPebble(t, parts.NewPorts(t), append(smooth, parts.RateLimits(parts.Limit{Name: "new_orders", Count: 10, Period: "20s", Burst: 1}))...)
	c = newPlainClient(t, pebble.CA)
	must(t, c.order("a.example"))
	parts.Until(t, "an order is denied, and one is not", func() bool {
		err := c.order("a.example")
		if err != nil {
			denied(t, err, `too many new orders \(1\) from this account in the last 20s, retry after .*`)
		}
		return err == nil && pebble.Spent().Limited() > 0
	})
}

// TestLimitCertificatesPerDomain holds that certificates are checked at the
// order and counted when they are issued, over all accounts, and that those of
// a set that had one are exempt.
func TestLimitCertificatesPerDomain(t *testing.T) {
	t.Parallel()
	pebble := parts.StartPebble(t, parts.NewPorts(t), append(smooth, "-always-valid",
		parts.RateLimits(parts.Limit{Name: "certificates_per_domain", Count: 2, Period: long}))...)
	c, other := newPlainClient(t, pebble.CA), newPlainClient(t, pebble.CA)
	var orders []*acme.Order
	for _, name := range []string{"a.example.com", "b.example.com", "c.example.com"} {
		// None is issued yet: nothing is spent.
		order, err := c.ready(name, "x.example.org")
		must(t, err)
		orders = append(orders, order)
	}
	if s := pebble.Spent(); s.Bucket("certificates_per_domain", "example.com").Remaining != 2 || len(s.Issuances) != 0 {
		t.Errorf("before anything is issued: %+v", s)
	}
	must(t, c.finalize(orders[0]))
	must(t, c.finalize(orders[1]))
	parts.Until(t, "two are issued", func() bool { return len(pebble.Spent().Issuances) == 2 })
	denied(t, other.order("d.example.com"), `too many certificates \(2\) already issued for "example\.com" in the last 1000h0m0s`+retryAfter+"new-certificates-per-registered-domain")
	must(t, other.issue("a.example.net"))
	must(t, other.issue("a.example.com", "x.example.org")) // exempt

	// What was ordered before there was nothing left is issued, and shows.
	must(t, c.finalize(orders[2]))
	parts.Until(t, "five are issued", func() bool { return len(pebble.Spent().Issuances) == 5 })
	s := pebble.Spent()
	if b := s.Bucket("certificates_per_domain", "example.com"); b.Spent != 3 || b.Over != 1 || b.Denied != 1 || b.Remaining != 0 {
		t.Errorf("%+v", b)
	}
	last := s.Issuances[4]
	if last.Set != "c.example.com,x.example.org" || last.Account != c.account || last.Exempt || !slices.Equal(last.Over, []string{"certificates_per_domain"}) ||
		!slices.Equal(last.Domains, []string{"example.com", "example.org"}) {
		t.Errorf("the last one: %+v", last)
	}
	if renewal := s.Issuances[3]; !renewal.Exempt || len(renewal.Over) != 0 {
		t.Errorf("the renewal: %+v", renewal)
	}
	if !slices.IsSortedFunc(s.Issuances, func(a, b parts.Issuance) int { return a.Time.Compare(b.Time) }) {
		t.Errorf("not in order: %+v", s.Issuances)
	}
}

// TestLimitCertificatesPerSet holds that the limit of a set of identifiers has
// no exemption, and that their order and case are the same to it.
func TestLimitCertificatesPerSet(t *testing.T) {
	t.Parallel()
	pebble := parts.StartPebble(t, parts.NewPorts(t), append(smooth, "-always-valid", parts.RateLimits(
		parts.Limit{Name: "certificates_per_set", Count: 2, Period: long},
		parts.Limit{Name: "certificates_per_domain", Count: 50, Period: long}))...)
	c, other := newPlainClient(t, pebble.CA), newPlainClient(t, pebble.CA)
	must(t, c.issue("a.example", "*.b.example"))
	must(t, other.issue("*.b.example", "A.example"))
	parts.Until(t, "two are issued", func() bool { return len(pebble.Spent().Issuances) == 2 })
	denied(t, c.order("a.example", "*.b.example"),
		`too many certificates \(2\) already issued for this exact set of identifiers in the last 1000h0m0s`+retryAfter+"new-certificates-per-exact-set-of-identifiers")
	must(t, c.order("a.example", "b.example"))
	s := pebble.Spent()
	if b := s.Bucket("certificates_per_set", "*.b.example,a.example"); b.Spent != 2 || b.Denied != 1 {
		t.Errorf("%+v", s.Buckets)
	}
	if b := s.Bucket("certificates_per_domain", "a.example"); b.Spent != 1 {
		t.Errorf("the renewal was counted: %+v", s.Buckets)
	}
}

// TestLimitFailedValidations holds that failures are counted by account and
// identifier when they happen, also that of a pending authorization which is
// deactivated, and are checked at the order.
func TestLimitFailedValidations(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, append(smooth, parts.RateLimits(parts.Limit{Name: "failed_validations", Count: 3, Period: long}))...)
	c, other := newPlainClient(t, pebble.CA), newPlainClient(t, pebble.CA)
	c.serve(t, ports.HTTP)
	c.attempt(t, "127.0.0.1", false)
	c.attempt(t, "127.0.0.1", true) // which gives nothing back
	c.attempt(t, "127.0.0.1", false)
	order, err := c.AuthorizeOrder(t.Context(), acme.IPIDs("127.0.0.1"))
	must(t, err)
	must(t, c.RevokeAuthorization(t.Context(), order.AuthzURLs[0]))
	_, err = c.AuthorizeOrder(t.Context(), acme.IPIDs("127.0.0.1"))
	denied(t, err, `too many failed authorizations \(3\) for "127\.0\.0\.1" in the last 1000h0m0s`+retryAfter+"authorization-failures-per-identifier-per-account")
	must(t, c.order("a.example"))
	_, err = other.AuthorizeOrder(t.Context(), acme.IPIDs("127.0.0.1"))
	must(t, err)
	if s := pebble.Spent(); s.Bucket("failed_validations", c.account+" 127.0.0.1").Spent != 3 || s.Limited() != 1 {
		t.Errorf("%+v", s)
	}
}

// TestLimitConsecutiveFailures holds that a success takes all failures back,
// that the one too many pauses the account's identifier, and that only a human
// helps.
func TestLimitConsecutiveFailures(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, append(smooth, parts.RateLimits(parts.Limit{Name: "consecutive_failures", Count: 2, Period: long}))...)
	c, other := newPlainClient(t, pebble.CA), newPlainClient(t, pebble.CA)
	c.serve(t, ports.HTTP)
	for _, succeeds := range []bool{false, false, true, false, false, false} {
		c.attempt(t, "127.0.0.1", succeeds)
	}
	identifiers := append(acme.DomainIDs("a.example"), acme.IPIDs("127.0.0.1")...)
	_, err := c.AuthorizeOrder(t.Context(), identifiers)
	problem := denied(t, err, `Your account is temporarily prevented from requesting certificates for 127\.0\.0\.1 and possibly others\. `+
		`Please visit: https://portal\.letsencrypt\.org/sfe/v1/unpause\?jwt=\S+`)
	if after := problem.Header.Values("Retry-After"); len(after) != 0 {
		t.Errorf("Retry-After %v, which does not help", after)
	}
	_, token, _ := strings.Cut(problem.Detail, "jwt=")
	var claims struct{ Sub, Identifiers string }
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	must(t, err)
	if err := json.Unmarshal(payload, &claims); err != nil || claims.Sub != c.account || claims.Identifiers != "127.0.0.1" {
		t.Errorf("claims %s", payload)
	}
	must(t, c.order("a.example"))
	_, err = other.AuthorizeOrder(t.Context(), identifiers)
	must(t, err)
	if s := pebble.Spent(); len(s.Paused) != 1 || s.Paused[0].Account != c.account || s.Paused[0].Identifier != "127.0.0.1" || s.Denied["paused"] != 1 {
		t.Errorf("%+v", s)
	}
	pebble.Unpause(other.account)
	_, err = c.AuthorizeOrder(t.Context(), identifiers)
	denied(t, err, `Your account is temporarily prevented .*`)
	pebble.Unpause(c.account)
	_, err = c.AuthorizeOrder(t.Context(), identifiers)
	must(t, err)
}

// TestLimitNewAccounts holds that new accounts are counted by address, and
// those that exist are found for nothing.
func TestLimitNewAccounts(t *testing.T) {
	t.Parallel()
	pebble := parts.StartPebble(t, parts.NewPorts(t), append(smooth, parts.RateLimits(parts.Limit{Name: "new_accounts_per_ip", Count: 2, Period: long}))...)
	c := newPlainClient(t, pebble.CA)
	newPlainClient(t, pebble.CA)
	third := newClient(t, pebble.CA)
	denied(t, third.register(), `too many new registrations \(2\) from this IP address in the last 1000h0m0s`+retryAfter+"new-registrations-per-ip-address")
	if _, err := third.GetReg(t.Context(), ""); !errors.Is(err, acme.ErrNoAccount) {
		t.Errorf("looked up an account that was denied: %v", err)
	}
	again := newClient(t, pebble.CA)
	again.Key = c.Key
	if err := again.register(); !errors.Is(err, acme.ErrAccountAlreadyExists) {
		t.Errorf("registered again: %v", err)
	}
	if s := pebble.Spent(); s.Bucket("new_accounts_per_ip", "127.0.0.1").Spent != 2 || s.Denied["new_accounts_per_ip"] != 1 {
		t.Errorf("%+v", s)
	}
}

// TestLimitNewAccountsPerNetwork holds that over IPv6 the /48 counts as well,
// and the strictest of both is told.
func TestLimitNewAccountsPerNetwork(t *testing.T) {
	t.Parallel()
	pebble := parts.StartPebble(t, parts.NewPorts(t), append(smooth, "-address=[::1]:0", parts.RateLimits(
		parts.Limit{Name: "new_accounts_per_ip", Count: 1, Period: "1h"},
		parts.Limit{Name: "new_accounts_per_network", Count: 1, Period: long}))...)
	newPlainClient(t, pebble.CA)
	denied(t, newClient(t, pebble.CA).register(), `too many new registrations \(1\) from this /48 subnet of IPv6 addresses in the last 1000h0m0s`+retryAfter+"new-registrations-per-ipv6-range")
	if s := pebble.Spent(); s.Bucket("new_accounts_per_ip", "::1").Spent != 1 || s.Bucket("new_accounts_per_network", "::/48").Spent != 1 {
		t.Errorf("%+v", s)
	}
}

// TestLimitAfterChecks holds that a limit is not what answers a request that
// is wrong, and that such a request spends nothing.
func TestLimitAfterChecks(t *testing.T) {
	t.Parallel()
	pebble := parts.StartPebble(t, parts.NewPorts(t), "-nonce-reject=30", "-quiet", parts.RateLimits(
		parts.Limit{Name: "new_orders", Count: 20, Period: long}))
	c := newPlainClient(t, pebble.CA)
	for range 20 {
		must(t, c.order("a.example"))
	}
	if s := pebble.Spent(); s.Bucket("new_orders", c.account).Spent != 20 || s.Limited() != 0 {
		t.Errorf("%+v", s)
	}
	denied(t, c.order("a.example"), `too many new orders .*`)
	err := c.order("*.*.a.example")
	if problem, ok := errors.AsType[*acme.Error](err); !ok || problem.StatusCode == http.StatusTooManyRequests {
		t.Errorf("an identifier that cannot be: %v", err)
	}
}

// TestLimitEdge holds that the edge counts each kind of call by itself, and
// answers as what knows nothing of ACME.
func TestLimitEdge(t *testing.T) {
	t.Parallel()
	pebble := parts.StartPebble(t, parts.NewPorts(t), append(smooth, parts.EdgeLimits(
		parts.Limit{Name: "directory", Count: 1, Period: "1h", Burst: 4},
		parts.Limit{Name: "new_order", Count: 2, Period: "1h"}))...)
	c := newPlainClient(t, pebble.CA)
	must(t, c.order("a.example"))
	must(t, c.order("a.example"))
	err := c.order("a.example")
	problem, ok := errors.AsType[*acme.Error](err)
	if !ok || problem.StatusCode != http.StatusServiceUnavailable || problem.ProblemType != "urn:ietf:params:acme:error:rateLimited" || problem.Detail != "Service busy; retry later." {
		t.Fatalf("%+v", err)
	}
	if seconds, err := strconv.Atoi(problem.Header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 1800 {
		t.Errorf("Retry-After %v", problem.Header["Retry-After"])
	}
	if problem.Header.Get("Replay-Nonce") != "" || problem.Header.Get("Link") != "" {
		t.Errorf("headers of the CA's: %v", problem.Header)
	}
	for i := range 4 { // the client has asked for it once
		answer, err := c.HTTPClient.Get(pebble.DirectoryURL)
		must(t, err)
		_ = answer.Body.Close()
		if want := map[bool]int{true: 200, false: 503}[i < 3]; answer.StatusCode != want {
			t.Errorf("directory, time %d: %s, want %d", i+2, answer.Status, want)
		}
	}
	if s := pebble.Spent(); s.Busy["new_order"] != 1 || s.Busy["directory"] != 1 || s.Limited() != 0 {
		t.Errorf("%+v", s)
	}
	if got := pebble.Statuses("/order-plz"); !slices.Equal(got, []int{201, 201, 503}) {
		t.Errorf("answers %v", got)
	}
}
