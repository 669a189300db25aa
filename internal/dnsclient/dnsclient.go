// Package dnsclient asks name servers, and updates zones at them (RFC 2136). It
// owns how a question gets to a server and its answer back: over UDP and TCP, with
// an id and a question that match, signed where a key is known. What an answer
// means for a probe is not its business.
package dnsclient

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Client asks name servers. It keeps nothing of what they answer, and may be used
// by several goroutines at once.
type Client struct {
	// Resolvers are recursive servers, ip:port, asked in turn until one answers
	// NOERROR or NXDOMAIN. One that was silent comes after the others for a minute.
	Resolvers []string
	// Port is that of authoritative servers; 0: 53.
	Port uint16
	// Timeout is for one exchange; 0: 3 s. One over TCP because the answer was
	// truncated, or without EDNS, has as much again; an update has five times as much,
	// since the server stores it before it answers.
	Timeout time.Duration

	mu     sync.Mutex           // guards silent
	silent map[string]time.Time // resolvers, and until when others are asked before them
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

// String leaves out the secret.
func (k Key) String() string { return "key " + k.Name + " (" + k.Algorithm + ")" }

// GoString leaves out the secret.
func (k Key) GoString() string { return k.String() }

const defaultTimeout = 3 * time.Second

func (c *Client) timeout() time.Duration {
	if c.Timeout == 0 {
		return defaultTimeout
	}
	return c.Timeout
}

// Plain returns a name of the wire as names are compared: in lower case and without
// the final dot.
func Plain(name string) string { return strings.TrimSuffix(dns.CanonicalName(name), ".") }
