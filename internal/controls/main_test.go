package controls_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/acme-exporter/acme_exporter/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// load reads a configuration with the target corp, which nobody can reach, and
// with what more says, each line of it at the first column.
func load(t *testing.T, more ...string) *config.Config {
	t.Helper()
	text := "targets:\n  corp: {directory_url: 'https://ca.corp.example/', probes: {directory: 1m}}\n" + strings.Join(more, "\n") + "\n"
	c, err := config.Parse("test.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// quiet keeps a server's complaints about clients out of the test's output.
var quiet = log.New(io.Discard, "", 0)

// urls is the section of controls with these URLs.
func urls(list ...string) string { return "controls: {urls: ['" + strings.Join(list, "', '") + "']}" }

// web runs a web server, and one with TLS, until the test ends.
func web(t *testing.T, handler http.HandlerFunc) (plain, secure string) {
	t.Helper()
	p, s := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	s.Config.ErrorLog = quiet
	s.StartTLS()
	t.Cleanup(p.Close)
	t.Cleanup(s.Close)
	return p.URL, s.URL
}

// raw runs a server that does with each connection what serve does, until the test
// ends, and returns its address.
func raw(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener := listen(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-ended })
	return listener.Addr().String()
}

// blackhole returns the address of a port that takes connections and says nothing.
func blackhole(t *testing.T) string {
	t.Helper()
	return listen(t).Addr().String()
}

// closed returns the address of a port where nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	listener := listen(t)
	listener.Close()
	return listener.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// nameServer runs one over UDP until the test ends, and returns its address.
func nameServer(t *testing.T, handler dns.HandlerFunc) string {
	t.Helper()
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan struct{})
	s := &dns.Server{PacketConn: packets, Handler: handler, NotifyStartedFunc: func() { close(started) }}
	go func() {
		defer close(ended)
		if err := s.ActivateAndServe(); err != nil {
			t.Errorf("name server: %v", err)
		}
	}()
	<-started
	t.Cleanup(func() { _ = s.Shutdown(); <-ended })
	return packets.LocalAddr().String()
}

// says returns a handler that answers with an RCODE, and for NOERROR with an address.
func says(rcode int) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetRcode(q, rcode)
		if rcode == dns.RcodeSuccess {
			rr, err := dns.NewRR(fmt.Sprintf("%s 60 IN A 192.0.2.1", q.Question[0].Name))
			if err != nil {
				panic(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		_ = w.WriteMsg(m)
	}
}

// silent reads and does not answer.
func silent(dns.ResponseWriter, *dns.Msg) {}
