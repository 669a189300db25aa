package budget

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// planned is a configuration of one target; it is not loaded from a file, which
// would refuse what is planned here on other grounds.
type planned struct {
	*config.Config
	target *config.Target
}

// plannedAt returns a configuration without probes for a preset.
func plannedAt(preset string, environment config.Environment) planned {
	t := &config.Target{Preset: preset, Environment: environment, DirectoryURL: "https://" + preset + ".example/", Probes: map[string]model.Duration{}}
	return planned{&config.Config{Targets: map[string]*config.Target{"ca": t}, Modules: map[string]*config.Module{}}, t}
}

func plannedProduction() planned { return plannedAt("letsencrypt", config.Production) }

// probe adds a module and has it run each interval.
func (p planned) probe(name string, prober probe.Prober, interval time.Duration, names config.Names) planned {
	m := &config.Module{Prober: prober, Timeout: model.Duration(90 * time.Second)}
	switch prober {
	case probe.ProberIssue:
		m.Issue = &config.Issue{Names: names, Authorization: config.AuthorizationFresh}
	case probe.ProberValidate:
		m.Validate = &config.Validate{Names: names}
	case probe.ProberOrder:
		m.Order = &config.Order{Names: names}
	}
	p.Modules[name] = m
	p.target.Probes[name] = model.Duration(interval)
	return p
}

func (p planned) issue(name string, interval time.Duration, names config.Names) planned {
	return p.probe(name, probe.ProberIssue, interval, names)
}

func (p planned) share(share float64) planned {
	p.target.RateLimits = &config.RateLimits{Share: share}
	return p
}

// plan returns the plan of the target that the configuration began with.
func (p planned) plan(t *testing.T) TargetPlan {
	t.Helper()
	plan := NewPlan(p.Config)
	i := slices.IndexFunc(plan.Targets, func(t TargetPlan) bool { return t.Target == "ca" })
	if i < 0 {
		t.Fatal("the target has no plan")
	}
	return plan.Targets[i]
}

func randomNames() config.Names {
	return config.Names{Mode: config.NamesRandom, Zone: "fra.acme-probe.example", Count: 1}
}

func poolOf(sets int) config.Names {
	return config.Names{Mode: config.NamesPool, Zone: "fra.acme-probe.example", Count: 1, Sets: sets}
}

func fixedNames(list ...string) config.Names {
	return config.Names{Mode: config.NamesFixed, List: list}
}

// refusal returns that of a limit; nil: there is none.
func (t *TargetPlan) refusal(limit config.LimitName) *Refusal {
	for i := range t.Refusals {
		if t.Refusals[i].Limit == limit {
			return &t.Refusals[i]
		}
	}
	return nil
}

func (r *Refusal) remedy(kind RemedyKind) *Remedy {
	if r != nil {
		for i := range r.Remedies {
			if r.Remedies[i].Kind == kind {
				return &r.Remedies[i]
			}
		}
	}
	return nil
}

// TestPlanOfAFleet holds what a monitoring service of eight certificates a minute
// from four locations at production, and of twenty from five at staging, needs.
func TestPlanOfAFleet(t *testing.T) {
	plan := plannedProduction().share(0.25).issue("issue", 30*time.Second, randomNames()).plan(t)
	domains := plan.refusal(config.LimitCertificatesPerDomain).remedy(RemedyDomains)
	if domains == nil || domains.Count != 1613 {
		t.Errorf("domains: %+v, want 1613", domains)
	}
	accounts := plan.refusal(config.LimitNewOrders).remedy(RemedyAccounts)
	if accounts == nil || accounts.Count != 2 {
		t.Errorf("accounts: %+v, want 2", accounts)
	}
	if n := len(plan.Refusals); n != 2 {
		t.Errorf("%d refusals, want 2: %+v", n, plan.Refusals)
	}

	plan = plannedAt("letsencrypt-staging", config.Staging).issue("issue", 15*time.Second, randomNames()).plan(t)
	if len(plan.Refusals) != 0 || len(plan.Limits) != 7 {
		t.Errorf("staging: %+v", plan)
	}
}

