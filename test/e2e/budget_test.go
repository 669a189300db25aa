package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// limited gives the exporter rate limits, on production. None of its pairs has a
// schedule.
func limited(exporter *parts.Exporter, limits string) {
	exporter.Reconfigure("environment: staging", "environment: production")
	exporter.Reconfigure("rate_limits: none", "rate_limits: {"+limits+"}")
}

// wantVerdict holds how a run ended.
func wantVerdict(t *testing.T, r *probe.Result, outcome probe.Outcome, reason probe.Reason, summary string) {
	t.Helper()
	if r.Verdict.Outcome != outcome || r.Verdict.Reason != reason || !strings.Contains(r.Verdict.Summary, summary) {
		t.Fatalf("verdict %+v, limit %+v; want %s, %q, a summary with %q", r.Verdict, r.RateLimit, outcome, reason, summary)
	}
}

// TestBudget holds that the exporter stops before the CA has to, on every page of
// its own and across kill -9, and goes on when there is something again.
func TestBudget(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, append(smooth,
		parts.RateLimits(parts.Limit{Name: "new_orders", Count: 5, Period: long}, parts.Limit{Name: "new_accounts_per_ip", Count: 1, Period: long}))...)
	exporter := parts.NewExporter(t, ports, pebble.CA)
	limited(exporter, "new_orders: {count: 5, period: 1000h}, new_accounts_per_ip: {count: 1, period: 1000h}")
	exporter.Serve()
	// A fifth is kept for runs that confirm a failure.
	for range 4 {
		wantVerdict(t, exporter.RunNow("order"), probe.OutcomeSuccess, "", "passed")
	}
	held := exporter.RunNow("order")
	wantVerdict(t, held, probe.OutcomeSkipped, "budget", "what is left of 5 is kept for confirmation runs; the next one is due at ")
	if len(held.Calls) != 0 || held.RateLimit == nil || held.RateLimit.Limit != "new_orders" || held.RateLimit.Until.Before(time.Now().Add(100*time.Hour)) {
		t.Errorf("calls %d, limit %+v", len(held.Calls), held.RateLimit)
	}
	metrics := exporter.Metrics()
	for family, want := range map[string]float64{"acme_rate_limit_remaining": 1, "acme_rate_limit_capacity": 5, "acme_rate_limited_total": 0} {
		if got := metrics.Sum(family, "target", parts.Target, "limit", "new_orders"); got != want {
			t.Errorf("%s is %v, want %v", family, got, want)
		}
	}
	if n := metrics.Sum("acme_budget_ledger_ok"); n != 1 {
		t.Errorf("acme_budget_ledger_ok is %v", n)
	}
	page := string(parts.Do(t, http.MethodGet, exporter.URL))
	if want := "not before " + held.RateLimit.Until.UTC().Format("2006-01-02 15:04"); !strings.Contains(page, want) || !strings.Contains(page, "1 of 5 left") {
		t.Errorf("the page has no %q:\n%s", want, page)
	}

	exporter.Kill()
	exporter.Serve()
	wantVerdict(t, exporter.RunNow("validate"), probe.OutcomeSkipped, "budget", "kept for confirmation runs")
	wantVerdict(t, exporter.RunNow("directory"), probe.OutcomeSuccess, "", "passed")
	exporter.Terminate()
	exporter.Ended(parts.Timeout)
	if spent := pebble.Spent(); spent.Limited() != 0 {
		t.Errorf("the CA has denied %v", spent.Denied)
	}
	// The command keeps to the same ledger, and forgets it when it is told to.
	out, _, status := exporter.Run("probe", parts.Target, "order")
	if status != 1 || !strings.Contains(out, "kept for confirmation runs") {
		t.Errorf("status %d:\n%s", status, out)
	}
	if _, errs, status := exporter.Run("budget", "reset", parts.Target, "--confirm", parts.Target); status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	exporter.Probe("order")
}

// TestRefusals holds what the exporter makes of the CA's own denials: what is
// concerned rests, and nothing else; and what our ledger says cannot be is a
// failure of its own kind.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ca      parts.Limit
		limits  string
		outcome probe.Outcome
		reason  probe.Reason
		metric  string
	}{
		"unexpected":  {parts.Limit{Name: "new_orders", Count: 1, Period: long}, "new_orders: {count: 100, period: 1s}", "failure", "unexpected_limit", "new_orders"},
		"others' too": {parts.Limit{Name: "certificates_per_domain", Count: 1, Period: long}, "certificates_per_domain: {count: 100, period: 1s}", "skipped", "rate_limited", "certificates_per_domain"},
		"not known":   {parts.Limit{Name: "new_orders", Count: 1, Period: long}, "certificates_per_domain: {count: 100, period: 1s}", "skipped", "rate_limited", "new_orders"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ports := parts.NewPorts(t)
			pebble := parts.StartPebble(t, ports, append(smooth, parts.RateLimits(tt.ca))...)
			exporter := parts.NewExporter(t, ports, pebble.CA)
			limited(exporter, tt.limits)
			exporter.Serve()
			wantVerdict(t, exporter.RunNow("issue_http"), probe.OutcomeSuccess, "", "passed")
			parts.Until(t, "it is counted", func() bool { return len(pebble.Spent().Issuances) == 1 })
			time.Sleep(2 * time.Second) // as long as the ledger has to know the CA to be sure
			refused := exporter.RunNow("issue_dns")
			wantVerdict(t, refused, tt.outcome, tt.reason, "")
			if l := refused.RateLimit; l == nil || !l.Refused || l.Limit != tt.metric || l.Until.Before(time.Now()) {
				t.Errorf("limit %+v", refused.RateLimit)
			}
			if n := exporter.Metrics().Sum("acme_rate_limited_total", "limit", tt.metric); n != 1 {
				t.Errorf("acme_rate_limited_total is %v", n)
			}
			// Nobody asks a second time, nor after a crash.
			for range 2 {
				wantVerdict(t, exporter.RunNow("issue_http"), probe.OutcomeSkipped, "budget", "paused until ")
				exporter.Kill()
				exporter.Serve()
			}
			wantVerdict(t, exporter.RunNow("account"), probe.OutcomeSuccess, "", "passed")
			if n := pebble.Spent().Limited(); n != 1 {
				t.Errorf("%d requests denied", n)
			}
		})
	}
}

