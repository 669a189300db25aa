package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestObserveIssuance(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	r := issuance(issuing, "1", start)
	m.Observe(r)
	end := float64(r.End().UnixMilli()) / 1000
	want(t, reg, map[string]float64{
		"acme_probe_success{}":                                         1,
		"acme_probe_last_run_timestamp_seconds{}":                      end,
		"acme_probe_last_success_timestamp_seconds{}":                  end,
		"acme_probe_duration_seconds{}":                                1,
		"acme_request_duration_seconds{call=directory}":                1,
		"acme_request_duration_seconds{call=new-nonce}":                1,
		"acme_request_duration_seconds{call=new-order}":                1,
		"acme_request_duration_seconds{call=authz}":                    2,
		"acme_request_duration_seconds{call=challenge}":                1,
		"acme_request_duration_seconds{call=finalize}":                 1,
		"acme_request_duration_seconds{call=order}":                    1,
		"acme_request_duration_seconds{call=certificate}":              1,
		"acme_requests_total{call=directory,code=200}":                 1,
		"acme_requests_total{call=new-nonce,code=200}":                 1,
		"acme_requests_total{call=new-order,code=201}":                 1,
		"acme_requests_total{call=authz,code=200}":                     2,
		"acme_requests_total{call=challenge,code=200}":                 1,
		"acme_requests_total{call=finalize,code=200}":                  1,
		"acme_requests_total{call=order,code=200}":                     1,
		"acme_requests_total{call=certificate,code=200}":               1,
		"acme_request_retries_total{call=new-order,cause=bad_nonce}":   0,
		"acme_request_retries_total{call=authz,cause=bad_nonce}":       0,
		"acme_request_retries_total{call=challenge,cause=bad_nonce}":   0,
		"acme_request_retries_total{call=finalize,cause=bad_nonce}":    0,
		"acme_request_retries_total{call=order,cause=bad_nonce}":       0,
		"acme_request_retries_total{call=certificate,cause=bad_nonce}": 0,
		"acme_connection_duration_seconds{phase=dns}":                  1,
		"acme_connection_duration_seconds{phase=connect}":              1,
		"acme_connection_duration_seconds{phase=tls}":                  1,
		"acme_step_duration_seconds{step=directory}":                   1,
		"acme_step_duration_seconds{step=nonce}":                       1,
		"acme_step_duration_seconds{step=order}":                       1,
		"acme_step_duration_seconds{step=authorization}":               1,
		"acme_step_duration_seconds{step=validation}":                  1,
		"acme_step_duration_seconds{step=finalization}":                1,
		"acme_step_duration_seconds{step=download}":                    1,
		"acme_validation_requests_total{challenge=dns-01,family=ip4}":  2,
		"acme_validation_requests_total{challenge=dns-01,family=ip6}":  1,
		"acme_validation_networks{family=ip4}":                         1,
		"acme_validation_networks{family=ip6}":                         1,
		"acme_validation_first_request_delay_seconds{family=ip4}":      1,
		"acme_validation_first_request_delay_seconds{family=ip6}":      1,
		"acme_validation_spread_seconds{}":                             1,
		"acme_certificate_not_before_timestamp_seconds{}":              float64(start.Unix()) - 3600,
		"acme_certificate_not_after_timestamp_seconds{}":               float64(start.Unix()) + 90*86400,
		"acme_certificate_check_passed{check=key}":                     1,
		"acme_certificate_check_passed{check=key_usage}":               1,
		"acme_certificate_check_passed{check=serial}":                  1,
		"acme_certificate_check_passed{check=extensions}":              1,
		"acme_certificate_check_passed{check=names}":                   1,
		"acme_certificate_check_passed{check=order}":                   1,
		"acme_certificate_check_passed{check=signatures}":              1,
		"acme_certificate_check_passed{check=validity}":                1,
		"acme_api_certificate_not_before_timestamp_seconds{}":          float64(start.Unix()) - 60*86400,
		"acme_api_certificate_not_after_timestamp_seconds{}":           float64(start.Unix()) + 30*86400,
	})
	// From connection ready to the last byte: not from the start of the call.
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		switch f.GetName() {
		case "acme_request_duration_seconds":
			if sum := f.Metric[0].Histogram.GetSampleSum(); sum < .099 || sum > .101 {
				t.Errorf("two authz calls of 50 ms sum up to %v", sum)
			}
		case "acme_validation_first_request_delay_seconds":
			if sum := f.Metric[0].Histogram.GetSampleSum(); sum < .299 || sum > .301 {
				t.Errorf("the first validator came after %v s", sum)
			}
		}
	}
}

