package dnsclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// udpSize is what we take in one packet: no path fragments it (RFC 9715).
const udpSize = 1232

// maxPacket is what is read of one, whatever the server was told.
const maxPacket = 4096

// ErrNoAnswer is that a server was silent for as long as was waited for it.
var ErrNoAnswer = errors.New("no answer")

// NewQuery returns a question for an authoritative server: no recursion, and
// answers of up to 1232 bytes over UDP.
func NewQuery(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	m.RecursionDesired = false
	return m.SetEdns0(udpSize, false)
}

// Exchange sends m to server, ip:port or host:port, and returns the answer: over
// UDP, and again over TCP if that was truncated. It gives m's copy an id of its
// own; an answer has that id and the question of m, whatever its RCODE. A question
// that gets no answer in half of the time is sent once more, and one to a server
// that has no EDNS again without it. A signed message belongs to [Client.Update].
func (c *Client) Exchange(ctx context.Context, server string, m *dns.Msg) (*dns.Msg, error) {
	q := m.Copy()
	answer, err := c.exchange(ctx, server, q)
	if err == nil && q.IsEdns0() != nil && lacksEDNS(answer) {
		q.Extra = slices.DeleteFunc(q.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
		answer, err = c.exchange(ctx, server, q)
	}
	if err != nil {
		return nil, explain(ctx, server, err)
	}
	return answer, nil
}

func (c *Client) exchange(ctx context.Context, server string, q *dns.Msg) (*dns.Msg, error) {
	answer, err := c.overUDP(ctx, server, q)
	if err == nil && answer.Truncated {
		return c.overTCP(ctx, server, q)
	}
	return answer, err
}

// lacksEDNS reports whether the answer is that of a server without EDNS. RFC 6891
// §7: it "MUST respond with a return code (RCODE) of FORMERR to messages containing
// an OPT RR" and "MUST NOT include an OPT record in the response".
func lacksEDNS(answer *dns.Msg) bool {
	return answer.Rcode == dns.RcodeFormatError && answer.IsEdns0() == nil
}

// explain names the server in an error, and says that it did not answer where the
// text would only be of a deadline or of our own ctx.
func explain(ctx context.Context, server string, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("name server %s: %w: %w", server, ErrNoAnswer, context.Cause(ctx))
	case errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err):
		return fmt.Errorf("name server %s: %w", server, ErrNoAnswer)
	}
	return fmt.Errorf("name server %s: %w", server, err)
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// NoRoute reports whether an exchange failed because this machine has no way to
// the server's address family.
func NoRoute(err error) bool {
	for _, errno := range []syscall.Errno{syscall.ENETUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// dial connects to server, and ends what is done on the connection when ctx ends.
func (c *Client) dial(ctx context.Context, network, server string, timeout time.Duration) (conn *dns.Conn, release func(), err error) {
	dialer := net.Dialer{Timeout: timeout}
	raw, err := dialer.DialContext(ctx, network, server)
	if err != nil {
		return nil, nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(timeout)) // a socket that refuses it refuses all else too
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	return &dns.Conn{Conn: raw, UDPSize: maxPacket}, func() { stop(); _ = raw.Close() }, nil
}

// overUDP sends q with a new id, at most twice. What is no answer to it is
// somebody else's packet, or the answer to nobody's question, and is passed over.
func (c *Client) overUDP(ctx context.Context, server string, q *dns.Msg) (*dns.Msg, error) {
	q.Id = dns.Id()
	conn, release, err := c.dial(ctx, "udp", server, c.timeout())
	if err != nil {
		return nil, err
	}
	defer release()
	end := time.Now().Add(c.timeout())
	for _, until := range []time.Time{time.Now().Add(c.timeout() / 2), end} {
		_ = conn.SetReadDeadline(until)
		if err := ctx.Err(); err != nil { // after the deadline, which ctx's end sets to the past
			return nil, err
		}
		if err := conn.WriteMsg(q); err != nil {
			return nil, err
		}
		answer, err := receive(conn, q)
		if err == nil {
			return answer, nil
		}
		if !isTimeout(err) || ctx.Err() != nil {
			return nil, err
		}
	}
	return nil, os.ErrDeadlineExceeded
}

// receive reads packets until one answers q.
func receive(conn *dns.Conn, q *dns.Msg) (*dns.Msg, error) {
	for {
		packet, err := conn.ReadMsgHeader(nil)
		if errors.Is(err, dns.ErrShortRead) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m := new(dns.Msg)
		// Some cut an answer off in the middle of a record; with TC nothing but that
		// matters of it (RFC 2181 §9).
		if err := m.Unpack(packet); (err == nil || m.Truncated) && answers(m, q) {
			return m, nil
		}
	}
}

// overTCP sends q with a new id. Nobody else writes into the connection: what is no
// answer is the server's mistake.
func (c *Client) overTCP(ctx context.Context, server string, q *dns.Msg) (*dns.Msg, error) {
	q.Id = dns.Id()
	conn, release, err := c.dial(ctx, "tcp", server, c.timeout())
	if err != nil {
		return nil, err
	}
	defer release()
	if err := conn.WriteMsg(q); err != nil {
		return nil, err
	}
	packet, err := conn.ReadMsgHeader(nil)
	if err != nil {
		return nil, err
	}
	m := new(dns.Msg)
	switch err := m.Unpack(packet); {
	case err != nil:
		return nil, fmt.Errorf("its answer cannot be read: %w", err)
	case !answers(m, q):
		return nil, errors.New("it answered another question")
	case m.Truncated:
		return nil, errors.New("its answer is truncated over TCP too")
	}
	return m, nil
}

// answers reports whether m is an answer to q. One that is no more than a header
// with an RCODE is one too (RFC 1035 §7.3 has the id decide).
func answers(m, q *dns.Msg) bool {
	if !m.Response || m.Id != q.Id || m.Opcode != q.Opcode {
		return false
	}
	if len(m.Question) == 0 {
		return m.Rcode != dns.RcodeSuccess || q.Opcode == dns.OpcodeUpdate
	}
	return len(m.Question) == 1 && len(q.Question) == 1 && strings.EqualFold(m.Question[0].Name, q.Question[0].Name) &&
		m.Question[0].Qtype == q.Question[0].Qtype && m.Question[0].Qclass == q.Question[0].Qclass
}
