package metrics

import (
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestValidatorsThatNeverCame(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	r := issuance(issuing, "1", start)
	r.Visits = nil
	m.Observe(r)
	want(t, reg, map[string]float64{
		"acme_validation_networks{family=ip4}":                    0,
		"acme_validation_networks{family=ip6}":                    0,
		"acme_validation_first_request_delay_seconds{family=ip4}": 0,
		"acme_validation_first_request_delay_seconds{family=ip6}": 0,
		"acme_validation_spread_seconds{}":                        0,
	})
}

func TestAVisitBeforeTheChallengeIsNoDelay(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	r := issuance(issuing, "1", start)
	r.Visits = []probe.Visit{{At: ms, Challenge: probe.DNS01, Family: probe.IPv4, Network: 1, OK: true}}
	m.Observe(r)
	want(t, reg, map[string]float64{
		"acme_validation_first_request_delay_seconds{family=ip4}": 0, "acme_validation_first_request_delay_seconds{family=ip6}": 0,
		"acme_validation_spread_seconds{}": 0,
	})
}

// Our own pace holds the challenge back for a second: the validators are not the
// later for it.
func TestPaceIsNoDelayOfValidators(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	r := issuance(issuing, "1", start)
	begun, _ := r.Accepted()
	r.Calls[4].Step, r.Calls[4].Start = probe.StepValidation, begun+1000*ms
	r.Visits = []probe.Visit{{At: begun + 1300*ms, Challenge: probe.DNS01, Family: probe.IPv4, Network: 1, OK: true}}
	m.Observe(r)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := 0.0
	for _, f := range families {
		if f.GetName() == "acme_validation_first_request_delay_seconds" {
			for _, metric := range f.GetMetric() {
				got += metric.GetHistogram().GetSampleSum()
			}
		}
	}
	if got != 0.3 {
		t.Errorf("the validators took %v s, want 0.3", got)
	}
}

// A run of several names over an IPv6 address of ours that does not work: the
// names' resolvers are no validators, and one request for all of them is one.
func TestValidationOfSeveralNames(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	r := issuance(issuing, "1", start)
	accepted, _ := r.Accepted()
	visit := func(name string, at time.Duration, family probe.Family, network int, asked string, ok bool) probe.Visit {
		return probe.Visit{At: accepted + at, Challenge: probe.DNS01, Identifier: name, Family: family, Network: network, Asked: asked, OK: ok}
	}
	r.Visits = []probe.Visit{
		visit("a.example", 100*ms, probe.IPv6, 1, "AAAA", false), visit("b.example", 100*ms, probe.IPv6, 1, "AAAA", false),
		visit("a.example", 4000*ms, probe.IPv4, 2, "TXT", true), visit("a.example", 4500*ms, probe.IPv4, 3, "TXT", true),
		visit("a.example", 4600*ms, probe.IPv4, 3, "TXT", true), visit("a.example", 7000*ms, probe.IPv4, 4, "TXT", true),
		visit("b.example", 4010*ms, probe.IPv4, 2, "TXT", true),
		visit("b.example", 4100*ms, probe.IPv4, 3, "TXT", true),
	}
	m.Observe(r)
	want(t, reg, map[string]float64{
		"acme_validation_requests_total{challenge=dns-01,family=ip4}": 6,
		"acme_validation_requests_total{challenge=dns-01,family=ip6}": 1,
		"acme_validation_networks{family=ip4}":                        2,
		"acme_validation_networks{family=ip6}":                        0,
		"acme_validation_first_request_delay_seconds{family=ip4}":     1,
		"acme_validation_first_request_delay_seconds{family=ip6}":     0,
		"acme_validation_spread_seconds{}":                            2,
	})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, f := range families {
		for _, metric := range f.Metric {
			sums[f.GetName()] += metric.GetHistogram().GetSampleSum()
		}
	}
	if got := sums["acme_validation_first_request_delay_seconds"]; got < 3.99 || got > 4.01 {
		t.Errorf("the first validator had its answer after %v s, want 4", got)
	}
	if got := sums["acme_validation_spread_seconds"]; got < 3.08 || got > 3.1 {
		t.Errorf("validators of two names came within %v s in sum, want 3 and 0.09", got)
	}
}
