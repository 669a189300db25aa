package challenge

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/miekg/dns"
)

// Sizes of answers in bytes. 1,232 is what fits an IPv6 packet of the least MTU
// (1,280) without fragments; 512 is RFC 1035 §4.2.1's for clients without EDNS.
const (
	maxUDPSize   = 1232
	plainUDPSize = dns.MinMsgSize
	headerSize   = 12
)

// transport is what a query came over.
type transport bool

const (
	overUDP transport = false
	overTCP transport = true
)

// exchange is a query that deserves an answer, and the answer so far.
type exchange struct {
	question dns.Question
	name     string // of the question, canonical
	reply    *dns.Msg
	size     int // how long the answer may be over UDP
	// settled: the reply is whole without looking at the zones.
	settled bool
}

// respond returns the answer to a packet; nil: none is due. It never panics: a
// packet that defeats the parser costs itself only.
func (r *dnsResponder) respond(packet []byte, from netip.Addr, over transport) (reply []byte) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("DNS responder cannot handle a packet", "panic", p, "stack", string(debug.Stack()))
			reply = nil
		}
	}()
	return r.handle(packet, from, over)
}

func (r *dnsResponder) handle(packet []byte, from netip.Addr, over transport) []byte {
	x := parse(packet)
	if x == nil {
		return nil
	}
	var answered string
	var visited []*presentation
	var solves bool
	if !x.settled {
		answered, visited, solves = r.answer(x)
	}
	limit := dns.MaxMsgSize
	if over == overUDP {
		limit = x.size
		switch r.limiter.take(from, time.Now()) {
		case allowSlip:
			// An error is no better over TCP: it is not worth the packet.
			if x.reply.Rcode != dns.RcodeSuccess {
				return nil
			}
			limit = 0
		case allowNothing:
			r.board.record(visited, from, dns.Type(x.question.Qtype).String(), "dropped", false)
			return nil
		}
	}
	packed, whole := pack(x.reply, limit)
	if !whole {
		answered, solves = "truncated", false
	}
	// Recorded before it is sent: when the CA has the answer, the visit counts.
	r.board.record(visited, from, dns.Type(x.question.Qtype).String(), answered, solves)
	return packed
}

// answer fills in the reply from the zones and the live challenges, and says
// what was told, to whose validators, and whether it solves their challenge.
func (r *dnsResponder) answer(x *exchange) (answered string, visited []*presentation, solves bool) {
	var values []string
	if x.question.Qtype == dns.TypeTXT {
		values, visited = r.board.lookupTXT(x.name)
	} else {
		visited = r.board.lookupName(x.name, x.question.Qtype)
	}
	r.zones.Load().answer(x, values, x.question.Qtype == dns.TypeCAA && r.board.forbids(x.name))
	switch n := len(x.reply.Answer); {
	case x.reply.Rcode != dns.RcodeSuccess:
		answered = dns.RcodeToString[x.reply.Rcode]
	case n == 0:
		answered = "NODATA"
	case n == 1:
		answered = "1 value"
	default:
		answered = fmt.Sprintf("%d values", n)
	}
	return answered, visited, x.question.Qtype == dns.TypeTXT && len(x.reply.Answer) > 0
}

// parse reads a packet; nil: it is not a query, and must not be answered, or two
// servers could answer each other for ever.
func parse(packet []byte) *exchange {
	if len(packet) < headerSize {
		return nil
	}
	bits := binary.BigEndian.Uint16(packet[2:])
	if bits&(1<<15) != 0 { // QR
		return nil
	}
	request := new(dns.Msg)
	err := request.Unpack(packet)
	// RFC 1035 §4.1.1: ID, opcode and RD are copied. Without recursion RA is 0.
	x := &exchange{reply: new(dns.Msg), size: plainUDPSize}
	x.reply.Id = binary.BigEndian.Uint16(packet)
	x.reply.Response = true
	x.reply.Opcode = int(bits>>11) & 0xF
	x.reply.RecursionDesired = bits&(1<<8) != 0
	x.reply.Compress = true

	// RFC 1035 §4.1.1: NOTIMP is for a kind of query that is not supported. What
	// follows the header of another opcode need not look like a query.
	rcode := dns.RcodeNotImplemented
	if x.reply.Opcode == dns.OpcodeQuery {
		rcode = x.read(packet, request, err)
	}
	if rcode == dns.RcodeSuccess {
		return x
	}
	if opt := request.IsEdns0(); opt != nil && err == nil && len(x.reply.Extra) == 0 {
		x.edns(opt)
	}
	x.reply.Rcode = rcode
	x.settled = true
	return x
}

