package challenge

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// pipes is a listener of connections in memory, so that time can be faked.
type pipes struct {
	conns chan net.Conn
	fails chan error
	done  chan struct{}
	once  sync.Once // closes done
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), fails: make(chan error), done: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case err := <-p.fails:
		return nil, err
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial returns the client's end of a new connection.
func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

// lasts returns how long c stays open for a client that sends what send says.
func lasts(c net.Conn, send func(io.Writer)) time.Duration {
	start := time.Now()
	var sender sync.WaitGroup
	sender.Go(func() { send(c) })
	_, _ = io.Copy(io.Discard, c)
	lasted := time.Since(start)
	c.Close()
	sender.Wait()
	return lasted
}

func TestHTTPTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := openHTTP(loopback, newBoard(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		r.release()
		p := newPipes()
		r.listener = newBoundedListener(p)
		r.start()
		for name, send := range map[string]func(io.Writer){
			"silent": func(io.Writer) {},
			"slow": func(w io.Writer) {
				for _, b := range []byte("GET / HTTP/1.1\r\nHost: a\r\n") {
					if _, err := w.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			},
		} {
			if d := lasts(p.dial(), send); d != httpReadTimeout {
				t.Errorf("a %s client was kept for %s, want %s", name, d, httpReadTimeout)
			}
		}
		r.halt()
		<-r.ended()
	})
}

// servePipes runs the TCP half of a DNS responder over p.
func servePipes(t *testing.T, p *pipes) *dnsResponder {
	r := responderWithoutSockets(t, defaultDNSLimits())
	r.tcp = newAcceptor(newBoundedListener(p), "DNS", r.log)
	r.tcp.start(r.serveConn)
	t.Cleanup(func() {
		r.tcp.halt()
		r.tcp.wait()
	})
	return r
}

func framed(t *testing.T) []byte {
	packet := packed(t, query("solo.test.", dns.TypeA))
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
}

func TestTCPTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		servePipes(t, p)
		if d := lasts(p.dial(), func(io.Writer) {}); d != tcpMessageTimeout {
			t.Errorf("a silent client was kept for %s, want %s", d, tcpMessageTimeout)
		}
		if d := lasts(p.dial(), func(w io.Writer) {
			for _, b := range framed(t) {
				if _, err := w.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}); d != tcpMessageTimeout {
			t.Errorf("a slow client was kept for %s, want %s", d, tcpMessageTimeout)
		}
		if d := lasts(p.dial(), func(w io.Writer) {
			for range 1000 {
				if _, err := w.Write(framed(t)); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}); d != tcpLifetime {
			t.Errorf("a busy client was kept for %s, want %s", d, tcpLifetime)
		}
	})
}

// A client that takes no answers is cut by force, and by time without it.
func TestTCPStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		r := servePipes(t, p)
		for _, cut := range []bool{true, false} {
			c := p.dial()
			time.Sleep(3 * time.Second) // the answer has a time of its own
			if _, err := c.Write(framed(t)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // until it is stuck
			start := time.Now()
			want := tcpMessageTimeout
			if cut {
				r.force()
				want = 0
			}
			r.tcp.serving.Wait()
			if d := time.Since(start); d != want {
				t.Errorf("cut %t: ended after %s, want %s", cut, d, want)
			}
			c.Close()
		}
	})
}

// An error of the system, such as too many open files, neither ends the
// responder nor makes it spin.
func TestAcceptError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		servePipes(t, p)
		start := time.Now()
		for range 3 {
			p.fails <- syscall.EMFILE
		}
		c := p.dial()
		if d := time.Since(start); d != 3*acceptPause {
			t.Errorf("three errors took %s, want %s", d, 3*acceptPause)
		}
		go func() { _, _ = c.Write(framed(t)) }()
		if _, err := io.ReadFull(c, make([]byte, 14)); err != nil {
			t.Errorf("after the errors: %v", err)
		}
		c.Close()
	})
}

// A packet that makes the program panic costs itself only.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	r := responderWithoutSockets(t, defaultDNSLimits())
	r.log = slog.New(slog.NewTextHandler(&log, nil))
	r.zones.Store(nil)
	from := netip.MustParseAddr("192.0.2.1")
	if got := r.respond(packed(t, query("solo.test.", dns.TypeA)), from, overUDP); got != nil {
		t.Errorf("got %x", got)
	}
	if !strings.Contains(log.String(), "cannot handle a packet") || !strings.Contains(log.String(), "zone.go") {
		t.Errorf("log: %s", &log)
	}
}

func BenchmarkRespond(b *testing.B) {
	r := responderWithoutSockets(b, dnsLimits{rate: 1e6, burst: 1e9, networks: 16})
	packet := packed(b, query("a.b.solo.test.", dns.TypeA))
	from := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		if len(r.respond(packet, from, overUDP)) < 50 {
			b.Fatal("no answer")
		}
	}
}
