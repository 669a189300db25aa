package prober

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Records has TXT records where DNS is elsewhere. Its errors are
// [*probe.PublicationError]. Its methods may be called at the same time.
type Records interface {
	// Locate returns the name at which the CA will look for a record of name: it
	// follows CNAME records, and every authoritative server must say the same.
	// Without one: name itself.
	Locate(ctx context.Context, name string) (string, error)
	// Publish writes the records that are not Standing, and returns when every
	// authoritative server of their zones has all of them; when ctx ends first, the
	// error says which server lacks which. An error that is Unwritten leaves nothing
	// to be withdrawn.
	Publish(ctx context.Context, records []probe.Record) error
	// Withdraw removes records; that one is not there is fine. It waits for no
	// server but the one that takes updates.
	Withdraw(ctx context.Context, records []probe.Record) error
}

const (
	// persistLife is how long a record of dns-persist-01 is good for that we write
	// ourselves: should it be left behind, it authorizes nobody for long.
	persistLife = 24 * time.Hour
	// maxIssuers bounds issuer-domain-names: "clients MUST consider a challenge
	// malformed" that has none, or more (draft-ietf-acme-dns-persist).
	maxIssuers = 10
)

// keyRecord returns the record that answers a challenge of dns-01 or
// dns-account-01 for the name, a wildcard's without its "*.".
func (r *run) keyRecord(typ probe.ChallengeType, name, token string) (probe.Record, error) {
	value, err := r.client.DNS01ChallengeRecord(token)
	return probe.Record{Name: typ.RecordPrefix(string(r.client.KID)) + name, Value: value}, err
}

// persistRecord returns the record that answers the task's challenge of
// dns-persist-01, if the challenge is one that we answer, and the value that it
// has to have where it is not ours to write. Both say what the configuration
// says: a CA could otherwise have anybody authorized.
func (r *run) persistRecord(o *order, t *task, policy string) (record probe.Record, standing string, err error) {
	if err := r.checkPersist(o, t); err != nil {
		return probe.Record{}, "", err
	}
	issuer, account, name := r.Pair.Target.IssuerDomainName, string(r.client.KID), t.base()
	record = probe.Record{Name: probe.PersistLabel + name, Value: probe.PersistValue(issuer, account, policy, r.Start.Add(persistLife))}
	// What somebody has put there need not say more than the order asks for.
	if _, wildcard := slices.BinarySearch(o.names, wildcardPrefix+name); !wildcard {
		policy = ""
	}
	return record, probe.PersistValue(issuer, account, policy, time.Time{}), nil
}

// persistOffer is what a challenge of dns-persist-01 says. The client's type
// leaves it out.
type persistOffer struct {
	URL     string   `json:"url"`
	Issuers []string `json:"issuer-domain-names"`
	Account string   `json:"accounturi"` // empty: it does not say
}

// checkPersist holds what the task's challenge of dns-persist-01 says against the
// configuration and our account.
func (r *run) checkPersist(o *order, t *task) error {
	var a struct {
		Challenges []persistOffer `json:"challenges"`
	}
	if err := json.Unmarshal(o.documents[t.authz.URI], &a); err != nil {
		return r.broken(objectChallenge, "the challenge cannot be read: %s", quoted(err.Error())).of(t.name)
	}
	var offer persistOffer
	if i := slices.IndexFunc(a.Challenges, func(c persistOffer) bool { return c.URL == t.challenge.URI }); i >= 0 {
		offer = a.Challenges[i]
	}
	issuer, account := r.Pair.Target.IssuerDomainName, string(r.client.KID)
	switch {
	case len(offer.Issuers) == 0 || len(offer.Issuers) > maxIssuers:
		return r.broken(objectChallenge, "the challenge has %d issuer-domain-names, not 1 to %d", len(offer.Issuers), maxIssuers).of(t.name)
	case offer.Account != "" && offer.Account != account:
		return r.broken(objectChallenge, "the challenge is for another account, %q", quoted(offer.Account)).of(t.name)
	case strings.ContainsFunc(account, func(c rune) bool { return c < '!' || c > '~' || c == ';' }):
		// RFC 8659 §4.2: what a value may consist of.
		return r.broken(objectChallenge, "the URL of our account has characters that a record cannot have").of(t.name)
	case !slices.ContainsFunc(offer.Issuers, func(name string) bool { return strings.EqualFold(name, issuer) }):
		f := r.broken(objectChallenge, "the CA calls itself %s in records, not %q", list(offer.Issuers), issuer).of(t.name)
		f.Kind = probe.FailureClient
		f.Advice = "set the target's issuer_domain_name to the one that the CA's documentation gives; a record with a wrong one lets somebody else issue"
		return f
	}
	return nil
}
