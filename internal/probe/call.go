package probe

import "time"

// CallName names one kind of HTTP exchange with a CA. The list is closed; it
// names what the exchange is for, never its URL.
type CallName string

// The calls. The first group is named by RFC 8555 §7.1.1's directory fields.
const (
	CallDirectory   CallName = "directory"
	CallNewNonce    CallName = "new-nonce"
	CallNewAccount  CallName = "new-account"
	CallNewOrder    CallName = "new-order"
	CallNewAuthz    CallName = "new-authz"
	CallRevokeCert  CallName = "revoke-cert"
	CallKeyChange   CallName = "key-change"
	CallRenewalInfo CallName = "renewal-info"

	CallAccount     CallName = "account"
	CallOrder       CallName = "order"
	CallAuthz       CallName = "authz"
	CallChallenge   CallName = "challenge"
	CallFinalize    CallName = "finalize"
	CallCertificate CallName = "certificate"
	// CallDeactivateAuthz is a POST to an authorization that deactivates it
	// (RFC 8555 §7.5.2), as opposed to one that reads it.
	CallDeactivateAuthz CallName = "deactivate-authz"

	// What a CA publishes beside its API.
	CallCRL  CallName = "crl"  // a certificate revocation list
	CallOCSP CallName = "ocsp" // a question to an OCSP responder, by GET or POST
	CallAIA  CallName = "aia"  // an issuer's certificate (RFC 5280 §4.2.2.1)
	CallSite CallName = "site" // a test site, for its certificate

	CallStatusPage CallName = "status-page" // what the CA says of itself

	// CallUnknown is a request to a URL that nobody taught us: a defect of
	// ours. Tests hold that it never occurs.
	CallUnknown CallName = "unknown"
)

// Calls lists every call name.
func Calls() []CallName {
	return []CallName{
		CallDirectory, CallNewNonce, CallNewAccount, CallNewOrder, CallNewAuthz, CallRevokeCert,
		CallKeyChange, CallRenewalInfo, CallAccount, CallOrder, CallAuthz, CallChallenge,
		CallFinalize, CallCertificate, CallDeactivateAuthz, CallCRL, CallOCSP, CallAIA, CallSite, CallStatusPage,
		CallUnknown,
	}
}

// Call is one HTTP exchange, answered or not. Offsets count from Result.Start.
type Call struct {
	Name CallName `json:"call"`
	Step StepName `json:"step,omitempty"`
	// Method and URL as sent; the URL without user info, query and fragment.
	Method string `json:"method"`
	URL    string `json:"url"`
	// Attempt is 0 for the first try, n for the nth retry. RetryCause says why
	// this retry was made (the reason of the attempt before it).
	Attempt    int    `json:"attempt,omitempty"`
	RetryCause string `json:"retry_cause,omitempty"`

	Start time.Duration `json:"start_ns"` // handed to the transport
	// Ready is when a connection was there to send the request on; 0 when none
	// ever was. Ready to End is the CA's time and the round trip; Start to
	// Ready is ours, the resolver's and the handshakes'.
	Ready time.Duration `json:"ready_ns,omitempty"`
	// FirstByte is when the answer began; 0 when it never did.
	FirstByte time.Duration `json:"first_byte_ns,omitempty"`
	// End is when the last byte was read, or the call was given up.
	End time.Duration `json:"end_ns"`

	Connection Connection `json:"connection"`

	Status int `json:"status,omitempty"` // HTTP status; 0: no answer
	// Bytes is the length of the answer's body as read, after decompression.
	Bytes int64 `json:"bytes,omitempty"`
	// RetryAfter is the parsed header (RFC 9110 §10.2.3); nil: absent or unreadable.
	RetryAfter *time.Duration `json:"retry_after_ns,omitempty"`
	// Date is the server's Date header; zero: absent or unreadable.
	Date time.Time `json:"date,omitzero"`
	// Nonce says that the answer carried a Replay-Nonce; its value is not kept.
	Nonce bool `json:"nonce,omitempty"`
	// Problem is the problem document of the answer (RFC 7807); nil: none that is valid.
	Problem *Problem `json:"problem,omitempty"`
	// Error says why there was no whole answer; nil: there was one.
	Error *CallError `json:"error,omitempty"`
}

// Answered reports whether a whole HTTP response was read.
func (c *Call) Answered() bool { return c.Status != 0 && c.Error == nil }

