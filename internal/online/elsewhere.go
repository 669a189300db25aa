package online

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// How long a record that was written may take to be at every name server, and how
// long it is looked for one that has to stand there.
const (
	publishTimeout  = 30 * time.Second
	standingTimeout = 10 * time.Second
)

// maxName is the length of the longest DNS name (RFC 1035 §2.3.4).
const maxName = 253

// checkUpdate writes a record into a zone that takes updates, waits until every
// authoritative server has it, and removes it.
func (c *checker) checkUpdate(ctx context.Context, t *topic, zone string) {
	record := newChallenge(probe.DNS01, zone).Record // for its value
	record.Name = c.trialName(zone)
	records := []probe.Record{record}
	publishing, cancel := context.WithTimeout(ctx, publishTimeout)
	err := c.Records.Publish(publishing, records)
	cancel()
	// What was asked for may have happened although no answer came.
	withdrawing, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	left := c.Records.Withdraw(withdrawing, records)
	if err != nil {
		t.wrong("%s", publicationText(err))
	}
	switch {
	case err != nil && left != nil:
		// The same of both: the server makes no updates, and has written nothing.
		if publicationText(left) != publicationText(err) {
			t.wrong("%s may have been written, and could not be removed: %s", record.Name, publicationText(left))
		}
	case left != nil:
		t.wrong("%s was written and could not be removed: %s", record.Name, publicationText(left))
	case err == nil:
		t.ok("a TXT record was written, was seen at every authoritative server, and was removed")
	}
}

// trialName returns the name of a record that a module writes into a zone, for the
// key may be allowed no other; else one that nobody has used.
func (c *checker) trialName(zone string) string {
	for i := range c.pairs {
		label, ok := c.label(&c.pairs[i])
		if !ok {
			continue
		}
		for _, n := range names(&c.pairs[i]) {
			if place, in := c.Config.Responders.Place(label + n.text); place == config.PlaceUpdate && in == zone {
				return label + n.text
			}
		}
	}
	if strings.HasPrefix(zone, probe.ChallengeLabel) {
		return zone // a zone for one name's challenges
	}
	return probe.ChallengeLabel + randomLabel() + "." + zone
}

// label returns what stands before a name in that of the record which answers a
// pair's challenges; false: no record does, or it is not known before there is an
// account.
func (c *checker) label(p *config.Pair) (string, bool) {
	o, _ := order(p)
	account := ""
	if o.challenge == probe.DNSAccount01 {
		if account = c.Account(p.Pair.Target); account == "" {
			return "", false
		}
	}
	label := o.challenge.RecordPrefix(account)
	return label, label != ""
}

// publicationText is what an error of Records says, and what to do about it.
func publicationText(err error) string {
	if p, ok := errors.AsType[*probe.PublicationError](err); ok && p.Advice != "" {
		return p.Detail + ": " + p.Advice
	}
	return err.Error()
}

// publicationKind is the kind of an error of Records; empty: of no kind.
func publicationKind(err error) probe.FailureKind {
	if p, ok := errors.AsType[*probe.PublicationError](err); ok {
		return p.Kind
	}
	return ""
}

// checkAlias checks the CNAME records of the names that are ordered in a domain
// whose challenge names lead into a zone of ours.
func (c *checker) checkAlias(ctx context.Context, t *topic, domain string) {
	var done []string
	for i := range c.pairs {
		p := &c.pairs[i]
		list := c.aliased(p, domain)
		if len(list) == 0 {
			continue
		}
		label, ok := c.label(p)
		if !ok {
			t.warn("where %s looks for the records of %s is not known before there is an account: `acme_exporter account register %s` makes one",
				p.Pair.Target, p.Pair, p.Pair.Target)
			continue
		}
		for _, n := range list {
			if owner := n.owner(label); !slices.Contains(done, owner) {
				done = append(done, owner)
				c.checkAliasOf(ctx, t, n, label)
			}
		}
	}
	if len(t.findings) == 0 {
		t.warn("no module validates names in it by dns-01 or dns-account-01: nothing was looked up")
	}
}

