package challenge

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// What one client of the DNS responder may take over TCP. RFC 7766 §6.1 wants
// limits on connections and idle time; the connections are bounded by the
// listener.
const (
	tcpMessageTimeout = 5 * time.Second  // from one query to the next one's last byte
	tcpLifetime       = 60 * time.Second // of one connection
	maxQuerySize      = 4096             // bytes; a longer query is nobody's
	portTries         = 16               // to find a port that is free for UDP and TCP
)

// dnsResponder is an authoritative server for the probe zones.
type dnsResponder struct {
	address string // as configured
	board   *board
	log     *slog.Logger
	zones   atomic.Pointer[zones]
	limiter *limiter
	udp     *net.UDPConn
	tcp     *acceptor
	packets sync.WaitGroup // the goroutine that reads packets
	over    chan struct{}  // closed when nothing runs any more
}

// openDNS listens on address, UDP and TCP on one port; nothing is served before
// start, which needs zones.
func openDNS(address string, b *board, limits dnsLimits, log *slog.Logger) (*dnsResponder, error) {
	udp, tcp, err := listenBoth(address)
	if err != nil {
		return nil, err
	}
	// A host of several addresses must answer from the one that was asked. It
	// fails only where the system cannot tell; then the routing table decides.
	_ = ipv4.NewPacketConn(udp).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	_ = ipv6.NewPacketConn(udp).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	return &dnsResponder{
		address: address, board: b, log: log,
		limiter: newLimiter(limits), udp: udp, tcp: newAcceptor(newBoundedListener(tcp), "DNS", log),
		over: make(chan struct{}),
	}, nil
}

// listenBoth opens UDP and TCP on the same port. Where address leaves the choice
// of the port to the system, a port that is free for UDP may be taken for TCP:
// then another one is tried.
func listenBoth(address string) (*net.UDPConn, net.Listener, error) {
	var listen net.ListenConfig
	ctx := context.Background() // opening a socket does not wait
	for try := 1; ; try++ {
		packets, err := listen.ListenPacket(ctx, "udp", address)
		if err != nil {
			return nil, nil, err
		}
		udp := packets.(*net.UDPConn)
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			_ = udp.Close()
			return nil, nil, err
		}
		free := port == "0" || port == ""
		if free {
			port = strconv.Itoa(udp.LocalAddr().(*net.UDPAddr).Port)
		}
		tcp, err := listen.Listen(ctx, "tcp", net.JoinHostPort(host, port))
		if err == nil {
			return udp, tcp, nil
		}
		_ = udp.Close()
		if !free || !errors.Is(err, syscall.EADDRINUSE) || try == portTries {
			return nil, nil, err
		}
	}
}

func (r *dnsResponder) configured() string { return r.address }

func (r *dnsResponder) addr() net.Addr { return r.udp.LocalAddr() }

func (r *dnsResponder) start() {
	r.log.Info("DNS responder listens", "address", r.addr().String())
	r.packets.Go(r.servePackets)
	r.tcp.start(r.serveConn)
	go func() {
		defer close(r.over)
		r.packets.Wait()
		r.tcp.wait()
	}()
}

func (r *dnsResponder) release() {
	_ = r.udp.Close()
	_ = r.tcp.listener.Close()
}

func (r *dnsResponder) halt() {
	r.log.Info("DNS responder stops", "address", r.addr().String())
	r.tcp.halt()
	// The packet in hand is still answered, then the socket is closed.
	_ = r.udp.SetReadDeadline(time.Unix(1, 0))
	r.packets.Wait()
	_ = r.udp.Close()
	// So is the query in hand of each connection; those that are idle end.
	r.tcp.each(func(c net.Conn) { _ = c.SetReadDeadline(time.Unix(1, 0)) })
}

func (r *dnsResponder) ended() <-chan struct{} { return r.over }

func (r *dnsResponder) force() { r.tcp.force() }

func (r *dnsResponder) servePackets() {
	buf := make([]byte, maxQuerySize)
	for !r.tcp.halted() {
		n, session, err := dns.ReadFromSessionUDP(r.udp, buf)
		if err != nil {
			if !r.tcp.halted() {
				r.log.Debug("DNS responder cannot read a packet", "err", err)
				r.tcp.pause()
			}
			continue
		}
		if reply := r.respond(buf[:n], remoteAddr(session.RemoteAddr()), overUDP); reply != nil {
			// What cannot be sent is lost, as any packet may be.
			_, _ = dns.WriteToSessionUDP(r.udp, reply, session)
		}
	}
}

// serveConn answers the queries of one connection, each with its length before
// it (RFC 1035 §4.2.2), in their order.
func (r *dnsResponder) serveConn(c net.Conn) {
	end := time.Now().Add(tcpLifetime)
	from := remoteAddr(c.RemoteAddr())
	buf := make([]byte, maxQuerySize)
	for {
		deadline := time.Now().Add(tcpMessageTimeout)
		if deadline.After(end) {
			deadline = end
		}
		if !r.tcp.extend(c, deadline) {
			return
		}
		if _, err := io.ReadFull(c, buf[:2]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(buf))
		if n > len(buf) {
			return
		}
		if _, err := io.ReadFull(c, buf[:n]); err != nil {
			return
		}
		reply := r.respond(buf[:n], from, overTCP)
		if reply == nil {
			return // not a query: nobody we can talk to
		}
		// RFC 7766 §8: length and message in one write.
		_ = c.SetWriteDeadline(time.Now().Add(tcpMessageTimeout))
		framed := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(reply)), uint16(len(reply)))
		if _, err := c.Write(append(framed, reply...)); err != nil {
			return
		}
	}
}
