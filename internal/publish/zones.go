package publish

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	zoneLife     = time.Minute // for which the servers of a zone are not asked for again
	maxReferrals = 8           // from the zone of an alias down to the one that holds a name
)

// lookup is a zone that was or is being looked for.
type lookup struct {
	done  chan struct{} // closed when the fields below are set
	zone  dnsclient.Zone
	err   error
	cut   bool      // err says that the time of who looked was over, and nothing of the zone
	until time.Time // it is used
}

// zone returns the zone that holds name. Those who ask at the same time, as the
// names of an order do, have one look for all.
func (p *Publisher) zone(ctx context.Context, name string) (dnsclient.Zone, error) {
	for {
		l, first := p.lookup(name)
		if first {
			l.zone, l.err = p.client.Zone(ctx, name)
			l.cut = ctx.Err() != nil
			l.until = time.Now().Add(zoneLife)
			close(l.done)
			return l.zone, l.err
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return dnsclient.Zone{}, context.Cause(ctx)
		}
		if l.err == nil || !l.cut {
			return l.zone, l.err
		}
		// It is not our end.
	}
}

// lookup returns the one of name that can still be used, or else a new one, which
// the caller has to make.
func (p *Publisher) lookup(name string) (l *lookup, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.zones, func(_ string, l *lookup) bool { return l.over() })
	if l = p.zones[name]; l != nil {
		return l, false
	}
	l = &lookup{done: make(chan struct{})}
	p.zones[name] = l
	return l, true
}

// over reports whether it is no use any more.
func (l *lookup) over() bool {
	select {
	case <-l.done:
		return l.err != nil || time.Now().After(l.until)
	default:
		return false
	}
}

// zoneOf returns the zone that holds name. The resolvers are not asked for name
// itself, which often does not exist yet: where the CA uses one of them, it would
// hear for a while that there is no such name.
func (p *Publisher) zoneOf(ctx context.Context, name string) (dnsclient.Zone, error) {
	place, start := p.responders.Place(name)
	if place == config.PlaceNobody {
		start = name
	}
	if place != config.PlaceUpdate {
		for strings.HasPrefix(start, "_") && strings.Contains(start, ".") {
			_, start, _ = strings.Cut(start, ".")
		}
	}
	zone, err := p.zone(ctx, start)
	if err != nil {
		return zone, p.unresolved(start, err)
	}
	if place == config.PlaceUpdate {
		if zone.Name != start {
			return zone, &probe.PublicationError{
				Kind:   probe.FailureClient,
				Detail: fmt.Sprintf("the resolvers say that %s lies in the zone %q, and is none itself", start, bounded(zone.Name)),
				Advice: "delegate it to its name servers, or set resolvers to servers that know it",
			}
		}
		return zone, nil
	}
	for range maxReferrals {
		child := p.referral(ctx, zone, name)
		if child == "" {
			return zone, nil
		}
		if zone, err = p.zone(ctx, child); err != nil {
			return zone, p.unresolved(child, err)
		}
	}
	return zone, nil
}

// unresolved says that the servers of a zone could not be found.
func (p *Publisher) unresolved(name string, err error) *probe.PublicationError {
	return &probe.PublicationError{
		Kind:   probe.FailureLocal,
		Detail: bounded(fmt.Sprintf("cannot find the name servers of %s: %v", name, err)),
		Advice: fmt.Sprintf("see that a resolver of resolvers (%s) answers this machine and knows the zone", strings.Join(p.client.Resolvers, ", ")),
	}
}

// referral returns the zone beneath, to which the servers of zone refer those who
// ask for name; empty: to none, or nobody said.
func (p *Publisher) referral(ctx context.Context, zone dnsclient.Zone, name string) string {
	for _, server := range zone.Servers {
		for _, a := range server.Addresses {
			if r, err := p.ask(ctx, a, name, dns.TypeCNAME); err == nil {
				if r.referral != zone.Name && strings.HasSuffix(r.referral, zone.Name) {
					return r.referral
				}
				return ""
			}
		}
	}
	return ""
}

// reply is what an authoritative server says of a name.
type reply struct {
	rcode         int
	authoritative bool
	values        []string // of its TXT records
	alias         string   // where its CNAME record leads; empty: it has none
	referral      string   // the zone of somebody else that holds it; empty: none was named
}

// ask asks the authoritative server at an address.
func (p *Publisher) ask(ctx context.Context, a netip.Addr, name string, qtype uint16) (reply, error) {
	m, err := p.client.Exchange(ctx, p.client.Authoritative(a), dnsclient.NewQuery(name, qtype))
	if err != nil {
		return reply{}, err
	}
	r := reply{rcode: m.Rcode, authoritative: m.Authoritative}
	for _, rr := range m.Answer {
		if dnsclient.Plain(rr.Header().Name) != name {
			continue // further along a chain of aliases
		}
		switch rr := rr.(type) {
		case *dns.TXT:
			r.values = append(r.values, dnsclient.Text(rr))
		case *dns.CNAME:
			r.alias = dnsclient.Plain(rr.Target)
		}
	}
	for _, rr := range m.Ns {
		owner := dnsclient.Plain(rr.Header().Name)
		if rr.Header().Rrtype == dns.TypeNS && !m.Authoritative && (name == owner || strings.HasSuffix(name, "."+owner)) {
			r.referral = owner
		}
	}
	return r, nil
}