func TestObserveFailure(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	m.Observe(issuance(issuing, "1", start))
	later := failed(issuance(issuing, "1", start.Add(time.Minute)), probe.FaultCA)
	later.Calls[2].Status = 500
	later.Calls = append(later.Calls,
		probe.Call{Name: probe.CallNewOrder, Method: "POST", Attempt: 1, RetryCause: "bad_nonce", Status: 418, Ready: 1, End: 2},
		probe.Call{Name: probe.CallNewOrder, Method: "POST", Attempt: 2, RetryCause: "moon", Status: 200, Error: &probe.CallError{Phase: probe.PhaseBody}},
		probe.Call{Name: probe.CallDirectory, Method: "GET", Error: &probe.CallError{Phase: probe.PhaseConnect}, Connection: probe.Connection{
			DNS: &probe.Span{Duration: ms}, Connect: &probe.Span{Duration: 3 * time.Second},
		}})
	m.Observe(later)
	want(t, reg, map[string]float64{
		"acme_probe_success{}":                                   0,
		"acme_probe_last_run_timestamp_seconds{}":                float64(later.End().UnixMilli()) / 1000,
		"acme_probe_last_success_timestamp_seconds{}":            float64(later.End().UnixMilli())/1000 - 60,
		"acme_probe_failures_total{reason=http_5xx,stage=order}": 1,
		"acme_probes_total{fault=,outcome=success}":              1,
		"acme_probes_total{fault=,outcome=skipped}":              0,
		"acme_probes_total{fault=ca,outcome=failure}":            1,
		"acme_probes_total{fault=client,outcome=failure}":        0,
		"acme_probes_total{fault=local,outcome=failure}":         0,
		"acme_probes_total{fault=unknown,outcome=failure}":       0,
		"acme_probes_total{fault=unreachable,outcome=failure}":   0,
		"acme_step_duration_seconds{step=directory}":             2,
		"acme_step_duration_seconds{step=nonce}":                 2,
		"acme_step_duration_seconds{step=order}":                 1, // the failed one is not in it
		"acme_step_duration_seconds{step=authorization}":         1,
		"acme_step_duration_seconds{step=validation}":            1,
		"acme_step_duration_seconds{step=finalization}":          1,
		"acme_step_duration_seconds{step=download}":              1,
		"acme_connection_duration_seconds{phase=dns}":            3,
		"acme_connection_duration_seconds{phase=connect}":        2, // nor is the phase that failed
		"acme_connection_duration_seconds{phase=tls}":            2,
		"acme_certificate_not_after_timestamp_seconds{}":         float64(start.Unix()) + 90*86400,
	})
	got := values(t, reg, "acme_requests_total", "acme_request_retries_total", "acme_request_duration_seconds")
	for series, wanted := range map[string]float64{
		"acme_requests_total{call=new-order,code=500}":               1,
		"acme_requests_total{call=new-order,code=other}":             1,
		"acme_requests_total{call=new-order,code=none}":              1,
		"acme_requests_total{call=directory,code=none}":              1,
		"acme_request_retries_total{call=new-order,cause=bad_nonce}": 1,
		"acme_request_retries_total{call=new-order,cause=other}":     1,
		"acme_request_duration_seconds{call=new-order}":              3, // 201, 500, 418: answered
		"acme_request_duration_seconds{call=directory}":              2,
	} {
		if got[series] != wanted {
			t.Errorf("%s is %v, want %v", series, got[series], wanted)
		}
	}
}

// A status counts under its number where the call has it: one that no call of the
// kind is answered with would be a series for each of the others.
func TestCodes(t *testing.T) {
	for _, tt := range []struct {
		call   probe.CallName
		status int
		want   string
	}{
		{probe.CallOrder, 200, "200"}, {probe.CallOrder, 403, "403"}, {probe.CallOrder, 504, "504"}, {probe.CallOrder, 418, "other"},
		{probe.CallNewOrder, 201, "201"}, {probe.CallNewAccount, 201, "201"}, {probe.CallFinalize, 201, "other"}, {probe.CallNewNonce, 201, "other"},
		{probe.CallNewNonce, 204, "204"}, {probe.CallNewOrder, 204, "other"},
		{probe.CallOrder, 400, "400"}, {probe.CallDirectory, 400, "other"}, {probe.CallNewNonce, 400, "other"}, {probe.CallOCSP, 400, "400"},
		{probe.CallOrder, 404, "other"}, {probe.CallDirectory, 404, "404"}, {probe.CallNewNonce, 404, "other"}, {probe.CallRenewalInfo, 404, "404"},
	} {
		method := "GET"
		if tt.call == probe.CallOrder {
			method = "POST"
		}
		if got := code(&probe.Call{Name: tt.call, Method: method, Status: tt.status}); got != tt.want {
			t.Errorf("%s %d is %q, want %q", tt.call, tt.status, got, tt.want)
		}
	}
}

