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
		n := network(remoteAddr(c.RemoteAddr()), 56)
		if l.take(n) {
			return &boundedConn{Conn: c, release: sync.OnceFunc(func() { l.give(n) })}, nil
		}
		_ = c.Close()
	}
}

func (l *boundedListener) take(n netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.total || l.networks[n] >= l.perNetwork {
		return false
	}
	l.open++
	l.networks[n]++
	return true
}

func (l *boundedListener) give(n netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.networks[n]--; l.networks[n] == 0 {
		delete(l.networks, n)
	}
}

// boundedConn gives its place back when it is closed.
type boundedConn struct {
	net.Conn
	release func()
}

// Close closes the connection.
func (c *boundedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
