package metrics

import (
	"testing"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

var refusing = probe.Pair{Target: "corp", Module: "must_refuse"}

// refused returns a pair that the CA has to refuse with the problem.
func refused(name probe.Pair, hash, problem string) config.Pair {
	p := configured(name, hash)
	p.Module.Issue.Expect = &config.Expect{Problem: problem}
	return p
}

// A refusal is a success whose validation is none that others can be compared with,
// and nobody was to come for an answer.
func TestRefusal(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{refused(refusing, "1", "unauthorized")})
	want(t, reg, map[string]float64{"acme_misissued_total{kind=certificate}": 0, "acme_misissued_total{kind=authorization}": 0})
	r := issuance(refusing, "1", start)
	r.Certificate, r.Steps = nil, r.Steps[:6]
	r.Visits = []probe.Visit{{At: r.Steps[5].Start + ms, Challenge: probe.DNS01, Family: probe.IPv4, Network: 1, Asked: "TXT", Answered: "NODATA"}}
	r.Refusal = &probe.Refusal{Expected: "unauthorized", Step: probe.StepValidation, Problem: &probe.Problem{Type: "unauthorized"}}
	m.Observe(r)
	got := values(t, reg)
	for name, value := range map[string]float64{
		"acme_probes_total{fault=,outcome=success}": 1, "acme_misissued_total{kind=certificate}": 0,
		"acme_step_duration_seconds{step=order}":                      1,
		"acme_validation_requests_total{challenge=dns-01,family=ip4}": 1,
		"acme_follow_ups_total{kind=revoke,outcome=success}":          0,
	} {
		if v, ok := got[name]; !ok || v != value {
			t.Errorf("%s: %v, %v, want %v", name, v, ok, value)
		}
	}
	for _, name := range []string{
		"acme_step_duration_seconds{step=validation}", "acme_validation_networks{family=ip4}",
		"acme_validation_spread_seconds{}", "acme_validation_first_request_delay_seconds{family=ip4}",
	} {
		if v, ok := got[name]; ok {
			t.Errorf("%s is there: %v", name, v)
		}
	}
	// What comes to light after the run counts too.
	found := followUp(refusing, "1", r.End())
	found.FollowUp, found.Failure = probe.FollowUpRevoke, &probe.Failure{Kind: probe.FailureRefusal, Refusal: probe.RefusalMisissued}
	m.Observe(found)
	want(t, reg, map[string]float64{"acme_misissued_total{kind=certificate}": 1, "acme_misissued_total{kind=authorization}": 0})
	// A pair that has not to be refused has no such counter.
	m.Apply([]config.Pair{configured(refusing, "2")})
	if got := values(t, reg, "acme_misissued_total"); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// A misissuance is counted once, and after what was counted before the start. One that
// is not proved is not.
func TestMisissued(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{refused(refusing, "1", "caa"), configured(issuing, "1")})
	kept := map[probe.Misissuance]uint64{probe.MisissuedCertificate: 3, probe.MisissuedAuthorization: 5}
	m.RestoreCounts(refusing, nil, kept)
	m.RestoreCounts(issuing, nil, kept)
	for _, kind := range probe.Refusals() {
		r := failed(issuance(refusing, "1", start), probe.FaultCA)
		r.Refusal = &probe.Refusal{Expected: "caa"}
		r.Failure = &probe.Failure{Kind: probe.FailureRefusal, Refusal: kind}
		m.Observe(r)
		m.Restore(r)
		if _, ok := values(t, reg)["acme_step_duration_seconds{step=finalization}"]; ok {
			t.Error("its finalization is compared with others")
		}
	}
	if got := values(t, reg, "acme_misissued_total"); got["acme_misissued_total{kind=certificate}"] != 4 || got["acme_misissued_total{kind=authorization}"] != 6 || len(got) != 2 {
		t.Errorf("%v, want 4 and 6", got)
	}
}

// Few networks are shown where a number is expected, and their addresses are public.
func TestFewNetworks(t *testing.T) {
	const name = "acme_validation_networks_below_minimum"
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	r := issuance(issuing, "1", start)
	show := func(p *probe.Perspectives, wanted ...float64) {
		t.Helper()
		r.Perspectives = p
		m.Observe(r)
		got := values(t, reg, name)
		if v, ok := got[name+"{}"]; ok != (len(wanted) > 0) || ok && v != wanted[0] {
			t.Errorf("%+v: %v, want %v", p, got, wanted)
		}
	}
	show(nil)
	show(&probe.Perspectives{Networks: 2, Minimum: 3}, 1)
	for i := range r.Steps {
		r.Steps[i].OK = r.Steps[i].Name != probe.StepValidation
	}
	show(nil, 1) // nothing was measured
	for i := range r.Steps {
		r.Steps[i].OK = true
	}
	show(&probe.Perspectives{Networks: 3, Minimum: 3}, 0)
	show(nil) // they have come by private addresses
}
