package challenge

import (
	"net"
	"net/netip"
	"sync"
)

// How many connections a TCP listener holds at once. A hundred validations that
// arrive together from one network fit twice over, and no network can take more
// than a quarter of what there is.
const (
	maxConnections           = 1024
	maxConnectionsPerNetwork = 256
)

// network returns the network of a, which stands for who owns it: /24, and what
// one customer gets of IPv6.
func network(a netip.Addr, bits6 int) netip.Prefix {
	bits := bits6
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no address at all: they share one entry
	}
	return p
}

// remoteAddr returns the IP address of a socket address. IPv4 that came through
// a socket of both families is IPv4.
func remoteAddr(a net.Addr) netip.Addr {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return ap.Addr().Unmap().WithZone("")
}

// boundedListener closes connections beyond what it may hold as soon as they
// are accepted.
type boundedListener struct {
	net.Listener
	total, perNetwork int
	// shared reports whether an address stands for many clients, as a reverse
	// proxy's does: its connections count in total only. nil: none.
	shared func(netip.Addr) bool

	mu       sync.Mutex // guards what follows
	open     int
	networks map[netip.Prefix]int
}

func newBoundedListener(l net.Listener) *boundedListener {
	return &boundedListener{
		Listener: l, total: maxConnections, perNetwork: maxConnectionsPerNetwork,
		networks: make(map[netip.Prefix]int),
	}
}

// Accept returns the next connection that there is room for.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		b := &boundedConn{Conn: c, listener: l}
		if l.take(b, remoteAddr(c.RemoteAddr())) {
			return b, nil
		}
		_ = c.Close()
	}
}

// take gives c a place, if there is one.
func (l *boundedListener) take(c *boundedConn, from netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.total || !l.count(c, from) {
		return false
	}
	l.open++
	return true
}

// count counts c for the network of from, if there is room. It is called with mu
// held.
func (l *boundedListener) count(c *boundedConn, from netip.Addr) bool {
	if l.shared != nil && l.shared(from) {
		return true
	}
	n := network(from, 56)
	if l.networks[n] >= l.perNetwork {
		return false
	}
	l.networks[n]++
	c.network, c.counted = n, true
	return true
}

// give takes the place of c back, once.
func (l *boundedListener) give(c *boundedConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	l.open--
	if !c.counted {
		return
	}
	if l.networks[c.network]--; l.networks[c.network] == 0 {
		delete(l.networks, c.network)
	}
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	listener *boundedListener

	// What follows is guarded by listener.mu.
	network netip.Prefix // for which it is counted
	counted bool
	closed  bool
}

// countFor counts a connection that came through a proxy for the network of
// whom the proxy named; false: that network has its share.
func (c *boundedConn) countFor(from netip.Addr) bool {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	return c.closed || c.counted || l.count(c, from)
}

// Close closes the connection.
func (c *boundedConn) Close() error {
	defer c.listener.give(c)
	return c.Conn.Close()
}
