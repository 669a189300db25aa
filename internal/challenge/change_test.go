package challenge

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// A reload that keeps listen_address keeps the socket: a client that asks all
// the time misses nothing, and live challenges stay.
func TestReloadKeepsSockets(t *testing.T) {
	s := newSet(t)
	before := config.Responders{HTTP: httpConfig(), DNS: dnsConfig()}
	serve(t, s, before)
	udp, listener, addresses := s.dns.udp, s.http.listener, s.Addresses()
	present(t, s, aChallenge(probe.DNS01, "x.solo.test", "kept"))
	present(t, s, aChallenge(probe.HTTP01, "x.solo.test", "kept"))
	conn, err := dns.Dial("tcp", addresses["dns"].String()) // stays open all the time
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	after := config.Responders{HTTP: httpConfig(), DNS: dnsConfig()}
	after.DNS.Zones = []string{"solo.test", "new.example"}
	after.DNS.CAA = nil
	after.DNS.Addresses = after.DNS.Addresses[:1]
	stop, asked := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			m := query("_acme-challenge.x.solo.test.", dns.TypeTXT)
			c := &dns.Client{Timeout: 5 * time.Second}
			if reply, _, err := c.Exchange(m, addresses["dns"].String()); err != nil || len(reply.Answer) != 1 {
				t.Errorf("during the reload: %v, %v", reply, err)
			}
			n++
			select {
			case <-stop:
				asked <- n
				return
			default:
			}
		}
	}()
	for range 10 {
		serve(t, s, before)
		serve(t, s, after)
	}
	close(stop)
	if n := <-asked; n == 0 {
		t.Error("nothing was asked during the reloads")
	}

	if s.dns.udp != udp || s.http.listener != listener {
		t.Error("a listener was replaced")
	}
	if got := s.Addresses(); got["dns"].String() != addresses["dns"].String() || got["http"].String() != addresses["http"].String() {
		t.Errorf("addresses %v, were %v", got, addresses)
	}
	if err := conn.WriteMsg(query("a.new.example.", dns.TypeA)); err != nil {
		t.Fatal(err)
	}
	if m, err := conn.ReadMsg(); err != nil || len(m.Answer) != 1 {
		t.Errorf("new zone on the old connection: %v, %v", m, err)
	}
	if m := ask(t, s, "udp", query("fra.probe.example.", dns.TypeA)); m.Rcode != dns.RcodeRefused {
		t.Errorf("removed zone: %v, want REFUSED", m)
	}
	if m := ask(t, s, "udp", query("solo.test.", dns.TypeCAA)); len(m.Answer) != 0 {
		t.Errorf("removed CAA: %v", m)
	}
	if _, body := fetch(t, s, "GET", "x.solo.test", challengePath+"kept"); body != "kept.thumb-print_1" {
		t.Errorf("http-01 after the reload: %q", body)
	}
}

func TestReloadRemovesAndMoves(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{HTTP: httpConfig(), DNS: dnsConfig()})
	old := s.Addresses()
	moved := dnsConfig()
	moved.ListenAddress = "[::1]:0"
	serve(t, s, config.Responders{DNS: moved})

	for _, address := range old {
		if isTaken(address.String()) {
			t.Errorf("%s is still taken after Commit", address)
		}
	}
	if got := s.Addresses(); got["http"] != nil || got["dns"].String() == old["dns"].String() {
		t.Errorf("addresses %v", got)
	}
	if m := ask(t, s, "tcp", query("solo.test.", dns.TypeSOA)); len(m.Answer) != 1 {
		t.Errorf("at the new address: %v", m)
	}
	serve(t, s, config.Responders{})
	if got := s.Addresses(); len(got) != 0 {
		t.Errorf("addresses %v, want none", got)
	}
}

