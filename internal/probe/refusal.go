package probe

import "strings"

// RefusalKind says in what way a CA did not refuse as it had to. The list is closed;
// the reason of a verdict has the same name.
type RefusalKind string

// The ways.
const (
	// RefusalMisissued: it has issued a certificate, and it is proved that it must not.
	RefusalMisissued RefusalKind = "misissued"
	// RefusalMisauthorized: it has made an authorization valid that nobody had earned,
	// and no certificate has come of it.
	RefusalMisauthorized RefusalKind = "misauthorized"
	// RefusalUnproven: it has issued, or made an authorization valid, and it may have
	// been right to.
	RefusalUnproven RefusalKind = "misissuance_unproven"
	// RefusalMissing: it has taken an order for a name that it has to refuse. Nothing
	// was issued.
	RefusalMissing RefusalKind = "not_refused"
)

// Refusals lists every way.
func Refusals() []RefusalKind {
	return []RefusalKind{RefusalMisissued, RefusalMisauthorized, RefusalUnproven, RefusalMissing}
}

// The types of problems, of RFC 8555 §6.7, with which a CA can be expected to refuse.
const (
	// ProblemUnauthorized: a challenge has no answer.
	ProblemUnauthorized = "unauthorized"
	// ProblemCAA: a CAA record forbids it.
	ProblemCAA = "caa"
	// ProblemRejectedIdentifier: its policy does.
	ProblemRejectedIdentifier = "rejectedIdentifier"
)

// Refusal is what was expected of a CA that has to refuse, and what it did.
type Refusal struct {
	// Expected is the type of the problem that it has to refuse with, one of the above.
	Expected string `json:"expected"`
	// Step is where it has refused so, Problem with which words, and Identifier the name;
	// empty: it has not.
	Step       StepName `json:"step,omitempty"`
	Identifier string   `json:"identifier,omitempty"`
	Problem    *Problem `json:"problem,omitempty"`
}

// Refused reports whether the CA has refused as it had to.
func (r *Refusal) Refused() bool { return r != nil && r.Problem != nil }

// Forbidden is what a follow-up has to know of the attempt to get what the CA has to
// refuse: if it finds that, it must not be there.
type Forbidden struct {
	// Expected is the type of the problem that the CA has to refuse with, as in Refusal.
	Expected string `json:"expected"`
	// Identifier is the name.
	Identifier string `json:"identifier"`
	// Finalized says that the order was finalized, or was about to be.
	Finalized bool `json:"finalized,omitempty"`
	// Doubt says why the CA may be right all the same; empty: it is proved that it is not.
	Doubt string `json:"doubt,omitempty"`
	// Told says that the run, or another follow-up of it, has told of what this one may
	// find, and that whoever counts it has.
	Told bool `json:"told,omitempty"`
}

// Tells reports whether the failure has told of what a follow-up of that kind may find
// that the CA had to refuse: a certificate says all, a valid authorization only that.
func (f *Failure) Tells(kind FollowUpKind) bool {
	return f.Kind == FailureRefusal && (f.Object == "certificate" || f.Object == "authorization" && kind == FollowUpDeactivateAuthz)
}

// Misissuance is what a CA gave that it had to refuse, where that is proved. The list
// is closed.
type Misissuance string

// What a CA can give.
const (
	MisissuedCertificate   Misissuance = "certificate"
	MisissuedAuthorization Misissuance = "authorization" // and no certificate has come of it
)

// Misissuances lists all of it.
func Misissuances() []Misissuance {
	return []Misissuance{MisissuedCertificate, MisissuedAuthorization}
}

// Misissued returns what the run has proved that the CA gives though it has to refuse;
// empty: nothing.
func (f *Facts) Misissued() Misissuance {
	if f.Failure == nil || f.Failure.Kind != FailureRefusal {
		return ""
	}
	switch f.Failure.Refusal {
	case RefusalMisissued:
		return MisissuedCertificate
	case RefusalMisauthorized:
		return MisissuedAuthorization
	}
	return ""
}

// Perspectives is from how many networks a CA's validators fetched the answer, held
// against what the module expects.
type Perspectives struct {
	// Networks are the distinct ones (/24, /48) that fetched it; of several names, those
	// of the name with the fewest.
	Networks   int    `json:"networks"`
	Identifier string `json:"identifier,omitempty"` // that name
	Minimum    int    `json:"minimum"`              // fewer are worth a warning; at least 1
}

// Few reports whether there were fewer than expected.
func (p *Perspectives) Few() bool { return p != nil && p.Networks < p.Minimum }

// Persists returns the names of the records by which dns-persist-01 may authorize an
// identifier, its own first: a policy may be for the domains beneath
// (draft-ietf-acme-dns-persist).
func Persists(identifier string) (names []string) {
	for name, more := identifier, true; more && strings.Contains(name, "."); _, name, more = strings.Cut(name, ".") {
		names = append(names, PersistLabel+name)
	}
	return names
}
