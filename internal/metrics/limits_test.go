package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// limitedCorp is corp with all the limits that a preset knows.
var limitedCorp = &config.Target{Preset: "letsencrypt-staging", DirectoryURL: corp.DirectoryURL, Environment: corp.Environment}

// fakeBudget says what it is told to.
type fakeBudget struct {
	ok      bool
	budgets []probe.Budget
	asked   time.Time
}

func (f *fakeBudget) OK() bool { return f.ok }

func (f *fakeBudget) Budgets(now time.Time) []probe.Budget {
	f.asked = now
	return f.budgets
}

// levels is a target of which each limit has some tokens of ten left.
func levels(target string, remaining int) probe.Budget {
	b := probe.Budget{Target: target, Environment: string(config.Staging)}
	for _, name := range config.LimitNames() {
		b.Levels = append(b.Levels, probe.Level{Limit: string(name), Remaining: remaining, Capacity: 10})
	}
	return b
}

func TestBudget(t *testing.T) {
	f := &fakeBudget{ok: true, budgets: []probe.Budget{
		{Target: "corp", Environment: "staging", Levels: []probe.Level{
			{Limit: "new_orders", What: "acct", Remaining: 299, Capacity: 300},
			{Limit: "certificates_per_domain", Remaining: 0, Capacity: 25, Paused: 1},
		}},
		{Target: "corp2", Environment: "staging"}, // nothing known
	}}
	m, reg := newMetricsOf(t, Options{Budget: f})
	m.Apply([]config.Pair{configured(issuing, "1"), configured(probe.Pair{Target: "corp2", Module: "x"}, "1")})
	names := []string{"acme_rate_limit_remaining", "acme_rate_limit_capacity", "acme_budget_ledger_ok"}
	before := time.Now()
	err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP acme_budget_ledger_ok Whether the ledger of what was spent of rate limits can be read and written: 1 or 0. While it is 0, nothing is ordered where limits are known. Absent where no ledger is kept.
# TYPE acme_budget_ledger_ok gauge
acme_budget_ledger_ok 1
# HELP acme_rate_limit_capacity What the budget of a key holds when nothing was spent: our share of what the CA gives.
# TYPE acme_rate_limit_capacity gauge
acme_rate_limit_capacity{environment="staging",limit="certificates_per_domain",target="corp"} 25
acme_rate_limit_capacity{environment="staging",limit="new_orders",target="corp"} 300
# HELP acme_rate_limit_remaining What our own budget has left of the CA's rate limit, in whole tokens, by the key (domain, identifier, set of names) that has the fewest. Absent for targets that spend nothing, where the CA has no limits or none are known, and while the ledger cannot be read.
# TYPE acme_rate_limit_remaining gauge
acme_rate_limit_remaining{environment="staging",limit="certificates_per_domain",target="corp"} 0
acme_rate_limit_remaining{environment="staging",limit="new_orders",target="corp"} 299
`), names...)
	if err != nil {
		t.Error(err)
	}
	if f.asked.Before(before) {
		t.Errorf("asked for the budgets as of %v, want the time of the scrape", f.asked)
	}

	f.budgets[0].Levels[0].Remaining = 12
	if got := values(t, reg)["acme_rate_limit_remaining{limit=new_orders}"]; got != 12 {
		t.Errorf("%v left at the next scrape, want 12", got)
	}
	f.ok = false
	if diff := cmp.Diff(map[string]float64{"acme_budget_ledger_ok{}": 0}, values(t, reg, names...)); diff != "" {
		t.Errorf("unreadable (-want +got):\n%s", diff)
	}
}

// What the source still says of a target that is not configured any more, or not
// so, is not shown.
func TestBudgetOfRemovedTarget(t *testing.T) {
	other := levels("corp", 3)
	other.Environment = string(config.Production)
	m, reg := newMetricsOf(t, Options{Budget: &fakeBudget{ok: true, budgets: []probe.Budget{levels("corp", 3), other, levels("gone", 3)}}})
	m.Apply([]config.Pair{configured(issuing, "1")})
	if left := seriesWith(t, reg, "target", "gone"); len(left) != 0 {
		t.Errorf("of a target that is not configured: %v", left)
	}
	if left := seriesWith(t, reg, "environment", "production"); len(left) != 0 {
		t.Errorf("of another environment: %v", left)
	}
	if got := values(t, reg, nameRemaining); len(got) != len(config.LimitNames()) {
		t.Errorf("of the one that is: %v", got)
	}
	m.Apply(nil)
	if got := values(t, reg, nameRemaining, "acme_rate_limit_capacity", "acme_rate_limited_total"); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestBudgetIsRegisteredOnce(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: nameRemaining, Help: "x"}, []string{"x"}))
	_, err := New(reg, Options{Budget: &fakeBudget{}})
	if err == nil || !strings.HasPrefix(err.Error(), "metrics: register acme_rate_limit_remaining: ") {
		t.Errorf("error %v", err)
	}
}

func TestRateLimited(t *testing.T) {
	m, reg := newMetrics(t, "")
	p := configured(issuing, "1")
	p.Target = limitedCorp
	m.Apply([]config.Pair{p})
	wanted := map[string]float64{"acme_rate_limited_total{limit=requests}": 0, "acme_rate_limited_total{limit=unknown}": 0}
	for _, name := range config.LimitNames() {
		wanted["acme_rate_limited_total{limit="+string(name)+"}"] = 0
	}
	want(t, reg, wanted)

	observe := func(l *probe.RateLimit, change ...func(*probe.Result)) {
		r := issuance(issuing, "1", start)
		r.Verdict = probe.Verdict{Outcome: probe.OutcomeSkipped}
		r.RateLimit = l
		for _, f := range change {
			f(r)
		}
		m.Observe(r)
	}
	observe(nil)
	observe(&probe.RateLimit{Limit: "new_orders", Until: start})                    // our own budget
	observe(&probe.RateLimit{Limit: "new_orders", Refused: true})                   // the CA
	observe(&probe.RateLimit{Limit: "new_orders", Refused: true, Unexpected: true}) // a failure, and still a refusal
	observe(&probe.RateLimit{Limit: "requests", Refused: true})                     // its edge
	observe(&probe.RateLimit{Refused: true})                                        // it does not say which
	observe(&probe.RateLimit{Limit: "limit of tomorrow", Refused: true})            // labels are bounded
	observe(&probe.RateLimit{Limit: "consecutive_failures", Refused: true, Paused: true})
	observe(&probe.RateLimit{Limit: "new_orders", Refused: true}, func(r *probe.Result) { r.FollowUp = probe.FollowUpDeactivateAuthz })
	observe(&probe.RateLimit{Limit: "new_orders", Refused: true}, func(r *probe.Result) { r.ConfigHash = "0" })
	restored := issuance(issuing, "1", start)
	restored.RateLimit = &probe.RateLimit{Limit: "new_orders", Refused: true}
	m.Restore(restored)
	wanted["acme_rate_limited_total{limit=new_orders}"] = 2
	wanted["acme_rate_limited_total{limit=requests}"] = 1
	wanted["acme_rate_limited_total{limit=unknown}"] = 2
	wanted["acme_rate_limited_total{limit=consecutive_failures}"] = 1
	want(t, reg, wanted)
}

// A reload that makes a limit known keeps the counts. One that is not known counts
// from zero as well.
func TestRateLimitedAfterReload(t *testing.T) {
	m, reg := newMetrics(t, "")
	p := configured(issuing, "1")
	m.Apply([]config.Pair{p})
	wanted := map[string]float64{"acme_rate_limited_total{limit=requests}": 0, "acme_rate_limited_total{limit=unknown}": 0}
	for _, name := range config.LimitNames() {
		wanted["acme_rate_limited_total{limit="+string(name)+"}"] = 0
	}
	want(t, reg, wanted)
	r := issuance(issuing, "1", start)
	r.RateLimit = &probe.RateLimit{Limit: "new_orders", Refused: true}
	m.Observe(r)
	changed := *corp
	changed.RateLimits = &config.RateLimits{NewOrders: &config.LimitSize{Count: 10, Period: 60}}
	p.Target, p.Hash = &changed, "2"
	m.Apply([]config.Pair{p})
	wanted["acme_rate_limited_total{limit=new_orders}"] = 1
	want(t, reg, wanted)
}
