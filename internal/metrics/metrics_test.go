package metrics

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

var (
	start   = time.Date(2026, 11, 23, 6, 17, 3, 0, time.UTC)
	corp    = &config.Target{DirectoryURL: "https://ca.example/dir", Environment: config.Staging}
	issuing = probe.Pair{Target: "corp", Module: "issue_dns"}
)

const ms = time.Millisecond

// configured returns an issuing pair.
func configured(name probe.Pair, hash string) config.Pair {
	return config.Pair{
		Pair: name, Target: corp, Interval: time.Minute, Hash: hash,
		Module: &config.Module{Prober: probe.ProberIssue, Issue: &config.Issue{
			Challenge: probe.DNS01, Authorization: config.AuthorizationFresh,
		}},
	}
}

// issuanceSteps are those of an issuance at a CA that knows us.
var issuanceSteps = []probe.StepName{
	probe.StepSetup, probe.StepDirectory, probe.StepNonce, probe.StepOrder, probe.StepAuthorization,
	probe.StepValidation, probe.StepFinalization, probe.StepDownload, probe.StepCertificate,
}

// issuance returns a run that issued a certificate with the nine calls.
func issuance(name probe.Pair, hash string, at time.Time) *probe.Result {
	r := &probe.Result{
		Version: probe.Version, ID: probe.NewID(at), Pair: name, Prober: probe.ProberIssue, Trigger: probe.TriggerTick,
		ConfigHash: hash, Start: at, Duration: 2100 * ms,
		Verdict: probe.Verdict{Outcome: probe.OutcomeSuccess, Summary: "issued"},
	}
	for i, c := range []struct {
		name   probe.CallName
		method string
		status int
	}{
		{probe.CallDirectory, "GET", 200},
		{probe.CallNewNonce, "HEAD", 200},
		{probe.CallNewOrder, "POST", 201},
		{probe.CallAuthz, "POST", 200},
		{probe.CallChallenge, "POST", 200},
		{probe.CallAuthz, "POST", 200},
		{probe.CallFinalize, "POST", 200},
		{probe.CallOrder, "POST", 200},
		{probe.CallCertificate, "POST", 200},
	} {
		begin := time.Duration(i) * 200 * ms
		call := probe.Call{
			Name: c.name, Method: c.method, Status: c.status,
			Start: begin, Ready: begin + 10*ms, FirstByte: begin + 50*ms, End: begin + 60*ms,
			Connection: probe.Connection{Reused: i > 0},
		}
		if i == 0 {
			call.Connection.DNS = &probe.Span{Duration: 2 * ms}
			call.Connection.Connect = &probe.Span{Start: 2 * ms, Duration: 3 * ms}
			call.Connection.TLS = &probe.Span{Start: 5 * ms, Duration: 5 * ms}
		}
		r.Calls = append(r.Calls, call)
	}
	for i, s := range probe.Steps() {
		if !slices.Contains(issuanceSteps, s) {
			continue
		}
		r.Steps = append(r.Steps, probe.Step{Name: s, Start: time.Duration(i) * 200 * ms, Duration: 150 * ms, OK: true})
	}
	validation, _ := r.Accepted()
	r.Visits = []probe.Visit{
		{At: validation + 300*ms, Challenge: probe.DNS01, Family: probe.IPv4, Network: 1, Asked: "TXT", OK: true},
		{At: validation + 400*ms, Challenge: probe.DNS01, Family: probe.IPv6, Network: 2, Asked: "TXT", OK: true},
		{At: validation + 500*ms, Challenge: probe.DNS01, Family: probe.IPv4, Network: 1, Asked: "CAA"},
	}
	r.Certificate = &probe.Certificate{NotBefore: at.Add(-time.Hour), NotAfter: at.Add(90 * 24 * time.Hour)}
	pair := configured(name, hash)
	for _, c := range pair.Checks() {
		r.Certificate.Checks = append(r.Certificate.Checks, probe.CheckResult{Check: c, Passed: true})
	}
	r.API = &probe.APICertificate{NotBefore: at.Add(-60 * 24 * time.Hour), NotAfter: at.Add(30 * 24 * time.Hour)}
	r.Directory = &probe.Directory{Endpoints: []string{"newNonce", "newAccount", "newOrder"}, TermsOfService: "https://ca.example/terms"}
	return r
}

