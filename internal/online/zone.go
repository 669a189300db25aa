package online

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
)

// checkZone checks a zone of ours. Where the world is not led to us, what comes
// after that would only say so again.
func (c *checker) checkZone(ctx context.Context, t *topic, zone string) {
	r := c.Config.Responders.DNS
	if c.dns.err != nil && !c.dns.taken() {
		t.wrong("our responder cannot be opened: %s", c.dns.err)
	}
	led := c.checkDelegation(ctx, t, zone)
	if !dns.IsSubDomain(zone, r.Nameserver) {
		led = c.checkNameserver(ctx, t) && led
	}
	var seeing []string
	if led {
		seeing = c.checkHosts(ctx, t, zone)
	}
	if len(seeing) == 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.lost[zone] = true
		return
	}
	switch {
	case c.dns.taken():
		c.checkSOA(ctx, t, zone)
	case c.dns.err == nil:
		c.checkRoundTrip(ctx, t, zone, seeing)
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
	inside := dns.IsSubDomain(zone, r.Nameserver)
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
		if ns, ok := rr.(*dns.NS); ok && dnsclient.Plain(ns.Hdr.Name) == zone {
			names = append(names, dnsclient.Plain(ns.Ns))
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
