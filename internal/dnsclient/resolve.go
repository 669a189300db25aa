package dnsclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// What is taken of what others say about a zone.
const (
	maxServers   = 32
	maxAddresses = 16 // of one server
)

// silence is for how long a resolver that did not answer is asked last. To find the
// servers of a zone takes several questions one after the other: each of them would
// wait for a dead one anew.
const silence = time.Minute

// Resolve asks the resolvers for the records of name, with recursion. The answer's
// RCODE is NOERROR or NXDOMAIN; where no resolver gave one of these, the error says
// what each did.
func (c *Client) Resolve(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	q := NewQuery(name, qtype)
	q.RecursionDesired = true
	if len(c.Resolvers) == 0 {
		return nil, errors.New("no resolver to ask")
	}
	var said []string
	for _, server := range c.inTurn() {
		answer, err := c.Exchange(ctx, server, q)
		switch {
		case err == nil && (answer.Rcode == dns.RcodeSuccess || answer.Rcode == dns.RcodeNameError):
			return answer, nil
		case err == nil:
			said = append(said, fmt.Sprintf("resolver %s: %s", server, dns.RcodeToString[answer.Rcode]))
		case ctx.Err() != nil:
			return nil, fmt.Errorf("cannot resolve %s %s: %w", Plain(name), dns.Type(qtype), err)
		default:
			if errors.Is(err, ErrNoAnswer) {
				c.passOver(server)
			}
			said = append(said, "resolver: "+err.Error())
		}
	}
	return nil, fmt.Errorf("cannot resolve %s %s: %s", Plain(name), dns.Type(qtype), strings.Join(said, "; "))
}

// inTurn returns the resolvers in the order in which they are asked.
func (c *Client) inTurn() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	var order, last []string
	for _, server := range c.Resolvers {
		if now.Before(c.silent[server]) {
			last = append(last, server)
		} else {
			order = append(order, server)
		}
	}
	return append(order, last...)
}

// passOver has a resolver asked last for a while.
func (c *Client) passOver(server string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent == nil {
		c.silent = make(map[string]time.Time)
	}
	c.silent[server] = time.Now().Add(silence)
}

// Zone returns the zone that holds name, with its authoritative servers and their
// addresses, all as the resolvers say. It asks them for name itself: that name does
// not exist is then known to their caches for a while.
func (c *Client) Zone(ctx context.Context, name string) (Zone, error) {
	apex, err := c.apex(ctx, Plain(name))
	if err != nil {
		return Zone{}, err
	}
	answer, err := c.Resolve(ctx, apex, dns.TypeNS)
	if err != nil {
		return Zone{}, err
	}
	zone := Zone{Name: apex}
	for _, rr := range answer.Answer {
		if ns, ok := rr.(*dns.NS); ok && Plain(ns.Hdr.Name) == apex {
			zone.Servers = append(zone.Servers, Server{Name: Plain(ns.Ns)})
		}
	}
	if len(zone.Servers) == 0 {
		return Zone{}, fmt.Errorf("the resolvers know no name server of zone %q", apex)
	}
	slices.SortFunc(zone.Servers, func(a, b Server) int { return cmp.Compare(a.Name, b.Name) })
	zone.Servers = slices.CompactFunc(zone.Servers, func(a, b Server) bool { return a.Name == b.Name })
	zone.Servers = zone.Servers[:min(len(zone.Servers), maxServers)]
	group, ctx := errgroup.WithContext(ctx)
	for i := range zone.Servers {
		group.Go(func() (err error) {
			zone.Servers[i].Addresses, err = c.Addresses(ctx, zone.Servers[i].Name)
			return err
		})
	}
	return zone, group.Wait()
}

// apex returns the name of the zone that holds name, which is plain: the first of
// name and those above it at which a resolver tells of an SOA record.
func (c *Client) apex(ctx context.Context, name string) (string, error) {
	for at := name; ; {
		answer, err := c.Resolve(ctx, at, dns.TypeSOA)
		if err != nil {
			return "", err
		}
		// Behind an alias it is the other zone's.
		alias := slices.ContainsFunc(answer.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeSOA })
		for _, rr := range slices.Concat(answer.Answer, answer.Ns) {
			soa, ok := rr.(*dns.SOA)
			if ok && !alias && dns.IsSubDomain(soa.Hdr.Name, dns.Fqdn(at)) {
				return Plain(soa.Hdr.Name), nil
			}
		}
		if at == "" {
			return "", fmt.Errorf("the resolvers know no zone that holds %q", name)
		}
		_, at, _ = strings.Cut(at, ".")
	}
}

// Addresses returns those of a host as the resolvers say, IPv4 first; none: it has
// none.
func (c *Client) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	var addresses []netip.Addr
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		answer, err := c.Resolve(ctx, host, qtype)
		if err != nil {
			return nil, err
		}
		for _, rr := range answer.Answer {
			if a, ok := address(rr); ok && len(addresses) < maxAddresses {
				addresses = append(addresses, a)
			}
		}
	}
	return addresses, nil
}

// address returns that of an A or AAAA record.
func address(rr dns.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		a, ok := netip.AddrFromSlice(rr.A)
		return a.Unmap(), ok
	case *dns.AAAA:
		return netip.AddrFromSlice(rr.AAAA)
	}
	return netip.Addr{}, false
}

// Authoritative returns what to give [Client.Exchange] for a name server at a.
func (c *Client) Authoritative(a netip.Addr) string {
	return netip.AddrPortFrom(a, cmp.Or(c.Port, 53)).String()
}
