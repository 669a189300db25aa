package config

import (
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func (c *Config) validateModule(ps *problems, at path, name string, m *Module) {
	switch named := proberKnown(probe.Prober(name)); {
	case m.Prober == "":
		ps.add(at.key("prober"), "missing: choose one of %s", strings.Join(proberNames(), ", "))
	case !proberKnown(m.Prober):
		ps.add(at.key("prober"), "there is no prober %q: %s", m.Prober, hint(string(m.Prober), proberNames()))
	case named && m.Prober != probe.Prober(name):
		ps.add(at.key("prober"), "a module named %s has that prober, not %s: give the module another name", name, m.Prober)
	}
	if t := time.Duration(m.Timeout); (t < minTimeout || t > maxTimeout) && !m.timeoutByDefault {
		ps.add(at.key("timeout"), "want %s to %s, got %s", duration(minTimeout), duration(maxTimeout), m.Timeout)
	}
	if time.Duration(m.MinInterval) < minTimeout {
		ps.add(at.key("min_interval"), "want at least %s, got %s", duration(minTimeout), m.MinInterval)
	}
	only(ps, at.key("ip_protocol"), m.IPProtocol, IPAny, IP4, IP6)
	only(ps, at.key("connection"), m.Connection, ConnectionFresh, ConnectionReuse)

	section := func(own probe.Prober, there bool) bool {
		if there && m.Prober != own && proberKnown(m.Prober) {
			ps.add(at.key(string(own)), "this section is for the prober %s, and the module's is %s: remove it, or change the prober", own, m.Prober)
		}
		return there && m.Prober == own
	}
	if section(probe.ProberOrder, m.Order != nil) {
		c.validateNames(ps, at.keys("order", "names"), m.Order.Names, "")
	}
	if section(probe.ProberValidate, m.Validate != nil) {
		c.validateSolver(ps, at.key("validate"), m.Validate.Challenge, m.Validate.Names)
	}
	if section(probe.ProberIssue, m.Issue != nil) {
		c.validateSolver(ps, at.key("issue"), m.Issue.Challenge, m.Issue.Names)
		only(ps, at.keys("issue", "authorization"), m.Issue.Authorization, AuthorizationFresh, AuthorizationReuse)
		only(ps, at.keys("issue", "key_type"), m.Issue.KeyType, KeyECDSAP256)
	}
}

// validateSolver checks that there is a responder for the challenge.
func (c *Config) validateSolver(ps *problems, at path, challenge probe.ChallengeType, names Names) {
	known := []probe.ChallengeType{probe.HTTP01, probe.DNS01, probe.TLSALPN01}
	responders := path("responders")
	switch {
	case !slices.Contains(known, challenge):
		only(ps, at.key("challenge"), challenge, known...)
		challenge = ""
	case ps.isBroken(responders):
	case challenge == probe.HTTP01 && c.Responders.HTTP == nil && !ps.isBroken(responders.key("http")):
		ps.add(at.key("challenge"), "http-01 needs our web server: configure responders.http%s", orDNS(ps, at))
	case challenge == probe.TLSALPN01 && c.Responders.TLSALPN == nil && !ps.isBroken(responders.key("tls_alpn")):
		ps.add(at.key("challenge"), "tls-alpn-01 needs our TLS listener: configure responders.tls_alpn, or choose another challenge")
	case challenge == probe.DNS01 && c.Responders.DNS == nil && !ps.isBroken(responders.key("dns")):
		ps.add(at.key("challenge"), "dns-01 needs our name server: configure responders.dns, or choose http-01")
	}
	c.validateNames(ps, at.key("names"), names, challenge)
}

// orDNS adds the other way out where http-01 was nobody's choice.
func orDNS(ps *problems, at path) string {
	if ps.written(at.key("challenge")) {
		return ", or choose dns-01"
	}
	return " (or responders.dns, for dns-01)"
}

// validateNames checks the names of an order; challenge is empty where none is
// solved.
func (c *Config) validateNames(ps *problems, at path, n Names, challenge probe.ChallengeType) {
	if n.Count != 1 {
		ps.add(at.key("count"), "want 1, got %d: orders of several names are not supported yet", n.Count)
	}
	if n.Mode != NamesRandom {
		ps.add(at.key("mode"), "want random, got %q", n.Mode)
	}
	zone := at.key("zone")
	dns := c.Responders.DNS
	zones := path("responders").keys("dns", "zones")
	if n.Zone == "" {
		switch {
		case ps.isBroken(zones):
		case dns != nil && len(dns.Zones) > 1:
			ps.add(zone, "missing: choose the zone to ask for names in, one of %s (%s)", strings.Join(dns.Zones, ", "), ps.where(zones))
		case dns == nil:
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
	if dns == nil || ps.isBroken(zones) {
		return
	}
	served := slices.ContainsFunc(dns.Zones, func(z string) bool { return beneath(n.Zone, z) })
	switch {
	case challenge == probe.DNS01 && !served && len(dns.Zones) > 0:
		ps.add(zone, "no responder serves %q: add it to responders.dns.zones (%s), or choose one of %s", n.Zone, ps.where(zones), strings.Join(dns.Zones, ", "))
	case (challenge == probe.HTTP01 || challenge == probe.TLSALPN01) && served && len(dns.Addresses) == 0:
		ps.add(zone, "our name server serves %q (%s), but has no address to lead validators to our %s: add responders.dns.addresses",
			n.Zone, ps.where(zones), map[probe.ChallengeType]string{probe.HTTP01: "web server", probe.TLSALPN01: "TLS listener"}[challenge])
	}
}

// duration writes d as configuration files do.
func duration(d time.Duration) string { return model.Duration(d).String() }
