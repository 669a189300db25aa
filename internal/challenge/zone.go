package challenge

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
)

// Times to live in seconds. A TXT record lives for one transaction (RFC 1035
// §3.2.1: "Zero values are interpreted to mean that the RR can only be used for
// the transaction in progress"), and so does its absence: the next challenge
// for the name may begin at once.
const (
	ttlChallenge = 0
	ttlNegative  = 0
	ttlHost      = 60   // addresses, CAA: what an operator corrects and tries again
	ttlZone      = 3600 // SOA, NS, and the addresses of the name server
)

// maxCharacterString is how many bytes a character string holds (RFC 1035 §3.3).
const maxCharacterString = 255

// zones is what the DNS responder knows beside the live challenges. It is not
// changed after it was made.
type zones struct {
	byName     map[string]*dns.SOA // by canonical name
	nameserver string
	addresses  []netip.Addr
	caa        []config.CAA
}

// newZones makes the zones of a configuration, and tries whether all of their
// records can be sent. Its error joins everything that is wrong.
func newZones(r *config.DNSResponder) (*zones, error) {
	var errs []error
	wrong := func(path, format string, args ...any) {
		errs = append(errs, fmt.Errorf("responders.dns."+path+": "+format, args...))
	}
	z := &zones{byName: make(map[string]*dns.SOA), nameserver: dns.CanonicalName(r.Nameserver), caa: r.CAA}
	if _, ok := dns.IsDomainName(r.Nameserver); !ok || z.nameserver == "." {
		wrong("nameserver", "%q is not a domain name", r.Nameserver)
	}
	for _, a := range r.Addresses {
		z.addresses = append(z.addresses, a.Unmap().WithZone(""))
	}
	if len(r.Zones) == 0 {
		wrong("zones", "there is none")
	}
	for i, name := range r.Zones {
		soa := z.soa(dns.CanonicalName(name))
		// A zone whose own challenge has no room in a name is of no use.
		if _, ok := dns.IsDomainName("_acme-challenge." + soa.Hdr.Name); !ok || soa.Hdr.Name == "." {
			wrong(fmt.Sprintf("zones[%d]", i), "%q is not a domain name that can be served", name)
			continue
		}
		z.byName[soa.Hdr.Name] = soa
	}
	for i, c := range r.CAA {
		if _, err := packRecord(caaRecord(".", c)); err != nil || c.Tag == "" {
			wrong(fmt.Sprintf("caa[%d]", i), "%q %q is not a CAA record", c.Tag, c.Value)
		}
	}
	return z, errors.Join(errs...)
}

func packRecord(rr dns.RR) (int, error) {
	return dns.PackRR(rr, make([]byte, dns.MaxMsgSize), 0, nil, false)
}

// soa returns the SOA record of a zone. Nobody transfers the zone, so that the
// serial number only has to grow when the configuration changes.
func (z *zones) soa(name string) *dns.SOA {
	return &dns.SOA{
		Hdr: header(name, dns.TypeSOA, ttlZone),
		Ns:  z.nameserver, Mbox: "hostmaster." + name,
		Serial: uint32(time.Now().Unix()), Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttlNegative,
	}
}

