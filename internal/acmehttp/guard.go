package acmehttp

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// guard decides to which addresses a CA may send us. Every URL after the
// configured one is the CA's word, and our network is none of its business.
type guard struct {
	allow         []netip.Prefix // normalized
	directoryHost string         // host:port of the configured directory
	verified      bool           // the API's certificates are verified
}

// addressError says that an address is one that a target may not send us to.
type addressError struct {
	Host string       // as in the URL, or the address dialled
	In   netip.Prefix // the special-purpose block; invalid: Host is no plain address
}

// Error names the address and its block.
func (e *addressError) Error() string {
	if !e.In.IsValid() {
		return fmt.Sprintf("host %q is neither a name nor a plain address", e.Host)
	}
	return fmt.Sprintf("address %s is in the special-purpose network %s", e.Host, e.In)
}

// own reports whether u is at the configured directory's own host and port,
// where the certificate shows that it is the directory's operator who answers.
// The addresses behind it are the configuration's choice, not the CA's.
func (g *guard) own(u *url.URL) bool {
	return g.verified && u.Scheme == "https" && hostPort(u) == g.directoryHost
}

// Public reports whether the address is one that the whole internet can reach, and in
// no special-purpose network (RFC 6890).
func Public(a netip.Addr) bool {
	_, special := specialBlock(a.Unmap().WithZone(""))
	return a.IsValid() && !special
}

// check refuses the address a unless it is public, allowed, in a block that is
// learnt, or own: the configured directory's.
func (g *guard) check(a netip.Addr, own bool, learnt []netip.Prefix) error {
	a = a.Unmap().WithZone("")
	block, special := specialBlock(a)
	if !special {
		return nil
	}
	metadata := isMetadata(a)
	for _, p := range g.allow {
		if p.Contains(a) && (!metadata || p.IsSingleIP()) {
			return nil
		}
	}
	if !metadata && (own || slices.Contains(learnt, block)) {
		return nil
	}
	return &addressError{Host: a.String(), In: block}
}

// checkHost is check for a host that somebody else resolves: a proxy. Only what
// the URL itself says can be seen.
func (g *guard) checkHost(host string, own bool, learnt []netip.Prefix) error {
	if strings.ContainsFunc(host, func(r rune) bool { return r >= utf8.RuneSelf }) {
		// net/http maps "１２７.0.0.1" to what it stands for; a CA can write A-labels.
		return &addressError{Host: host}
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		return g.check(a, own, learnt)
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761 §6.3
		return g.check(netip.AddrFrom4([4]byte{127, 0, 0, 1}), own, learnt)
	}
	// "127.1", "2130706433" and "0x7f.1" are addresses to some resolvers.
	last := host[strings.LastIndexByte(host, '.')+1:]
	if _, err := strconv.ParseUint(last, 0, 64); err == nil || last == "0x" || isDigits(last) {
		return &addressError{Host: host}
	}
	return nil
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// normalize returns the prefixes in the form that guard.check compares.
func normalize(in []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(in))
	for _, p := range in {
		if !p.IsValid() {
			continue
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		out = append(out, p.Masked())
	}
	return out
}

// hostPort returns the host and port of u, in one form.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), port)
}

// special4 and special6 are the special-purpose blocks (IANA's registries, RFC
// 6890), in which no public CA lives.
var special4 = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
)

var special6 = prefixes(
	"::/128", "::1/128", "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16",
	"fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
)

// global6 is what IANA has given out for unicast (RFC 4291 §2.4), nat64 the
// well-known prefix that stands for IPv4 (RFC 6052 §2.1).
var (
	global6 = netip.MustParsePrefix("2000::/3")
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
)

// metadata4 and metadata6 are where clouds hand out credentials.
var (
	metadata4 = addresses("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "192.0.0.192")
	metadata6 = addresses("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254")
)

func prefixes(in ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(in))
	for i, s := range in {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func addresses(in ...string) []netip.Addr {
	out := make([]netip.Addr, len(in))
	for i, s := range in {
		out[i] = netip.MustParseAddr(s)
	}
	return out
}

// specialBlock returns the special-purpose block in which a lies. An address
// that stands for a special IPv4 address is as special as that one.
func specialBlock(a netip.Addr) (netip.Prefix, bool) {
	list := special6
	if a.Is4() {
		list = special4
	}
	for _, p := range list {
		if p.Contains(a) {
			return p, true
		}
	}
	switch {
	case a.Is4():
		return netip.Prefix{}, false
	case nat64.Contains(a):
		inner, special := specialBlock(embedded4(a))
		if !special {
			return netip.Prefix{}, false
		}
		p, _ := a.Prefix(96 + inner.Bits())
		return p, true
	case !global6.Contains(a):
		p, _ := a.Prefix(16)
		return p, true
	}
	return netip.Prefix{}, false
}

// embedded4 returns the last four bytes of an IPv6 address.
func embedded4(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}

// isMetadata reports whether a is the address of a metadata service, or stands
// for one.
func isMetadata(a netip.Addr) bool {
	if a.Is4() {
		return slices.Contains(metadata4, a)
	}
	if slices.Contains(metadata6, a) {
		return true
	}
	b := a.As16()
	return slices.Contains(metadata4, embedded4(a)) && !global6.Contains(a) ||
		b[0] == 0x20 && b[1] == 0x02 && slices.Contains(metadata4, netip.AddrFrom4([4]byte(b[2:6])))
}
