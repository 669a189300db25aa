package probe

import "time"

// RevocationReason is why a certificate is revoked, by its name in RFC 5280 §5.3.1.
type RevocationReason string

// The reasons for which we revoke.
const (
	ReasonUnspecified          RevocationReason = "unspecified"
	ReasonKeyCompromise        RevocationReason = "keyCompromise" // the CA never certifies the key again
	ReasonSuperseded           RevocationReason = "superseded"
	ReasonCessationOfOperation RevocationReason = "cessationOfOperation"
)

// RevocationReasons lists every reason for which we revoke.
func RevocationReasons() []RevocationReason {
	return []RevocationReason{ReasonUnspecified, ReasonKeyCompromise, ReasonSuperseded, ReasonCessationOfOperation}
}

// Code is the reason's number (RFC 5280 §5.3.1).
func (r RevocationReason) Code() int {
	switch r {
	case ReasonKeyCompromise:
		return 1
	case ReasonSuperseded:
		return 4
	case ReasonCessationOfOperation:
		return 5
	}
	return 0
}

// Revocation is that of one certificate: what a follow-up has to do, and what a run
// has made of it.
type Revocation struct {
	// Serial is the certificate's, in lower-case hex; empty: it is yet to be
	// downloaded.
	Serial string           `json:"serial,omitempty"`
	Reason RevocationReason `json:"reason"`
	// Chain is the certificate and its issuer's, in DER. Of a follow-up of the kind
	// FollowUpRevoke it may be empty: then it is what became of the order at the
	// follow-up's URL. Facts leave it out.
	Chain [][]byte `json:"chain,omitempty"`
	// At is when the CA said that the certificate is revoked; zero: it has not yet.
	At time.Time `json:"at,omitzero"`
	// Asked is when the CA was last asked to revoke it, and may not have been heard to
	// answer; zero: it was not. Facts leave it out.
	Asked time.Time `json:"asked,omitzero"`
	// Undated says that At is later than the CA's word, by nobody knows how much.
	Undated bool `json:"undated,omitempty"`
	// Absent is when it was last seen that it did not show, At in the beginning.
	Absent time.Time `json:"absent,omitzero"`
	// Lists are those that were read whole while it is watched, and lacked it. Facts
	// leave them out.
	Lists []ReadList `json:"lists,omitempty"`
	// Via is where it is watched whether it shows; empty: it is not.
	Via RevocationVia `json:"via,omitempty"`
	// Shown is when it was first seen there; zero: it was not.
	Shown time.Time `json:"shown,omitzero"`
	// Propagation is At to Shown; nil: it does not show yet, or nobody has looked for
	// so long that it may have done so much earlier.
	Propagation *time.Duration `json:"propagation_ns,omitempty"`
	// GivenUp says that nobody looks any more, or asks the CA.
	GivenUp bool `json:"given_up,omitempty"`
}

// ReadList is a revocation list as it was last read whole.
type ReadList struct {
	URL        string    `json:"url"`
	At         time.Time `json:"at"` // when it was read
	ThisUpdate time.Time `json:"this_update"`
	NextUpdate time.Time `json:"next_update,omitzero"` // zero: it names none
	// ETag and LastModified are what its server calls it by (RFC 9110 §8.8), in the
	// server's words; empty: it does not, or not so that the next one is another.
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	// Untrue says that its server has answered that it has no newer one when it had.
	Untrue bool `json:"untrue,omitempty"`
}

// RevocationVia is where others learn that a certificate is revoked.
type RevocationVia string

// The ways, and before them the CA itself, which has to be told. They are values of a
// label.
const (
	ViaAPI  RevocationVia = "api"
	ViaCRL  RevocationVia = "crl"
	ViaOCSP RevocationVia = "ocsp"
)

// RevocationVias lists every way in which others learn of it.
func RevocationVias() []RevocationVia { return []RevocationVia{ViaCRL, ViaOCSP} }

// LastRevocation is a pair's last revocation, and what has come of it.
type LastRevocation struct {
	Serial string           `json:"serial"`
	Reason RevocationReason `json:"reason"`
	At     time.Time        `json:"at"`
	// Watched are the ways in which it has to show; none: the certificate named none.
	Watched []WatchedRevocation `json:"watched,omitempty"`
}

// WatchLife is for how long it is looked at most whether a revocation shows: twice the
// day that a CA has, so that an exporter that is down for a night, or a line that is
// cut, does not hide what came of it. A revocation that the CA has to take is kept as
// long.
const WatchLife = 48 * time.Hour

// WatchedRevocation is what has come of a revocation in one way; while it neither
// shows nor is given up, and until [WatchLife] is over, it is watched.
type WatchedRevocation struct {
	Via     RevocationVia `json:"via"`
	Shown   time.Time     `json:"shown,omitzero"`
	GivenUp Reason        `json:"given_up,omitempty"` // the last look's
}

// MissingRevocation returns by which way the revocation that the run watched never
// showed, so that nobody looks any more, and ViaAPI where it is that the CA has not
// taken; empty: by none.
func (r *Result) MissingRevocation() RevocationVia {
	switch {
	case r.Revocation == nil || !r.Revocation.GivenUp:
		return ""
	case r.FollowUp == FollowUpRevoke:
		return ViaAPI // whosever fault it is: the certificate stays valid
	case r.FollowUp == FollowUpWatchRevocation && (r.Verdict.Outcome == OutcomeFailure || r.Failure != nil && r.Failure.Kind == FailureCall):
		return r.Revocation.Via // also where a server has only said that we come too often
	}
	return ""
}