// TestPlanOfAPool holds how many sets a cadence needs, and how long they take to
// be there.
func TestPlanOfAPool(t *testing.T) {
	plan := plannedProduction().issue("issue", 5*time.Minute, poolOf(404)).plan(t)
	if len(plan.Refusals) != 0 {
		t.Errorf("404 sets: %+v", plan.Refusals)
	}
	got := plan.Pools[0]
	if got.Needed != 404 || got.RenewEvery != 33*time.Hour+40*time.Minute {
		t.Errorf("got %+v", got)
	}
	if weeks := got.FilledAfter.Hours() / 168; math.Abs(weeks-404.0/25) > 0.001 {
		t.Errorf("full after %.2f weeks", weeks)
	}
	if got := got.FillEvery.Hours(); math.Abs(got-168.0/25) > 0.001 {
		t.Errorf("a new set every %.2f h", got)
	}

	plan = plannedProduction().issue("issue", 5*time.Minute, poolOf(403)).plan(t)
	r := plan.refusal(config.LimitCertificatesPerSet)
	if m := r.remedy(RemedyPool); m == nil || m.Count != 404 || len(plan.Refusals) != 1 {
		t.Errorf("403 sets: %+v", plan.Refusals)
	}
	// Two pools take turns, in proportion to their sizes.
	plan = plannedProduction().issue("a", 5*time.Minute, poolOf(404)).issue("b", 20*time.Minute, poolOf(101)).plan(t)
	for _, p := range plan.Pools {
		if weeks := p.FilledAfter.Hours() / 168; math.Abs(weeks-505.0/25) > 0.001 {
			t.Errorf("%s is full after %.2f weeks", p.Module, weeks)
		}
	}
	// What else is spent of the domain is not there for them.
	plan = plannedProduction().issue("a", 5*time.Minute, poolOf(404)).issue("b", 12*time.Hour, randomNames()).plan(t)
	if weeks := plan.Pools[0].FilledAfter.Hours() / 168; math.Abs(weeks-404.0/(25-14)) > 0.001 {
		t.Errorf("beside random names full after %.2f weeks", weeks)
	}
	// Sets that come round after the exemption has ended are as good as new ones.
	plan = plannedProduction().issue("a", time.Hour, poolOf(2881)).plan(t)
	if plan.refusal(config.LimitCertificatesPerDomain) == nil {
		t.Error("a pool that takes longer than 120 days to come round spends nothing")
	}
	if plan = plannedProduction().issue("a", time.Hour, poolOf(2880)).plan(t); len(plan.Refusals) != 0 {
		t.Errorf("one of 120 days: %+v", plan.Refusals)
	}
}

// TestPlanRefusals holds what is refused, and on whose account.
func TestPlanRefusals(t *testing.T) {
	for _, test := range []struct {
		name string
		planned
		want []string // limits of the refusals, and the modules that they name
	}{
		{"nothing is spent", plannedProduction().probe("directory", probe.ProberDirectory, time.Second, config.Names{}), nil},
		{"random names, seldom", plannedProduction().issue("issue", 403*time.Minute+12*time.Second, randomNames()), nil},
		{"random names, too often", plannedProduction().issue("issue", 403*time.Minute+11*time.Second, randomNames()), []string{"certificates_per_domain issue"}},
		{"half of a set is ours", plannedProduction().issue("issue", 67*time.Hour+12*time.Minute, fixedNames("www.probe.example")), nil},
		{"more than half", plannedProduction().issue("issue", 67*time.Hour, fixedNames("www.probe.example")), []string{"certificates_per_set issue"}},
		{"two modules, one set", plannedProduction().issue("a", 100*time.Hour, fixedNames("a.probe.example", "b.probe.example")).
			issue("b", 110*time.Hour, fixedNames("b.probe.example", "a.probe.example")), []string{"certificates_per_set a"}},
		{"two modules, two sets", plannedProduction().issue("a", 100*time.Hour, fixedNames("a.probe.example")).
			issue("b", 110*time.Hour, fixedNames("b.probe.example", "a.probe.example")), nil},
		{"validation takes no certificate", plannedProduction().probe("validate", probe.ProberValidate, 5*time.Minute, randomNames()), nil},
		{"orders", plannedProduction().probe("order", probe.ProberOrder, 35*time.Second, randomNames()), []string{"new_orders order"}},
		{"orders, just so", plannedProduction().probe("order", probe.ProberOrder, 36*time.Second, randomNames()), nil},
		{"only when asked for", plannedProduction().issue("issue", 0, randomNames()), nil},
		{"a part of one", plannedProduction().share(0.1).issue("issue", 336*time.Hour, fixedNames("www.probe.example")), nil},
		{"more than a part of one", plannedProduction().share(0.1).issue("issue", 335*time.Hour, fixedNames("www.probe.example")), []string{"certificates_per_set issue"}},
		{"no limits are known", plannedAt("zerossl", config.Production).issue("issue", time.Minute, randomNames()), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := test.plan(t)
			var got []string
			for _, r := range plan.Refusals {
				got = append(got, string(r.Limit)+" "+r.Module)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if want := test.target.Preset == "zerossl"; plan.UnknownLimits != want {
				t.Errorf("unknown limits: %v", plan.UnknownLimits)
			}
		})
	}
}

