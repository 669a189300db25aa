package probe

import (
	"net/netip"
	"time"
)

// FailureKind says what kind of thing went wrong, before anybody asks whose
// fault it is.
type FailureKind string

// The kinds of failure.
const (
	// FailureCall: an exchange got no answer, or one that is not a success.
	FailureCall FailureKind = "call"
	// FailureObject: an order, authorization or challenge turned invalid; every
	// HTTP status may have been 200. Problem is the embedded one.
	FailureObject FailureKind = "object"
	// FailureProtocol: an answer broke RFC 8555: not JSON, a missing URL, an
	// unknown status, a missing nonce.
	FailureProtocol FailureKind = "protocol"
	// FailureCertificate: the certificate is not what was asked for.
	FailureCertificate FailureKind = "certificate"
	// FailureTimeout: the run's time was over while an object was still pending
	// or processing, and no exchange was in flight.
	FailureTimeout FailureKind = "timeout"
	// FailureCanceled: the run was cut because the exporter stops.
	FailureCanceled FailureKind = "canceled"
	// FailureUnsupported: the CA does not offer what the module wants.
	FailureUnsupported FailureKind = "unsupported"
	// FailureClient: our configuration or account makes the run impossible.
	FailureClient FailureKind = "client"
	// FailureBudget: our own budget of the CA's rate limits does not allow the run.
	// Facts.RateLimit says why.
	FailureBudget FailureKind = "budget"
	// FailureFlaw: something that a CA publishes beside its API is not as it has to
	// be. Flaw says in what.
	FailureFlaw FailureKind = "flaw"
	// FailurePending: what is waited for is not there yet, and need not be.
	FailurePending FailureKind = "pending"
	// FailureRefusal: the CA was to refuse, and has not done it as it had to. Refusal
	// says what it has done.
	FailureRefusal FailureKind = "refusal"
	// FailureNotApplicable: there is nothing to be looked at.
	FailureNotApplicable FailureKind = "not_applicable"
	// FailureLocal: our disk, port, responder or key failed.
	FailureLocal FailureKind = "local"
)

// Failure is what ended a run early.
type Failure struct {
	Step StepName    `json:"step"`
	Kind FailureKind `json:"kind"`
	// Call is the index in Facts.Calls of the exchange that failed, or whose
	// answer is the evidence; -1: none.
	Call int `json:"call"`
	// Flaw is the first one of those found; empty unless Kind is FailureFlaw.
	Flaw FlawKind `json:"flaw,omitempty"`
	// Refusal is empty unless Kind is FailureRefusal.
	Refusal RefusalKind `json:"refusal,omitempty"`
	// Object is "order", "authorization", "challenge", "directory", "certificate",
	// "url", which is one that may not be requested, or empty: what Problem or Detail
	// is about.
	Object string `json:"object,omitempty"`
	// Identifier is the name that it is about, a wildcard with its "*."; empty:
	// the run as a whole.
	Identifier string `json:"identifier,omitempty"`
	// Problem is the problem document embedded in Object; that of a failed
	// exchange is in the Call.
	Problem *Problem `json:"problem,omitempty"`
	// Detail says in words what was wrong, bounded and scrubbed.
	Detail string `json:"detail,omitempty"`
	// Advice says what to do about it, where that is known better than by the
	// reason alone; a clause without a full stop.
	Advice string `json:"advice,omitempty"`
}

// Directory is what a directory said (RFC 8555 §7.1.1).
type Directory struct {
	// Endpoints are the fields with a URL that were present, by their names in
	// the document (newNonce, newAccount, …).
	Endpoints               []string `json:"endpoints"`
	TermsOfService          string   `json:"terms_of_service,omitempty"`
	Website                 string   `json:"website,omitempty"`
	CAAIdentities           []string `json:"caa_identities,omitempty"`
	ExternalAccountRequired bool     `json:"external_account_required,omitempty"`
	// Profiles are the names of the profiles offered, sorted.
	Profiles []string `json:"profiles,omitempty"`
	// Change says in what it differs from the one that was seen before; nil: in
	// nothing, or none was.
	Change *DirectoryChange `json:"change,omitempty"`
}

// APICertificate is the certificate that the CA's own API presented. It is
// captured before verification, so that an expired one still shows its date.
type APICertificate struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	DNSNames  []string  `json:"dns_names,omitempty"` // at most 20
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

