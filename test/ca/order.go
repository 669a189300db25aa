package main

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/letsencrypt/pebble/v2/acme"
	"github.com/letsencrypt/pebble/v2/core"
	"golang.org/x/net/publicsuffix"
)

// order is one that was admitted, until nothing more can become of it.
type order struct {
	account  string   // its URL
	names    []string // as the order has them, sorted
	replaces bool     // what it renews

	order   *core.Order
	pending []*core.Authorization
	failed  bool // one of its authorizations is of no use any more
	expires time.Time
}

// newWatchedOrder returns o, which Pebble has just made, asked at host.
func newWatchedOrder(o *core.Order, host string) *order {
	o.RLock()
	defer o.RUnlock()
	watched := &order{
		account:  "https://" + host + accountPath + o.AccountID,
		replaces: o.Replaces != "",
		order:    o,
		expires:  o.ExpiresDate,
	}
	for _, identifier := range o.Identifiers {
		watched.names = append(watched.names, identifier.Value)
	}
	slices.Sort(watched.names)
	watched.names = slices.Compact(watched.names)
	for _, authz := range o.AuthorizationObjects {
		// One that is valid already was used before.
		if status, _ := statusOf(authz); status == acme.StatusPending {
			watched.pending = append(watched.pending, authz)
		}
	}
	return watched
}

// set is the exact set of identifiers.
func (o *order) set() string { return strings.Join(o.names, ",") }

// domains are the registered domains: of a name that is a public suffix the
// name, of an IPv4 address the address, of an IPv6 address its /64.
func (o *order) domains() (domains []string) {
	for _, name := range o.names {
		domain := name
		if address, err := netip.ParseAddr(name); err == nil {
			bits := 64
			if address.Is4() {
				bits = 32
			}
			domain = netip.PrefixFrom(address, bits).Masked().String()
		} else if registered, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
			domain = registered
		}
		if !slices.Contains(domains, domain) {
			domains = append(domains, domain)
		}
	}
	return domains
}

// statusOf returns an authorization's status, and its identifier as it was
// asked for. It locks one thing at a time: Pebble locks several, in more than
// one order.
func statusOf(authz *core.Authorization) (status, identifier string) {
	authz.RLock()
	defer authz.RUnlock()
	return authz.Status, authz.Identifier.Value
}

// issued reports whether an order has its certificate.
func issued(o *core.Order) bool {
	o.RLock()
	defer o.RUnlock()
	return o.CertificateObject != nil
}
