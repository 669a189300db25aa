package prober

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/config"
)

// wildcardPrefix makes a wildcard of a name (RFC 8555 §7.1.3).
const wildcardPrefix = "*."

// The types of identifiers (RFC 8555 §9.7.7, RFC 8738 §3).
const (
	identifierDNS = "dns"
	identifierIP  = "ip"
)

// orderNames returns the names for an order, sorted: DNS names in lower case,
// wildcards with their "*.", and IP addresses as netip prints them. Random ones
// are names that nobody has used before.
func orderNames(n config.Names) []string {
	var names []string
	if n.Mode == config.NamesFixed {
		names = slices.Clone(n.List)
	} else {
		for range max(n.Count, 1) {
			// 20 characters of base32 are 100 random bits.
			name := strings.ToLower(rand.Text()[:20] + "." + n.Zone)
			if names = append(names, name); n.Wildcard {
				names = append(names, wildcardPrefix+name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// identifiers returns what an order for the names consists of.
func identifiers(names []string) []acme.AuthzID {
	ids := make([]acme.AuthzID, len(names))
	for i, name := range names {
		ids[i] = acme.AuthzID{Type: identifierDNS, Value: name}
		if isAddress(name) {
			ids[i].Type = identifierIP
		}
	}
	return ids
}

// isAddress reports whether the name is an IP address.
func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

// identifierName returns the name that the identifier stands for, in the form
// in which names are compared; ok is false if it can be none that was ordered.
func identifierName(id acme.AuthzID) (name string, ok bool) {
	addr, err := netip.ParseAddr(id.Value)
	switch {
	case id.Type == identifierDNS && err != nil:
		return strings.ToLower(id.Value), true
	case id.Type == identifierIP && err == nil:
		return addr.String(), true
	}
	return "", false
}

// authorizedName returns the name that the authorization is for. The identifier
// of a wildcard's has no "*.": "Wildcard domain names (with "*" as the first
// label) MUST NOT be included in authorization objects" (RFC 8555 §7.1.4).
func authorizedName(a *acme.Authorization) (name string, ok bool) {
	name, ok = identifierName(a.Identifier)
	if !a.Wildcard {
		return name, ok && !strings.HasPrefix(name, wildcardPrefix)
	}
	return wildcardPrefix + name, ok && a.Identifier.Type == identifierDNS
}

// subjectNames returns the names in the form in which a certificate request
// has them.
func subjectNames(names []string) (dns []string, ips []net.IP) {
	for _, name := range names {
		if addr, err := netip.ParseAddr(name); err == nil {
			ips = append(ips, addr.AsSlice())
		} else {
			dns = append(dns, name)
		}
	}
	return dns, ips
}

// about returns the name that something is about that is about all of them;
// empty: there are several.
func about(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return ""
}

// list shows names to a person, at most three of them.
func list(names []string) string {
	if len(names) == 0 {
		return "no name"
	}
	s := make([]string, 0, 4)
	for _, name := range names[:min(len(names), 3)] {
		s = append(s, fmt.Sprintf("%q", quoted(name)))
	}
	if more := len(names) - len(s); more > 0 {
		s = append(s, fmt.Sprintf("%d more", more))
	}
	return strings.Join(s, ", ")
}
