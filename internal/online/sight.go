package online

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// sight is what one resolver sees of a zone of ours.
type sight struct {
	resolver string
	records  []dns.RR
	err      error
	// deaf says that it does not answer other questions either.
	deaf bool
}

// look asks the resolvers, at the same time, for a name of the zone, until one of
// the types has no answer.
func (c *checker) look(ctx context.Context, resolvers []string, zone, name string, types ...uint16) []sight {
	sights := make([]sight, len(resolvers))
	var looking sync.WaitGroup
	for i, resolver := range resolvers {
		looking.Go(func() {
			s := sight{resolver: resolver}
			for _, qtype := range types {
				var records []dns.RR
				if records, s.err = through(ctx, c.patient, resolver, name, qtype); s.err != nil {
					break
				}
				s.records = append(s.records, records...)
			}
			if _, answered := errors.AsType[*rcodeError](s.err); s.err != nil && !answered {
				// Is it silent, or does it wait for the zone's name server in vain? There
				// is always a zone above.
				_, err := through(ctx, c.DNS, resolver, parent(zone), dns.TypeSOA)
				_, answered = errors.AsType[*rcodeError](err)
				s.deaf = err != nil && !answered
			}
			sights[i] = s
		})
	}
	looking.Wait()
	return sights
}

// checkHosts asks each resolver for the addresses of a random name, and returns the
// resolvers that get an answer from the zone.
func (c *checker) checkHosts(ctx context.Context, t *topic, zone string) (answered []string) {
	want := c.Config.Responders.DNS.Addresses
	var seen []string // resolvers that see what they should
	deaf := 0
	for _, s := range c.look(ctx, c.Config.Resolvers, zone, randomLabel()+"."+zone, dns.TypeA, dns.TypeAAAA) {
		got := addresses(s.records, "")
		switch {
		case s.err != nil:
			c.unseen(t, &s, zone)
			if s.deaf {
				deaf++
			}
			continue
		case len(without(got, want)) > 0 || len(without(want, got)) > 0:
			t.wrong("the resolver %s sees the addresses %s at a random name, and responders.dns.addresses are %s: somebody else answers for the zone, or the exporter that runs has another configuration",
				s.resolver, listed(got), listed(want))
		default:
			seen = append(seen, s.resolver)
		}
		answered = append(answered, s.resolver)
	}
	switch {
	case len(seen) > 0:
		t.ok("a random name has %s, as %s sees it", listed(want), strings.Join(seen, ", "))
	case deaf == len(c.Config.Resolvers):
		t.wrong("no resolver answers: nothing is known of how the world sees the zone: name others in resolvers")
	}
	return answered
}

// unseen tells of a resolver that has no answer for a name of the zone.
func (c *checker) unseen(t *topic, s *sight, zone string) {
	r := c.Config.Responders.DNS
	code, is := errors.AsType[*rcodeError](s.err)
	what := "no answer"
	switch {
	case s.deaf:
		t.warn("the resolver %s cannot be asked: %s", s.resolver, s.err)
		return
	case is && code.rcode == dns.RcodeNameError:
		t.wrong("the resolver %s says that a name beneath %s does not exist: an answer of before the delegation, which it forgets in time, or not ours", s.resolver, zone)
		return
	case is:
		what = code.Error()
	}
	const let = "let UDP and TCP to port 53 of"
	switch {
	case c.dns.err == nil:
		t.wrong("the resolver %s gets nothing from the name server of %s (%s), for which %s was open: %s %s in from everywhere",
			s.resolver, zone, what, r.ListenAddress, let, r.Nameserver)
	case c.dns.taken():
		t.wrong("the resolver %s gets nothing from the name server of %s (%s), and %s is taken: if not by the exporter, stop what has it or choose another listen_address; if by it, %s %s in from everywhere",
			s.resolver, zone, what, r.ListenAddress, let, r.Nameserver)
	default:
		t.wrong("the resolver %s gets nothing from the name server of %s (%s): start the exporter, and %s %s in from everywhere",
			s.resolver, zone, what, let, r.Nameserver)
	}
}

// checkRoundTrip presents a challenge and asks the resolvers for its record.
func (c *checker) checkRoundTrip(ctx context.Context, t *topic, zone string, resolvers []string) {
	challenge := newChallenge(probe.DNS01, randomLabel()+"."+zone)
	withdraw, err := c.dns.responder.Present(ctx, challenge)
	if err != nil {
		t.wrong("our responder takes no challenge: %s", err)
		return
	}
	defer withdraw()
	var seen []string
	for _, s := range c.look(ctx, resolvers, zone, challenge.Record.Name, dns.TypeTXT) {
		switch {
		case s.err != nil:
			c.unseen(t, &s, zone)
		case !slices.ContainsFunc(s.records, func(rr dns.RR) bool {
			txt, ok := rr.(*dns.TXT)
			return ok && dnsclient.Text(txt) == challenge.Record.Value
		}):
			t.wrong("the resolver %s does not see a TXT record that our responder has now: somebody else answers for %s: compare responders.dns.nameserver and the name server's address with this host", s.resolver, zone)
		default:
			seen = append(seen, s.resolver)
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
		case !ok || dnsclient.Plain(soa.Hdr.Name) != zone:
		case dnsclient.Plain(soa.Ns) == r.Nameserver && dnsclient.Plain(soa.Mbox) == "hostmaster."+zone:
			t.ok("%s; its SOA record is as our responder gives it", running)
			return
		default:
			t.wrong("%s; the zone's SOA record names %s, and ours would name %s: somebody else answers for the zone, or the exporter that runs has another configuration",
				running, dnsclient.Plain(soa.Ns), r.Nameserver)
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
