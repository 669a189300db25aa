package verdict

import (
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxSkew is by how much our clock may differ from the CA's. RFC 9110 §10.1.1 has
// Date to the second, and the answer was on its way.
const maxSkew = 30 * time.Second

// Unreached reports whether the CA, as far as f tells, was not reached or gave no
// whole answer, so that controls have to say whether our own line works.
func Unreached(f *probe.Facts) bool {
	if f.Failure == nil {
		return false
	}
	e := evidence{facts: f, failure: f.Failure, call: failedCall(f), context: new(Context)}
	found := e.judge()
	return found.fault == probe.FaultNone && unreached[found.reason]
}

// unreached are the reasons that say that the way to the CA, or our end of it, may
// be what is broken.
var unreached = map[probe.Reason]bool{
	DNSNotFound: true, DNSTimeout: true, DNSFailed: true,
	ConnectRefused: true, ConnectTimeout: true, ConnectUnreachable: true, ConnectFailed: true,
	TLSTimeout: true, TLSFailed: true,
	NoAnswerTimeout: true, NoAnswerClosed: true, NoAnswerFailed: true,
	BodyTimeout: true, BodyClosed: true, BodyFailed: true,
	StatusPageUnavailable: true,
}

// validating are the reasons that the CA's validators have not found what they
// were to find, by the CA's word.
var validating = map[probe.Reason]bool{
	ValidationDNS: true, ValidationConnection: true, ValidationTLS: true,
	ValidationUnauthorized: true, ValidationTimeout: true,
}

// rejecting are the reasons that are the client's in a right world, and the CA's
// where they come from one minute to the next.
var rejecting = map[probe.Reason]bool{
	RejectedMalformed: true, RejectedBadPublicKey: true, RejectedBadCSR: true, RejectedBadSignatureAlgorithm: true,
}

// Repeat reports whether the same run at once would tell whose fault it is: what has
// worked is rejected, for the first time.
func Repeat(v probe.Verdict, c Context) bool {
	return rejecting[v.Reason] && c.Worked && !rejecting[c.Again]
}

// timely are the reasons that something is not valid now, which our own clock says.
var timely = []probe.Reason{CertificateValidity, CRLStale, OCSPStale}

// whose asks those who can tell more than the answer does; FaultNone: the usual
// one's.
func (e *evidence) whose(reason probe.Reason) probe.Fault {
	switch {
	case reason == StatusPageUnavailable: // never the CA's
		if e.cutOff() {
			return probe.FaultLocal
		}
	case unreached[reason]:
		return e.byControls()
	case validating[reason] && e.withheld():
		// Our responders have told nobody anything, as they had to. That others get
		// through to us says nothing of who waits for an answer that is not there.
	case validating[reason] && e.failure.Step == probe.StepValidation:
		return e.byValidation(reason)
	case rejecting[reason] && e.context.Worked && e.context.Again == reason:
		// One key may be unlucky; two are not, where many were right before.
		return probe.FaultCA
	case slices.Contains(timely, reason) && e.skewed():
		return probe.FaultLocal
	case reason == CertificateSCTs && e.early() && e.skewed():
		return probe.FaultLocal
	}
	return probe.FaultNone
}

// byControls asks those whom we ought to reach as well. Without them a line that was
// cut in mid-run is as silent as a CA that hangs; somebody has to have closed a
// connection.
func (e *evidence) byControls() probe.Fault {
	alive := len(e.context.Controls) > 0 && !e.cutOff()
	switch {
	case e.cutOff():
		return probe.FaultLocal
	case e.answeredBefore() && (alive || e.call.Error.Cause != probe.CauseTimeout):
		return probe.FaultCA
	case alive:
		return probe.FaultUnreachable
	}
	return probe.FaultNone
}

// cutOff reports whether our own line is, by the controls.
func (e *evidence) cutOff() bool {
	return len(e.context.Controls) > 0 && !slices.ContainsFunc(e.context.Controls, func(c probe.Control) bool { return c.Alive })
}

// byValidation asks the responders who came and what they were told, resolvers
// whether the world sees our names, and other CAs whether theirs do.
func (e *evidence) byValidation(reason probe.Reason) probe.Fault {
	visited, answered := e.visits()
	switch {
	case visited && !answered:
		return probe.FaultLocal
	case visited && e.partial():
		// The others were not let through, on their side or on the way to ours.
		return e.byOthers()
	case visited:
		return probe.FaultCA // they were told what they had to be told
	}
	found, missing := e.lookups()
	switch {
	case found && !missing && reason == ValidationDNS:
		return probe.FaultCA // the world resolves it
	case missing && !found:
		return probe.FaultClient
	}
	return e.byOthers()
}

// unrefused is what is found where a validation that had to be refused ended otherwise.
// A CA may try again for as long as it likes (RFC 8555 §8.2), so that it is not stuck
// when our time is over; unless it says itself that it cannot go on.
func (e *evidence) unrefused(found finding) finding {
	switch p := e.failure.Problem; {
	case e.failure.Kind == probe.FailureTimeout && p != nil && (p.Status >= 500 || p.Type == "serverInternal"):
		return finding{reason: ServerInternal}
	case e.failure.Kind == probe.FailureTimeout, e.failure.Kind == probe.FailureObject:
		return finding{reason: RefusedOtherwise}
	}
	return found
}

// withheld reports whether nobody was to get the answer to the challenge.
func (e *evidence) withheld() bool {
	return e.facts.Refusal != nil && e.facts.Refusal.Expected == probe.ProblemUnauthorized
}

// byOthers takes it for the CA's if another CA gets through to us.
func (e *evidence) byOthers() probe.Fault {
	if e.context.ServedElsewhere {
		return probe.FaultCA
	}
	return probe.FaultNone
}

// decisive is what a validator asks to have the challenge's answer. That somebody
// asks for CAA records, or where a name lives, does not show that he gets it.
var decisive = map[probe.ChallengeType]string{
	probe.HTTP01: "GET", probe.TLSALPN01: "acme-tls/1",
	probe.DNS01: "TXT", probe.DNSAccount01: "TXT", probe.DNSPersist01: "TXT",
}

// visits says whether validators came for the answer to the challenge that failed,
// and whether they got it.
func (e *evidence) visits() (visited, answered bool) {
	name := strings.TrimPrefix(e.failure.Identifier, "*.")
	for i := range e.facts.Visits {
		v := &e.facts.Visits[i]
		if v.Asked != decisive[v.Challenge] || name != "" && v.Identifier != "" && v.Identifier != name {
			continue
		}
		visited = true
		answered = answered || v.OK
	}
	return visited, answered
}

// partial reports whether the CA says that only some of its perspectives have
// failed.
func (e *evidence) partial() bool {
	p := e.failure.Problem
	return p != nil && strings.Contains(strings.ToLower(p.Detail), "secondary validation")
}

// lookups says whether resolvers see what the validators were to find, and whether
// any of them was told that it is not there.
func (e *evidence) lookups() (found, missing bool) {
	for _, l := range e.facts.Lookups {
		// An address may be from a cache; a record's value is new in each run.
		found = found || l.Found && l.Type == "TXT"
		missing = missing || !l.Found && !l.Silent
	}
	return found, missing
}

// early reports whether an SCT is of a time that our clock has yet to come to.
func (e *evidence) early() bool {
	c := e.facts.Certificate
	return c != nil && c.Transparency != nil &&
		slices.ContainsFunc(c.Transparency.SCTs, func(s probe.SCT) bool { return s.Status == probe.SCTFuture })
}

// skewed reports whether our clock is off by the CA's, which all answers of the run
// that tell the time agree on.
func (e *evidence) skewed() bool {
	if e.context.Start.IsZero() {
		return false
	}
	told := false
	for i := range e.facts.Calls {
		c := &e.facts.Calls[i]
		if c.Date.IsZero() {
			continue
		}
		if c.Date.Sub(e.context.Start.Add(c.End)).Abs() <= maxSkew {
			return false
		}
		told = true
	}
	return told
}