// TestPlanOfTwoAccounts holds that two targets of one CA have an account each,
// and their registered domain in common.
func TestPlanOfTwoAccounts(t *testing.T) {
	p := plannedProduction().issue("issue", 7*time.Hour, randomNames())
	p.probe("order", probe.ProberOrder, 40*time.Second, randomNames())
	second := *p.target
	p.Targets["second"] = &second
	plan := p.plan(t)
	if r := plan.refusal(config.LimitCertificatesPerDomain); r == nil || len(plan.Refusals) != 1 || !strings.Contains(r.Problem, "issue, second/issue spend") {
		t.Fatalf("got %+v", plan.Refusals)
	}
	if times := plan.Refusals[0].remedy(RemedyInterval); times == nil || times.Times != 2 { // 6.86 certificates a day of 3.57
		t.Errorf("got %+v", times)
	}
	second.DirectoryURL = "https://another.example/"
	if plan := p.plan(t); len(plan.Refusals) != 0 {
		t.Errorf("at another CA: %+v", plan.Refusals)
	}
}

// TestRemediesFit holds that what is said to fit does, and that a little less
// does not.
func TestRemediesFit(t *testing.T) {
	seen := map[RemedyKind]int{}
	for i, make := range []func() planned{
		func() planned { return plannedProduction().share(0.25).issue("issue", 30*time.Second, randomNames()) },
		func() planned { return plannedProduction().issue("issue", 5*time.Minute, randomNames()) },
		func() planned { return plannedProduction().issue("issue", 301*time.Second, poolOf(100)) },
		func() planned { return plannedProduction().issue("issue", 50*time.Hour, fixedNames("a.probe.example")) },
		func() planned {
			return plannedProduction().share(0.15).issue("issue", time.Hour, fixedNames("a.probe.example", "192.0.2.1"))
		},
		func() planned { return plannedProduction().share(0.2).issue("issue", time.Hour, poolOf(3000)) },
		func() planned {
			return plannedProduction().probe("issue", probe.ProberOrder, 11*time.Second, randomNames())
		},
		func() planned {
			return plannedProduction().probe("issue", probe.ProberValidate, 7*time.Second, randomNames())
		},
		func() planned {
			return plannedProduction().share(0.2).issue("issue", 50*time.Hour, fixedNames("a.probe.example"))
		},
	} {
		p := make()
		plan := p.plan(t)
		if len(plan.Refusals) == 0 {
			t.Errorf("%d: nothing is refused", i)
		}
		for _, r := range plan.Refusals {
			for _, m := range r.Remedies {
				seen[m.Kind]++
				name := fmt.Sprintf("%d: %s: %s", i, r.Limit, m.Text)
				p := make()
				apply(p, m, 0)
				if plan := p.plan(t); plan.refusal(r.Limit) != nil {
					t.Errorf("%s: does not fit: %s", name, plan.refusal(r.Limit).Problem)
				}
				if m.Kind == RemedyValidate || m.Kind == RemedyStaging || m.Kind == RemedyPool && r.Limit != config.LimitCertificatesPerSet {
					continue
				}
				p = make()
				apply(p, m, 1)
				if plan := p.plan(t); plan.refusal(r.Limit) == nil {
					t.Errorf("%s: less fits too", name)
				}
			}
		}
	}
	for _, kind := range []RemedyKind{RemedyInterval, RemedyPool, RemedyValidate, RemedyDomains, RemedyAccounts, RemedyShare, RemedyStaging} {
		if seen[kind] == 0 {
			t.Errorf("no remedy is %s", kind)
		}
	}
}

