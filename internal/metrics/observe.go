package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// countRun counts a run and its steps.
func (m *Metrics) countRun(p *pair, r *probe.Result) {
	v := r.Verdict
	m.f.runs.probes.WithLabelValues(p.labels(string(v.Outcome), string(v.Fault))...).Inc()
	if v.Outcome == probe.OutcomeFailure {
		m.f.runs.failures.WithLabelValues(p.labels(string(v.Stage), string(v.Reason))...).Inc()
	}
	if v.Outcome != probe.OutcomeSkipped {
		m.f.runs.duration.WithLabelValues(p.labels()...).Observe(r.Duration.Seconds())
	}
	for _, s := range r.Steps {
		if s.OK && s.Name != probe.StepSetup && s.Name != probe.StepCertificate && !ofRefusal(r, s.Name) && p.times(s.Name == probe.StepAccount) {
			m.f.runs.steps.WithLabelValues(p.labels(string(s.Name))...).Observe(s.Duration.Seconds())
		}
	}
}

// times reports whether the duration of something that p does is to be counted. Only
// modules of the prober account are about accounts; others make theirs once, and a
// histogram of that would cost as much as any other.
func (p *pair) times(ofAccount bool) bool { return !ofAccount || p.prober == probe.ProberAccount }

// ofRefusal reports whether a step that has ended as it had to is none that others can
// be compared with: the CA was to refuse.
func ofRefusal(r *probe.Result, step probe.StepName) bool {
	return r.Refusal != nil && (step == r.Refusal.Step || step == probe.StepValidation || step == probe.StepFinalization)
}

// countFollowUp counts a follow-up.
func (m *Metrics) countFollowUp(p *pair, r *probe.Result) {
	m.f.runs.followUps.WithLabelValues(p.labels(string(r.FollowUp), string(r.Verdict.Outcome))...).Inc()
	if via := r.MissingRevocation(); via != "" && p.revokes {
		m.f.revoked.missing.WithLabelValues(p.labels(string(via))...).Inc()
	}
	if v := r.Revocation; p.revokes && v != nil && v.Propagation != nil && r.Verdict.Success() {
		m.f.revoked.propagation.WithLabelValues(p.labels(string(v.Via))...).Observe(v.Propagation.Seconds())
	}
}

// countCalls counts the calls of a run.
func (m *Metrics) countCalls(p *pair, r *probe.Result) {
	for i := range r.Calls {
		c := &r.Calls[i]
		name := string(c.Name)
		m.f.calls.requests.WithLabelValues(p.labels(name, code(c))...).Inc()
		if c.Answered() && p.times(c.Name == probe.CallNewAccount || c.Name == probe.CallAccount) {
			m.f.calls.duration.WithLabelValues(p.labels(name)...).Observe(c.Processing().Seconds())
		}
		if c.Method == http.MethodPost && c.Name != probe.CallOCSP {
			// Only a signed request has a nonce that can be refused. Its series
			// exists from the first such call, so that the first retry counts.
			m.f.calls.retries.WithLabelValues(p.labels(name, causeBadNonce)...)
		}
		if c.Attempt > 0 {
			m.f.calls.retries.WithLabelValues(p.labels(name, retryCause(c.RetryCause))...).Inc()
		}
		m.countConnection(p, c)
	}
}

// countConnection counts the phases of a connection that c opened.
func (m *Metrics) countConnection(p *pair, c *probe.Call) {
	for _, phase := range []struct {
		name probe.Phase
		span *probe.Span
	}{
		{probe.PhaseDNS, c.Connection.DNS}, {probe.PhaseConnect, c.Connection.Connect}, {probe.PhaseTLS, c.Connection.TLS},
	} {
		if phase.span == nil || c.Error != nil && c.Error.Phase == phase.name {
			continue
		}
		if c.Error != nil && c.Error.Phase == probe.PhaseRequest && phase.name == probe.PhaseConnect {
			continue // the address was refused by ourselves as it was dialled
		}
		m.f.calls.connection.WithLabelValues(p.Target, p.environment, string(phase.name)).Observe(phase.span.Duration.Seconds())
	}
}