func TestObserveSkipped(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	m.Observe(failed(issuance(issuing, "1", start), probe.FaultCA))
	skipped := failed(issuance(issuing, "1", start.Add(time.Minute)), probe.FaultNone)
	skipped.Verdict.Outcome = probe.OutcomeSkipped
	m.Observe(skipped)
	want(t, reg, map[string]float64{
		"acme_probe_success{}":                                   0,
		"acme_probe_last_run_timestamp_seconds{}":                float64(skipped.End().UnixMilli()) / 1000,
		"acme_probe_duration_seconds{}":                          1,
		"acme_probe_failures_total{reason=http_5xx,stage=order}": 1,
	})
	if got := values(t, reg)["acme_probes_total{fault=,outcome=skipped}"]; got != 1 {
		t.Errorf("%v skipped runs, want 1", got)
	}
	m.Observe(issuance(issuing, "1", start.Add(2*time.Minute)))
	again := *skipped
	again.Start = start.Add(3 * time.Minute)
	m.Observe(&again)
	want(t, reg, map[string]float64{"acme_probe_success{}": 1})
}

func TestObserveFollowUp(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	r := issuance(issuing, "1", start)
	m.Observe(r)
	before := values(t, reg, "acme_probe_last_run_timestamp_seconds", "acme_probes_total", "acme_step_duration_seconds", "acme_probe_duration_seconds")
	f := followUp(issuing, "1", r.End())
	f.Verdict = probe.Verdict{Outcome: probe.OutcomeFailure, Stage: probe.StepDeactivation, Reason: "http_5xx", Fault: probe.FaultCA}
	m.Observe(f)
	before["acme_probe_success{}"] = 1
	want(t, reg, before)
	want(t, reg, map[string]float64{
		"acme_follow_ups_total{kind=deactivate_authz,outcome=success}": 0,
		"acme_follow_ups_total{kind=deactivate_authz,outcome=failure}": 1,
		"acme_follow_ups_total{kind=deactivate_authz,outcome=skipped}": 0,
		"acme_follow_ups_total{kind=withdraw_records,outcome=success}": 0,
		"acme_follow_ups_total{kind=withdraw_records,outcome=failure}": 0,
		"acme_follow_ups_total{kind=withdraw_records,outcome=skipped}": 0,
	})
	got := values(t, reg)
	if got["acme_request_duration_seconds{call=deactivate-authz}"] != 1 || got["acme_requests_total{call=deactivate-authz,code=200}"] != 1 {
		t.Error("the follow-up's call is not counted")
	}
}

// A publication is a step with a time of its own: the run is longer for it, the
// validators are not the later, and that nobody came to us says nothing.
func TestObservePublication(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	m.Observe(issuance(issuing, "1", start))
	r := elsewhere(issuing, "1", start.Add(time.Minute))
	m.Observe(r)
	sum := func(family, step string) float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		total := 0.0
		for _, f := range families {
			for _, metric := range f.Metric {
				for _, l := range metric.Label {
					if f.GetName() == family && (l.GetValue() == step || step == "") {
						total += metric.GetHistogram().GetSampleSum()
						break
					}
				}
			}
		}
		return total
	}
	if got := sum("acme_step_duration_seconds", "publication"); got != 0.7 {
		t.Errorf("published for %v s, want 0.7", got)
	}
	if got := sum("acme_step_duration_seconds", "validation"); got != 0.3 {
		t.Errorf("two validations took %v s, want 0.3", got)
	}
	if got := values(t, reg, "acme_validation_networks"); len(got) != 0 {
		t.Errorf("nobody counted the validators, yet %v", got)
	}
	// An alias that leads into our own zone: they come to us, after the challenge.
	r = elsewhere(issuing, "1", start.Add(2*time.Minute))
	accepted, _ := r.Accepted()
	r.Visits = []probe.Visit{
		{At: accepted - 300*ms, Challenge: probe.DNS01, Identifier: "a.example", Family: probe.IPv4, Network: 1, Asked: "TXT", OK: true},
		{At: accepted + 200*ms, Challenge: probe.DNS01, Identifier: "a.example", Family: probe.IPv4, Network: 2, Asked: "TXT", OK: true},
	}
	before := sum("acme_validation_first_request_delay_seconds", "ip4")
	m.Observe(r)
	if got := sum("acme_validation_first_request_delay_seconds", "ip4") - before; got < 0.199 || got > 0.201 {
		t.Errorf("the first validator came after %v s, want 0.2", got)
	}
	want(t, reg, map[string]float64{"acme_validation_networks{family=ip4}": 2, "acme_validation_networks{family=ip6}": 0})
}