// aliased returns the names of a pair whose challenges are answered through the
// domain's CNAME records.
func (c *checker) aliased(p *config.Pair, domain string) []name {
	if o, _ := order(p); o.challenge != probe.DNS01 && o.challenge != probe.DNSAccount01 {
		return nil
	}
	return slices.DeleteFunc(names(p), func(n name) bool {
		place, in := c.Config.Responders.Place(probe.ChallengeLabel + n.text)
		return place != config.PlaceAlias || in != domain
	})
}

// checkAliasOf checks the CNAME record of one name's challenge.
func (c *checker) checkAliasOf(ctx context.Context, t *topic, n name, label string) {
	asked := label + n.text
	located, err := c.Records.Locate(ctx, asked)
	if err != nil {
		t.wrong("%s", publicationText(err))
		return
	}
	if place, zone := c.Config.Responders.Place(located); place == config.PlaceResponder || place == config.PlaceUpdate {
		t.ok("%s leads to %s, in %s", n.challenge(label), located, zone)
		return
	}
	f := Finding{Status: Missing, Records: []string{
		fmt.Sprintf("%s %d IN CNAME %s", dns.Fqdn(n.owner(label)), ttlHost, dns.Fqdn(c.aliasFor(n))),
	}}
	if located == asked {
		f.Text = fmt.Sprintf("%s is no CNAME record", n.challenge(label))
	} else {
		f.Status = Wrong
		f.Text = fmt.Sprintf("%s leads to %s, which lies in no zone of ours", n.challenge(label), located)
	}
	if zone, err := c.DNS.Zone(ctx, n.text); err == nil {
		f.Zone = zone.Name
	}
	t.add(f)
}

// challenge is the name of a challenge's record in a text.
func (n name) challenge(label string) string {
	n.wildcard = false
	return label + n.String()
}

// aliasFor returns a name in a zone of ours that a name's challenge may lead to.
func (c *checker) aliasFor(n name) string {
	r := &c.Config.Responders
	zone := ""
	switch {
	case r.DNS != nil && len(r.DNS.Zones) > 0:
		zone = r.DNS.Zones[0]
	case len(r.DNSUpdates) > 0:
		zone = r.DNSUpdates[0].Zone
	}
	if alias := n.text + "." + zone; n.zone == "" && len(alias) <= maxName {
		return alias
	}
	return probe.ChallengeLabel + zone // one for all does as well: they have a value each
}

// checkStanding looks for the records of dns-persist-01 that are not ours to
// write.
func (c *checker) checkStanding(ctx context.Context, t *topic, p *config.Pair, o *ordered, list []name) {
	issuer, account := p.Target.IssuerDomainName, c.Account(p.Pair.Target)
	var done []string
	for _, n := range list {
		record := probe.Record{Name: probe.PersistLabel + n.text, Standing: true}
		place, _ := c.Config.Responders.Place(record.Name)
		if place == config.PlaceResponder || place == config.PlaceUpdate || slices.Contains(done, record.Name) {
			continue
		}
		done = append(done, record.Name)
		wildcard := slices.ContainsFunc(list, func(m name) bool { return m.text == n.text && m.wildcard })
		policy := ""
		if wildcard {
			policy = o.policy
		}
		record.Value = probe.PersistValue(issuer, account, policy, time.Time{})
		if account == "" {
			t.add(Finding{Status: Missing, Text: fmt.Sprintf("%s needs a TXT record with the URL of our account, and there is none: `acme_exporter account register %s` makes one; then check again", record.Name, p.Pair.Target)})
			continue
		}
		c.checkStandingOf(ctx, t, n, record)
	}
}

func (c *checker) checkStandingOf(ctx context.Context, t *topic, n name, record probe.Record) {
	looking, cancel := context.WithTimeout(ctx, standingTimeout)
	defer cancel()
	err := c.Records.Publish(looking, []probe.Record{record})
	switch {
	case err == nil:
		t.ok("%s has the TXT record that lets our account issue", n.challenge(probe.PersistLabel))
		return
	case publicationKind(err) == probe.FailureLocal:
		t.wrong("%s", publicationText(err))
		return
	}
	holder := ""
	if zone, zoneErr := c.DNS.Zone(ctx, n.text); zoneErr == nil {
		holder = zone.Name
	}
	t.missing(holder, []string{fmt.Sprintf("%s %d IN TXT %q", dns.Fqdn(n.owner(probe.PersistLabel)), ttlHost, record.Value)}, "%s", publicationText(err))
}