func header(name string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

func caaRecord(name string, c config.CAA) *dns.CAA {
	return &dns.CAA{
		Hdr: header(name, dns.TypeCAA, ttlHost),
		// The field is in presentation form, in which a backslash escapes.
		Flag: c.Flag, Tag: c.Tag, Value: strings.ReplaceAll(c.Value, `\`, `\\`),
	}
}

// find returns the SOA record of the innermost zone that holds a canonical name;
// nil: none does.
func (z *zones) find(name string) *dns.SOA {
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		if soa := z.byName[name[off:]]; soa != nil {
			return soa
		}
	}
	return nil
}

// lineage returns a canonical name and its parents up to its zone's own name;
// nil: it lies in no zone.
func (z *zones) lineage(name string) []string {
	soa := z.find(name)
	if soa == nil {
		return nil
	}
	var names []string
	for off := 0; ; off, _ = dns.NextLabel(name, off) {
		names = append(names, name[off:])
		if name[off:] == soa.Hdr.Name {
			return names
		}
	}
}

// forbidding is the CAA record that lets nobody issue (RFC 8659 §4.2: "an empty
// issuer-domain-name").
var forbidding = config.CAA{Tag: "issue", Value: ";"}

// answer fills in the reply to x; txt are the live values at its name, forbidden
// says that CAA lets nobody issue for it. Every
// name of a zone exists, empty non-terminals (RFC 4592 §2.2.2) included, so that
// nothing is ever NXDOMAIN.
func (z *zones) answer(x *exchange, txt []string, forbidden bool) {
	q, m := x.question, x.reply
	if m.Rcode = queryTypeError(q.Qtype); m.Rcode != dns.RcodeSuccess {
		return
	}
	soa := z.find(x.name)
	if q.Qtype == dns.TypeDS && soa != nil && soa.Hdr.Name == x.name {
		soa = z.aboveCut(soa)
	}
	if soa == nil || q.Qclass != dns.ClassINET && q.Qclass != dns.ClassANY {
		// There is no recursion, and no class but IN: no version.bind either.
		m.Rcode = dns.RcodeRefused
		return
	}
	// RFC 1035 §6.2: an answer to QCLASS=* should never be authoritative unless it
	// covers all classes.
	m.Authoritative = q.Qclass == dns.ClassINET

	if forbidden {
		m.Answer = []dns.RR{caaRecord(q.Name, forbidding)}
	} else {
		m.Answer = z.records(q.Name, q.Qtype, soa.Hdr.Name == x.name, soa, txt)
	}
	switch {
	case len(m.Answer) == 0:
		// RFC 2308 §2.2, §3: no data is told by the SOA record in the authority
		// section, with the lesser of its TTL and MINIMUM.
		negative := *soa
		negative.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
		m.Ns = []dns.RR{&negative}
	case q.Qtype == dns.TypeNS && z.find(z.nameserver) != nil:
		// RFC 1035 §3.3.11: the addresses of a name server of ours go with its name.
		glue := append(z.hosts(z.nameserver, dns.TypeA, ttlZone), z.hosts(z.nameserver, dns.TypeAAAA, ttlZone)...)
		m.Extra = append(glue, m.Extra...)
	}
}

// aboveCut returns the zone in which the DS records of a zone's own name would
// be. RFC 4035 §3.1.4.1: a server that has the parent answers for it; one that
// has the child alone says "no data" with the child's SOA record.
func (z *zones) aboveCut(child *dns.SOA) *dns.SOA {
	off, end := dns.NextLabel(child.Hdr.Name, 0)
	if end {
		return child
	}
	if parent := z.find(child.Hdr.Name[off:]); parent != nil {
		return parent
	}
	return child
}

// queryTypeError returns what is wrong with asking for a type. RFC 6895 §3.1:
// 128 to 255 are no data.
func queryTypeError(t uint16) int {
	switch {
	case t == dns.TypeANY:
		return dns.RcodeSuccess
	case t == dns.TypeAXFR || t == dns.TypeIXFR:
		return dns.RcodeRefused // RFC 5936 §2.2.1: to anybody
	case t == dns.TypeMAILA || t == dns.TypeMAILB || t == dns.TypeTKEY:
		return dns.RcodeNotImplemented
	case t == dns.TypeNone || t == dns.TypeOPT || 128 <= t && t <= 255:
		return dns.RcodeFormatError
	}
	return dns.RcodeSuccess
}

// records returns the records of a type at a name, which is written as it was
// asked for; apex: the name is the zone's own.
func (z *zones) records(name string, qtype uint16, apex bool, soa *dns.SOA, txt []string) []dns.RR {
	var rrs []dns.RR
	switch qtype {
	case dns.TypeA, dns.TypeAAAA:
		return z.hosts(name, qtype, ttlHost)
	case dns.TypeTXT:
		for _, value := range txt {
			rrs = append(rrs, &dns.TXT{Hdr: header(name, dns.TypeTXT, ttlChallenge), Txt: characterStrings(value)})
		}
	case dns.TypeCAA:
		for _, c := range z.caa {
			rrs = append(rrs, caaRecord(name, c))
		}
	case dns.TypeSOA:
		if apex {
			own := *soa
			own.Hdr.Name = name
			rrs = append(rrs, &own)
		}
	case dns.TypeNS:
		if apex {
			rrs = append(rrs, &dns.NS{Hdr: header(name, dns.TypeNS, ttlZone), Ns: z.nameserver})
		}
	case dns.TypeANY:
		// RFC 8482 §4.2: a HINFO record that says why there is no more.
		rrs = append(rrs, &dns.HINFO{Hdr: header(name, dns.TypeHINFO, ttlZone), Cpu: "RFC8482"})
	}
	return rrs
}

// characterStrings returns a value as what a TXT record consists of (RFC 1035
// §3.3.14): strings of at most 255 bytes each, here in presentation form, in which
// a backslash escapes.
func characterStrings(value string) []string {
	var all []string
	for part := range slices.Chunk([]byte(value), maxCharacterString) {
		all = append(all, strings.ReplaceAll(string(part), `\`, `\\`))
	}
	return all
}

func (z *zones) hosts(name string, qtype uint16, ttl uint32) []dns.RR {
	var rrs []dns.RR
	for _, a := range z.addresses {
		switch {
		case qtype == dns.TypeA && a.Is4():
			rrs = append(rrs, &dns.A{Hdr: header(name, qtype, ttl), A: a.AsSlice()})
		case qtype == dns.TypeAAAA && a.Is6():
			rrs = append(rrs, &dns.AAAA{Hdr: header(name, qtype, ttl), AAAA: a.AsSlice()})
		}
	}
	return rrs
}
