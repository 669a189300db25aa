package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxOrder is how many names an order may have: as many as any public CA takes.
const maxOrder = 100

// wildcardPrefix makes a wildcard of a domain (RFC 8555 §7.1.3).
const wildcardPrefix = "*."

// validateNames checks the names of an order; challenge is empty where none is
// solved.
func (c *Config) validateNames(ps *problems, at path, n Names, challenge probe.ChallengeType) {
	n.validatePool(ps, at)
	switch n.Mode {
	case NamesRandom, NamesPool:
		c.validateRandom(ps, at, n, challenge)
	case NamesFixed:
		c.validateFixed(ps, at, n, challenge)
	default:
		ps.add(at.key("mode"), "want random, fixed or pool, got %q", n.Mode)
	}
}

func (c *Config) validateRandom(ps *problems, at path, n Names, challenge probe.ChallengeType) {
	if len(n.List) > 0 {
		ps.add(at.key("list"), "random names are not listed: remove this, or say mode: fixed")
	}
	switch {
	case n.Count < 1 || n.Count > maxOrder:
		ps.add(at.key("count"), "want 1 to %d, got %d", maxOrder, n.Count)
	case n.Size() > maxOrder:
		ps.add(at.key("count"), "%d names and as many wildcards are more than the %d of one order: choose %d or less", n.Count, maxOrder, maxOrder/2)
	}
	if n.Wildcard && challenge != "" && !challenge.DNS() {
		ps.add(at.key("wildcard"), "CAs validate wildcards by DNS challenges only, and the challenge is %s: remove this, or choose dns-01", challenge)
	}
	zone := at.key("zone")
	if n.Zone == "" {
		switch zones := c.Responders.hostZones(); {
		case c.unreadZones(ps):
		case len(zones) > 1:
			ps.add(zone, "missing: choose the zone to ask for names in, one of %s (%s)", strings.Join(zones, ", "), c.whereZones(ps))
		case c.Responders.DNS == nil:
			ps.add(zone, "missing: name the domain to ask for names in; a random name beneath it is ordered in each run")
		}
		return
	}
	if ps.written(zone) { // else it is the responder's only one, and checked there
		if err := checkDomain(n.Zone); err != nil {
			ps.add(zone, "%s", err)
			return
		}
	}
	if err := checkRoom(n.Zone, challenge); err != nil {
		ps.add(zone, "%s", err)
		return
	}
	c.validateServed(ps, zone, n.Zone, challenge)
}

func (c *Config) validateFixed(ps *problems, at path, n Names, challenge probe.ChallengeType) {
	for _, key := range []string{"zone", "count", "wildcard"} {
		if ps.written(at.key(key)) {
			ps.add(at.key(key), "this is for random names: remove it, the list says it all")
		}
	}
	list := at.key("list")
	switch {
	case len(n.List) == 0 && !ps.isBroken(list):
		ps.add(list, "missing: list the names to ask for, or say mode: random")
	case len(n.List) > maxOrder:
		ps.add(list, "%d names are more than the %d of one order", len(n.List), maxOrder)
	}
	for i, name := range n.List {
		at := list.index(i)
		if err := checkName(name, challenge); err != nil {
			ps.add(at, "%s", err)
			continue
		}
		if slices.Index(n.List, name) < i {
			ps.add(at, "%q is there twice: remove one", name)
			continue
		}
		if _, err := netip.ParseAddr(name); err != nil {
			c.validateServed(ps, at, strings.TrimPrefix(name, wildcardPrefix), challenge)
		}
	}
}

// checkName checks a name to ask for, in the form in which it is compared, and
// that the challenge is one for names of its kind.
func checkName(name string, challenge probe.ChallengeType) error {
	if a, err := netip.ParseAddr(name); err == nil {
		switch {
		case a.IsUnspecified(), a.IsMulticast(), a.Zone() != "", a.Is4In6():
			return fmt.Errorf("%q is not an address of a host: want one at which the CA's validators reach this host", name)
		case a.String() != name:
			return fmt.Errorf("%q is written differently from how it is compared: write %q", name, a)
		case challenge.DNS():
			return errors.New("IP addresses are validated by http-01 and tls-alpn-01 only (RFC 8738 §7): remove it, or choose one of these")
		}
		return nil
	}
	domain, wildcard := strings.CutPrefix(name, wildcardPrefix)
	if wildcard && challenge != "" && !challenge.DNS() {
		return fmt.Errorf("CAs validate wildcards by DNS challenges only, and the challenge is %s: remove it, or choose dns-01", challenge)
	}
	return checkDomain(domain)
}

