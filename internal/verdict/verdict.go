// Package verdict judges a run: whether it succeeded, and if not, for which
// reason and whose fault that is.
//
// It owns the closed list of reasons. It sees [probe.Facts] and nothing else,
// does no I/O and keeps nothing between two runs, so that the same facts have
// the same verdict at any time and in any place.
package verdict

import (
	"cmp"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Context is what is known about a run beside its facts.
type Context struct {
	Prober probe.Prober // names the run in the summary; empty: it is not named
	// FollowUp names a run that follows up another one, instead; empty: it does not.
	FollowUp probe.FollowUpKind
	// Start is when the run began by our own clock; zero: not known.
	Start time.Time
	// Paced says that our requests to the target are kept below half of what it
	// publishes.
	Paced bool
	// Controls are what was asked because the CA was not reached; nil: nothing was,
	// or there are none.
	Controls []probe.Control
	// Worked says that the same run has succeeded within a day, with the same
	// configuration, binary and account; Again, that the run before this one, with
	// another key for its certificate, has failed for the reason given there.
	Worked bool
	Again  probe.Reason
	// ServedElsewhere says that another CA has lately validated names by the same
	// kind of challenge at our responders.
	ServedElsewhere bool
}

// name is what the summary calls the run; empty: nothing.
func (c Context) name() string { return cmp.Or(string(c.FollowUp), string(c.Prober)) }

// finding is what a question finds out: a reason and whose fault it is.
type finding struct {
	reason probe.Reason
	fault  probe.Fault // FaultNone: the first one that the reason's documentation has
}

// Judge returns the verdict on f, which it does not change. The outcome is
// success if and only if f has no failure; the reason is one of [Reasons]; the
// stage is where it failed, [probe.StepSetup] if f does not name a step.
func Judge(f *probe.Facts, c Context) probe.Verdict {
	if f.Failure == nil {
		return probe.Verdict{Outcome: probe.OutcomeSuccess, Summary: passed(f, c)}
	}
	e := evidence{facts: f, failure: f.Failure, call: failedCall(f), context: &c}
	found := e.judge()
	if validating[found.reason] && e.withheld() {
		found = e.unrefused(found)
	}
	doc := docs[found.reason]
	if found.fault == probe.FaultNone {
		found.fault = e.whose(found.reason)
	}
	v := probe.Verdict{Outcome: doc.Outcome, Stage: e.stage(), Reason: found.reason}
	if v.Outcome == probe.OutcomeFailure {
		v.Fault = found.fault
		if v.Fault == probe.FaultNone {
			v.Fault = doc.Faults[0]
		}
	}
	v.Summary = e.summary(v, doc, c)
	return v
}

// evidence is a failure and what belongs to it.
type evidence struct {
	facts   *probe.Facts
	failure *probe.Failure
	call    *probe.Call // nil: none
	context *Context
}

func failedCall(f *probe.Facts) *probe.Call {
	if i := f.Failure.Call; i >= 0 && i < len(f.Calls) {
		return &f.Calls[i]
	}
	return nil
}

func (e *evidence) stage() probe.StepName {
	if slices.Contains(probe.Steps(), e.failure.Step) {
		return e.failure.Step
	}
	return probe.StepSetup
}

// judge asks the questions in their order. The first answer stands.
func (e *evidence) judge() finding {
	// Was it ourselves, or a zone of ours that is elsewhere?
	if reason, ok := e.judgePublication(); ok {
		return finding{reason: reason}
	}
	if found, ok := e.judgeStatusPage(); ok {
		return found
	}
	switch e.failure.Kind {
	case probe.FailureCanceled:
		return finding{reason: Canceled}
	case probe.FailureClient:
		return finding{reason: Configuration}
	case probe.FailureLocal:
		return finding{reason: Local}
	case probe.FailureBudget:
		return finding{reason: Budget}
	case probe.FailureUnsupported:
		return finding{reason: Unsupported}
	case probe.FailurePending:
		return finding{reason: RevocationPending}
	case probe.FailureNotApplicable:
		return finding{reason: NotApplicable}
	case probe.FailureRefusal:
		if slices.Contains(probe.Refusals(), e.failure.Refusal) {
			return finding{reason: probe.Reason(e.failure.Refusal)}
		}
		return finding{reason: Unclassified}
	case probe.FailureFlaw: // of what was answered; a site's certificate is seen whatever the status
		return e.judgeFlaw()
	}
	// Did the call reach the CA, and who answered it? An object or a protocol
	// error that hangs on a call without a good answer is that call's.
	if e.call != nil && e.failure.Kind != probe.FailureTimeout {
		if found, ok := e.judgeCall(); ok {
			return found
		}
	}
	switch e.failure.Kind {
	case probe.FailureProtocol:
		switch e.failure.Object {
		case "certificate":
			return finding{reason: CertificateUnreadable}
		case "url":
			return finding{reason: URLRefused}
		}
		return finding{reason: Protocol}
	case probe.FailureCertificate:
		return e.judgeCertificate()
	case probe.FailureObject:
		return e.judgeObject()
	case probe.FailureTimeout:
		return e.judgeTimeout()
	}
	return finding{reason: Unclassified}
}

// judgePublication asks why a record is not where it has to be; not ok: that is
// not what failed. What is local and about no object is our own disk, on which the
// withdrawal could not be promised.
func (e *evidence) judgePublication() (reason probe.Reason, ok bool) {
	if e.failure.Step != probe.StepPublication {
		return "", false
	}
	switch e.failure.Kind {
	case probe.FailureClient:
		return PublicationRefused, true
	case probe.FailureLocal:
		return PublicationUnreachable, e.failure.Object != ""
	case probe.FailureTimeout:
		return PublicationIncomplete, true
	}
	return "", false
}

// judgeStatusPage asks why the CA's status page could not be read, of which none of
// the reasons is the CA's: it is mostly somebody else's host. Not ok: that is not what
// failed.
func (e *evidence) judgeStatusPage() (found finding, ok bool) {
	if e.failure.Step != probe.StepStatusPage {
		return finding{}, false
	}
	switch e.failure.Kind {
	case probe.FailureProtocol:
		return finding{reason: StatusPageUnreadable}, true
	case probe.FailureCall:
		if c := e.call; c != nil && c.Error != nil && c.Error.Cause == probe.CauseCanceled {
			return finding{reason: Canceled}, true
		} else if c != nil && c.Status != 0 {
			return finding{reason: StatusPageUnavailable, fault: probe.FaultUnreachable}, true
		}
		return finding{reason: StatusPageUnavailable}, true
	}
	return finding{}, false
}

// judgeCertificate takes the first check that failed.
func (e *evidence) judgeCertificate() finding {
	if e.facts.Certificate != nil {
		for _, c := range e.facts.Certificate.Checks {
			if reason, known := checks[c.Check]; known && !c.Passed {
				return finding{reason: reason}
			}
		}
	}
	return finding{reason: CertificateUnreadable}
}

// judgeFlaw takes the flaw for the reason, which has the same name.
func (e *evidence) judgeFlaw() finding {
	if slices.Contains(probe.Flaws(), e.failure.Flaw) {
		return finding{reason: probe.Reason(e.failure.Flaw)}
	}
	return finding{reason: Unclassified}
}

var checks = map[probe.Check]probe.Reason{
	probe.CheckKey:        CertificateKey,
	probe.CheckNames:      CertificateNames,
	probe.CheckValidity:   CertificateValidity,
	probe.CheckOrder:      CertificateOrder,
	probe.CheckSignatures: CertificateSignatures,
	probe.CheckProfile:    CertificateProfile,
	probe.CheckSerial:     CertificateSerial,
	probe.CheckKeyUsage:   CertificateKeyUsage,
	probe.CheckExtensions: CertificateExtensions,
	probe.CheckTrust:      CertificateTrust,
	probe.CheckLint:       CertificateLint,
	probe.CheckSCTs:       CertificateSCTs,
}

// judgeObject looks into the problem document that the object carries. Its
// status is the CA's own word for whose error it was.
func (e *evidence) judgeObject() finding {
	p := e.failure.Problem
	if p == nil {
		return finding{reason: Invalid}
	}
	if found, ok := e.judgeLimit(p.Status, p.Type); ok {
		return found
	}
	switch {
	case p.Type == typeServerInternal:
		return finding{reason: ServerInternal}
	case p.Status >= 500:
		return finding{reason: HTTP5xx}
	case p.Type == "unauthorized" && e.failure.Step != probe.StepFinalization:
		return finding{reason: ValidationUnauthorized}
	}
	return judgeProblem(p.Type)
}

// judgeTimeout is about a CA that answers, but does not come to an end.
func (e *evidence) judgeTimeout() finding {
	switch e.failure.Step {
	case probe.StepValidation:
		return finding{reason: ValidationTimeout}
	case probe.StepFinalization:
		return finding{reason: FinalizationTimeout}
	}
	return finding{reason: RunTimeout}
}