func TestObserveWithdrawal(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	f := followUp(issuing, "1", start)
	f.FollowUp, f.Calls = probe.FollowUpWithdrawRecords, nil
	f.Steps = []probe.Step{{Name: probe.StepPublication, OK: true, Duration: 20 * ms}}
	m.Observe(f)
	if got := values(t, reg)["acme_follow_ups_total{kind=withdraw_records,outcome=success}"]; got != 1 {
		t.Errorf("%v withdrawals, want 1", got)
	}
	if got := values(t, reg, "acme_step_duration_seconds"); len(got) != 0 {
		t.Errorf("a follow-up's step is counted: %v", got)
	}
}

func TestObserveChecks(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	r := issuance(issuing, "1", start)
	r.Certificate.Checks = []probe.CheckResult{{Check: probe.CheckKey, Passed: true}, {Check: probe.CheckNames}}
	m.Observe(r)
	want(t, reg, map[string]float64{
		"acme_certificate_check_passed{check=key}":                1,
		"acme_certificate_check_passed{check=names}":              0,
		"acme_certificate_check_failures_total{check=key}":        0,
		"acme_certificate_check_failures_total{check=names}":      1,
		"acme_certificate_check_failures_total{check=order}":      0,
		"acme_certificate_check_failures_total{check=signatures}": 0,
		"acme_certificate_check_failures_total{check=validity}":   0,
		"acme_certificate_check_failures_total{check=serial}":     0,
		"acme_certificate_check_failures_total{check=key_usage}":  0,
		"acme_certificate_check_failures_total{check=extensions}": 0,
	})
	// Checks that are not made have no series.
	if got := values(t, reg, "acme_certificate_check_failures_total"); len(got) != 8 {
		t.Errorf("%d counters of checks, want 8: %v", len(got), got)
	}
}

// Counters of failed checks go on where they were, of checks that are still made.
func TestRestoreCounts(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	m.RestoreCounts(issuing, map[probe.Check]uint64{probe.CheckKey: 3, probe.CheckLint: 2}, nil)
	m.RestoreCounts(probe.Pair{Target: "gone", Module: "issue"}, map[probe.Check]uint64{probe.CheckKey: 7}, nil)
	r := issuance(issuing, "1", start)
	r.Certificate.Checks = []probe.CheckResult{{Check: probe.CheckKey}}
	m.Observe(r)
	got := values(t, reg, "acme_certificate_check_failures_total")
	if got["acme_certificate_check_failures_total{check=key}"] != 4 || got["acme_certificate_check_failures_total{check=names}"] != 0 || len(got) != 8 {
		t.Errorf("%v", got)
	}
}

func TestObserveLints(t *testing.T) {
	m, reg := newMetrics(t, "")
	linted := configured(issuing, "1")
	linted.Module.Issue.Lint = true
	m.Apply([]config.Pair{linted})
	r := issuance(issuing, "1", start)
	r.Certificate.Lints = &probe.Lints{WarningCount: 3}
	m.Observe(r)
	if got := values(t, reg)["acme_certificate_lint_warnings{}"]; got != 3 {
		t.Errorf("%v warnings, want 3", got)
	}
	if _, ok := values(t, reg)["acme_certificate_check_failures_total{check=lint}"]; !ok {
		t.Error("no counter of certificates with errors")
	}
	m.Observe(issuance(issuing, "1", start.Add(time.Minute)))
	if got := values(t, reg, "acme_certificate_lint_warnings"); len(got) != 0 {
		t.Errorf("warnings of a certificate that was not linted: %v", got)
	}
}

