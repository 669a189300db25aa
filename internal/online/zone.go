package online

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// checkZone checks a zone of ours. Where the world is not led to us, what comes
// after that would only say so again.
func (c *checker) checkZone(ctx context.Context, t *topic, zone string) {
	r := c.Config.Responders.DNS
	if c.dns.err != nil && !c.dns.taken() {
		t.wrong("our responder cannot be opened: %s", c.dns.err)
	}
	led := c.checkDelegation(ctx, t, zone)
	if !beneath(r.Nameserver, zone) {
		led = c.checkNameserver(ctx, t) && led
	}
	if !led {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.lost[zone] = true
		return
	}
	seen := c.checkHosts(ctx, t, zone)
	switch {
	case !seen:
	case c.dns.taken():
		c.checkSOA(ctx, t, zone)
	case c.dns.err == nil:
		c.checkRoundTrip(ctx, t, zone)
	}
}

// referral is how the servers of the parent lead to a zone.
type referral struct {
	parent      dnsclient.Zone
	nameservers []string // of all servers together
	lacking     []string // servers that have no name server of ours for the zone
	told        int      // servers that have answered
	glue        []netip.Addr
	signed      bool // there is a DS record
}

// checkDelegation holds what the parent's authoritative servers say of a zone
// against the configuration; false: nobody is led to us.
func (c *checker) checkDelegation(ctx context.Context, t *topic, zone string) bool {
	r := c.Config.Responders.DNS
	above := parent(zone)
	if place, outer := c.Config.Responders.Place(above); place == config.PlaceResponder {
		t.ok("it lies within %s, which our responder has as well", outer)
		return true
	}
	ref, ok := c.refer(ctx, t, zone, above)
	if !ok {
		return false
	}
	ns := fmt.Sprintf("%s %d IN NS %s", dns.Fqdn(zone), ttlDelegation, dns.Fqdn(r.Nameserver))
	inside := beneath(r.Nameserver, zone)
	records := []string{ns}
	if inside {
		records = append(records, hostRecords(r.Nameserver, r.Addresses, ttlDelegation)...)
	}
	switch {
	case len(ref.lacking) == ref.told && len(ref.nameservers) > 0:
		t.add(Finding{Status: Wrong, Zone: ref.parent.Name, Records: records,
			Text: fmt.Sprintf("%s leads to %s and not to %s, our responders.dns.nameserver: replace its NS records", zoneName(ref.parent.Name), strings.Join(ref.nameservers, ", "), r.Nameserver)})
		return false
	case len(ref.lacking) == ref.told:
		t.missing(ref.parent.Name, records, "%s does not delegate it", zoneName(ref.parent.Name))
		return false
	case len(ref.lacking) > 0:
		t.wrong("of the name servers of %s, %s do not delegate it to %s and the others do: wait until all have the zone's new version, or mend its transfer",
			zoneName(ref.parent.Name), strings.Join(ref.lacking, ", "), r.Nameserver)
	}
	sound := len(ref.lacking) == 0
	if others := without(ref.nameservers, []string{r.Nameserver}); len(others) > 0 {
		sound = c.checkOthers(ctx, t, &ref, others) && sound
	}
	if ref.signed {
		sound = false
		t.wrong("%s has a DS record of it, and our responder does not sign: resolvers that validate refuse its answers: remove the DS record", zoneName(ref.parent.Name))
	}
	if inside {
		sound = c.checkGlue(t, &ref, records[1:]) && sound
	}
	if sound {
		t.ok("%s delegates it to %s", zoneName(ref.parent.Name), r.Nameserver)
	}
	return true
}

// refer asks the servers of the zone that holds above where they lead for zone.
func (c *checker) refer(ctx context.Context, t *topic, zone, above string) (referral, bool) {
	holder, err := c.DNS.Zone(ctx, above)
	if err != nil {
		t.wrong("the zone that has to delegate it cannot be found: %s", err)
		return referral{}, false
	}
	ref := referral{parent: holder}
	ours := c.Config.Responders.DNS.Nameserver
	var silent []string
	for _, a := range c.askServers(ctx, holder, zone, dns.TypeNS) {
		if a.err != nil {
			silent = append(silent, fmt.Sprintf("%s: %s", a.server.Name, a.err))
			continue
		}
		ref.told++
		found := nameservers(a.message, zone)
		for _, ns := range found {
			if !slices.Contains(ref.nameservers, ns) {
				ref.nameservers = append(ref.nameservers, ns)
			}
		}
		if !slices.Contains(found, ours) {
			ref.lacking = append(ref.lacking, a.server.Name)
		}
		ref.glue = append(ref.glue, without(addresses(append(a.message.Extra, a.message.Answer...), ours), ref.glue)...)
	}
	if ref.told == 0 {
		t.wrong("no name server of %s answers, and so nobody finds the zone: %s", zoneName(holder.Name), strings.Join(silent, "; "))
		return referral{}, false
	}
	if len(silent) > 0 {
		t.warn("some name servers of %s do not answer: %s", zoneName(holder.Name), strings.Join(silent, "; "))
	}
	if len(ref.nameservers) > 0 {
		for _, a := range c.askServers(ctx, holder, zone, dns.TypeDS) {
			ref.signed = ref.signed || a.err == nil && slices.ContainsFunc(a.message.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDS })
		}
	}
	slices.Sort(ref.nameservers)
	return ref, true
}