func TestAbort(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{HTTP: httpConfig()})
	c, err := s.Prepare(config.Responders{DNS: dnsConfig()})
	if err != nil {
		t.Fatal(err)
	}
	address := c.dns.addr().String()
	if _, err := s.Prepare(config.Responders{}); err == nil {
		t.Error("a second change began beside the first")
	}
	if _, err := s.Present(t.Context(), aChallenge(probe.DNS01, "x.solo.test", "a")); err == nil {
		t.Error("a challenge was taken by a responder that does not serve yet")
	}
	c.Abort()
	c.Abort()
	c.Commit() // too late
	if isTaken(address) {
		t.Errorf("%s is still taken after Abort", address)
	}
	if got := s.Addresses(); got["http"] == nil || got["dns"] != nil {
		t.Errorf("addresses %v, want those of before", got)
	}
	if response, _ := fetch(t, s, "GET", "a", "/"); response.StatusCode != http.StatusNotFound {
		t.Errorf("HTTP after Abort: %d", response.StatusCode)
	}
	serve(t, s, config.Responders{DNS: dnsConfig()})
}

// Whatever cannot be opened is told with everything else that is wrong, before
// anything has changed.
func TestPrepareErrors(t *testing.T) {
	taken, err := net.Listen("tcp", loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	takenUDP, err := net.ListenPacket("udp", loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer takenUDP.Close()
	atTCP, atUDP := taken.Addr().String(), takenUDP.LocalAddr().String()
	const hint = ": bind: address already in use: stop what listens there, or choose another address"
	at := func(address string) *config.DNSResponder { c := dnsConfig(); c.ListenAddress = address; return c }
	bad := dnsConfig()
	bad.Zones = []string{"solo.test", "a..b", strings.Repeat("a", 64) + ".test", strings.Repeat("abcdefg.", 31) + "test"}
	bad.Nameserver = ""
	bad.CAA = []config.CAA{{Tag: "issue", Value: `a\b"c`}, {Tag: "", Value: "x"}, {Tag: strings.Repeat("t", 256), Value: "x"}}

	tests := []struct {
		name       string
		responders config.Responders
		want       []string
	}{
		{"HTTP", config.Responders{HTTP: &config.HTTPResponder{ListenAddress: atTCP}, DNS: dnsConfig()}, []string{
			"responders.http.listen_address: listen tcp " + atTCP + hint}},
		{"DNS over TCP", config.Responders{HTTP: httpConfig(), DNS: at(atTCP)}, []string{
			"responders.dns.listen_address: listen tcp " + atTCP + hint}},
		{"both", config.Responders{HTTP: &config.HTTPResponder{ListenAddress: atTCP}, DNS: at(atUDP)}, []string{
			"responders.http.listen_address: listen tcp " + atTCP + hint,
			"responders.dns.listen_address: listen udp " + atUDP + hint}},
		{"another host's address", config.Responders{HTTP: &config.HTTPResponder{ListenAddress: "192.0.2.1:0"}}, []string{
			"responders.http.listen_address: listen tcp 192.0.2.1:0: bind: cannot assign requested address: choose an address of this host"}},
		{"records", config.Responders{HTTP: httpConfig(), DNS: bad}, []string{
			`responders.dns.nameserver: "" is not a domain name`,
			`responders.dns.zones[1]: "a..b" is not a domain name that can be served`,
			`responders.dns.zones[2]: "` + bad.Zones[2] + `" is not a domain name that can be served`,
			`responders.dns.zones[3]: "` + bad.Zones[3] + `" is not a domain name that can be served`,
			`responders.dns.caa[1]: "" "x" is not a CAA record`,
			`responders.dns.caa[2]: "` + bad.CAA[2].Tag + `" "x" is not a CAA record`}},
		{"no zone", config.Responders{DNS: &config.DNSResponder{ListenAddress: loopback, Nameserver: "ns.example"}}, []string{
			"responders.dns.zones: there is none"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSet(t)
			before := config.Responders{HTTP: &config.HTTPResponder{ListenAddress: "[::1]:0"}}
			serve(t, s, before)
			address := s.Addresses()["http"]
			c, err := s.Prepare(tt.responders)
			if err == nil {
				c.Abort()
				t.Fatal("no error")
			}
			if want := strings.Join(tt.want, "\n"); err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if got := s.Addresses(); len(got) != 1 || got["http"] != address {
				t.Errorf("addresses %v, want those of before", got)
			}
			serve(t, s, before) // the failed change stands in nobody's way
		})
	}
}

// What was opened beside something that failed is closed again.
func TestPrepareReleases(t *testing.T) {
	taken, err := net.Listen("tcp", loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	udp, tcp, err := listenBoth(loopback)
	if err != nil {
		t.Fatal(err)
	}
	udp.Close()
	tcp.Close()
	s, d := newSet(t), dnsConfig()
	d.ListenAddress = tcp.Addr().String()
	if _, err := s.Prepare(config.Responders{HTTP: &config.HTTPResponder{ListenAddress: taken.Addr().String()}, DNS: d}); err == nil {
		t.Fatal("no error")
	}
	if isTaken(d.ListenAddress) {
		t.Errorf("%s is still taken", d.ListenAddress)
	}
}

// The port that we hold ourselves has another remedy.
func TestPrepareOwnPort(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{HTTP: httpConfig()})
	address := s.Addresses()["http"].String()
	c, err := s.Prepare(config.Responders{HTTP: &config.HTTPResponder{ListenAddress: address}})
	if err == nil {
		c.Abort()
		t.Fatal("no error")
	}
	want := "responders.http.listen_address: listen tcp " + address + ": bind: address already in use: " +
		"this exporter itself listens there: restart it to change the address but not the port"
	if err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// UDP and TCP have the same port even where the system chooses it.
func TestSamePort(t *testing.T) {
	for range 20 {
		udp, tcp, err := listenBoth(loopback)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := udp.LocalAddr().String(), tcp.Addr().String(); a != b {
			t.Errorf("UDP at %s, TCP at %s", a, b)
		}
		udp.Close()
		tcp.Close()
	}
}

// A change that Close overtakes opens nothing.
func TestCommitAfterClose(t *testing.T) {
	s := newSet(t)
	c, err := s.Prepare(config.Responders{HTTP: httpConfig(), DNS: dnsConfig()})
	if err != nil {
		t.Fatal(err)
	}
	addresses := []string{c.http.addr().String(), c.dns.addr().String()}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Commit()
	for _, a := range addresses {
		if isTaken(a) {
			t.Errorf("%s is taken", a)
		}
	}
}

// Close waits for no idle connection.
func TestCloseIdle(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{DNS: dnsConfig()})
	idle, err := dns.Dial("tcp", s.Addresses()["dns"].String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if err := idle.WriteMsg(query("solo.test.", dns.TypeA)); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.ReadMsg(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	if d := time.Since(start); d > tcpMessageTimeout/2 {
		t.Errorf("Close took %s with an idle connection", d)
	}
}

// Close waits for what has begun until its context ends, then cuts it; a
// listener that a reload removed is part of it.
func TestClose(t *testing.T) {
	s := newSet(t)
	serve(t, s, config.Responders{HTTP: httpConfig(), DNS: dnsConfig()})
	addresses := s.Addresses()
	idle, err := dns.Dial("tcp", addresses["dns"].String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if err := idle.WriteMsg(query("solo.test.", dns.TypeA)); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.ReadMsg(); err != nil {
		t.Fatal(err)
	}
	half, err := net.Dial("tcp", addresses["http"].String())
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	if _, err := half.Write([]byte("GET / HT")); err != nil {
		t.Fatal(err)
	}
	// A whole request behind it shows that the half one has been accepted.
	fetch(t, s, "GET", "a", "/")

	serve(t, s, config.Responders{}) // retired, its connections still open
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	err = s.Close(ctx)
	if err == nil || !strings.HasPrefix(err.Error(), "close responders: ") {
		t.Errorf("got %v, want the end of the context: half a request was open", err)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("took %s", d)
	}
	_ = idle.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := idle.ReadMsg(); err == nil || isTimeout(err) {
		t.Errorf("idle connection: %v, want its end", err)
	}
	for _, a := range addresses {
		if isTaken(a.String()) {
			t.Errorf("%s is still taken", a)
		}
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