func TestRestore(t *testing.T) {
	for _, order := range []string{"oldest first", "newest first"} {
		t.Run(order, func(t *testing.T) {
			m, reg := newMetrics(t, "")
			m.Apply([]config.Pair{configured(issuing, "1")})
			zero := values(t, reg, "acme_probes_total", "acme_requests_total", "acme_probe_duration_seconds",
				"acme_validation_requests_total", "acme_certificate_check_failures_total", "acme_directory_changes_total")
			first, second := issuance(issuing, "1", start), failed(issuance(issuing, "1", start.Add(time.Minute)), probe.FaultCA)
			second.Directory.Change = &probe.DirectoryChange{At: second.Start}
			if order == "newest first" {
				first, second = second, first
			}
			m.Restore(first)
			m.Restore(second)
			m.Restore(followUp(issuing, "1", start.Add(time.Hour)))
			want(t, reg, zero)
			end := float64(start.UnixMilli())/1000 + 2.1
			want(t, reg, map[string]float64{
				"acme_probe_success{}":                            0,
				"acme_probe_last_run_timestamp_seconds{}":         end + 60,
				"acme_probe_last_success_timestamp_seconds{}":     end,
				"acme_validation_networks{family=ip4}":            1,
				"acme_validation_networks{family=ip6}":            1,
				"acme_certificate_not_before_timestamp_seconds{}": float64(start.Unix()) - 3600,
			})
		})
	}
}

// An address that we refuse to dial has a connect phase, in which nothing was
// connected.
func TestObserveRefusedAddress(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	r := issuance(issuing, "1", start)
	r.Calls = r.Calls[:1]
	r.Calls[0].Status = 0
	r.Calls[0].Connection.TLS = nil
	r.Calls[0].Error = &probe.CallError{Phase: probe.PhaseRequest, Cause: probe.CauseAddress}
	if r.Calls[0].Connection.Connect == nil {
		t.Fatal("the call has no connect phase")
	}
	m.Observe(r)
	want(t, reg, map[string]float64{
		"acme_connection_duration_seconds{phase=dns}":     1,
		"acme_connection_duration_seconds{phase=connect}": 0,
		"acme_connection_duration_seconds{phase=tls}":     0,
	})
}

// TestObserveRevocation holds that the call of a follow-up that revokes is measured, and
// no step of it: the one is as good as the other.
func TestObserveRevocation(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	r := followUp(issuing, "1", start)
	r.FollowUp = probe.FollowUpRevoke
	r.Steps = []probe.Step{{Name: probe.StepDirectory, OK: true, Duration: ms}, {Name: probe.StepRevocation, OK: true, Duration: 20 * ms}}
	r.Calls[0].Name = probe.CallRevokeCert
	m.Observe(r)
	r.Steps[1].OK = false
	r.Verdict = probe.Verdict{Outcome: probe.OutcomeFailure, Fault: probe.FaultCA}
	m.Observe(r)
	for series, want := range map[string]float64{
		"acme_request_duration_seconds{call=revoke-cert}":              2,
		"acme_follow_ups_total{kind=revoke,outcome=success}":           1,
		"acme_follow_ups_total{kind=revoke,outcome=failure}":           1,
		"acme_probes_total{fault=ca,outcome=failure}":                  0,
		"acme_request_retries_total{call=revoke-cert,cause=bad_nonce}": 0,
	} {
		name, _, _ := strings.Cut(series, "{")
		if got, ok := values(t, reg, name)[series]; got != want || !ok {
			t.Errorf("%s is %v, %v, want %v; there are %v", series, got, ok, want, values(t, reg, name))
		}
	}
	if got := values(t, reg, "acme_step_duration_seconds"); len(got) != 0 {
		t.Errorf("steps %v", got)
	}
}

// TestObserveAccount holds that how long it takes to find an account is measured where
// that is what a module does, and not where one is made on the way; it counts all the
// same.
func TestObserveAccount(t *testing.T) {
	for prober, measured := range map[probe.Prober]int{probe.ProberAccount: 1, probe.ProberIssue: 0} {
		m, reg := newMetrics(t, "")
		p := configured(issuing, "1")
		module := *p.Module
		module.Prober = prober
		p.Module = &module
		m.Apply([]config.Pair{p})
		r := issuance(issuing, "1", start)
		r.Steps = []probe.Step{{Name: probe.StepAccount, OK: true, Duration: ms}}
		r.Calls = r.Calls[:1]
		r.Calls[0].Name, r.Calls[0].Method = probe.CallNewAccount, "POST"
		m.Observe(r)
		for _, name := range []string{"acme_step_duration_seconds", "acme_request_duration_seconds"} {
			if got := values(t, reg, name); len(got) != measured {
				t.Errorf("%s: %s is %v", prober, name, got)
			}
		}
		if got := values(t, reg, "acme_requests_total"); len(got) != 1 {
			t.Errorf("%s: requests %v", prober, got)
		}
	}
}
