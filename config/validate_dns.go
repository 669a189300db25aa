package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// validateElsewhere checks what is said of DNS that is not ours.
func (r *Responders) validateElsewhere(ps *problems, at path) {
	for i := range r.DNSUpdates {
		r.DNSUpdates[i].validate(ps, at.key("dns_updates").index(i))
	}
	aliases := at.key("dns_aliases")
	for i, domain := range r.DNSAliases {
		if err := checkDomain(domain); err != nil {
			ps.add(aliases.index(i), "%s", err)
		}
	}
	if len(r.DNSAliases) > 0 && r.DNS == nil && len(r.DNSUpdates) == 0 {
		ps.add(aliases, "there is no zone of ours into which their CNAME records could lead: configure responders.dns or responders.dns_updates")
	}
	r.validateTwice(ps, at)
}

// validateTwice checks that no zone is in two places: of two that are the same
// none would be the inner one.
func (r *Responders) validateTwice(ps *problems, at path) {
	seen := map[string]path{}
	look := func(zone string, at path) {
		first, twice := seen[zone]
		switch {
		case zone == "": // it was told of
		case twice:
			ps.add(at, "%q is already at %s (%s): remove one", zone, first, ps.where(first))
		default:
			seen[zone] = at
		}
	}
	if r.DNS != nil {
		for i, zone := range r.DNS.Zones {
			if slices.Index(r.DNS.Zones, zone) == i { // else it was told of
				look(zone, at.keys("dns", "zones").index(i))
			}
		}
	}
	for i := range r.DNSUpdates {
		look(r.DNSUpdates[i].Zone, at.key("dns_updates").index(i).key("zone"))
	}
	for i, domain := range r.DNSAliases {
		look(domain, at.key("dns_aliases").index(i))
	}
}

func (u *DNSUpdate) validate(ps *problems, at path) {
	zone := at.key("zone")
	if u.Zone == "" {
		ps.add(zone, "missing: name the zone that takes updates")
	} else if err := checkZone(u.Zone); err != nil {
		ps.add(zone, "%s", err)
	}
	server := at.key("server")
	if u.Server == "" {
		ps.add(server, "missing: give the name or address of the zone's primary name server, which takes its updates")
	} else if err := checkServer(u.Server); err != nil {
		ps.add(server, "%s", err)
	}
	tsig := at.key("tsig")
	if u.TSIG == nil {
		ps.add(tsig, "missing: give the key by which the server knows us, for updates are sent signed only (RFC 8945)")
		return
	}
	u.TSIG.validate(ps, tsig)
}

func (t *TSIG) validate(ps *problems, at path) {
	if t.KeyName == "" {
		ps.add(at.key("key_name"), "missing: give the key's name as the server's configuration has it")
	} else if err := checkKeyName(t.KeyName); err != nil {
		ps.add(at.key("key_name"), "%s", err)
	}
	only(ps, at.key("algorithm"), t.Algorithm, HMACSHA224, HMACSHA256, HMACSHA384, HMACSHA512)
	secret, file := at.key("secret"), at.key("secret_file")
	switch {
	case t.Secret == "" && t.SecretFile == "":
		if !ps.isBroken(file) {
			ps.add(secret, "missing: give the key's secret as the server's configuration has it, or secret_file")
		}
	case t.Secret != "" && t.SecretFile != "":
		ps.add(file, "there is secret already: remove one of the two")
	default:
		at := secret
		if t.SecretFile != "" {
			at = file
		}
		if _, err := t.Key(); err != nil {
			ps.add(at, "%s: copy just the secret from the server's configuration", err)
		}
	}
}

// checkServer checks a host:port.
func checkServer(server string) error {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		return fmt.Errorf("%q is not a server: want host or host:port, such as ns.corp.example, 192.0.2.53 or \"[2001:db8::53]:5353\"", server)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("the port %q is not one of 1 to 65535", port)
	}
	return checkHost(host)
}

