package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// pair is a configured pair and what its gauges show. Metrics.mu guards it.
type pair struct {
	probe.Pair
	environment string
	prober      probe.Prober
	challenge   probe.ChallengeType // empty: it solves none
	deactivates bool                // its runs leave authorizations to be deactivated
	revokes     bool                // they leave certificates to be revoked
	expected    string              // the problem that the CA has to refuse them with; empty: it has not to
	hash        string
	checks      []probe.Check // that its certificates undergo

	// When what the gauges show was measured: an older Result changes nothing,
	// so that restored ones may come in any order.
	ranAt, evidenceAt, succeededAt, validatedAt, issuedAt time.Time
	listedAt, answeredAt, renewalsAt, statusAt            time.Time
}

func newPair(c config.Pair) *pair {
	p := &pair{Pair: c.Pair, hash: c.Hash}
	if c.Target != nil {
		p.environment = string(c.Target.Environment)
	}
	if c.Module == nil {
		return p
	}
	p.prober = c.Module.Prober
	if p.prober == probe.ProberIssue && c.Target != nil {
		p.checks = c.Checks()
	}
	switch {
	case p.prober == probe.ProberValidate && c.Module.Validate != nil:
		p.challenge, p.deactivates = c.Module.Validate.Challenge, true
	case p.prober == probe.ProberIssue && c.Module.Issue != nil:
		p.challenge = c.Module.Issue.Challenge
		p.deactivates = c.Module.Issue.Authorization != config.AuthorizationReuse
		p.expected = c.Module.Expected()
		p.revokes = c.Module.Issue.Revoke != nil || p.expected != ""
	}
	return p
}

// same reports whether two pairs have the same series: one may take over the
// other's counters.
func (p *pair) same(other *pair) bool {
	return p.environment == other.environment && p.prober == other.prober && (p.expected == "") == (other.expected == "")
}

// withheld reports whether validators are to get no answers.
func (p *pair) withheld() bool { return p.expected == probe.ProblemUnauthorized }

// labels are the values of the pair's labels followed by more.
func (p *pair) labels(more ...string) []string {
	return append([]string{p.Target, p.environment, p.Module}, more...)
}

// match are the labels that all series of the pair have.
func (p *pair) match() prometheus.Labels {
	return prometheus.Labels{"target": p.Target, "environment": p.environment, "module": p.Module}
}

// removePair deletes every series of p.
func (m *Metrics) removePair(p *pair) { m.declared.remove(ofPair, p.match()) }

// resetGauges deletes what the last runs of p showed, and keeps its counts.
func (m *Metrics) resetGauges(p *pair) {
	gauges := []*prometheus.GaugeVec{
		m.f.runs.success, m.f.runs.lastRun, m.f.runs.lastSuccess, m.f.runs.info,
		m.f.validation.networks, m.f.validation.few, m.f.issued.notBefore, m.f.issued.notAfter, m.f.issued.checkPassed, m.f.issued.warnings, m.f.issued.scts,
	}
	for _, g := range slices.Concat(gauges, m.f.beside.gauges(), m.f.renewals.gauges(), m.f.status.gauges()) {
		g.DeletePartialMatch(p.match())
	}
}

// initialise creates the series of p whose labels are known in advance, at
// zero: a counter born at 1 has no increase.
func (m *Metrics) initialise(p *pair) {
	f := &m.f.runs
	for _, v := range verdicts() {
		f.probes.WithLabelValues(p.labels(string(v.Outcome), string(v.Fault))...)
	}
	f.duration.WithLabelValues(p.labels()...)
	f.missed.WithLabelValues(p.labels()...)
	f.info.WithLabelValues(p.labels(string(p.prober), string(p.challenge))...).Set(1)
	for _, kind := range p.leaves() {
		for _, o := range outcomes() {
			f.followUps.WithLabelValues(p.labels(string(kind), string(o))...)
		}
	}
	if p.challenge != "" {
		for _, family := range ipFamilies() {
			m.f.validation.requests.WithLabelValues(p.labels(string(p.challenge), string(family))...)
			if !p.withheld() {
				m.f.validation.delay.WithLabelValues(p.labels(string(family))...)
			}
		}
		if !p.withheld() {
			m.f.validation.spread.WithLabelValues(p.labels()...)
		}
	}
	if p.expected != "" {
		for _, kind := range probe.Misissuances() {
			m.f.issued.misissued.WithLabelValues(p.labels(string(kind))...)
		}
	}
	if p.revokes {
		m.f.revoked.missing.WithLabelValues(p.labels(string(probe.ViaAPI))...)
		for _, via := range probe.RevocationVias() {
			m.f.revoked.propagation.WithLabelValues(p.labels(string(via))...)
			m.f.revoked.missing.WithLabelValues(p.labels(string(via))...)
		}
	}
	for _, check := range p.checks {
		m.f.issued.checkFailed.WithLabelValues(p.labels(string(check))...)
	}
}

// leaves lists the kinds of follow-up that the pair's runs may leave.
func (p *pair) leaves() []probe.FollowUpKind {
	var kinds []probe.FollowUpKind
	if p.deactivates {
		kinds = append(kinds, probe.FollowUpDeactivateAuthz)
	}
	if p.challenge.DNS() { // it is not known here whether the names are elsewhere
		kinds = append(kinds, probe.FollowUpWithdrawRecords)
	}
	if p.revokes {
		kinds = append(kinds, probe.FollowUpRevoke, probe.FollowUpWatchRevocation)
	}
	return kinds
}

// outcomes lists every outcome.
func outcomes() []probe.Outcome {
	return []probe.Outcome{probe.OutcomeSuccess, probe.OutcomeFailure, probe.OutcomeSkipped}
}

// verdicts lists the combinations of outcome and fault that there are.
func verdicts() []probe.Verdict {
	v := []probe.Verdict{{Outcome: probe.OutcomeSuccess}, {Outcome: probe.OutcomeSkipped}}
	for _, fault := range []probe.Fault{
		probe.FaultCA, probe.FaultUnreachable, probe.FaultLocal, probe.FaultClient, probe.FaultUnknown,
	} {
		v = append(v, probe.Verdict{Outcome: probe.OutcomeFailure, Fault: fault})
	}
	return v
}
