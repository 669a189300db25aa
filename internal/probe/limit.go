package probe

import "time"

// Spending says what a run is about to do that CAs count; values are added up.
type Spending uint8

// What runs do. One that issues does the last three.
const (
	SpendAccount     Spending = 1 << iota // create the account
	SpendOrder                            // order
	SpendValidation                       // accept challenges, which may fail
	SpendCertificate                      // finalize the order
)

// Spent says what of a reservation was not spent. Zero: all was, as far as
// anybody knows.
type Spent struct {
	NoAccount     bool // no account was asked for
	NoOrder       bool // no order was asked for, and so nothing that comes after
	NoCertificate bool // the order was not finalized, or the CA refused to
	// Issued: there is a certificate.
	Issued bool
	// Valid are the names whose validation succeeded, Untried those whose challenges
	// were not accepted, each as in the order. All others have failed.
	Valid, Untried []string
}

// LimitRequests is the [RateLimit.Limit] of requests per address and second, which
// the CA's edge counts. It is no limit of the ledger.
const LimitRequests = "requests"

// RateLimit is what a rate limit has to do with the end of a run.
type RateLimit struct {
	// Limit is one of config.LimitNames, or [LimitRequests]; empty: the CA did not
	// say which, or it is one that we do not know.
	Limit string `json:"limit,omitempty"`
	// What the limit is counted by, for people: a domain, an identifier; empty: an
	// account, an address or a set of names.
	What string `json:"what,omitempty"`
	// Detail says it in a sentence without a full stop, bounded and scrubbed.
	Detail string `json:"detail,omitempty"`
	// Refused: the CA has answered so. Else it is our own budget, and the CA was not
	// asked.
	Refused bool `json:"refused,omitempty"`
	// Until is when the next run may be allowed; zero: not known, or not before
	// somebody does something.
	Until time.Time `json:"until,omitzero"`
	// Paused: the CA lets nobody order for the names until a human has lifted that.
	Paused bool `json:"paused,omitempty"`
	// Unexpected: by our own ledger, which alone spends from this limit, the CA
	// cannot have come to this answer.
	Unexpected bool `json:"unexpected,omitempty"`
}

// Level is how full a rate limit's emptiest bucket is.
type Level struct {
	Limit string `json:"limit"`
	// What is the emptiest bucket's account, domain, identifier or set of names;
	// empty: all are full, or there is one for our address.
	What      string `json:"what,omitempty"`
	Remaining int    `json:"remaining"` // whole tokens; those kept for confirmation runs among them
	Capacity  int    `json:"capacity"`  // of the full bucket: our part of what the CA gives
	// Full is when the bucket will be full; zero: it is.
	Full time.Time `json:"full_at,omitzero"`
	// Paused is how many of the limit's buckets are paused.
	Paused int `json:"paused,omitempty"`
}

// Budget is what is left of a target's rate limits.
type Budget struct {
	Target      string  `json:"target"`
	Environment string  `json:"environment"`
	Levels      []Level `json:"limits"` // in the order of config.LimitNames; empty: no limits, or not known
}

// HeldError says that a request was not sent, because the CA's edge has asked for
// fewer.
type HeldError struct{ Until time.Time }

// Error implements error.
func (e *HeldError) Error() string {
	return "the CA has asked for no such requests until " + e.Until.UTC().Format(time.RFC3339)
}
