package probe

import "time"

// FlawKind names what is wrong with something that a CA publishes beside its API.
// The list is closed; each has a reason of the same name.
type FlawKind string

// The flaws.
const (
	// Of a CRL (RFC 5280 §5).
	FlawCRLUnreadable  FlawKind = "crl_unreadable"   // not one in DER, or with a critical extension that is not known
	FlawCRLContentType FlawKind = "crl_content_type" // not application/pkix-crl
	FlawCRLIssuer      FlawKind = "crl_issuer"       // another one's
	FlawCRLSignature   FlawKind = "crl_signature"    // not by the issuer's key, or one that may not sign CRLs
	FlawCRLStale       FlawKind = "crl_stale"        // now is not between thisUpdate and nextUpdate
	FlawCRLNumber      FlawKind = "crl_number"       // none
	FlawCRLIDP         FlawKind = "crl_idp"          // for another URL, or for other certificates
	FlawCRLRollback    FlawKind = "crl_rollback"     // older than one that was there before, in its number or its thisUpdate

	// Of an OCSP answer (RFC 6960).
	FlawOCSPUnreadable  FlawKind = "ocsp_unreadable"
	FlawOCSPContentType FlawKind = "ocsp_content_type" // not application/ocsp-response
	FlawOCSPStatus      FlawKind = "ocsp_status"       // an error, or the certificate is not known
	FlawOCSPCertificate FlawKind = "ocsp_certificate"  // about another one
	FlawOCSPSignature   FlawKind = "ocsp_signature"    // by nobody who may sign it
	FlawOCSPStale       FlawKind = "ocsp_stale"        // now is not between thisUpdate and nextUpdate

	// Of an issuer's certificate (RFC 5280 §4.2.2.1).
	FlawAIAUnreadable  FlawKind = "aia_unreadable"
	FlawAIAContentType FlawKind = "aia_content_type" // not application/pkix-cert
	FlawAIASubject     FlawKind = "aia_subject"      // another one's
	FlawAIASignature   FlawKind = "aia_signature"    // its key has not signed the certificate that names it

	// Of a revocation.
	FlawRevocationMissing FlawKind = "revocation_missing" // it does not show after a day

	// Of a test site.
	FlawSiteValid   FlawKind = "site_valid"   // the certificate is not valid, and ought to be
	FlawSiteExpired FlawKind = "site_expired" // not expired, or more is wrong than that
	FlawSiteRevoked FlawKind = "site_revoked" // not revoked, or more is wrong than that
)

// Flaws lists every flaw. One that makes the others meaningless comes before them.
func Flaws() []FlawKind {
	return []FlawKind{
		FlawCRLUnreadable, FlawCRLContentType, FlawCRLIssuer, FlawCRLSignature, FlawCRLStale, FlawCRLNumber, FlawCRLIDP, FlawCRLRollback,
		FlawOCSPUnreadable, FlawOCSPContentType, FlawOCSPStatus, FlawOCSPCertificate, FlawOCSPSignature, FlawOCSPStale,
		FlawAIAUnreadable, FlawAIAContentType, FlawAIASubject, FlawAIASignature,
		FlawRevocationMissing, FlawSiteValid, FlawSiteExpired, FlawSiteRevoked,
	}
}

// Flaw is one thing that is wrong.
type Flaw struct {
	Flaw   FlawKind `json:"flaw"`
	Detail string   `json:"detail"` // bounded and scrubbed
}

// CRL is a certificate revocation list as it was read. What could not be read is
// zero.
type CRL struct {
	URL        string    `json:"url"`
	Issuer     string    `json:"issuer,omitempty"`
	ThisUpdate time.Time `json:"this_update,omitzero"`
	NextUpdate time.Time `json:"next_update,omitzero"` // zero: it names none
	Number     string    `json:"number,omitempty"`     // decimal, at most 49 digits (RFC 5280 §5.2.3); empty: none
	Entries    int       `json:"entries"`
	Bytes      int64     `json:"bytes"`
	Sharded    bool      `json:"sharded,omitempty"` // it says for which URLs it is
	// Lifetime is for how long the answer says that caches may have it; zero: it does
	// not say (RFC 9111 §4.2.1).
	Lifetime time.Duration `json:"lifetime_ns,omitempty"`
	// Older says that its URL has had a newer one before, less than an hour ago or than
	// Lifetime: caches have both for a while.
	Older bool `json:"older,omitempty"`
	// Unchanged says that the server has answered that it is still the list that was
	// read before (304): only ThisUpdate and NextUpdate are known.
	Unchanged bool   `json:"unchanged,omitempty"`
	Flaws     []Flaw `json:"flaws,omitempty"`
}

// LatestCRL is the newest list that a URL has had.
type LatestCRL struct {
	Issuer     string    `json:"issuer"`
	Number     string    `json:"number,omitempty"` // decimal; empty: it had none
	ThisUpdate time.Time `json:"this_update"`
	NextUpdate time.Time `json:"next_update"` // never zero: until when it is remembered
	SeenAt     time.Time `json:"seen_at"`     // for the first time
}

// OCSPStatus is what an answer says of a certificate.
type OCSPStatus string

// The statuses.
const (
	OCSPGood    OCSPStatus = "good"
	OCSPRevoked OCSPStatus = "revoked"
	OCSPUnknown OCSPStatus = "unknown"
)

// OCSP is an OCSP answer as it was read. What could not be read is zero.
type OCSP struct {
	URL        string     `json:"url"`
	Method     string     `json:"method"` // GET or POST
	Status     OCSPStatus `json:"status,omitempty"`
	RevokedAt  time.Time  `json:"revoked_at,omitzero"`
	ThisUpdate time.Time  `json:"this_update,omitzero"`
	NextUpdate time.Time  `json:"next_update,omitzero"` // zero: newer information is there at any time
	Delegated  bool       `json:"delegated,omitempty"`  // signed by another key than the issuer's
	Bytes      int64      `json:"bytes"`
	Flaws      []Flaw     `json:"flaws,omitempty"`
}

// Issuer is an issuer's certificate as it was fetched. What could not be read is
// zero.
type Issuer struct {
	URL      string    `json:"url"`
	Subject  string    `json:"subject,omitempty"`
	NotAfter time.Time `json:"not_after,omitzero"`
	Bytes    int64     `json:"bytes"`
	Flaws    []Flaw    `json:"flaws,omitempty"`
}

// SiteKind says what a test site's certificate has to be.
type SiteKind string

// The kinds.
const (
	SiteValid   SiteKind = "valid"
	SiteExpired SiteKind = "expired"
	SiteRevoked SiteKind = "revoked"
)

// Site is a test site as it was met. What it did not present is zero.
type Site struct {
	Kind     SiteKind  `json:"kind"`
	URL      string    `json:"url"`
	Serial   string    `json:"serial,omitempty"` // lower-case hex
	Issuer   string    `json:"issuer,omitempty"`
	NotAfter time.Time `json:"not_after,omitzero"`
	Flaws    []Flaw    `json:"flaws,omitempty"`
}