// validateServed checks that there is who can answer for a domain.
func (c *Config) validateServed(ps *problems, at path, domain string, challenge probe.ChallengeType) {
	if c.unreadZones(ps) {
		return
	}
	r := &c.Responders
	switch challenge {
	case probe.DNS01, probe.DNSAccount01:
		place, _ := r.Place(challenge.RecordPrefix("") + domain)
		if zones := r.zones(); place == PlaceNobody && r.publish() && len(zones) > 0 {
			ps.add(at, "no zone of ours has %q: add it to responders.dns.zones, dns_updates or dns_aliases (%s), or choose one of %s",
				domain, c.whereZones(ps), strings.Join(zones, ", "))
		}
	case probe.HTTP01, probe.TLSALPN01:
		if place, _ := r.Place(domain); place == PlaceResponder && len(r.DNS.Addresses) == 0 {
			ps.add(at, "our name server serves %q (%s), but has no address to lead validators to our %s: add responders.dns.addresses",
				domain, c.whereZones(ps), map[probe.ChallengeType]string{probe.HTTP01: "web server", probe.TLSALPN01: "TLS listener"}[challenge])
		}
	}
}

// validateProfile checks the form of a profile's name. Which ones there are, the
// CA's directory says.
func validateProfile(ps *problems, at path, profile string) {
	if len(profile) > 100 || strings.ContainsFunc(profile, func(c rune) bool { return c <= ' ' || c > '~' }) {
		ps.add(at, "want the name of a profile as the CA's directory lists it, got %q", profile)
	}
}

// orders returns what the module orders, nil: nothing, and the section that says
// so.
func (m *Module) orders() (names *Names, profile, section string) {
	switch {
	case m.Prober == probe.ProberOrder && m.Order != nil:
		return &m.Order.Names, m.Order.Profile, "order"
	case m.Prober == probe.ProberValidate && m.Validate != nil:
		return &m.Validate.Names, m.Validate.Profile, "validate"
	case m.Prober == probe.ProberIssue && m.Issue != nil:
		return &m.Issue.Names, m.Issue.Profile, "issue"
	}
	return nil, "", ""
}

// solves returns the challenge that the module solves, empty: none, and the
// section that says so.
func (m *Module) solves() (challenge probe.ChallengeType, section string) {
	switch {
	case m.Prober == probe.ProberValidate && m.Validate != nil:
		return m.Validate.Challenge, "validate"
	case m.Prober == probe.ProberIssue && m.Issue != nil:
		return m.Issue.Challenge, "issue"
	}
	return "", ""
}

// wildcards reports whether there is one among the names.
func (n *Names) wildcards() bool {
	if n.Mode == NamesFixed {
		return slices.ContainsFunc(n.List, func(name string) bool { return strings.HasPrefix(name, wildcardPrefix) })
	}
	return n.Wildcard
}

// validateLimits checks that the CA takes what the module orders, as far as the
// preset knows. at is where the module is used.
func validateLimits(ps *problems, at path, preset *Preset, name string, m *Module) {
	names, wanted, section := m.orders()
	profile := preset.profile(wanted)
	if names == nil || profile == nil {
		return
	}
	called := "profile " + profile.Name
	if wanted == "" {
		called = "default profile, " + profile.Name + ","
	}
	where := ps.where(path("modules").keys(name, section, "names"))
	if n := names.Size(); n > profile.MaxNames {
		ps.add(at, "%s takes at most %d names in one order with the %s and the module %s asks for %d (%s): ask for fewer%s",
			preset.CA, profile.MaxNames, called, name, n, where, preset.instead(func(p Profile) bool { return n <= p.MaxNames }))
	}
	isIP := func(name string) bool { _, err := netip.ParseAddr(name); return err == nil }
	if slices.ContainsFunc(names.List, isIP) && !profile.Addresses {
		ps.add(at, "%s takes no IP addresses with the %s and the module %s asks for some (%s): remove them%s",
			preset.CA, called, name, where, preset.instead(func(p Profile) bool { return p.Addresses }))
	}
}
