package controls

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxWitnesses is how many resolvers are asked for a name of ours: two that agree
// are better evidence than one, and more are none.
const maxWitnesses = 2

// Lookup asks the first two resolvers, each an ip:port, for what the CA's validators
// have to find of a challenge: its TXT record, or else an address of the identifier.
// Nothing is asked of an identifier that is an address. It returns within [Timeout].
func Lookup(ctx context.Context, resolvers []string, c probe.Challenge) []probe.Lookup {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	question := probe.Lookup{Name: c.Record.Name, Type: "TXT"}
	types := []uint16{dns.TypeTXT}
	if !c.Type.DNS() {
		question = probe.Lookup{Name: c.Identifier, Type: "A/AAAA"}
		types = []uint16{dns.TypeA, dns.TypeAAAA}
	}
	if _, err := netip.ParseAddr(question.Name); err == nil {
		return nil
	}
	client := &dnsclient.Client{Timeout: Timeout}
	lookups := make([]probe.Lookup, min(len(resolvers), maxWitnesses))
	var asking sync.WaitGroup
	for i := range lookups {
		asking.Go(func() {
			l := question
			l.Resolver = resolvers[i]
			look(ctx, client, &l, types, c.Record)
			lookups[i] = l
		})
	}
	asking.Wait()
	return lookups
}

// look asks one resolver for each type until one is found.
func look(ctx context.Context, client *dnsclient.Client, l *probe.Lookup, types []uint16, record probe.Record) {
	l.Silent, l.Answer = true, "no answer"
	for _, qtype := range types {
		q := dnsclient.NewQuery(l.Name, qtype)
		q.RecursionDesired = true
		m, err := client.Exchange(ctx, l.Resolver, q)
		switch {
		case err != nil:
			continue
		case m.Rcode == dns.RcodeSuccess:
			l.Found, l.Answer = found(m, qtype, record)
		default:
			l.Answer = dnsclient.RcodeName(m.Rcode)
		}
		// A resolver that cannot tell has not said that there is nothing; one that says
		// SERVFAIL has tried, and the CA's may fare no better.
		l.Silent = m.Rcode == dns.RcodeRefused || m.Rcode == dns.RcodeNotImplemented
		if l.Found {
			return
		}
	}
}

// found says whether the answer has a record of the type; of TXT, the one.
func found(m *dns.Msg, qtype uint16, record probe.Record) (ok bool, answer string) {
	records := slices.DeleteFunc(slices.Clone(m.Answer), func(rr dns.RR) bool { return rr.Header().Rrtype != qtype })
	switch {
	case len(records) == 0:
		return false, "NODATA"
	case qtype != dns.TypeTXT:
		return true, "an address"
	case record.Standing:
		return true, "a value" // there are several that say as much
	}
	for _, rr := range records {
		if txt, is := rr.(*dns.TXT); is && strings.Join(txt.Txt, "") == record.Value {
			return true, "the value"
		}
	}
	return false, "another value"
}
