// Package probe holds the words of the program as plain data: what a prober
// saw ([Facts]), what it means ([Verdict]) and both together ([Result]).
//
// It judges nothing, does no I/O and imports nothing of ours, so that every
// other package can speak the same language. The JSON form of a Result is the
// stored form; durations in it are integers of nanoseconds and say so in their
// names.
package probe

import (
	"crypto/rand"
	"strings"
	"time"
)

// Version is the version of the stored form of a Result. A stored Result of
// another version is ignored, never guessed at.
const Version = 1

// Pair names a module on a target. Only configured pairs exist.
type Pair struct {
	Target string `json:"target"`
	Module string `json:"module"`
}

// String returns "target/module", the form used in logs and error texts.
func (p Pair) String() string { return p.Target + "/" + p.Module }

// Prober is the kind of a probe: which code runs.
type Prober string

// The probers. Each has a file of its name in the package prober.
const (
	ProberDirectory Prober = "directory"
	ProberNonce     Prober = "nonce"
	ProberAccount   Prober = "account"
	ProberOrder     Prober = "order"
	ProberValidate  Prober = "validate"
	ProberIssue     Prober = "issue"
	// What a CA publishes beside its API.
	ProberCRL  Prober = "crl"
	ProberOCSP Prober = "ocsp"
	ProberAIA  Prober = "aia"
	ProberSite Prober = "site"
	// When the CA wants certificates to be renewed (RFC 9773).
	ProberRenewalInfo Prober = "renewal_info"
	// What the CA says of itself.
	ProberStatusPage Prober = "status_page"
)

// Signs reports whether the prober sends signed requests, and so needs an
// account key.
func (p Prober) Signs() bool { return p == ProberAccount || p.Orders() }

// LooksAtIssued reports whether the prober can be about the last certificate that
// the target has issued to us.
func (p Prober) LooksAtIssued() bool {
	return p == ProberCRL || p == ProberOCSP || p == ProberAIA || p == ProberRenewalInfo
}

// Orders reports whether the prober places orders, and so spends what a CA
// limits.
func (p Prober) Orders() bool {
	return p == ProberOrder || p == ProberValidate || p == ProberIssue
}

// Solves reports whether the prober answers challenges, and so needs a
// responder that the CA's validators can reach.
func (p Prober) Solves() bool { return p == ProberValidate || p == ProberIssue }

// Trigger says why a run happened.
type Trigger string

// The triggers.
const (
	TriggerTick     Trigger = "tick"      // the schedule
	TriggerScrape   Trigger = "scrape"    // GET /probe
	TriggerCommand  Trigger = "command"   // acme_exporter probe, or POST /run
	TriggerConfirm  Trigger = "confirm"   // a failure is to be confirmed, or not
	TriggerFollowUp Trigger = "follow_up" // a side effect to be undone or watched
)

// StepName names a part of a run. The list is closed.
type StepName string

// The steps, in the order in which a complete issuance goes through them.
const (
	StepSetup         StepName = "setup"         // ours: key, name, responder
	StepDirectory     StepName = "directory"     // RFC 8555 §7.1.1
	StepNonce         StepName = "nonce"         // RFC 8555 §7.2
	StepAccount       StepName = "account"       // RFC 8555 §7.3: look-up or creation
	StepOrder         StepName = "order"         // RFC 8555 §7.4: newOrder sent → order read
	StepAuthorization StepName = "authorization" // RFC 8555 §7.5: every authorization read
	StepPublication   StepName = "publication"   // ours: a record is where DNS is elsewhere, at every name server
	StepValidation    StepName = "validation"    // RFC 8555 §7.5.1: challenge accepted → authorization valid
	StepFinalization  StepName = "finalization"  // RFC 8555 §7.4: finalize sent → order valid
	StepDownload      StepName = "download"      // RFC 8555 §7.4.2
	StepCertificate   StepName = "certificate"   // ours: is it what was asked for?
	StepDeactivation  StepName = "deactivation"  // RFC 8555 §7.5.2
	StepRevocation    StepName = "revocation"    // RFC 8555 §7.6

	// Of runs of their own.
	StepCRL  StepName = "crl"  // one list fetched, and checked by RFC 5280 §5
	StepOCSP StepName = "ocsp" // one question asked, and the answer checked by RFC 6960
	StepAIA  StepName = "aia"  // an issuer's certificate fetched, and checked by RFC 5280 §4.2.2.1
	StepSite StepName = "site" // a test site met, and its certificate checked

	StepRenewalInfo StepName = "renewal_info" // asked when a certificate should be renewed, RFC 9773 §4.1
	StepStatusPage  StepName = "status_page"  // the CA's status page read
)

// Steps lists every step in order.
func Steps() []StepName {
	return []StepName{
		StepSetup, StepDirectory, StepNonce, StepAccount, StepOrder, StepAuthorization,
		StepPublication, StepValidation, StepFinalization, StepDownload, StepCertificate, StepDeactivation, StepRevocation,
		StepCRL, StepOCSP, StepAIA, StepSite, StepRenewalInfo, StepStatusPage,
	}
}