// read takes the question and the EDNS options from request, which is the
// packet as parsed with err, and returns what is wrong with them.
func (x *exchange) read(packet []byte, request *dns.Msg, err error) int {
	count := func(i int) int { return int(binary.BigEndian.Uint16(packet[4+2*i:])) }
	// The parser stops where the packet ends, whatever the header promises. RFC
	// 9619 §4: a query with more than one question is a format error; without
	// one there is nothing to answer.
	if err != nil || count(0) != 1 || len(request.Question) != 1 || count(1) != len(request.Answer) ||
		count(2) != len(request.Ns) || count(3) != len(request.Extra) {
		return dns.RcodeFormatError
	}
	x.question = request.Question[0]
	x.name = dns.CanonicalName(x.question.Name)
	x.reply.Question = request.Question // its name in the case in which it was asked

	var opt *dns.OPT
	for _, rr := range request.Extra {
		o, ok := rr.(*dns.OPT)
		if !ok {
			continue
		}
		// RFC 6891 §6.1.1: one at most; §6.1.2: its name is the root.
		if opt != nil || o.Hdr.Name != "." {
			return dns.RcodeFormatError
		}
		opt = o
	}
	if opt == nil {
		return dns.RcodeSuccess
	}
	x.edns(opt)
	// RFC 6891 §6.1.3: a version that is not implemented gets BADVERS and the one
	// that is.
	if opt.Version() != 0 {
		return dns.RcodeBadVers
	}
	return dns.RcodeSuccess
}

// edns adds our OPT record to the reply: RFC 6891 §7 wants one exactly where the
// query has one. It has no options, and those of the query are ignored (§6.1.2).
func (x *exchange) edns(query *dns.OPT) {
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetUDPSize(maxUDPSize)
	// RFC 3225 §3: DO is copied. There is nothing signed to go with it.
	opt.SetDo(query.Do())
	x.reply.Extra = append(x.reply.Extra, opt)
	// RFC 6891 §6.2.3: values below 512 are treated as 512.
	x.size = min(max(int(query.UDPSize()), plainUDPSize), maxUDPSize)
}

// pack returns m in at most limit bytes, and whether its answer is in it. What
// is too long first loses the addresses of its name server, which nobody needs
// (RFC 2181 §9: that alone does not set TC), then everything, with TC set: a
// client ignores a truncated answer and asks again over TCP (same section).
func pack(m *dns.Msg, limit int) (packed []byte, whole bool) {
	packed, err := m.Pack()
	if err == nil && len(packed) <= limit {
		return packed, true
	}
	if err == nil && limit > 0 && len(m.Extra) > 0 {
		m.Extra = onlyOPT(m.Extra)
		if packed, err = m.Pack(); err == nil && len(packed) <= limit {
			return packed, true
		}
	}
	if err != nil {
		m.Rcode = dns.RcodeServerFailure
	} else {
		m.Truncated = true
	}
	m.Answer, m.Ns, m.Extra = nil, nil, onlyOPT(m.Extra)
	if packed, err = m.Pack(); err != nil {
		return nil, false
	}
	return packed, false
}

func onlyOPT(extra []dns.RR) []dns.RR {
	for _, rr := range extra {
		if rr.Header().Rrtype == dns.TypeOPT {
			return []dns.RR{rr}
		}
	}
	return nil
}