// TestPausedIdentifier holds that a name that the CA has paused is not ordered any
// more, that the link is not kept, and what a person has to do.
func TestPausedIdentifier(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, append(smooth, parts.RateLimits(parts.Limit{Name: "consecutive_failures", Count: 1, Period: long}))...)
	exporter := parts.NewExporter(t, ports, pebble.CA)
	limited(exporter, "failed_validations: {count: 5, period: 1h}, consecutive_failures: {count: 100, period: 1h}")
	exporter.Reconfigure("validate: {challenge: http-01}", "validate: {challenge: http-01, names: {mode: fixed, list: [stuck.acme-probe.example]}}")
	here, elsewhere := fmt.Sprintf(":%d", ports.HTTP), fmt.Sprintf(":%d", parts.NewPorts(t).HTTP)
	exporter.Reconfigure(here, elsewhere) // so that nobody answers
	reset := func() {
		t.Helper()
		if _, errs, status := exporter.Run("budget", "reset", parts.Target, "--confirm", parts.Target); status != 0 {
			t.Fatalf("status %d: %s", status, errs)
		}
	}
	run := func() *probe.Result {
		t.Helper()
		exporter.Serve()
		defer func() { exporter.Terminate(); exporter.Ended(parts.Timeout) }()
		return exporter.RunNow("validate")
	}
	for range 2 {
		r := run()
		if r.Verdict.Outcome != probe.OutcomeFailure {
			t.Fatalf("verdict %+v", r.Verdict)
		}
		// The name rests for twelve minutes now.
		wantVerdict(t, run(), probe.OutcomeSkipped, "budget", `of "stuck.acme-probe.example"`)
		reset()
	}
	r := run()
	wantVerdict(t, r, probe.OutcomeSkipped, "identifier_paused", "the CA has paused the name")
	if l := r.RateLimit; l == nil || !l.Paused || !l.Until.IsZero() {
		t.Errorf("limit %+v", r.RateLimit)
	}
	if text := fmt.Sprintf("%+v", r.Calls); strings.Contains(text, "jwt=") || strings.Contains(text, "eyJ") {
		t.Error("the unpause link is kept")
	}
	wantVerdict(t, run(), probe.OutcomeSkipped, "budget", "paused by the CA until somebody has it lifted")
	pebble.Unpause("")
	exporter.Reconfigure(elsewhere, here)
	reset()
	wantVerdict(t, run(), probe.OutcomeSuccess, "", "passed")
}

// TestDamagedLedger holds that what spends is denied while the ledger cannot be
// read, that everything else goes on and says so, and that a reset helps.
func TestDamagedLedger(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, smooth...)
	exporter := parts.NewExporter(t, ports, pebble.CA)
	limited(exporter, "new_orders: {count: 100, period: 1h}")
	exporter.Serve()
	wantVerdict(t, exporter.RunNow("order"), probe.OutcomeSuccess, "", "passed")
	exporter.Terminate()
	exporter.Ended(parts.Timeout)

	store, err := state.Open(exporter.State(""))
	must(t, err)
	key := pebble.DirectoryURL + " new_orders " + parts.Target
	found := false
	must(t, store.All("ledger", func(k string, _ []byte) error { found = found || k == key; return nil }))
	if !found {
		t.Fatalf("the ledger has no entry %q", key)
	}
	must(t, store.Put("ledger", key, map[string]int{"full_at_ns": 1}))
	must(t, store.Close())

	exporter.Serve()
	wantVerdict(t, exporter.RunNow("order"), probe.OutcomeFailure, "local", "the ledger of rate limits cannot be read")
	wantVerdict(t, exporter.RunNow("directory"), probe.OutcomeSuccess, "", "passed")
	wantVerdict(t, exporter.RunNow("account"), probe.OutcomeSuccess, "", "passed")
	if n := exporter.Metrics().Sum("acme_budget_ledger_ok"); n != 0 {
		t.Errorf("acme_budget_ledger_ok is %v", n)
	}
	if page := string(parts.Do(t, http.MethodGet, exporter.URL)); !strings.Contains(page, "cannot be read") {
		t.Errorf("the page says nothing of it:\n%s", page)
	}
	exporter.Terminate()
	exporter.Ended(parts.Timeout)
	if _, errs, status := exporter.Run("budget", "reset", parts.Target, "--confirm", parts.Target); status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	exporter.Serve()
	wantVerdict(t, exporter.RunNow("order"), probe.OutcomeSuccess, "", "passed")
}