// Facts are what a prober saw, without judgement.
type Facts struct {
	Steps       []Step          `json:"steps,omitempty"`
	Calls       []Call          `json:"calls,omitempty"`
	Visits      []Visit         `json:"visits,omitempty"`
	Failure     *Failure        `json:"failure,omitempty"` // nil: every step passed
	Directory   *Directory      `json:"directory,omitempty"`
	Certificate *Certificate    `json:"certificate,omitempty"`
	API         *APICertificate `json:"api_certificate,omitempty"` // nil: no TLS handshake got that far
	FollowUps   []FollowUp      `json:"follow_ups,omitempty"`      // still to be done when the run ended
	RateLimit   *RateLimit      `json:"rate_limit,omitempty"`      // that ended the run; nil: none did
	Refusal     *Refusal        `json:"refusal,omitempty"`         // nil: the CA was not to refuse
	// Perspectives is nil where nothing is expected of them, and where nobody can tell.
	Perspectives *Perspectives `json:"perspectives,omitempty"`
	Lookups      []Lookup      `json:"lookups,omitempty"` // of our own names, after a validation failed
	// What a CA publishes beside its API.
	CRLs    []CRL    `json:"crls,omitempty"`
	OCSP    []OCSP   `json:"ocsp,omitempty"`
	Issuers []Issuer `json:"issuers,omitempty"`
	Sites   []Site   `json:"sites,omitempty"`
	// Renewals are what the CA said of when certificates should be renewed; at most
	// 100.
	Renewals []Renewal `json:"renewals,omitempty"`
	// Revocation is that of the certificate that a follow-up has to do with; else nil.
	Revocation *Revocation `json:"revocation,omitempty"`
	// StatusPage is nil where none was read.
	StatusPage *StatusPage `json:"status_page,omitempty"`
	// Account is the URL of the account that signed (RFC 8555 §6.2); empty: none did.
	Account string `json:"account,omitempty"`
}

// Step is a part of a run. A step that was begun and not finished is recorded
// with OK false and the time it took to fail.
type Step struct {
	Name StepName `json:"step"`
	// Identifier is the name that the step was about, where a run has several.
	Identifier string        `json:"identifier,omitempty"`
	Start      time.Duration `json:"start_ns"` // since Result.Start
	// Duration is that of the work. Paced is how long, beside it, our own pace held
	// everything back; the step ended after both.
	Duration time.Duration `json:"duration_ns"`
	Paced    time.Duration `json:"paced_ns,omitempty"`
	OK       bool          `json:"ok"`
}

// End is when the step ended, since Result.Start.
func (s *Step) End() time.Duration { return s.Start + s.Duration + s.Paced }

// Result is one run of a pair: facts and verdict. It is immutable once
// published.
type Result struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	// Parent is the ID of the run that this one follows up; empty for others.
	Parent string `json:"parent,omitempty"`
	Pair
	// FollowUp says what kind of follow-up this run did; empty for others.
	FollowUp   FollowUpKind  `json:"follow_up,omitempty"`
	Prober     Prober        `json:"prober"`
	Trigger    Trigger       `json:"trigger"`
	ConfigHash string        `json:"config_hash"`
	Start      time.Time     `json:"start"` // every offset counts from here
	Duration   time.Duration `json:"duration_ns"`
	Facts
	// Controls are empty where none is configured, and where the CA was reached.
	Controls []Control `json:"controls,omitempty"`
	Verdict  Verdict   `json:"verdict"`
}

// End is when the run ended.
func (r *Result) End() time.Time { return r.Start.Add(r.Duration) }

// Accepted is when the first challenge of the run was accepted: when that was
// sent, for our own pace may have held it back before. False: there was no
// validation.
func (r *Result) Accepted() (at time.Duration, ok bool) {
	for i := range r.Steps {
		if s := &r.Steps[i]; s.Name == StepValidation {
			at, ok = s.Start, true
			break
		}
	}
	sent := false
	for i := range r.Calls {
		c := &r.Calls[i]
		if c.Name == CallChallenge && c.Step == StepValidation && (!sent || c.Start < at) {
			at, sent = c.Start, true
		}
	}
	return at, ok
}

// NewID returns the ID of a run that starts at t: sortable by time, unique,
// and fit for a URL path and a file name.
func NewID(t time.Time) string {
	return t.UTC().Format("20060102T150405Z") + "-" + strings.ToLower(rand.Text()[:10])
}

// Outcome is how a run ended.
type Outcome string

// The outcomes.
const (
	OutcomeSuccess Outcome = "success"
	OutcomeFailure Outcome = "failure"
	// OutcomeSkipped: the run ended without evidence about the CA, because a
	// limit or a missing feature stood before it.
	OutcomeSkipped Outcome = "skipped"
)

// Fault says whose failure it is.
type Fault string

// The faults.
const (
	FaultNone        Fault = ""            // not a failure
	FaultCA          Fault = "ca"          // the CA answered, and wrongly
	FaultUnreachable Fault = "unreachable" // we cannot reach the CA, and our own line works
	FaultLocal       Fault = "local"       // our host, network, disk or port
	FaultClient      Fault = "client"      // our configuration or account
	FaultUnknown     Fault = "unknown"     // the evidence does not tell
)

// Reason is the cause of a failure, from the closed list of the package
// verdict; free text never becomes a Reason.
type Reason string

// Verdict is the judgement of one run.
type Verdict struct {
	Outcome Outcome  `json:"outcome"`
	Stage   StepName `json:"stage,omitempty"`  // where it failed; empty on success
	Reason  Reason   `json:"reason,omitempty"` // empty on success
	Fault   Fault    `json:"fault,omitempty"`  // FaultNone unless Outcome is failure
	// Summary is one sentence for people. It may quote the CA's words, bounded
	// and scrubbed; it is never a label.
	Summary string `json:"summary"`
}

// Success reports whether the outcome is success.
func (v Verdict) Success() bool { return v.Outcome == OutcomeSuccess }