// nameservers returns those of a zone in a referral, or in the answer of a server
// that has the zone itself.
func nameservers(m *dns.Msg, zone string) []string {
	var names []string
	for _, rr := range append(slices.Clone(m.Answer), m.Ns...) {
		if ns, ok := rr.(*dns.NS); ok && canonical(ns.Hdr.Name) == zone {
			names = append(names, canonical(ns.Ns))
		}
	}
	return names
}

// checkOthers checks name servers of the delegation that the configuration does
// not know. One that leads to us as well does no harm.
func (c *checker) checkOthers(ctx context.Context, t *topic, ref *referral, others []string) bool {
	r := c.Config.Responders.DNS
	known := append(slices.Clone(r.Addresses), ref.glue...)
	if ips, err := c.DNS.Addresses(ctx, r.Nameserver); err == nil {
		known = append(known, ips...)
	}
	sound := true
	for _, ns := range others {
		ips, err := c.DNS.Addresses(ctx, ns)
		if err == nil && len(ips) > 0 && len(without(ips, known)) == 0 {
			continue
		}
		sound = false
		t.wrong("%s delegates it to %s too, which is not known to be this exporter: a CA that asks there finds no record of ours: remove that NS record",
			zoneName(ref.parent.Name), ns)
	}
	return sound
}

// checkGlue checks the addresses that the parent gives for a name server inside
// the zone.
func (c *checker) checkGlue(t *topic, ref *referral, records []string) bool {
	r := c.Config.Responders.DNS
	foreign := without(ref.glue, r.Addresses)
	switch {
	case len(ref.glue) == 0:
		t.missing(ref.parent.Name, records, "%s gives no address for %s, which lies inside the zone: without glue nobody gets there", zoneName(ref.parent.Name), r.Nameserver)
	case len(foreign) > 0 && len(r.Addresses) > 0:
		t.add(Finding{Status: Wrong, Zone: ref.parent.Name, Records: records,
			Text: fmt.Sprintf("%s gives %s for %s, and responders.dns.addresses are %s: replace its glue, or correct the configuration",
				zoneName(ref.parent.Name), joined(foreign), r.Nameserver, joined(r.Addresses))})
	default:
		t.ok("%s has the glue of %s: %s", zoneName(ref.parent.Name), r.Nameserver, joined(ref.glue))
		return true
	}
	return false
}

// checkNameserver checks that a name server outside the zone has an address.
func (c *checker) checkNameserver(ctx context.Context, t *topic) bool {
	r := c.Config.Responders.DNS
	ips, err := c.DNS.Addresses(ctx, r.Nameserver)
	switch {
	case err != nil:
		t.wrong("the addresses of %s, its name server, cannot be found: %s", r.Nameserver, err)
		return false
	case len(ips) > 0:
		t.ok("its name server, %s, has the address %s", r.Nameserver, joined(ips))
		return true
	}
	holder := ""
	if found, err := c.DNS.Zone(ctx, parent(r.Nameserver)); err == nil {
		holder = found.Name
	}
	t.missing(holder, hostRecords(r.Nameserver, r.Addresses, ttlDelegation), "its name server, %s, has no address", r.Nameserver)
	return false
}

