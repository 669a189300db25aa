package online

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// caaAnswer is what the resolvers see at one name.
type caaAnswer struct {
	records []*dns.CAA
	err     error
}

// checkCAA holds the CAA records of each name (RFC 8659) against what the CA calls
// itself.
func (c *checker) checkCAA(ctx context.Context, t *topic, p *config.Pair, o *ordered, list []name, d *probe.Directory) {
	asker := caaAsker{challenge: o.challenge, account: c.Account(p.Pair.Target)}
	if d != nil {
		asker.identities = d.CAAIdentities
	}
	if own := p.Target.IssuerDomainName; len(asker.identities) == 0 && own != "" {
		asker.identities = []string{own}
	}
	domains, refused := 0, 0  // refused: or not known
	told := map[string]bool{} // many names may stand below one set
	for _, n := range list {
		if n.ip.IsValid() {
			continue // CAA is about domains
		}
		domains++
		if place, zone := c.Config.Responders.Place(n.text); place == config.PlaceResponder && c.isLost(zone) {
			refused++
			if !told[zone] {
				told[zone] = true
				t.warn("CAA records of names in %s were not looked up: nobody gets there yet", zone)
			}
			continue
		}
		at, records, err := c.caaFor(ctx, n.text)
		if err != nil {
			refused++
			if !told[err.Error()] {
				told[err.Error()] = true
				t.wrong("the CAA records of %s cannot be had, and a CA that cannot see them issues nothing: %s", n, err)
			}
			continue
		}
		why, mend := asker.refused(records, n.wildcard)
		if why == "" {
			continue
		}
		refused++
		if key := at + " " + why; !told[key] {
			told[key] = true
			c.tellCAA(ctx, t, n, at, why, mend, &asker)
		}
	}
	switch {
	case domains == 0 || refused > 0:
	case len(asker.identities) == 0:
		t.ok("no CAA record forbids any CA to issue; this one's directory has no caaIdentities")
	default:
		t.ok("no CAA record forbids %s to issue", strings.Join(asker.identities, ", "))
	}
}

// isLost reports whether nobody gets to a zone of ours. Its names are not asked
// for: that they do not exist would stay in the resolvers' caches for a while.
func (c *checker) isLost(zone string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost[zone]
}

// tellCAA tells of a set of CAA records that forbids what the pair wants; mend:
// another record would let the CA.
func (c *checker) tellCAA(ctx context.Context, t *topic, n name, at, why string, mend bool, asker *caaAsker) {
	where := at
	if at == n.text {
		where = n.challenge("") // what stands for a random name
	}
	text := fmt.Sprintf("the CAA records at %s do not let the CA issue for %s: %s", where, n, why)
	switch {
	case len(asker.identities) == 0:
		t.warn("%s; what the CA calls itself is not known: see its documentation", text)
		return
	case !mend:
		t.wrong("%s: remove it", text)
		return
	}
	tag := "issue"
	if n.wildcard {
		tag = "issuewild"
	}
	if place, _ := c.Config.Responders.Place(at); place == config.PlaceResponder {
		t.wrong("%s: add {tag: %s, value: %s} to responders.dns.caa", text, tag, asker.identities[0])
		return
	}
	f := Finding{Status: Wrong, Text: text, Records: []string{
		fmt.Sprintf("%s %d IN CAA 0 %s %q", dns.Fqdn(at), ttlHost, tag, asker.identities[0]),
	}}
	if zone, err := c.DNS.Zone(ctx, at); err == nil {
		f.Zone = zone.Name
	}
	t.add(f)
}

// caaFor returns the relevant set of a name and where it stands: that of the name,
// or else of the closest domain above it (RFC 8659 §3). None: empty.
func (c *checker) caaFor(ctx context.Context, name string) (at string, records []*dns.CAA, err error) {
	for at = name; at != "."; at = parent(at) {
		if records, err = c.caa(ctx, at); err != nil || len(records) > 0 {
			return at, records, err
		}
	}
	return "", nil, nil
}

// caa returns the CAA records at a name, without those above it. It asks once for
// each name.
func (c *checker) caa(ctx context.Context, name string) ([]*dns.CAA, error) {
	c.mu.Lock()
	seen, ok := c.caaSeen[name]
	c.mu.Unlock()
	if ok {
		return seen.records, seen.err
	}
	m, err := c.DNS.Resolve(ctx, name, dns.TypeCAA)
	seen.err = err
	if err == nil {
		for _, rr := range m.Answer {
			if record, ok := rr.(*dns.CAA); ok { // also one at the end of CNAME records
				seen.records = append(seen.records, record)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.caaSeen[name] = seen
	return seen.records, seen.err
}

// caaAsker is who asks whether it may issue.
type caaAsker struct {
	identities []string // what the CA calls itself; empty: not known
	challenge  probe.ChallengeType
	account    string // empty: there is none yet
}

// caaTags are the tags that every CA is taken to know; any other one that is
// critical forbids to issue (RFC 8659 §4.1).
var caaTags = []string{"issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"}

// refused returns why a set of CAA records forbids to issue, and whether one more
// record would mend that; empty: it does not.
func (a *caaAsker) refused(records []*dns.CAA, wildcard bool) (why string, mend bool) {
	var issue, issueWild []string
	for _, r := range records {
		tag := strings.ToLower(r.Tag)
		switch {
		case tag == "issue":
			issue = append(issue, r.Value)
		case tag == "issuewild":
			issueWild = append(issueWild, r.Value)
		case r.Flag&128 != 0 && !slices.Contains(caaTags, tag):
			return fmt.Sprintf("the property %q is critical, and one that few CAs know", r.Tag), false
		}
	}
	relevant := issue
	if wildcard && len(issueWild) > 0 {
		relevant = issueWild // RFC 8659 §4.3
	}
	if len(relevant) == 0 {
		return "", false
	}
	why = fmt.Sprintf("they name %s", quotedList(relevant))
	for _, value := range relevant {
		domain, parameters := parseIssue(value)
		if !slices.ContainsFunc(a.identities, func(id string) bool { return strings.EqualFold(id, domain) }) {
			continue
		}
		// RFC 8657: a record may be for one account and some challenges only.
		account, methods := parameters["accounturi"], parameters["validationmethods"]
		switch {
		case methods != "" && !slices.Contains(strings.Split(methods, ","), string(a.challenge)):
			why = fmt.Sprintf("%q allows validation by %s only, and not by %s", value, methods, a.challenge)
		case account != "" && a.account != "" && account != a.account:
			why = fmt.Sprintf("%q is for another account than %s", value, a.account)
		default:
			return "", false
		}
	}
	return why, true
}

// parseIssue takes the value of an issue property apart (RFC 8659 §4.2).
func parseIssue(value string) (domain string, parameters map[string]string) {
	domain, rest, _ := strings.Cut(value, ";")
	parameters = make(map[string]string)
	for p := range strings.SplitSeq(rest, ";") {
		if key, value, ok := strings.Cut(p, "="); ok {
			parameters[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
		}
	}
	return strings.TrimSuffix(strings.TrimSpace(domain), "."), parameters
}

func quotedList(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = fmt.Sprintf("%q", w)
	}
	return strings.Join(quoted, ", ")
}
