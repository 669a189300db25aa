package probe

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"
	"time"
)

// What stands before a domain in the name of a record that answers a challenge, with
// its dot.
const (
	ChallengeLabel = "_acme-challenge."     // RFC 8555 §8.4
	PersistLabel   = "_validation-persist." // draft-ietf-acme-dns-persist
)

// RecordPrefix returns all that stands before a domain, with the last dot, in the name
// of the TXT record that answers such a challenge; empty: no record does. That of
// dns-account-01 is made of the URL of the account, and is as long for any; the others
// are the same for all.
func (t ChallengeType) RecordPrefix(accountURL string) string {
	switch t {
	case DNS01:
		return ChallengeLabel
	case DNSAccount01: // draft-ietf-acme-dns-account-label
		sum := sha256.Sum256([]byte(accountURL))
		return "_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10])) + "." + ChallengeLabel
	case DNSPersist01:
		return PersistLabel
	}
	return ""
}

// PersistValue returns the value of a record of dns-persist-01, in the syntax of RFC
// 8659 §4.2: issuer, a domain name, may issue for the account of that URL. It has no
// policy where that is empty and no end where that is zero.
func PersistValue(issuer, accountURL, policy string, until time.Time) string {
	value := issuer + "; accounturi=" + accountURL
	if policy != "" {
		value += "; policy=" + policy
	}
	if !until.IsZero() {
		value += "; persistUntil=" + strconv.FormatInt(until.Unix(), 10)
	}
	return value
}
