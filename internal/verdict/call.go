package verdict

import (
	"net/http"
	"net/url"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// judgeCall judges the exchange itself; not ok: it was answered with 2xx, and
// what is wrong is elsewhere.
func (e *evidence) judgeCall() (found finding, ok bool) {
	c := e.call
	if c.Error != nil {
		// The status came before the body: of an error it tells enough.
		if c.Error.Phase != probe.PhaseBody || c.Status < 300 {
			return e.judgeError(), true
		}
	}
	switch {
	case c.Status == 0:
		return finding{reason: Unclassified}, e.failure.Kind == probe.FailureCall
	case c.Status >= 200 && c.Status < 300:
		// Not an error, and yet not the status that the call asks for.
		return finding{reason: UnexpectedStatus}, e.failure.Kind == probe.FailureCall
	}
	return e.judgeStatus(c), true
}

// judgeStatus judges an answer that is not 2xx. A limit comes first: a content
// network's 429 has no problem document, and is one nevertheless.
// An answer to HEAD, as new-nonce's is, has no body in which one could be.
func (e *evidence) judgeStatus(c *probe.Call) finding {
	problem := ""
	if c.Problem != nil {
		problem = c.Problem.Type
	}
	if found, ok := e.judgeLimit(c.Status, problem); ok {
		return found
	}
	switch {
	case c.Problem == nil && (c.Method != http.MethodHead || c.Status < 500):
		return finding{reason: edge(c.Status)}
	case problem == typeServerInternal:
		return finding{reason: ServerInternal}
	case c.Status >= 500 && c.Status < 600:
		return finding{reason: HTTP5xx}
	case c.Status >= 600:
		return finding{reason: UnexpectedStatus}
	}
	return judgeProblem(problem)
}

// edge is the reason of an answer without a valid problem document: whoever
// gave it was not the ACME server.
func edge(status int) probe.Reason {
	switch {
	case status >= 300 && status < 400:
		return Edge3xx
	case status >= 400 && status < 500:
		return Edge4xx
	case status >= 500 && status < 600:
		return Edge5xx
	}
	return UnexpectedStatus
}

// judgeLimit asks whether a status and a problem type, of an answer or embedded,
// say that we came too often.
func (e *evidence) judgeLimit(status int, problem string) (found finding, ok bool) {
	limit := e.facts.RateLimit
	switch {
	case status == http.StatusServiceUnavailable && problem == typeRateLimited && e.context.Paced:
		// We did not: the CA has too little for everybody.
		return finding{reason: Throttled, fault: probe.FaultCA}, true
	case status == http.StatusServiceUnavailable && problem == typeRateLimited:
		return finding{reason: Throttled}, true
	case status != http.StatusTooManyRequests && problem != typeRateLimited:
		return finding{}, false
	case limit != nil && limit.Paused:
		return finding{reason: IdentifierPaused}, true
	case limit != nil && limit.Unexpected:
		return finding{reason: UnexpectedLimit}, true
	}
	return finding{reason: RateLimited}, true
}

// judgeError judges an exchange without a whole answer.
func (e *evidence) judgeError() finding {
	err := e.call.Error
	switch err.Cause {
	case probe.CauseCanceled:
		return finding{reason: Canceled}
	case probe.CauseAddress, probe.CauseScheme:
		if e.call.Name == probe.CallDirectory {
			return finding{reason: URLRefused, fault: probe.FaultClient} // nobody but the configuration named it
		}
		return finding{reason: URLRefused}
	case probe.CauseTooLarge:
		if err.Phase == probe.PhaseRequest { // not an answer, but the URL that the CA handed out
			return finding{reason: URLRefused}
		}
		return finding{reason: TooLarge}
	}
	if e.validating() {
		return e.judgeTimeout()
	}
	reason, known := errorReasons[err.Phase][err.Cause]
	if !known {
		if reason, known = errorReasons[err.Phase][probe.CauseOther]; !known {
			return finding{reason: Unclassified}
		}
	}
	return finding{reason: reason}
}

// validating reports whether the call is the acceptance of a challenge that was
// never answered: some CAs validate before they answer it, and may be waiting
// for our responder.
func (e *evidence) validating() bool {
	err := e.call.Error
	return e.call.Name == probe.CallChallenge && e.failure.Step == probe.StepValidation &&
		err.Phase == probe.PhaseResponse && err.Cause == probe.CauseTimeout
}

// answeredBefore reports whether the connection of the failed call stood, and its host
// has answered another call of this run: then the path to it has just worked, and as
// long as our own line does too, the missing answer is the host's.
func (e *evidence) answeredBefore() bool {
	host := hostOf(e.call)
	if phase := e.call.Error.Phase; host == "" || phase != probe.PhaseResponse && phase != probe.PhaseBody {
		return false
	}
	for i := range e.facts.Calls[:e.failure.Call] {
		if c := &e.facts.Calls[i]; c.Answered() && hostOf(c) == host {
			return true
		}
	}
	return false
}

func hostOf(c *probe.Call) string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// errorReasons has the reason for each phase and cause; CauseOther is for the
// causes that a phase does not list.
var errorReasons = map[probe.Phase]map[probe.Cause]probe.Reason{
	probe.PhaseRequest: {
		probe.CauseTimeout: RunTimeout,
		probe.CauseOther:   Unclassified,
	},
	probe.PhaseDNS: {
		probe.CauseNotFound: DNSNotFound,
		probe.CauseTimeout:  DNSTimeout,
		probe.CauseOther:    DNSFailed,
	},
	probe.PhaseConnect: {
		probe.CauseRefused:     ConnectRefused,
		probe.CauseTimeout:     ConnectTimeout,
		probe.CauseUnreachable: ConnectUnreachable,
		probe.CauseOther:       ConnectFailed,
	},
	probe.PhaseTLS: {
		probe.CauseCertificate: TLSCertificate,
		probe.CauseExpired:     TLSExpired,
		probe.CauseTimeout:     TLSTimeout,
		probe.CauseOther:       TLSFailed,
	},
	probe.PhaseResponse: {
		probe.CauseTimeout: NoAnswerTimeout,
		probe.CauseClosed:  NoAnswerClosed,
		probe.CauseOther:   NoAnswerFailed,
	},
	probe.PhaseBody: {
		probe.CauseTimeout: BodyTimeout,
		probe.CauseClosed:  BodyClosed,
		probe.CauseOther:   BodyFailed,
	},
}
