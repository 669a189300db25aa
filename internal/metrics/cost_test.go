package metrics

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// lines counts the series of the text format: those of the pair, and those of
// its target alone.
func lines(t testing.TB, g prometheus.Gatherer) (pair, target int) {
	t.Helper()
	var b bytes.Buffer
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(b.String()) {
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.Contains(line, `module="`):
			pair++
		case strings.Contains(line, `target="`):
			target++
		}
	}
	return pair, target
}

// observeWorst has every call of an issuance, the account's creation and the
// follow-up's included, answered with every status, every step pass once, and
// runs fail for twenty reasons.
func observeWorst(m *Metrics, name probe.Pair) {
	r := issuance(name, "1", start)
	for _, step := range slices.Concat(issuanceSteps, []probe.StepName{probe.StepAccount, probe.StepPublication, probe.StepDeactivation}) {
		r.Steps = append(r.Steps, probe.Step{Name: step, OK: true, Duration: time.Second})
	}
	for _, call := range []probe.CallName{
		probe.CallDirectory, probe.CallNewNonce, probe.CallNewAccount, probe.CallNewOrder, probe.CallOrder, probe.CallAuthz,
		probe.CallChallenge, probe.CallFinalize, probe.CallCertificate, probe.CallDeactivateAuthz,
	} {
		for status := range 600 {
			c := probe.Call{Name: call, Method: "POST", Status: status, Ready: 1, End: 2}
			if call == probe.CallDirectory || call == probe.CallNewNonce {
				c.Method = "GET"
			} else {
				c.Attempt, c.RetryCause = 1, causeBadNonce
			}
			r.Calls = append(r.Calls, c)
		}
	}
	r.Directory = &probe.Directory{Change: &probe.DirectoryChange{At: start}}
	m.Observe(r)
	for i := range 20 {
		f := failed(issuance(name, "1", start), probe.FaultUnknown)
		f.Verdict.Reason = probe.Reason(fmt.Sprint("reason_", i))
		m.Observe(f)
	}
	m.Observe(followUp(name, "1", start))
	m.Schedule(name, start, true)
}