// countChecks counts the checks that the run's certificate failed, and what the CA gave
// that it had to refuse.
func (m *Metrics) countChecks(p *pair, r *probe.Result) {
	if kind := r.Misissued(); p.expected != "" && kind != "" {
		m.f.issued.misissued.WithLabelValues(p.labels(string(kind))...).Inc()
	}
	if r.Certificate == nil {
		return
	}
	for _, c := range r.Certificate.Checks {
		if !c.Passed {
			m.f.issued.checkFailed.WithLabelValues(p.labels(string(c.Check))...).Inc()
		}
	}
}

// show sets the pair's gauges to what r measured, and to nothing that it did
// not. What a newer Result has set stays.
func (m *Metrics) show(p *pair, r *probe.Result) {
	if r.FollowUp != "" {
		return
	}
	end := r.End()
	if newer(&p.ranAt, end) {
		m.f.runs.lastRun.WithLabelValues(p.labels()...).Set(seconds(end))
	}
	if r.Verdict.Outcome != probe.OutcomeSkipped && newer(&p.evidenceAt, end) {
		m.f.runs.success.WithLabelValues(p.labels()...).Set(truth(r.Verdict.Success()))
	}
	if r.Verdict.Success() && newer(&p.succeededAt, end) {
		m.f.runs.lastSuccess.WithLabelValues(p.labels()...).Set(seconds(end))
	}
	if _, ok := r.Accepted(); ok && newer(&p.validatedAt, end) {
		m.showNetworks(p, r)
	}
	m.showBeside(p, r)
	m.showRenewals(p, r)
	m.showStatus(p, r)
	if c := r.Certificate; c != nil && newer(&p.issuedAt, end) {
		m.f.issued.notBefore.WithLabelValues(p.labels()...).Set(seconds(c.NotBefore))
		m.f.issued.notAfter.WithLabelValues(p.labels()...).Set(seconds(c.NotAfter))
		m.f.issued.checkPassed.DeletePartialMatch(p.match())
		for _, check := range c.Checks {
			m.f.issued.checkPassed.WithLabelValues(p.labels(string(check.Check))...).Set(truth(check.Passed))
		}
		m.f.issued.scts.DeletePartialMatch(p.match())
		if t := c.Transparency; t != nil && !t.Unreadable {
			m.f.issued.scts.WithLabelValues(p.labels()...).Set(float64(t.Count))
		}
		m.f.issued.warnings.DeletePartialMatch(p.match())
		if c.Lints != nil {
			m.f.issued.warnings.WithLabelValues(p.labels()...).Set(float64(c.Lints.WarningCount))
		}
	}
}

// newer sets *last to at and reports true, unless *last is later.
func newer(last *time.Time, at time.Time) bool {
	if at.Before(*last) {
		return false
	}
	*last = at
	return true
}

// causeBadNonce is the cause of a retry after the CA refused a nonce (RFC 8555 §6.5).
const causeBadNonce = "bad_nonce"

// retryCause bounds the values of the label cause.
func retryCause(cause string) string {
	if cause == causeBadNonce {
		return cause
	}
	return "other"
}

// code bounds the values of the label code: the statuses of RFC 8555 (some of them only
// for the calls that have them) and of what commonly stands before a CA.
func code(c *probe.Call) string {
	if !c.Answered() {
		return "none"
	}
	nonce := c.Name == probe.CallNewNonce
	switch c.Status {
	case 200, 403, 429, 500, 502, 503, 504:
		return strconv.Itoa(c.Status)
	case http.StatusBadRequest: // there is nothing to be wrong in a request for these
		if c.Name != probe.CallDirectory && !nonce {
			return "400"
		}
	case http.StatusNotFound: // of what is published; an order that is gone is rare
		if c.Method != http.MethodPost && !nonce {
			return "404"
		}
	case http.StatusCreated: // RFC 8555 §7.3, §7.4
		if c.Name == probe.CallNewAccount || c.Name == probe.CallNewOrder {
			return "201"
		}
	case http.StatusNoContent: // RFC 8555 §7.2
		if nonce {
			return "204"
		}
	}
	return "other"
}
