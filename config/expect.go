package config

import (
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	// expectEvery is the least time between two runs that a CA has to refuse, unless it
	// is one's own: each is a failure in its books.
	expectEvery = time.Hour
	// refusedZone is where names lie that every public CA has to refuse: it is IANA's,
	// for documentation (RFC 2606 §3), so that nobody who asks can be who has it.
	refusedZone = "example.org"
	// mostNetworks is more perspectives than any CA has.
	mostNetworks = 100
)

// Nobodys reports whether the name lies where nobody can have it who asks a CA.
func Nobodys(name string) bool { return strings.HasSuffix(name, "."+refusedZone) }

// Expected is the type of the problem that the CA has to refuse the module's runs
// with; empty: it has not to refuse them.
func (m *Module) Expected() string {
	if m.Prober != probe.ProberIssue || m.Issue == nil || m.Issue.Expect == nil {
		return ""
	}
	return m.Issue.Expect.Problem
}

// Solves reports whether the module accepts challenges, and so needs a responder.
func (m *Module) Solves() bool {
	return m.Prober.Solves() && m.Expected() != probe.ProblemRejectedIdentifier
}

// MinimumNetworks is from how many networks validators are expected to fetch the
// answer; 0: nothing is expected.
func (m *Module) MinimumNetworks() int {
	switch {
	case m.Prober == probe.ProberIssue && m.Issue != nil:
		return m.Issue.MinimumNetworks
	case m.Prober == probe.ProberValidate && m.Validate != nil:
		return m.Validate.MinimumNetworks
	}
	return 0
}

// completeExpect fills in what follows from what is expected, before the rest is
// completed.
func (i *Issue) completeExpect(ps *problems, at path) {
	if i.Expect == nil || i.Expect.Problem != probe.ProblemRejectedIdentifier {
		return
	}
	if i.Names.Mode != NamesFixed && i.Names.Zone == "" && !ps.written(at.keys("names", "zone")) {
		i.Names.Zone = refusedZone
	}
}

// validateExpect checks what is expected instead of a certificate.
func (c *Config) validateExpect(ps *problems, at path, i *Issue) {
	problem := at.keys("expect", "problem")
	switch i.Expect.Problem {
	case probe.ProblemUnauthorized, probe.ProblemCAA, probe.ProblemRejectedIdentifier:
	case "":
		if !ps.isBroken(problem) {
			ps.add(problem, "missing: say with which problem the CA has to refuse: unauthorized, caa or rejectedIdentifier")
		}
		return
	default:
		only(ps, problem, i.Expect.Problem, probe.ProblemUnauthorized, probe.ProblemCAA, probe.ProblemRejectedIdentifier)
		return
	}
	byPolicy := i.Expect.Problem == probe.ProblemRejectedIdentifier
	names := at.key("names")
	switch {
	case i.Names.Mode == NamesPool, i.Names.Mode == NamesFixed && !byPolicy:
		ps.add(names.key("mode"), "what has to be refused is a name that nobody has proved before, another one in each run: want random, got %q", i.Names.Mode)
	case i.Names.Mode == NamesFixed && len(i.Names.List) > 1:
		ps.add(names.key("list"), "one name shows whether it is refused: remove the others")
	case i.Names.Mode == NamesRandom && i.Names.Count > 1:
		ps.add(names.key("count"), "one name shows whether it is refused: remove this")
	case i.Names.Mode == NamesRandom && i.Names.Wildcard:
		ps.add(names.key("wildcard"), "one name shows whether it is refused: remove this")
	}
	if i.Revoke != nil {
		ps.add(at.key("revoke"), "a certificate that had to be refused is revoked at once: remove this")
	}
	if i.Authorization == AuthorizationReuse {
		ps.add(at.key("authorization"), "an authorization that is valid already proves nothing about a CA that has to refuse: remove this")
	}
	if byPolicy {
		if ps.written(at.key("challenge")) {
			ps.add(at.key("challenge"), "the name is refused when it is ordered, and no challenge is accepted: remove this")
		}
		return
	}
	c.validateUnproved(ps, at, i)
}

// validateUnproved checks that the CA can find out that it has to refuse.
func (c *Config) validateUnproved(ps *problems, at path, i *Issue) {
	challenge := at.key("challenge")
	switch {
	case i.Challenge == probe.DNSPersist01:
		ps.add(challenge, "the records of dns-persist-01 stay, and authorize by themselves: choose another challenge")
		return
	case i.Challenge == probe.TLSALPN01 && i.Expect.Problem == probe.ProblemUnauthorized:
		ps.add(challenge, "a CA that gets no answer by tls-alpn-01 says tls, not unauthorized: choose http-01 or dns-01")
		return
	}
	if i.Names.Zone == "" || i.Names.Mode != NamesRandom || c.unreadZones(ps) {
		return // which is told already, or cannot be known
	}
	switch place, _ := c.Responders.Place(i.Names.Zone); {
	case i.Expect.Problem == probe.ProblemCAA && place != PlaceResponder:
		ps.add(at.keys("names", "zone"), "the CAA record that forbids it is our own name server's to give, and %q is in none of responders.dns.zones%s", i.Names.Zone, c.chooseZone())
	case i.Challenge.DNS():
		if place, _ := c.Responders.Place(i.Challenge.RecordPrefix("") + i.Names.Zone); place != PlaceResponder {
			ps.add(at.keys("names", "zone"), "a name server elsewhere says that there is no such name, which CAs call dns, not unauthorized, and %q is in none of responders.dns.zones%s", i.Names.Zone, c.chooseZone())
		}
	}
}

// chooseZone names the zones that our name server has.
func (c *Config) chooseZone() string {
	if c.Responders.DNS == nil || len(c.Responders.DNS.Zones) == 0 {
		return ": configure responders.dns"
	}
	return ": choose " + strings.Join(c.Responders.DNS.Zones, " or ")
}

// validateMinimumNetworks checks from how many networks validators are expected.
func (c *Config) validateMinimumNetworks(ps *problems, at path, minimum int, challenge probe.ChallengeType, names Names, expected string) {
	at = at.key("minimum_networks")
	if !ps.written(at) {
		return
	}
	switch place, _ := c.Responders.Place(challenge.RecordPrefix("") + names.Zone); {
	case minimum < 1 || minimum > mostNetworks:
		ps.add(at, "want 1 to %d, got %d", mostNetworks, minimum)
	case expected == probe.ProblemUnauthorized || expected == probe.ProblemRejectedIdentifier:
		ps.add(at, "where the CA has to refuse with %s, nobody fetches an answer: remove this", expected)
	case challenge.DNS() && names.Mode != NamesFixed && place != PlaceResponder && !c.unreadZones(ps):
		ps.add(at, "validators ask name servers elsewhere for %q, where we do not see them: remove this, or choose a zone of responders.dns", names.Zone)
	}
}