// thorough returns a pair whose certificates undergo every check, on a target with
// all the limits that a preset knows, and a run of it.
func thorough(t *testing.T) (config.Pair, *probe.Result) {
	t.Helper()
	c, err := config.Parse("acme.yml", []byte(`
targets: {corp: {preset: letsencrypt, account: {agree_to_terms: true}, probes: {issue_dns: 1h}}}
responders: {dns: {zones: [acme-probe.net], nameserver: ns.acme-probe.net}}
modules: {issue_dns: {prober: issue, issue: {challenge: dns-01, lint: true}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	p, _ := c.Pair(issuing)
	p.Hash = "1"
	r := issuance(issuing, "1", start)
	r.Certificate.Checks, r.Certificate.Lints, r.Certificate.Transparency = nil, &probe.Lints{}, &probe.Transparency{}
	for _, check := range probe.Checks() {
		r.Certificate.Checks = append(r.Certificate.Checks, probe.CheckResult{Check: check, Passed: true})
	}
	return p, r
}

func TestSeriesOfAnIssuingPair(t *testing.T) {
	// Only of production are SCTs verified.
	limits, over := levels("corp", 3), outage().past()
	limits.Environment, over.states[0].Environment, over.latest["corp"].Environment = "production", "production", "production"
	late := &pending{
		{Pair: issuing, Revocation: &probe.Revocation{At: start, Via: probe.ViaCRL}},
		{Pair: issuing, Revocation: &probe.Revocation{At: start, Via: probe.ViaOCSP}},
	}
	m, reg := newMetricsOf(t, Options{
		Histograms: Classic,
		Budget:     &fakeBudget{ok: true, budgets: []probe.Budget{limits}},
		Incidents:  over,

		Revocations: late,
	})
	pairOfAll, run := thorough(t)
	m.Apply([]config.Pair{pairOfAll})
	m.Observe(run)
	m.Observe(followUp(issuing, "1", start))
	m.Schedule(issuing, start, false)
	pair, target := lines(t, reg)
	t.Logf("steady: %d + %d", pair, target)
	if pair > steadyLimit || target > targetLimit {
		t.Errorf("%d series of the pair and %d of its target, want at most %d and %d", pair, target, steadyLimit, targetLimit)
	}
	if pair != steadyPair || target != steadyTarget {
		t.Errorf("steady: %d and %d series, the documentation says %d and %d", pair, target, steadyPair, steadyTarget)
	}

	revoked, watched := revocations(start, 0)
	m.Apply(nil)
	m.Apply([]config.Pair{revokes(pairOfAll)})
	m.Observe(run)
	m.Observe(followUp(issuing, "1", start))
	for _, r := range append(watched, revoked) {
		m.Observe(r)
	}
	m.Schedule(issuing, start, false)
	if more, _ := lines(t, reg); more-pair != revocationSeries {
		t.Errorf("revocations add %d series, the documentation says %d", more-pair, revocationSeries)
	} else if more > steadyLimit {
		t.Errorf("%d series with revocations, want at most %d", more, steadyLimit)
	}
	m.Apply(nil)
	m.Apply([]config.Pair{pairOfAll})
	m.Observe(run)
	m.Observe(followUp(issuing, "1", start))
	m.Schedule(issuing, start, false)
	if again, _ := lines(t, reg); again != pair {
		t.Errorf("%d series without revocations again, there were %d", again, pair)
	}

	gone := elsewhere(issuing, "1", start)
	gone.Certificate = run.Certificate
	m.Observe(gone)
	if more, _ := lines(t, reg); more-pair != publicationSeries {
		t.Errorf("records elsewhere add %d series, the documentation says %d", more-pair, publicationSeries)
	} else if more > steadyLimit {
		t.Errorf("%d series with records elsewhere, want at most %d", more, steadyLimit)
	}

	observeWorst(m, issuing)
	m.Observe(run)
	pair, target = lines(t, reg)
	t.Logf("worst: %d + %d", pair, target)
	if pair > worstLimit || target > targetLimit {
		t.Errorf("%d series of the pair and %d of its target, want at most %d and %d", pair, target, worstLimit, targetLimit)
	}
	if pair != worstPair || target != worstTarget {
		t.Errorf("worst: %d and %d series, the documentation says %d and %d", pair, target, worstPair, worstTarget)
	}

	m.Apply(nil)
	m.Apply([]config.Pair{revokes(pairOfAll)})
	observeWorst(m, issuing)
	m.Observe(run)
	for status := range 600 {
		c := &revoked.Calls[0]
		c.Status, c.Attempt, c.RetryCause = status, 1, causeBadNonce
		m.Observe(revoked)
	}
	for _, r := range watched {
		m.Observe(r)
	}
	*late = append(*late, probe.FollowUp{Kind: probe.FollowUpRevoke, Pair: issuing, Created: start, Attempts: 1, Revocation: &probe.Revocation{}})
	pair, _ = lines(t, reg)
	t.Logf("worst, with revocations: %d", pair)
	if pair > worstLimit {
		t.Errorf("%d series with revocations, want at most %d", pair, worstLimit)
	}
	if pair != worstRevoking {
		t.Errorf("worst, with revocations: %d series, the documentation says %d", pair, worstRevoking)
	}
}

// many returns pairs of 5 modules on count/5 targets, each observed once.
func many(tb testing.TB, histograms string, count int) (*Metrics, *prometheus.Registry, []config.Pair) {
	tb.Helper()
	reg := prometheus.NewRegistry()
	m, err := New(reg, Options{Histograms: histograms})
	if err != nil {
		tb.Fatal(err)
	}
	var pairs []config.Pair
	for i := range count {
		pairs = append(pairs, configured(probe.Pair{Target: fmt.Sprint("target", i/5), Module: fmt.Sprint("issue", i%5)}, "1"))
	}
	m.Apply(pairs)
	for _, p := range pairs {
		m.Observe(issuance(p.Pair, "1", start))
		m.Observe(followUp(p.Pair, "1", start))
	}
	return m, reg, pairs
}

// TestGatherIsCheap holds what a scrape of 150 issuing pairs costs, in
// allocations, because a clock would measure the machine: 120,000 of them take
// some 40 ms (BenchmarkGather).
func TestGatherIsCheap(t *testing.T) {
	_, reg, _ := many(t, Both, 150)
	allocations := testing.AllocsPerRun(1, func() {
		if _, err := reg.Gather(); err != nil {
			t.Error(err)
		}
	})
	if allocations > 180_000 {
		t.Errorf("gathering 150 pairs allocates %.0f times", allocations)
	}
	pair, _ := lines(t, reg)
	// Nothing is scheduled here: no next_due.
	if want := 150 * (steadyPair - conditionalSeries - 1); pair != want {
		t.Errorf("%d series, want %d", pair, want)
	}
}

func BenchmarkGather(b *testing.B) {
	for _, histograms := range []string{Classic, Native, Both} {
		b.Run(histograms, func(b *testing.B) {
			_, reg, _ := many(b, histograms, 150)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := reg.Gather(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkObserve(b *testing.B) {
	m, _, pairs := many(b, Both, 150)
	r := issuance(pairs[0].Pair, "1", start)
	b.ReportAllocs()
	for b.Loop() {
		m.Observe(r)
	}
}

func BenchmarkRemoveAll(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		m, _, _ := many(b, Both, 150)
		b.StartTimer()
		m.Apply(nil)
	}
}
