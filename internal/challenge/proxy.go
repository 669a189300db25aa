package challenge

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// proxyHeaderBuffer is room for a PROXY header of version 1 at once, which its
// parser needs, and for a usual one of version 2, in bytes.
const proxyHeaderBuffer = 512

// proxies are the networks of the reverse proxies that may say on whose behalf
// they come. The zero value has none.
type proxies struct {
	networks []netip.Prefix
	key      string // where they are configured, for errors
}

// has reports whether a may speak for others.
func (p *proxies) has(a netip.Addr) bool {
	return slices.ContainsFunc(p.networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// proxyError is a connection whose PROXY header is missing, broken or not
// allowed. It is told without effect: the connection is closed.
type proxyError struct{ text string }

// Error says what was wrong and what to do.
func (e *proxyError) Error() string { return e.text }

// source returns who c comes from. A proxy has to say so in a PROXY header,
// which is taken from reader; anybody else must not send one.
func (p *proxies) source(c net.Conn, reader *bufio.Reader) (netip.Addr, error) {
	peer := remoteAddr(c.RemoteAddr())
	begins, err := beginsHeader(reader)
	if err != nil {
		return netip.Addr{}, err
	}
	switch {
	case !p.has(peer) && begins:
		return netip.Addr{}, &proxyError{"a PROXY header from an address that may not send one: name the proxy's network in " + p.key}
	case !p.has(peer):
		return peer, nil
	case !begins:
		return netip.Addr{}, &proxyError{"no PROXY header from an address in " + p.key + ": have the proxy send one, or remove its network"}
	}
	header, err := proxyproto.Read(reader)
	if err != nil {
		return netip.Addr{}, &proxyError{fmt.Sprintf("a PROXY header that cannot be read: %v", err)}
	}
	if header.Command.IsLocal() || header.TransportProtocol.IsUnspec() {
		// The proxy itself, as for health checks: "the receiver must accept this
		// connection as valid and must use the real connection endpoints".
		return peer, nil
	}
	from, _, ok := header.TCPAddrs()
	if !ok {
		return netip.Addr{}, &proxyError{"a PROXY header for something other than TCP"}
	}
	return remoteAddr(from), nil
}

// beginsHeader reports whether a PROXY header of either version begins. What
// begins neither is untouched: a TLS record and a signature differ in the first
// byte.
func beginsHeader(reader *bufio.Reader) (bool, error) {
	first, err := reader.Peek(1)
	if err != nil {
		return false, err
	}
	for _, signature := range [][]byte{proxyproto.SIGV1, proxyproto.SIGV2} {
		if first[0] != signature[0] {
			continue
		}
		got, err := reader.Peek(len(signature))
		if err != nil {
			return false, err
		}
		return bytes.Equal(got, signature), nil
	}
	return false, nil
}

// forwardedFor returns who a request comes from: the peer or, if that is a proxy,
// whom it names. Each proxy appends its own peer to X-Forwarded-For; what stands
// left of the first one that is not a proxy of ours may be anything.
func (p *proxies) forwardedFor(peer netip.Addr, header http.Header) netip.Addr {
	from := peer
	hops := strings.Split(strings.Join(header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !p.has(from) {
			break
		}
		a, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			break
		}
		from = a
	}
	return from
}

// parseHop reads an address with or without a port; IPv6 may be in brackets.
func parseHop(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		a = ap.Addr()
	}
	return a.Unmap().WithZone(""), true
}

// refusalPause is the least time between two words about the same thing.
const refusalPause = 10 * time.Second

// occasionally lets one in a while pass, so that strangers cannot fill the log.
type occasionally struct {
	mu   sync.Mutex // guards last
	last time.Time
}

// now reports whether it is time again.
func (o *occasionally) now() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := time.Now()
	if !o.last.IsZero() && t.Sub(o.last) < refusalPause {
		return false
	}
	o.last = t
	return true
}