// checkHosts asks each resolver for the addresses of a random name; false: no
// resolver gets an answer from the zone.
func (c *checker) checkHosts(ctx context.Context, t *topic, zone string) bool {
	want := c.Config.Responders.DNS.Addresses
	var seen []string // resolvers that see what they should
	answered, failed := false, false
	for _, resolver := range c.Config.Resolvers {
		var got []netip.Addr
		var err error
		host := randomLabel() + "." + zone
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			var rrs []dns.RR
			if rrs, err = c.through(ctx, resolver, host, qtype); err != nil {
				break
			}
			got = append(got, addresses(rrs, "")...)
		}
		switch {
		case err != nil:
			failed = c.unseen(t, resolver, zone, err) || failed
			continue
		case len(without(got, want)) > 0 || len(without(want, got)) > 0:
			failed = true
			t.wrong("the resolver %s sees the addresses %s at a random name, and responders.dns.addresses are %s: somebody else answers for the zone, or the exporter that runs has another configuration",
				resolver, listed(got), listed(want))
		default:
			seen = append(seen, resolver)
		}
		answered = true
	}
	switch {
	case len(seen) > 0:
		t.ok("a random name has %s, as %s sees it", listed(want), strings.Join(seen, ", "))
	case !answered && !failed:
		t.wrong("no resolver answers: nothing is known of how the world sees the zone: name others in resolvers")
	}
	return answered
}

// unseen tells of a resolver that has no answer for a name of the zone. It returns
// whether the zone is to blame, and not the way to the resolver.
func (c *checker) unseen(t *topic, resolver, zone string, err error) bool {
	code, is := errors.AsType[*rcodeError](err)
	if !is {
		t.warn("the resolver %s cannot be asked: %s", resolver, err)
		return false
	}
	switch {
	case code.rcode == dns.RcodeNameError:
		t.wrong("the resolver %s says that a name beneath %s does not exist: an answer of before the delegation, which it forgets in time, or not ours", resolver, zone)
	case c.dns.responder == nil || c.dns.err != nil:
		t.wrong("the resolver %s gets no answer from the name server of %s (%s): start the exporter, and let UDP and TCP to port 53 of %s in from everywhere", resolver, zone, code, c.Config.Responders.DNS.Nameserver)
	default:
		t.wrong("the resolver %s gets no answer from the name server of %s (%s), for which %s was open: let UDP and TCP to port 53 of %s in from everywhere",
			resolver, zone, code, c.Config.Responders.DNS.ListenAddress, c.Config.Responders.DNS.Nameserver)
	}
	return true
}

// checkRoundTrip presents a challenge and asks each resolver for its record.
func (c *checker) checkRoundTrip(ctx context.Context, t *topic, zone string) {
	challenge := newChallenge(probe.DNS01, randomLabel()+"."+zone)
	withdraw, err := c.dns.responder.Present(ctx, challenge)
	if err != nil {
		t.wrong("our responder takes no challenge: %s", err)
		return
	}
	defer withdraw()
	var seen []string
	for _, resolver := range c.Config.Resolvers {
		rrs, err := c.through(ctx, resolver, challenge.Record.Name, dns.TypeTXT)
		switch {
		case err != nil:
			c.unseen(t, resolver, zone, err)
		case !slices.ContainsFunc(rrs, func(rr dns.RR) bool {
			txt, ok := rr.(*dns.TXT)
			return ok && dnsclient.Text(txt) == challenge.Record.Value
		}):
			t.wrong("the resolver %s does not see a TXT record that our responder has now: somebody else answers for %s: compare responders.dns.nameserver and the name server's address with this host", resolver, zone)
		default:
			seen = append(seen, resolver)
		}
	}
	if len(seen) > 0 {
		t.ok("a TXT record of ours was seen by %s", strings.Join(seen, ", "))
	}
}

// checkSOA takes the place of the round trip where the exporter runs: what answers
// for the zone calls itself as our configuration does.
func (c *checker) checkSOA(ctx context.Context, t *topic, zone string) {
	r := c.Config.Responders.DNS
	const running = "the port of responders.dns is taken, presumably by the exporter that runs, so that no record of ours could be tried"
	m, err := c.DNS.Resolve(ctx, zone, dns.TypeSOA)
	if err != nil {
		t.wrong("%s; and the zone's SOA record cannot be had: %s", running, err)
		return
	}
	for _, rr := range m.Answer {
		soa, ok := rr.(*dns.SOA)
		switch {
		case !ok || canonical(soa.Hdr.Name) != zone:
		case canonical(soa.Ns) == r.Nameserver && canonical(soa.Mbox) == "hostmaster."+zone:
			t.ok("%s; its SOA record is as our responder gives it", running)
			return
		default:
			t.wrong("%s; the zone's SOA record names %s, and ours would name %s: somebody else answers for the zone, or the exporter that runs has another configuration",
				running, canonical(soa.Ns), r.Nameserver)
			return
		}
	}
	t.wrong("%s; and the zone has no SOA record: somebody else answers for it", running)
}

// listed lists addresses in a text, which may be none.
func listed(ips []netip.Addr) string {
	if len(ips) == 0 {
		return "no address"
	}
	return joined(ips)
}
