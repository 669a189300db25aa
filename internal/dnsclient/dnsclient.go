// Package dnsclient asks name servers, and updates zones at them (RFC 2136). It
// owns how a question gets to a server and its answer back: over UDP and TCP, with
// an id and a question that match, signed where a key is known. What an answer
// means for a probe is not its business.
package dnsclient

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// Client asks name servers. It keeps nothing between two questions, and may be
// used by several goroutines at once.
type Client struct {
	// Resolvers are recursive servers, ip:port, asked in turn until one answers
	// NOERROR or NXDOMAIN.
	Resolvers []string
	// Port is that of authoritative servers; 0: 53.
	Port uint16
	// Timeout is for one exchange; 0: 3 s. One over TCP because the answer was
	// truncated has as much again.
	Timeout time.Duration
}

// Zone is a part of the DNS with its authoritative name servers.
type Zone struct {
	Name    string // in lower case and without the final dot; empty: the root
	Servers []Server
}

// Server is a name server.
type Server struct {
	Name string // in lower case and without the final dot
	// Addresses are in the order IPv4, IPv6; none: the name has no address.
	Addresses []netip.Addr
}

// Key is what a name server knows us by (RFC 8945).
type Key struct {
	Name      string
	Algorithm string // such as hmac-sha256
	Secret    string // base64
}

var errLater = errors.New("not written yet")

// Exchange sends m to server, ip:port or host:port, and returns the answer: over
// UDP, and again over TCP if that was truncated. It gives m's copy an id of its
// own; an answer has that id and the question of m, whatever its RCODE. A signed
// message belongs to [Client.Update].
func (c *Client) Exchange(_ context.Context, server string, m *dns.Msg) (*dns.Msg, error) {
	return nil, errLater
}

// Resolve asks the resolvers for the records of name, with recursion. The answer's
// RCODE is NOERROR or NXDOMAIN; where no resolver gave one of these, the error says
// what each did.
func (c *Client) Resolve(_ context.Context, name string, qtype uint16) (*dns.Msg, error) {
	return nil, errLater
}

// Zone returns the zone that holds name, with its authoritative servers and their
// addresses, all as the resolvers say. It asks them for name itself: that name does
// not exist is then known to their caches for a while.
func (c *Client) Zone(_ context.Context, name string) (Zone, error) { return Zone{}, errLater }

// Update sends m, an update of the zone in its question (dns.Msg.SetUpdate), signed
// with key, to server, host:port, over TCP. It returns nil when the server says, in
// an answer that is signed with the key, that it has done all of it. A server that
// refused makes an [*UpdateError].
func (c *Client) Update(_ context.Context, server string, key Key, m *dns.Msg) error {
	return errLater
}

// UpdateError is a name server's refusal to update a zone.
type UpdateError struct {
	Server string // as it was given
	Zone   string // without the final dot
	Rcode  int    // RFC 2136 §2.2; not 0
	// TSIGError is RFC 8945's: dns.RcodeBadSig, -BadKey, -BadTime …; 0: none.
	TSIGError int
	// Skew is by how much the server's clock is ahead of ours, at dns.RcodeBadTime;
	// 0: it did not say.
	Skew time.Duration
}

// Error names the server, the zone and what was answered.
func (e *UpdateError) Error() string { return "" }

// NewTXT returns the TXT record of owner with the text value, of any length: its
// strings of at most 255 bytes are to be joined (RFC 7208 §3.3). ttl is in seconds.
func NewTXT(owner, value string, ttl uint32) *dns.TXT { return nil }

// Text returns the strings of a TXT record, joined and without escapes.
func Text(rr *dns.TXT) string { return "" }
