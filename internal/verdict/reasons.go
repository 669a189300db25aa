package verdict

import (
	"slices"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// The reasons. They become values of a label: one is never renamed, and free
// text never becomes one.
const (
	// Skipped: no evidence about the CA.
	Canceled         probe.Reason = "canceled"
	Budget           probe.Reason = "budget"
	RateLimited      probe.Reason = "rate_limited"
	IdentifierPaused probe.Reason = "identifier_paused"
	Unsupported      probe.Reason = "unsupported"
	NotApplicable    probe.Reason = "not_applicable"

	RevocationPending probe.Reason = "revocation_pending"

	// Ourselves.
	Configuration probe.Reason = "configuration"
	Local         probe.Reason = "local"

	// A record is not where it has to be, in a zone that is elsewhere.
	PublicationRefused     probe.Reason = "publication_refused"
	PublicationUnreachable probe.Reason = "publication_unreachable"
	PublicationIncomplete  probe.Reason = "publication_incomplete"

	// The CA was not reached.
	DNSNotFound        probe.Reason = "dns_not_found"
	DNSTimeout         probe.Reason = "dns_timeout"
	DNSFailed          probe.Reason = "dns_failed"
	ConnectRefused     probe.Reason = "connect_refused"
	ConnectTimeout     probe.Reason = "connect_timeout"
	ConnectUnreachable probe.Reason = "connect_unreachable"
	ConnectFailed      probe.Reason = "connect_failed"
	TLSTimeout         probe.Reason = "tls_timeout"
	TLSFailed          probe.Reason = "tls_failed"

	// It was reached, and gave no whole answer.
	TLSCertificate  probe.Reason = "tls_certificate"
	TLSExpired      probe.Reason = "tls_expired"
	NoAnswerTimeout probe.Reason = "no_answer_timeout"
	NoAnswerClosed  probe.Reason = "no_answer_closed"
	NoAnswerFailed  probe.Reason = "no_answer_failed"
	BodyTimeout     probe.Reason = "body_timeout"
	BodyClosed      probe.Reason = "body_closed"
	BodyFailed      probe.Reason = "body_failed"
	TooLarge        probe.Reason = "too_large"

	// It answered, and wrongly.
	Edge3xx          probe.Reason = "edge_3xx"
	Edge4xx          probe.Reason = "edge_4xx"
	Edge5xx          probe.Reason = "edge_5xx"
	ServerInternal   probe.Reason = "server_internal"
	HTTP5xx          probe.Reason = "http_5xx"
	Throttled        probe.Reason = "throttled"
	UnexpectedLimit  probe.Reason = "unexpected_limit"
	BadNonce         probe.Reason = "bad_nonce"
	UnexpectedStatus probe.Reason = "unexpected_status"
	Protocol         probe.Reason = "protocol"
	URLRefused       probe.Reason = "url_refused"

	// The certificate is not what was asked for.
	CertificateKey        probe.Reason = "certificate_key"
	CertificateNames      probe.Reason = "certificate_names"
	CertificateValidity   probe.Reason = "certificate_validity"
	CertificateOrder      probe.Reason = "certificate_order"
	CertificateSignatures probe.Reason = "certificate_signatures"
	CertificateProfile    probe.Reason = "certificate_profile"
	CertificateSerial     probe.Reason = "certificate_serial"
	CertificateKeyUsage   probe.Reason = "certificate_key_usage"
	CertificateExtensions probe.Reason = "certificate_extensions"
	CertificateTrust      probe.Reason = "certificate_trust"
	CertificateLint       probe.Reason = "certificate_lint"
	CertificateSCTs       probe.Reason = "certificate_scts"
	CertificateUnreadable probe.Reason = "certificate_unreadable"

	// The CA had to refuse. All but the last are named like the ways of not doing it.
	Misissued           probe.Reason = "misissued"
	Misauthorized       probe.Reason = "misauthorized"
	MisissuanceUnproven probe.Reason = "misissuance_unproven"
	NotRefused          probe.Reason = "not_refused"
	RefusedOtherwise    probe.Reason = "refused_otherwise"

	// What is published beside the API is not as it has to be. They are named like the
	// flaws.
	CRLUnreadable     probe.Reason = "crl_unreadable"
	CRLContentType    probe.Reason = "crl_content_type"
	CRLIssuer         probe.Reason = "crl_issuer"
	CRLSignature      probe.Reason = "crl_signature"
	CRLStale          probe.Reason = "crl_stale"
	CRLNumber         probe.Reason = "crl_number"
	CRLIDP            probe.Reason = "crl_idp"
	CRLRollback       probe.Reason = "crl_rollback"
	OCSPUnreadable    probe.Reason = "ocsp_unreadable"
	OCSPContentType   probe.Reason = "ocsp_content_type"
	OCSPStatus        probe.Reason = "ocsp_status"
	OCSPCertificate   probe.Reason = "ocsp_certificate"
	OCSPSignature     probe.Reason = "ocsp_signature"
	OCSPStale         probe.Reason = "ocsp_stale"
	AIAUnreadable     probe.Reason = "aia_unreadable"
	AIAContentType    probe.Reason = "aia_content_type"
	AIASubject        probe.Reason = "aia_subject"
	AIASignature      probe.Reason = "aia_signature"
	RevocationMissing probe.Reason = "revocation_missing"

	SiteValid   probe.Reason = "site_valid"
	SiteExpired probe.Reason = "site_expired"
	SiteRevoked probe.Reason = "site_revoked"

	// What the CA says of itself could not be learnt.
	StatusPageUnavailable probe.Reason = "status_page_unavailable"
	StatusPageUnreadable  probe.Reason = "status_page_unreadable"

	// The validation failed.
	ValidationDNS          probe.Reason = "validation_dns"
	ValidationConnection   probe.Reason = "validation_connection"
	ValidationTLS          probe.Reason = "validation_tls"
	ValidationUnauthorized probe.Reason = "validation_unauthorized"
	Invalid                probe.Reason = "invalid"

	// It did not come to an end.
	ValidationTimeout   probe.Reason = "validation_timeout"
	FinalizationTimeout probe.Reason = "finalization_timeout"
	RunTimeout          probe.Reason = "run_timeout"

	// The client's, by the CA's own word.
	AccountDoesNotExist     probe.Reason = "account_does_not_exist"
	UserActionRequired      probe.Reason = "user_action_required"
	ExternalAccountRequired probe.Reason = "external_account_required"
	RejectedIdentifier      probe.Reason = "rejected_identifier"
	UnsupportedIdentifier   probe.Reason = "unsupported_identifier"
	InvalidProfile          probe.Reason = "invalid_profile"
	InvalidContact          probe.Reason = "invalid_contact"
	AlreadyReplaced         probe.Reason = "already_replaced"
	CAA                     probe.Reason = "caa"

	// Rejected, and it is not clear who is wrong.
	RejectedMalformed             probe.Reason = "rejected_malformed"
	RejectedBadPublicKey          probe.Reason = "rejected_bad_public_key"
	RejectedBadCSR                probe.Reason = "rejected_bad_csr"
	RejectedBadSignatureAlgorithm probe.Reason = "rejected_bad_signature_algorithm"
	RejectedUnauthorized          probe.Reason = "rejected_unauthorized"
	RejectedOrderNotReady         probe.Reason = "rejected_order_not_ready"
	RejectedOther                 probe.Reason = "rejected_other"
	Unclassified                  probe.Reason = "unclassified"
)

// ReasonDoc explains a reason.
type ReasonDoc struct {
	Reason  probe.Reason
	Outcome probe.Outcome // failure or skipped
	// Faults are whose it can be, the usual one first; empty if Outcome is skipped.
	Faults  []probe.Fault
	Summary string // what happened, as a part of a sentence
	Seen    string // what was seen on the wire
	Whose   string // why it is this one's fault
	Do      string // what the user does about it
}

// Reasons returns the closed list, in the order of the documentation.
func Reasons() []ReasonDoc {
	list := []ReasonDoc{}
	for _, c := range chapters {
		for _, d := range c.reasons {
			d.Faults = slices.Clone(d.Faults)
			list = append(list, d)
		}
	}
	return list
}

// docs has the list by reason.
var docs = byReason()

func byReason() map[probe.Reason]ReasonDoc {
	m := map[probe.Reason]ReasonDoc{}
	for _, d := range Reasons() {
		m[d.Reason] = d
	}
	return m
}