// Processing is Ready to End: the CA's time and the round trip; 0 when no
// connection was ever ready.
func (c *Call) Processing() time.Duration {
	if c.Ready == 0 {
		return 0
	}
	return c.End - c.Ready
}

// Connection is what carried a call. The phases are nil unless this call
// opened the connection, and where a phase does not apply (an address instead
// of a name, a proxy that resolves).
type Connection struct {
	Reused  bool  `json:"reused,omitempty"`
	DNS     *Span `json:"dns,omitempty"`
	Connect *Span `json:"connect,omitempty"`
	TLS     *Span `json:"tls,omitempty"`
	// Remote is the address connected to, ip:port; empty: none.
	Remote string `json:"remote,omitempty"`
	Family Family `json:"family,omitempty"`
	// HTTPVersion is "HTTP/1.1" or "HTTP/2.0"; TLSVersion is "TLS 1.2" or
	// "TLS 1.3"; KeyExchange is the name of the group, such as X25519MLKEM768.
	HTTPVersion string `json:"http_version,omitempty"`
	TLSVersion  string `json:"tls_version,omitempty"`
	KeyExchange string `json:"key_exchange,omitempty"`
}

// Span is an interval, counted from Result.Start.
type Span struct {
	Start    time.Duration `json:"start_ns"`
	Duration time.Duration `json:"duration_ns"`
}

// Family is an address family.
type Family string

// The families.
const (
	IPv4 Family = "ip4"
	IPv6 Family = "ip6"
)

// Phase is how far an exchange came before it failed.
type Phase string

// The phases, in order.
const (
	PhaseRequest  Phase = "request"  // refused by ourselves before anything was sent
	PhaseDNS      Phase = "dns"      // resolving the name
	PhaseConnect  Phase = "connect"  // TCP
	PhaseTLS      Phase = "tls"      // handshake
	PhaseResponse Phase = "response" // waiting for the first byte
	PhaseBody     Phase = "body"     // reading the body
)

// Cause is the kind of error that ended an exchange.
type Cause string

// The causes.
const (
	CauseTimeout     Cause = "timeout"
	CauseRefused     Cause = "refused"
	CauseUnreachable Cause = "unreachable" // no route
	CauseNotFound    Cause = "not_found"   // NXDOMAIN or no address
	CauseCertificate Cause = "certificate" // not trusted, or another name's
	CauseExpired     Cause = "expired"     // certificate expired or not yet valid
	CauseClosed      Cause = "closed"      // reset or EOF
	CauseTooLarge    Cause = "too_large"
	CauseAddress     Cause = "address" // the address is one that this target may not send us to
	CauseScheme      Cause = "scheme"  // not https, nor http where that will do
	CauseCanceled    Cause = "canceled"
	CauseOther       Cause = "other"
)

// CallError says why an exchange has no whole answer.
type CallError struct {
	Phase Phase `json:"phase"`
	Cause Cause `json:"cause"`
	// Message is the error's text, bounded and scrubbed, for people.
	Message string `json:"message"`
}

// Error returns "phase: cause: message".
func (e *CallError) Error() string {
	return string(e.Phase) + ": " + string(e.Cause) + ": " + e.Message
}

// Problem is a problem document (RFC 7807, RFC 8555 §6.7), bounded and with
// everything that looks like a token, a JWT or a URL's query removed.
type Problem struct {
	// Type is the short type for urn:ietf:params:acme:error: and the legacy
	// urn:acme:error:, such as "serverInternal"; else the URI, at most 200 bytes.
	Type   string `json:"type"`
	Detail string `json:"detail,omitempty"`
	// Status is the status that the document itself claims; 0: none.
	Status      int          `json:"status,omitempty"`
	Subproblems []Subproblem `json:"subproblems,omitempty"` // at most 100
	// Anchor is the fragment of the documentation's URL in the detail of a
	// rateLimited one, which names the limit at Let's Encrypt: lower-case letters,
	// digits and hyphens, at most 100 bytes. Empty: it has none.
	Anchor string `json:"anchor,omitempty"`
	// Mislabeled: the answer called itself application/json instead of
	// application/problem+json (RFC 8555 §6.7).
	Mislabeled bool `json:"mislabeled,omitempty"`
}

// Subproblem is a part of a compound problem (RFC 8555 §6.7.1).
type Subproblem struct {
	Type       string `json:"type"`
	Detail     string `json:"detail,omitempty"`
	Identifier string `json:"identifier,omitempty"`
}