// checkHost checks a host's name or address.
func checkHost(host string) error {
	if a, err := netip.ParseAddr(host); err == nil {
		return checkUnicast(a)
	}
	return checkDomain(host)
}

// checkUnicast checks that a host can be asked at an address.
func checkUnicast(a netip.Addr) error {
	switch {
	case a.IsUnspecified(), a.IsMulticast():
		return fmt.Errorf("%q is not an address of a host", a)
	case a.Is4In6():
		return fmt.Errorf("%q is an IPv4 address in IPv6's form: write %q", a, a.Unmap())
	}
	return nil
}

// checkKeyName checks the name of a TSIG key, a domain name in syntax only (RFC
// 8945 §4.2): servers let it have what no host's name has.
func checkKeyName(name string) error {
	plain := strings.ToLower(strings.TrimSuffix(name, "."))
	for l := range strings.SplitSeq(plain, ".") {
		strange := strings.ContainsFunc(l, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
		})
		if l == "" || len(l) > 63 || len(plain) > maxName || strange {
			return fmt.Errorf("%q is not the name of a key: want one such as acme_exporter or probe.corp.example", name)
		}
	}
	if plain != name {
		return fmt.Errorf("%q is written differently from how it is compared: write %q", name, plain)
	}
	return nil
}

func (c *Config) validateResolvers(ps *problems, at path) {
	if len(c.Resolvers) == 0 {
		ps.add(at, "is empty: name a recursive name server, or remove the key")
	}
	for i, r := range c.Resolvers {
		at := at.index(i)
		a, err := parseResolver(r)
		switch {
		case err != nil || a.Port() == 0:
			ps.add(at, "%q is not a resolver: want an IP address or address:port, such as 192.0.2.53 or \"[2001:db8::53]:5353\"", r)
		case checkUnicast(a.Addr()) != nil:
			ps.add(at, "%s", checkUnicast(a.Addr()))
		case slices.Index(c.Resolvers, r) < i:
			ps.add(at, "%q is there twice: remove one", r)
		}
	}
}

// checkRoom checks that the record of a name beneath the zone has room in DNS.
func checkRoom(zone string, challenge probe.ChallengeType) error {
	if n := len(challenge.RecordPrefix("")) + randomLabel + len(zone); n > maxName {
		return fmt.Errorf("%q is too long for %s: the record of a random name beneath it would have a name of %d characters, and DNS has room for %d", zone, challenge, n, maxName)
	}
	return nil
}

// validatePolicy checks the policy of dns-persist-01's record.
func validatePolicy(ps *problems, at path, policy string, challenge probe.ChallengeType, names Names) {
	switch {
	case policy != "" && policy != PolicyWildcard:
		ps.add(at, "want wildcard, got %q: remove it for a record without a policy", policy)
	case policy != "" && challenge != "" && challenge != probe.DNSPersist01:
		ps.add(at, "only the records of dns-persist-01 have a policy, and the challenge is %s: remove this, or choose dns-persist-01", challenge)
	case policy == "" && challenge == probe.DNSPersist01 && names.wildcards():
		ps.add(at, "missing, and needed for wildcards with dns-persist-01: say wildcard, and put it into standing records as well")
	}
}

// validateIssuer checks that the target has what dns-persist-01's records say. at
// is where the module is used.
func validateIssuer(ps *problems, at path, t *Target, name string, m *Module) {
	challenge, section := m.solves()
	if challenge != probe.DNSPersist01 || t.IssuerDomainName != "" {
		return
	}
	if t.Preset != "" && presetNamed(t.Preset) == nil {
		return // the right preset may have one
	}
	ps.add(at, "the module %s solves dns-persist-01 (%s), whose records name the CA, and the target has no issuer_domain_name: add the one that the CA wants in CAA records",
		name, ps.where(path("modules").keys(name, section, "challenge")))
}
