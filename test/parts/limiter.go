package parts

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// Limit is one that Pebble is to have: Count tokens come back in each Period,
// evenly, into a bucket of Burst.
type Limit struct {
	Name   string `json:"name"`
	Count  int    `json:"count"`
	Period string `json:"period"`          // as time.ParseDuration reads it
	Burst  int    `json:"burst,omitempty"` // 0: Count
}

// RateLimits is the flag of [StartPebble] for limits as Let's Encrypt has them:
// new_orders, certificates_per_domain, certificates_per_set, failed_validations,
// consecutive_failures, new_accounts_per_ip, new_accounts_per_network.
func RateLimits(limits ...Limit) string { return limitsFlag("-limits=", limits) }

// EdgeLimits is the flag of [StartPebble] for limits of the calls of one
// address: directory, new_nonce, new_account, new_order, revoke_cert,
// renewal_info, other.
func EdgeLimits(limits ...Limit) string { return limitsFlag("-edge-limits=", limits) }

func limitsFlag(name string, limits []Limit) string {
	text, _ := json.Marshal(limits) // of strings and numbers: it cannot fail
	return name + string(text)
}

// Spent is what clients have spent of Pebble's limits.
type Spent struct {
	// Denied is how many requests each limit has denied with a 429; "paused" is
	// for pairs that are.
	Denied map[string]int
	// Busy is how many calls of each kind the edge has turned away.
	Busy    map[string]int
	Buckets []Bucket // by limit and key
	// Issuances are the certificates, in order.
	Issuances []Issuance
	// Paused are the pairs that a human has to unpause.
	Paused []struct{ Account, Identifier string }
}

// Bucket is what one key has of a limit. A key is an account's URL, a registered
// domain, a set of identifiers, sorted and joined by commas, an account's URL
// and an identifier with a space between, or an address or network.
type Bucket struct {
	Limit, Key string
	Remaining  int // whole tokens
	Spent      int // how many were due
	Over       int // how many of these there were not
	Denied     int // requests, for want of one
}

// Issuance is a certificate that Pebble has issued.
type Issuance struct {
	Time    time.Time
	Account string   // URL
	Set     string   // identifiers, sorted, joined by commas
	Domains []string // registered
	Exempt  bool     // from the limit of its domains
	Over    []string // limits that had nothing left for it
}

// Spent returns what clients have spent.
func (p *Pebble) Spent() (s Spent) {
	p.tb.Helper()
	p.decode("/limits", &s)
	return s
}

// Limited is how many requests were answered with a 429.
func (s Spent) Limited() (n int) {
	for _, denied := range s.Denied {
		n += denied
	}
	return n
}

// Bucket returns that of a key; zero: nobody has asked for it.
func (s Spent) Bucket(limit, key string) Bucket {
	for _, b := range s.Buckets {
		if b.Limit == limit && b.Key == key {
			return b
		}
	}
	return Bucket{}
}

// Unpause lifts the pauses of an account, by its URL, or of all if it is empty,
// as a human would who has followed the link.
func (p *Pebble) Unpause(account string) {
	p.tb.Helper()
	p.namespace.Do(p.tb, http.MethodPost, p.control+"/unpause?"+url.Values{"account": {account}}.Encode())
}