// elsewhere is an issuance whose record was at name servers elsewhere for 700 ms
// before its challenge was accepted, and whose validators came to those.
func elsewhere(name probe.Pair, hash string, at time.Time) *probe.Result {
	r := issuance(name, hash, at)
	i := slices.IndexFunc(r.Steps, func(s probe.Step) bool { return s.Name == probe.StepValidation })
	r.Steps = slices.Insert(r.Steps, i, probe.Step{Name: probe.StepPublication, Start: r.Steps[i].Start - 10*ms - 700*ms, Duration: 700 * ms, OK: true})
	r.Visits = nil
	return r
}

// failed turns r into a failure at the first order.
func failed(r *probe.Result, fault probe.Fault) *probe.Result {
	r.Verdict = probe.Verdict{Outcome: probe.OutcomeFailure, Stage: probe.StepOrder, Reason: "http_5xx", Fault: fault, Summary: "no"}
	r.Certificate, r.Visits, r.Calls = nil, nil, r.Calls[:3]
	r.Steps = []probe.Step{r.Steps[0], r.Steps[1], r.Steps[2], {Name: probe.StepOrder, Start: 400 * ms, Duration: 9 * time.Second}}
	return r
}

// followUp returns a run that deactivated the authorization of another one.
func followUp(name probe.Pair, hash string, at time.Time) *probe.Result {
	return &probe.Result{
		ID: probe.NewID(at), Pair: name, FollowUp: probe.FollowUpDeactivateAuthz, Parent: "x", ConfigHash: hash, Start: at, Duration: 100 * ms,
		Trigger: probe.TriggerFollowUp, Verdict: probe.Verdict{Outcome: probe.OutcomeSuccess},
		Facts: probe.Facts{
			Steps: []probe.Step{{Name: probe.StepDeactivation, OK: true, Duration: 20 * ms}},
			Calls: []probe.Call{{Name: probe.CallDeactivateAuthz, Method: "POST", Status: 200, Ready: ms, End: 20 * ms}},
		},
	}
}

func newMetrics(t *testing.T, histograms string) (*Metrics, *prometheus.Registry) {
	t.Helper()
	return newMetricsOf(t, Options{Histograms: histograms})
}

func newMetricsOf(t *testing.T, o Options) (*Metrics, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	m, err := New(reg, o)
	if err != nil {
		t.Fatal(err)
	}
	return m, reg
}

// values returns the families' series as "name{label=value,…}" without the
// pair's labels; a histogram's value is its count.
func values(t *testing.T, g prometheus.Gatherer, names ...string) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		if len(names) > 0 && !slices.Contains(names, f.GetName()) {
			continue
		}
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				if !slices.Contains([]string{"target", "environment", "module"}, l.GetName()) {
					labels = append(labels, l.GetName()+"="+l.GetValue())
				}
			}
			got[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = value(m)
		}
	}
	return got
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Histogram != nil:
		return float64(m.Histogram.GetSampleCount())
	default:
		return m.Gauge.GetValue()
	}
}