// Certificate is what was issued, and how it was checked.
type Certificate struct {
	Serial    string        `json:"serial"` // lower-case hex
	Issuer    string        `json:"issuer"`
	Names     []string      `json:"names"` // at most 100
	NotBefore time.Time     `json:"not_before"`
	NotAfter  time.Time     `json:"not_after"`
	Chain     int           `json:"chain"` // number of certificates, the leaf included
	Checks    []CheckResult `json:"checks"`
	Lints     *Lints        `json:"lints,omitempty"` // nil: none were run
	// Transparency is nil where no SCTs are expected and there are none.
	Transparency *Transparency `json:"transparency,omitempty"`
	// PEM is the certificate and as much of its chain as fits into 12 KiB, as
	// evidence; empty unless the CA had to refuse it, or where it alone is longer.
	PEM string `json:"pem,omitempty"`
}

// Lints is what zlint found in a certificate. Of either kind the first 20 names are
// kept, in alphabetical order.
type Lints struct {
	ErrorCount   int      `json:"error_count"`
	Errors       []string `json:"errors,omitempty"`
	WarningCount int      `json:"warning_count"`
	Warnings     []string `json:"warnings,omitempty"`
}

// Check names a check of an issued certificate. The list is closed.
type Check string

// The checks.
const (
	CheckKey        Check = "key"        // the public key is the one of the request
	CheckNames      Check = "names"      // the identifiers asked for, and no others
	CheckValidity   Check = "validity"   // valid now
	CheckOrder      Check = "order"      // each certificate is issued by the next one
	CheckSignatures Check = "signatures" // and signed by it
	CheckProfile    Check = "profile"    // valid for no longer than the CA or the rules of its trade say
	CheckSerial     Check = "serial"     // a serial number of the right size
	CheckKeyUsage   Check = "key_usage"  // for TLS servers, and not for a CA
	CheckExtensions Check = "extensions" // none that is unexpected
	CheckTrust      Check = "trust"      // the chain leads to a root that is trusted
	CheckLint       Check = "lint"       // zlint finds no error
)

// Checks lists every check, in the order in which one that failed is the run's
// reason. Not every certificate undergoes all of them.
func Checks() []Check {
	return []Check{
		CheckKey, CheckNames, CheckValidity, CheckOrder, CheckSignatures,
		CheckProfile, CheckSerial, CheckKeyUsage, CheckExtensions, CheckTrust, CheckLint, CheckSCTs,
	}
}

// CheckResult is the outcome of one check that was made.
type CheckResult struct {
	Check  Check  `json:"check"`
	Passed bool   `json:"passed"`
	Note   string `json:"note,omitempty"`   // what is unusual and not wrong
	Detail string `json:"detail,omitempty"` // why not; empty when passed
}

// ChallengeType is a challenge's type as in RFC 8555 §8.
type ChallengeType string

// The challenge types.
const (
	HTTP01    ChallengeType = "http-01"
	DNS01     ChallengeType = "dns-01"
	TLSALPN01 ChallengeType = "tls-alpn-01" // RFC 8737
	// DNSAccount01 is draft-ietf-acme-dns-account-label's, DNSPersist01
	// draft-ietf-acme-dns-persist's.
	DNSAccount01 ChallengeType = "dns-account-01"
	DNSPersist01 ChallengeType = "dns-persist-01"
)

// ChallengeTypes lists every challenge type.
func ChallengeTypes() []ChallengeType {
	return []ChallengeType{HTTP01, DNS01, TLSALPN01, DNSAccount01, DNSPersist01}
}

// DNS reports whether the challenge is answered by a TXT record, and so fit for
// wildcards and unfit for IP addresses.
func (t ChallengeType) DNS() bool { return t == DNS01 || t == DNSAccount01 || t == DNSPersist01 }

// Challenge is one challenge to be solved: what a responder needs to know.
type Challenge struct {
	Type       ChallengeType
	Identifier string // the name without a wildcard's "*."
	// Token and KeyAuthorization are RFC 8555 §8.1's, for http-01, which is answered
	// with the key authorization, and tls-alpn-01, with its SHA-256; empty for others.
	Token, KeyAuthorization string
	// Record is the answer to a challenge that a TXT record answers; else zero.
	Record Record
	// Withheld: nobody gets the answer. Who comes is told that there is none, and his
	// visit is recorded.
	Withheld bool
	// Forbidden: our DNS responder answers for Identifier with a CAA record that lets
	// nobody issue (RFC 8659 §4.2), whatever the configuration has there.
	Forbidden bool
	// Ahead: there is no order yet, and so nothing to answer with but that it is
	// Forbidden. Of the rest only Type and Identifier are known.
	Ahead bool
	// Start is the run's start, from which its visits count.
	Start time.Time
}

