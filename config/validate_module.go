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
	m.validateBeside(ps, at, section)
	if section(probe.ProberOrder, m.Order != nil) {
		m.Order.Names.validateNoPool(ps, at.keys("order", "names"), m.Prober)
		c.validateNames(ps, at.keys("order", "names"), m.Order.Names, "")
		validateProfile(ps, at.keys("order", "profile"), m.Order.Profile)
	}
	if section(probe.ProberValidate, m.Validate != nil) {
		m.Validate.Names.validateNoPool(ps, at.keys("validate", "names"), m.Prober)
		c.validateSolver(ps, at.key("validate"), m.Validate.Challenge, m.Validate.Names, m.Validate.PersistPolicy)
		validateProfile(ps, at.keys("validate", "profile"), m.Validate.Profile)
		c.validateMinimumNetworks(ps, at.key("validate"), m.Validate.MinimumNetworks, m.Validate.Challenge, m.Validate.Names, "")
	}
	if section(probe.ProberIssue, m.Issue != nil) {
		if m.Expected() == probe.ProblemRejectedIdentifier {
			c.validateNames(ps, at.keys("issue", "names"), m.Issue.Names, "")
		} else {
			c.validateSolver(ps, at.key("issue"), m.Issue.Challenge, m.Issue.Names, m.Issue.PersistPolicy)
		}
		if m.Issue.Expect != nil {
			c.validateExpect(ps, at.key("issue"), m.Issue)
		}
		c.validateMinimumNetworks(ps, at.key("issue"), m.Issue.MinimumNetworks, m.Issue.Challenge, m.Issue.Names, m.Expected())
		validateProfile(ps, at.keys("issue", "profile"), m.Issue.Profile)
		only(ps, at.keys("issue", "authorization"), m.Issue.Authorization, AuthorizationFresh, AuthorizationReuse)
		only(ps, at.keys("issue", "key_type"), m.Issue.KeyType, KeyECDSAP256, KeyECDSAP384, KeyRSA2048, KeyRSA4096)
		if r := m.Issue.Revoke; r != nil {
			r.validate(ps, at.keys("issue", "revoke"))
		}
	}
}

// validateSolver checks that there is who can answer the challenge.
func (c *Config) validateSolver(ps *problems, at path, challenge probe.ChallengeType, names Names, policy string) {
	known := probe.ChallengeTypes()
	responders := path("responders")
	switch {
	case !slices.Contains(known, challenge):
		only(ps, at.key("challenge"), challenge, known...)
		challenge = ""
	case ps.isBroken(responders):
	case !ps.written(at.key("challenge")) && c.unreadZones(ps): // which one it is depends on them
	case challenge == probe.HTTP01 && c.Responders.HTTP == nil && !ps.isBroken(responders.key("http")):
		ps.add(at.key("challenge"), "http-01 needs our web server: configure responders.http%s", orDNS(ps, at))
	case challenge == probe.TLSALPN01 && c.Responders.TLSALPN == nil && !ps.isBroken(responders.key("tls_alpn")):
		ps.add(at.key("challenge"), "tls-alpn-01 needs our TLS listener: configure responders.tls_alpn, or choose another challenge")
	case challenge.DNS() && challenge != probe.DNSPersist01 && !c.Responders.publish() && !c.unreadZones(ps):
		ps.add(at.key("challenge"), "%s needs a name server: configure responders.dns for our own, or responders.dns_updates for one elsewhere, or choose another challenge", challenge)
	}
	validatePolicy(ps, at.key("persist_policy"), policy, challenge, names)
	c.validateNames(ps, at.key("names"), names, challenge)
}

// orDNS adds the other way out where http-01 was nobody's choice.
func orDNS(ps *problems, at path) string {
	if ps.written(at.key("challenge")) {
		return ", or choose dns-01"
	}
	return " (or responders.dns, for dns-01)"
}

// duration writes d as configuration files do.
func duration(d time.Duration) string { return model.Duration(d).String() }