// apply does what a remedy of the module issue says, or less than that.
func apply(p planned, m Remedy, less int) {
	module := p.Modules["issue"]
	switch m.Kind {
	case RemedyInterval:
		p.target.Probes["issue"] = model.Duration(m.Interval - time.Duration(less)*time.Second)
	case RemedyPool:
		module.Issue.Names.Mode, module.Issue.Names.Sets = config.NamesPool, m.Count-less
	case RemedyValidate:
		module.Prober, module.Validate = probe.ProberValidate, &config.Validate{Names: module.Issue.Names}
	case RemedyDomains, RemedyAccounts:
		// Each of them has its part of the runs.
		p.target.Probes["issue"] *= model.Duration(m.Count - less)
	case RemedyShare:
		p.target.RateLimits = &config.RateLimits{Share: m.Share - float64(less)/100}
	case RemedyStaging:
		p.target.Preset, p.target.Environment, p.target.RateLimits = "letsencrypt-staging", config.Staging, nil
	}
}

// TestDryAfter holds the forecast against a bucket from which runs are taken one
// by one.
func TestDryAfter(t *testing.T) {
	for _, test := range []struct {
		planned
		limit    config.LimitName
		interval time.Duration
	}{
		{plannedProduction().issue("issue", 5*time.Minute, randomNames()), config.LimitCertificatesPerDomain, 5 * time.Minute},
		{plannedProduction().issue("issue", 30*time.Second, randomNames()), config.LimitNewOrders, 30 * time.Second},
		{plannedProduction().issue("issue", 5*time.Hour, fixedNames("a.probe.example")), config.LimitCertificatesPerSet, 5 * time.Hour},
	} {
		plan := test.plan(t)
		i := slices.IndexFunc(plan.Limits, func(l LimitPlan) bool { return l.Limit == test.limit })
		limit := plan.Limits[i]
		tokens, at := float64(limit.Capacity), time.Duration(0)
		for tokens-1 >= float64(limit.Capacity/5) {
			tokens = min(float64(limit.Capacity), tokens-1+limit.GivenPerDay*test.interval.Hours()/24)
			at += test.interval
		}
		// A run takes a whole token, and is held back as soon as a part of one is missing.
		token := days(1 / (limit.SpentPerDay - limit.GivenPerDay))
		if off := limit.DryAfter - at; off < -test.interval || off > token+test.interval {
			t.Errorf("%s: %s was foreseen, and it was %s", test.limit, limit.DryAfter, at)
		}
	}
}

// TestPlanText holds what people read.
func TestPlanText(t *testing.T) {
	var b bytes.Buffer
	for _, p := range []planned{
		plannedProduction().probe("directory", probe.ProberDirectory, 30*time.Second, config.Names{}).
			probe("validate", probe.ProberValidate, 5*time.Minute, randomNames()).
			probe("order", probe.ProberOrder, 0, randomNames()).issue("pool", 5*time.Minute, poolOf(404)),
		plannedProduction().share(0.25).issue("issue", 30*time.Second, randomNames()),
		plannedProduction().issue("often", 5*time.Minute, randomNames()).issue("fixed", time.Hour, fixedNames("b.probe.example", "a.probe.example", "2001:db8::1")).issue("small", 5*time.Minute, poolOf(100)),
		plannedProduction().share(0.1).issue("issue", time.Hour, fixedNames("a.probe.example")),
		plannedAt("zerossl", config.Production).issue("issue", time.Hour, randomNames()),
	} {
		plan := NewPlan(p.Config)
		if err := plan.Text(&b); err != nil {
			t.Fatal(err)
		}
		for _, r := range plan.Targets[0].Refusals {
			fmt.Fprintf(&b, "refused: %s: %s\n", r.Module, r.Problem)
		}
		if plan.Refused() != (len(plan.Targets[0].Refusals) > 0) {
			t.Errorf("refused is %v", plan.Refused())
		}
		b.WriteString("\n")
	}
	const golden = "testdata/plan.txt"
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