// Record is a TXT record.
type Record struct {
	Name  string `json:"name"` // of its owner, in lower case and without the final dot
	Value string `json:"value"`
	// Standing says that it is not ours to write: somebody has to have put it
	// there, with this value or one that says as much.
	Standing bool `json:"standing,omitempty"`
}

// PublicationError says why a record is not where the CA has to find it.
type PublicationError struct {
	// Kind is [FailureClient] where the configuration or a zone's content has to be
	// changed, [FailureLocal] where a server could not be asked, and
	// [FailureTimeout] where one had no such record yet when the time was over.
	Kind   FailureKind
	Detail string // bounded; holds no secret
	Advice string // what to do about it; a clause without a full stop
	// Unwritten says that it is certain that nothing was changed at any server.
	Unwritten bool
}

// Error returns the detail.
func (e *PublicationError) Error() string { return e.Detail }

// Visit is one request of a validator at one of our responders.
type Visit struct {
	// At is since Result.Start. A request that concerns several of the run's
	// challenges, such as one for the CAA record of their zone, is a visit of each,
	// with the same At.
	At        time.Duration `json:"at_ns"`
	Challenge ChallengeType `json:"challenge"`
	// Identifier is the name or address that is validated, without "*.".
	Identifier string `json:"identifier,omitempty"`
	Family     Family `json:"family"`
	// Network numbers the distinct networks (/24, /48) among the visits of one
	// challenge, from 1. The addresses themselves are the CA's secret and are
	// not kept in the stored form.
	Network int        `json:"network"`
	Remote  netip.Addr `json:"-"`
	// Asked and Answered say what was asked ("TXT", "GET", "acme-tls/1") and what
	// was told ("1 value", "200", "NODATA", "certificate").
	Asked    string `json:"asked"`
	Answered string `json:"answered"`
	// OK reports whether the answer was the one that the challenge needs.
	OK bool `json:"ok"`
}

// FollowUpKind says what a follow-up does.
type FollowUpKind string

// The kinds of follow-up.
const (
	// FollowUpDeactivateAuthz deactivates a valid authorization (RFC 8555
	// §7.5.2). One that is still pending is left alone: deactivating it counts
	// as a failed validation at Let's Encrypt.
	FollowUpDeactivateAuthz FollowUpKind = "deactivate_authz"
	// FollowUpWithdrawRecords removes TXT records that were written to a name
	// server elsewhere.
	FollowUpWithdrawRecords FollowUpKind = "withdraw_records"
	// FollowUpRevoke revokes a certificate (RFC 8555 §7.6). Any run may leave it, for
	// any reason: with the chain once there is one, or with the URL of an order that is
	// about to be finalized, and then it finds out what became of that.
	FollowUpRevoke FollowUpKind = "revoke"
	// FollowUpWatchRevocation looks whether a revocation shows yet, in one way, and is
	// tried again until it does.
	FollowUpWatchRevocation FollowUpKind = "watch_revocation"
)

// FollowUpKinds lists every kind of follow-up.
func FollowUpKinds() []FollowUpKind {
	return []FollowUpKind{FollowUpDeactivateAuthz, FollowUpWithdrawRecords, FollowUpRevoke, FollowUpWatchRevocation}
}

// FollowUp is a side effect that must be undone or watched. It is stored before
// the side effect happens and removed when it is done, so that it survives
// kill -9.
type FollowUp struct {
	ID   string       `json:"id"`
	Kind FollowUpKind `json:"kind"`
	Pair
	// Parent is the ID of the run whose side effect it is.
	Parent  string   `json:"parent"`
	URL     string   `json:"url,omitempty"`     // of the authorization or the order
	More    []string `json:"more,omitempty"`    // URLs of further authorizations
	Records []Record `json:"records,omitempty"` // to be withdrawn
	// Revocation is what a follow-up of the kinds FollowUpRevoke and
	// FollowUpWatchRevocation is about; else nil.
	Revocation *Revocation `json:"revocation,omitempty"`
	// Forbidden is what the CA had to refuse; nil: what the follow-up may find is right.
	Forbidden *Forbidden `json:"forbidden,omitempty"`
	Created   time.Time  `json:"created"`
	// NotBefore is when it may next be tried; zero: at once.
	NotBefore time.Time `json:"not_before,omitzero"`
	// Expires is when it is given up.
	Expires  time.Time `json:"expires"`
	Attempts int       `json:"attempts,omitempty"`
}