// want fails unless exactly these series of these families are there.
func want(t *testing.T, g prometheus.Gatherer, wanted map[string]float64) {
	t.Helper()
	var names []string
	for series := range maps.Keys(wanted) {
		name, _, _ := strings.Cut(series, "{")
		names = append(names, name)
	}
	if diff := cmp.Diff(wanted, values(t, g, names...)); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

func TestNewRefusesUnknownHistograms(t *testing.T) {
	_, err := New(prometheus.NewRegistry(), Options{Histograms: "fancy"})
	if err == nil || err.Error() != `metrics: histograms "fancy": want classic, native or both` {
		t.Errorf("error %v", err)
	}
}

func TestNewRefusesASecondOne(t *testing.T) {
	_, reg := newMetrics(t, "")
	if _, err := New(reg, Options{}); err == nil || !strings.HasPrefix(err.Error(), "metrics: register acme_probes_total: ") {
		t.Errorf("error %v", err)
	}
}

func TestApplyInitialises(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	want(t, reg, map[string]float64{
		"acme_probes_total{fault=,outcome=success}":                    0,
		"acme_probes_total{fault=,outcome=skipped}":                    0,
		"acme_probes_total{fault=ca,outcome=failure}":                  0,
		"acme_probes_total{fault=client,outcome=failure}":              0,
		"acme_probes_total{fault=local,outcome=failure}":               0,
		"acme_probes_total{fault=unknown,outcome=failure}":             0,
		"acme_probes_total{fault=unreachable,outcome=failure}":         0,
		"acme_probe_info{challenge=dns-01,prober=issue}":               1,
		"acme_probe_duration_seconds{}":                                0,
		"acme_validation_requests_total{challenge=dns-01,family=ip4}":  0,
		"acme_validation_requests_total{challenge=dns-01,family=ip6}":  0,
		"acme_certificate_check_failures_total{check=key}":             0,
		"acme_certificate_check_failures_total{check=key_usage}":       0,
		"acme_certificate_check_failures_total{check=serial}":          0,
		"acme_certificate_check_failures_total{check=extensions}":      0,
		"acme_certificate_check_failures_total{check=names}":           0,
		"acme_certificate_check_failures_total{check=order}":           0,
		"acme_certificate_check_failures_total{check=signatures}":      0,
		"acme_certificate_check_failures_total{check=validity}":        0,
		"acme_follow_ups_total{kind=deactivate_authz,outcome=success}": 0,
		"acme_follow_ups_total{kind=deactivate_authz,outcome=failure}": 0,
		"acme_follow_ups_total{kind=deactivate_authz,outcome=skipped}": 0,
		"acme_follow_ups_total{kind=withdraw_records,outcome=success}": 0,
		"acme_follow_ups_total{kind=withdraw_records,outcome=failure}": 0,
		"acme_follow_ups_total{kind=withdraw_records,outcome=skipped}": 0,
		"acme_directory_changes_total{}":                               0,
		"acme_exporter_schedule_missed_total{}":                        0,
		"acme_connection_duration_seconds{phase=dns}":                  0,
		"acme_connection_duration_seconds{phase=connect}":              0,
		"acme_connection_duration_seconds{phase=tls}":                  0,
		"acme_validation_first_request_delay_seconds{family=ip4}":      0,
		"acme_validation_first_request_delay_seconds{family=ip6}":      0,
		"acme_validation_spread_seconds{}":                             0,
		"acme_rate_limited_total{limit=requests}":                      0,
		"acme_rate_limited_total{limit=unknown}":                       0,
		"acme_rate_limited_total{limit=new_orders}":                    0,
		"acme_rate_limited_total{limit=certificates_per_domain}":       0,
		"acme_rate_limited_total{limit=certificates_per_set}":          0,
		"acme_rate_limited_total{limit=failed_validations}":            0,
		"acme_rate_limited_total{limit=consecutive_failures}":          0,
		"acme_rate_limited_total{limit=new_accounts_per_ip}":           0,
		"acme_rate_limited_total{limit=new_accounts_per_network}":      0,
	})
	for _, absent := range []string{
		"acme_probe_success", "acme_probe_last_run_timestamp_seconds", "acme_probe_last_success_timestamp_seconds",
		"acme_probe_next_due_timestamp_seconds", "acme_certificate_not_after_timestamp_seconds", "acme_certificate_check_passed",
		"acme_validation_networks", "acme_api_certificate_not_before_timestamp_seconds", "acme_api_certificate_not_after_timestamp_seconds", "acme_directory_last_change_timestamp_seconds",
		"acme_probe_failures_total", "acme_requests_total", "acme_exporter_config_last_reload_successful",
		"acme_rate_limit_remaining", "acme_rate_limit_capacity", "acme_budget_ledger_ok",
	} {
		if got := values(t, reg, absent); len(got) != 0 {
			t.Errorf("what was not measured is there: %v", got)
		}
	}
}

func TestApplyInitialisesOnlyWhatThePairCanDo(t *testing.T) {
	m, reg := newMetrics(t, "")
	p := configured(probe.Pair{Target: "corp", Module: "directory"}, "1")
	p.Module = &config.Module{Prober: probe.ProberDirectory}
	m.Apply([]config.Pair{p})
	got := values(t, reg, "acme_validation_requests_total", "acme_follow_ups_total", "acme_certificate_check_failures_total",
		"acme_validation_first_request_delay_seconds", "acme_validation_spread_seconds")
	if len(got) != 0 {
		t.Errorf("a directory pair has %v", got)
	}
	want(t, reg, map[string]float64{"acme_probe_info{challenge=,prober=directory}": 1})
}

// What a pair's runs may leave is known before the first one does.
func TestApplyInitialisesFollowUps(t *testing.T) {
	module := func(c probe.ChallengeType, a config.AuthorizationMode) *config.Module {
		return &config.Module{Prober: probe.ProberIssue, Issue: &config.Issue{Challenge: c, Authorization: a}}
	}
	for name, tt := range map[string]struct {
		module *config.Module
		kinds  []probe.FollowUpKind
	}{
		"http-01":           {module(probe.HTTP01, config.AuthorizationFresh), []probe.FollowUpKind{probe.FollowUpDeactivateAuthz}},
		"dns-01, reused":    {module(probe.DNS01, config.AuthorizationReuse), []probe.FollowUpKind{probe.FollowUpWithdrawRecords}},
		"http-01, reused":   {module(probe.HTTP01, config.AuthorizationReuse), nil},
		"validate, persist": {&config.Module{Prober: probe.ProberValidate, Validate: &config.Validate{Challenge: probe.DNSPersist01}}, []probe.FollowUpKind{probe.FollowUpDeactivateAuthz, probe.FollowUpWithdrawRecords}},
		"revoked": {&config.Module{Prober: probe.ProberIssue, Issue: &config.Issue{
			Challenge: probe.HTTP01, Authorization: config.AuthorizationReuse, Revoke: &config.Revoke{},
		}}, []probe.FollowUpKind{probe.FollowUpRevoke, probe.FollowUpWatchRevocation}},
	} {
		m, reg := newMetrics(t, "")
		p := configured(issuing, "1")
		p.Module = tt.module
		m.Apply([]config.Pair{p})
		wanted := map[string]float64{}
		for _, kind := range tt.kinds {
			for _, o := range outcomes() {
				wanted["acme_follow_ups_total{kind="+string(kind)+",outcome="+string(o)+"}"] = 0
			}
		}
		if diff := cmp.Diff(wanted, values(t, reg, "acme_follow_ups_total")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestLabels(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	m.Observe(failed(issuance(issuing, "1", start), probe.FaultCA))
	err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP acme_probe_failures_total Failed runs by the step that failed and the reason. A series is created when it is first seen, so that increase() misses its first event: made for dashboards, not for alerts.
# TYPE acme_probe_failures_total counter
acme_probe_failures_total{environment="staging",module="issue_dns",reason="http_5xx",stage="order",target="corp"} 1
`), "acme_probe_failures_total")
	if err != nil {
		t.Error(err)
	}
}

func TestSchedule(t *testing.T) {
	m, reg := newMetrics(t, "")
	p := configured(issuing, "1")
	m.Apply([]config.Pair{p})
	m.Schedule(issuing, start, false)
	m.Schedule(issuing, start.Add(time.Minute), true)
	m.Schedule(probe.Pair{Target: "corp", Module: "gone"}, start, true)
	want(t, reg, map[string]float64{
		"acme_exporter_schedule_missed_total{}":   1,
		"acme_probe_next_due_timestamp_seconds{}": float64(start.Add(time.Minute).Unix()),
	})
	m.Schedule(issuing, time.Time{}, false)
	if got := values(t, reg, "acme_probe_next_due_timestamp_seconds"); len(got) != 0 {
		t.Errorf("never due, yet %v", got)
	}
	m.Schedule(issuing, start, false)
	p.Interval, p.Hash = 0, "2"
	m.Apply([]config.Pair{p})
	if got := values(t, reg, "acme_probe_next_due_timestamp_seconds"); len(got) != 0 {
		t.Errorf("not scheduled any more, yet %v", got)
	}
}

func TestReloaded(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Reloaded(true, start)
	m.Reloaded(false, start.Add(time.Hour))
	want(t, reg, map[string]float64{
		"acme_exporter_config_last_reload_successful{}":                0,
		"acme_exporter_config_last_reload_success_timestamp_seconds{}": float64(start.Unix()),
	})
}
