package verdict

import "github.com/acme-exporter/acme_exporter/internal/probe"

const (
	typeServerInternal = "serverInternal"
	typeRateLimited    = "rateLimited"
)

// judgeProblem judges a problem by its type alone. The CA controls that string,
// so a type that is not in the list has one reason for all.
func judgeProblem(kind string) finding {
	if reason, known := problems[kind]; known {
		return finding{reason: reason}
	}
	return finding{reason: RejectedOther}
}

// problems has the types of RFC 8555 §6.7, RFC 9773 §7.4 and the profiles draft,
// except those that a status or a place decides: serverInternal and rateLimited.
var problems = map[string]probe.Reason{
	// Never the CA's.
	"accountDoesNotExist":     AccountDoesNotExist,
	"userActionRequired":      UserActionRequired,
	"externalAccountRequired": ExternalAccountRequired,
	"rejectedIdentifier":      RejectedIdentifier,
	"unsupportedIdentifier":   UnsupportedIdentifier,
	"invalidProfile":          InvalidProfile,
	"alreadyReplaced":         AlreadyReplaced,
	"caa":                     CAA,
	"invalidContact":          InvalidContact,
	"unsupportedContact":      InvalidContact,

	// What its validators say that they met.
	"dns":               ValidationDNS,
	"connection":        ValidationConnection,
	"tls":               ValidationTLS,
	"incorrectResponse": ValidationUnauthorized,

	// The client's in a right world; a CA that is down has said them too.
	"malformed":             RejectedMalformed,
	"badPublicKey":          RejectedBadPublicKey,
	"badCSR":                RejectedBadCSR,
	"badSignatureAlgorithm": RejectedBadSignatureAlgorithm,
	"unauthorized":          RejectedUnauthorized,
	"orderNotReady":         RejectedOrderNotReady,

	// A nonce that is fresh each time and never right is not ours to mend.
	"badNonce": BadNonce,
}
