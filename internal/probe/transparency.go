package probe

import "time"

// CheckSCTs is that each SCT of a log that is known is verified, and Chrome's policy is met.
const CheckSCTs Check = "scts"

// Transparency is what the SCTs embedded in a certificate say (RFC 6962 §3.3):
// promises of logs that everybody can see it there.
type Transparency struct {
	// Count of SCTs embedded. Those beyond the 20th are only counted.
	Count int `json:"count"`
	// SCTs in the certificate's order; empty: they were counted and nothing else.
	SCTs []SCT `json:"scts,omitempty"`
	// Operators of the logs whose SCTs are verified, each once, sorted.
	Operators []string `json:"operators,omitempty"`
	// Policy is Chrome's; empty: nobody asked.
	Policy PolicyState `json:"policy,omitempty"`
	// Detail says why Policy is not met or not known, or why the SCTs cannot be read;
	// else empty.
	Detail string `json:"detail,omitempty"`
	// Unreadable says that the extension is not what RFC 6962 says. Count is of those
	// before the mistake.
	Unreadable bool `json:"unreadable,omitempty"`
	// ListTimestamp is when the list of logs was published; zero: none was asked.
	ListTimestamp time.Time `json:"log_list_timestamp,omitzero"`
}

// SCT is a signed certificate timestamp.
type SCT struct {
	// LogID is base64, as in lists of logs. Both are missing from an SCT of a version
	// that is not known.
	LogID     string    `json:"log_id,omitempty"`
	Timestamp time.Time `json:"timestamp,omitzero"`
	// Log, Operator and State are the list's words; empty: it does not say.
	Log      string    `json:"log,omitempty"`
	Operator string    `json:"operator,omitempty"` // when the SCT was made
	State    LogState  `json:"state,omitempty"`
	Status   SCTStatus `json:"status"`
}

// LogState is how a browser holds a log (Chrome's CT log lifecycle).
type LogState string

// The states, in the order in which a log goes through them.
const (
	LogPending   LogState = "pending"
	LogQualified LogState = "qualified"
	LogUsable    LogState = "usable"
	LogReadOnly  LogState = "readonly"
	LogRetired   LogState = "retired"
	LogRejected  LogState = "rejected"
)

// SCTStatus is what became of checking an SCT.
type SCTStatus string

// The statuses.
const (
	SCTVerified SCTStatus = "verified"
	SCTUnknown  SCTStatus = "unknown" // of a log that is not in the list, or of another version
	SCTInvalid  SCTStatus = "invalid" // not signed by its log, or for another certificate
	SCTFuture   SCTStatus = "future"  // signed, and for a time that has not come
	// SCTUnchecked: the certificate came without its issuer, whose key is signed too.
	SCTUnchecked SCTStatus = "unchecked"
)

// PolicyState says whether a browser's policy is met.
type PolicyState string

// The states of a policy.
const (
	PolicyMet     PolicyState = "met"
	PolicyMissed  PolicyState = "missed"
	PolicyUnknown PolicyState = "unknown" // the list of logs is too old, or does not know one
)
