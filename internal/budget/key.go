package budget

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/acme-exporter/acme_exporter/config"
)

// wildcardPrefix makes a wildcard of a domain (RFC 8555 §7.1.3).
const wildcardPrefix = "*."

// Key names one bucket at a CA.
type Key struct {
	CA    string // its directory's URL
	Limit config.LimitName
	// ID says which of the limit's buckets: an account, an account and an
	// identifier, a registered domain or network, or the digest of a set of
	// identifiers. Empty: the CA has one for us, as for our own address.
	ID string
}

// String returns the form in which the key is stored. A CA and a limit have no
// spaces.
func (k Key) String() string { return k.CA + " " + string(k.Limit) + " " + k.ID }

// what says for people by what the limit counts: a domain or an identifier; empty:
// an account, our address or a set of identifiers.
func (k Key) what() string {
	switch k.Limit {
	case config.LimitCertificatesPerDomain:
		return k.ID
	case config.LimitFailedValidations, config.LimitConsecutiveFailures:
		_, identifier, _ := strings.Cut(k.ID, " ")
		return identifier
	default:
		return ""
	}
}

// parseKey is the inverse of String.
func parseKey(s string) (Key, error) {
	ca, rest, ok := strings.Cut(s, " ")
	limit, id, found := strings.Cut(rest, " ")
	if !ok || !found || ca == "" || !slices.Contains(config.LimitNames(), config.LimitName(limit)) {
		return Key{}, errors.New("it is no key of the ledger")
	}
	return Key{CA: ca, Limit: config.LimitName(limit), ID: id}, nil
}

// cost is how many tokens are to be taken from the bucket id.
type cost struct {
	id     string
	tokens int
}

// costs returns what an order for names costs of the limit, sorted: one token for
// each of the buckets that it touches, but two of a domain's that is ordered with
// its wildcard, since each of them is validated.
func costs(limit config.LimitName, account string, names []string) []cost {
	var ids []string
	switch limit {
	case config.LimitNewOrders:
		return []cost{{account, 1}}
	case config.LimitNewAccountsPerIP, config.LimitNewAccountsPerNetwork:
		return []cost{{"", 1}}
	case config.LimitCertificatesPerSet:
		return []cost{{setOf(names), 1}}
	case config.LimitCertificatesPerDomain:
		for _, name := range names {
			ids = append(ids, registeredDomain(name))
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
	default: // failed_validations, consecutive_failures
		for _, name := range names {
			ids = append(ids, identifierOf(account, name))
		}
		slices.Sort(ids)
	}
	var list []cost
	for _, id := range ids {
		if n := len(list); n > 0 && list[n-1].id == id {
			list[n-1].tokens++
			continue
		}
		list = append(list, cost{id, 1})
	}
	return list
}

// identifierOf is the bucket of an account and an identifier. Wildcards count as
// their domain: that is what the CA validates.
func identifierOf(account, name string) string {
	return account + " " + strings.TrimPrefix(strings.ToLower(name), wildcardPrefix)
}

// registeredDomain is what CAs count certificates by: the registered domain by the
// public suffix list, an IPv4 address, or the /64 of an IPv6 address. A name that
// is a public suffix itself counts as it is.
func registeredDomain(name string) string {
	if addr, err := netip.ParseAddr(name); err == nil {
		if addr = addr.Unmap(); addr.Is4() {
			return addr.String()
		}
		prefix, err := addr.WithZone("").Prefix(64)
		if err != nil {
			return addr.String() // not reached: a /64 fits every IPv6 address
		}
		return prefix.String()
	}
	name = strings.TrimPrefix(strings.ToLower(name), wildcardPrefix)
	if domain, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return domain
	}
	return name
}

// setOf is the digest of an exact set of identifiers, in whatever order and case
// they are written. A wildcard is another identifier than its domain.
func setOf(names []string) string {
	sorted := make([]string, len(names))
	for i, name := range names {
		sorted[i] = strings.ToLower(name)
	}
	slices.Sort(sorted)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(sorted), ",")))
	return hex.EncodeToString(sum[:16])
}
