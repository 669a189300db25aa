package metrics

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// pending is a Revocations.
type pending []probe.FollowUp

func (p pending) Pending() []probe.FollowUp { return p }

// revokes returns the pair as one that revokes.
func revokes(p config.Pair) config.Pair {
	module, issue := *p.Module, *p.Module.Issue
	issue.Revoke = &config.Revoke{}
	module.Issue, p.Module = &issue, &module
	return p
}

// revoking is the issuing pair as one that revokes.
func revoking(hash string) config.Pair { return revokes(configured(issuing, hash)) }

// revocations are the Results of a revocation at that time, and of a look each that
// finds that it shows after d.
func revocations(at time.Time, d time.Duration) (revoked *probe.Result, watched []*probe.Result) {
	revoked = followUp(issuing, "1", at)
	revoked.FollowUp = probe.FollowUpRevoke
	revoked.Steps[0].Name, revoked.Calls[0].Name = probe.StepRevocation, probe.CallRevokeCert
	for _, via := range probe.RevocationVias() {
		w := followUp(issuing, "1", at.Add(d))
		w.FollowUp, w.Steps[0].Name, w.Calls[0].Name = probe.FollowUpWatchRevocation, probe.StepCRL, probe.CallCRL
		w.Revocation = &probe.Revocation{At: at, Via: via, Shown: at.Add(d), Propagation: &d}
		watched = append(watched, w)
	}
	return revoked, watched
}

func TestRevocationPropagation(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{revoking("1")})
	want := func(what string, crl, ocsp float64) {
		t.Helper()
		wanted := map[string]float64{
			"acme_revocation_propagation_seconds{via=crl}":  crl,
			"acme_revocation_propagation_seconds{via=ocsp}": ocsp,
		}
		if diff := cmp.Diff(wanted, values(t, reg, "acme_revocation_propagation_seconds")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	want("before the first", 0, 0)
	revoked, watched := revocations(start, 20*time.Minute)
	m.Observe(revoked)
	early := *watched[0]
	early.Verdict = probe.Verdict{Outcome: probe.OutcomeSkipped}
	early.Revocation = &probe.Revocation{At: start, Via: probe.ViaCRL}
	m.Observe(&early)
	want("not yet", 0, 0)
	m.Observe(watched[0])
	want("on the list", 1, 0)
	m.Observe(watched[1])
	want("everywhere", 1, 1)
	unmeasured := *watched[0]
	unmeasured.Revocation = &probe.Revocation{At: start, Via: probe.ViaCRL, Shown: start.Add(time.Hour)}
	m.Observe(&unmeasured)
	want("nobody looked for a while", 1, 1)
	if got := values(t, reg, "acme_requests_total"); len(got) != 1 || got["acme_requests_total{call=revoke-cert,code=200}"] != 1 {
		t.Errorf("calls of the API: %v", got)
	}

	// A pair that does not revoke, but what was issued against its will, has none.
	m, reg = newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	m.Observe(revoked)
	m.Observe(watched[0])
	if got := values(t, reg, "acme_revocation_propagation_seconds"); len(got) != 0 {
		t.Errorf("of a pair that does not revoke: %v", got)
	}
}

func TestRevocationsPending(t *testing.T) {
	open := func(p probe.Pair, via probe.RevocationVia, at time.Time) probe.FollowUp {
		return probe.FollowUp{Pair: p, Revocation: &probe.Revocation{Via: via, At: at}}
	}
	asked := func(created time.Time, attempts int) probe.FollowUp {
		return probe.FollowUp{Pair: issuing, Kind: probe.FollowUpRevoke, Created: created, Attempts: attempts, Revocation: &probe.Revocation{}}
	}
	all := &pending{}
	m, reg := newMetricsOf(t, Options{Revocations: all})
	m.Apply([]config.Pair{revoking("1")})
	want := func(what string, wanted map[string]float64) {
		t.Helper()
		if diff := cmp.Diff(wanted, values(t, reg, "acme_revocation_oldest_pending_timestamp_seconds")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	want("none", map[string]float64{})
	*all = pending{
		open(issuing, probe.ViaCRL, start.Add(time.Hour)), open(issuing, probe.ViaCRL, start), open(issuing, probe.ViaOCSP, start.Add(time.Minute)),
		open(probe.Pair{Target: "gone", Module: "issue"}, probe.ViaCRL, start), {Pair: issuing},
		asked(start.Add(2*time.Hour), 1), asked(start.Add(time.Hour), 3), asked(start, 0),
	}
	want("the oldest", map[string]float64{
		"acme_revocation_oldest_pending_timestamp_seconds{via=api}":  seconds(start.Add(time.Hour)), // that was tried
		"acme_revocation_oldest_pending_timestamp_seconds{via=crl}":  seconds(start),
		"acme_revocation_oldest_pending_timestamp_seconds{via=ocsp}": seconds(start.Add(time.Minute)),
	})
	*all = (*all)[:1]
	want("after the oldest", map[string]float64{"acme_revocation_oldest_pending_timestamp_seconds{via=crl}": seconds(start.Add(time.Hour))})
	m.Apply([]config.Pair{configured(issuing, "2")})
	want("without revoke", map[string]float64{})
}

// A revocation that never shows is counted once, when nobody looks any more, and after
// what was counted before the start.
func TestRevocationsMissing(t *testing.T) {
	const name = "acme_revocations_missing_total"
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{revoking("1")})
	want(t, reg, map[string]float64{name + "{via=api}": 0, name + "{via=crl}": 0, name + "{via=ocsp}": 0})
	m.RestoreMissing(issuing, map[probe.RevocationVia]uint64{probe.ViaOCSP: 2})
	revoked, watched := revocations(start, time.Hour)
	// Whoever's fault it is that it is not revoked, it is not.
	for _, v := range []probe.Verdict{{Outcome: probe.OutcomeSkipped}, {Outcome: probe.OutcomeFailure, Fault: probe.FaultUnreachable}} {
		for _, what := range []*probe.Revocation{nil, {}, {GivenUp: true}} {
			r := *revoked
			r.Verdict, r.Revocation = v, what
			m.Observe(&r)
		}
	}
	for _, w := range watched {
		for _, v := range []probe.Verdict{{Outcome: probe.OutcomeSkipped}, {Outcome: probe.OutcomeFailure, Fault: probe.FaultCA}} {
			for _, over := range []bool{false, true} {
				r := *w
				r.Verdict, r.Revocation = v, &probe.Revocation{At: start, Via: w.Revocation.Via, GivenUp: over}
				m.Observe(&r)
			}
		}
	}
	if diff := cmp.Diff(map[string]float64{name + "{via=api}": 2, name + "{via=crl}": 1, name + "{via=ocsp}": 3}, values(t, reg, name)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
