package online

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
)

// Times to live in seconds of the records that we propose.
const (
	ttlDelegation = 3600
	ttlHost       = 300
)

// through has a client ask one resolver. The error is of the way there, or an
// *rcodeError.
func through(ctx context.Context, client *dnsclient.Client, resolver, name string, qtype uint16) ([]dns.RR, error) {
	q := dnsclient.NewQuery(name, qtype)
	q.RecursionDesired = true
	m, err := client.Exchange(ctx, resolver, q)
	if err != nil {
		return nil, err
	}
	if m.Rcode != dns.RcodeSuccess {
		return nil, &rcodeError{m.Rcode}
	}
	return m.Answer, nil
}

// rcodeError is an answer that is not NOERROR.
type rcodeError struct{ rcode int }

// Error returns the name of the RCODE.
func (e *rcodeError) Error() string { return dnsclient.RcodeName(e.rcode) }

// serverAnswer is what an authoritative server answered.
type serverAnswer struct {
	server  dnsclient.Server
	message *dns.Msg // nil: none of its addresses answered
	err     error
}

// askServers asks every server of a zone at the same time, each at one address
// after the other until one answers.
func (c *checker) askServers(ctx context.Context, zone dnsclient.Zone, name string, qtype uint16) []serverAnswer {
	answers := make([]serverAnswer, len(zone.Servers))
	var asking sync.WaitGroup
	for i, server := range zone.Servers {
		asking.Go(func() {
			a := serverAnswer{server: server}
			if len(server.Addresses) == 0 {
				a.err = errors.New("its name has no address")
			}
			for _, ip := range server.Addresses {
				if a.message, a.err = c.DNS.Exchange(ctx, c.DNS.Authoritative(ip), dnsclient.NewQuery(name, qtype)); a.err == nil {
					break
				}
			}
			answers[i] = a
		})
	}
	asking.Wait()
	return answers
}

// addresses returns those of the A and AAAA records of owner; empty: of any.
func addresses(rrs []dns.RR, owner string) []netip.Addr {
	var list []netip.Addr
	for _, rr := range rrs {
		if owner != "" && dnsclient.Plain(rr.Header().Name) != owner {
			continue
		}
		var ip netip.Addr
		switch rr := rr.(type) {
		case *dns.A:
			ip, _ = netip.AddrFromSlice(rr.A)
		case *dns.AAAA:
			ip, _ = netip.AddrFromSlice(rr.AAAA)
		}
		if ip = ip.Unmap(); ip.IsValid() && !slices.Contains(list, ip) {
			list = append(list, ip)
		}
	}
	return list
}

// hostRecords returns the records that give name the addresses; of a host whose
// addresses are not known, what is to be filled in.
func hostRecords(name string, ips []netip.Addr, ttl int) []string {
	if len(ips) == 0 {
		return []string{fmt.Sprintf("%s %d IN A <the public IPv4 address of this host>", dns.Fqdn(name), ttl)}
	}
	var records []string
	for _, ip := range ips {
		family := "AAAA"
		if ip.Is4() {
			family = "A"
		}
		records = append(records, fmt.Sprintf("%s %d IN %s %s", dns.Fqdn(name), ttl, family, ip))
	}
	return records
}

// joined lists things in a text.
func joined[T fmt.Stringer](list []T) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = v.String()
	}
	return strings.Join(words, ", ")
}

// without returns the elements of list that others lacks.
func without[T comparable](list, others []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(v T) bool { return slices.Contains(others, v) })
}

// zoneName returns the name of a zone for a text.
func zoneName(name string) string {
	if name == "" || name == "." {
		return "the root"
	}
	return name
}
