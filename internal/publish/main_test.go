package publish_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	promconfig "github.com/prometheus/common/config"
	"go.uber.org/goleak"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/publish"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	keyName = "probe-key"
	secret  = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0ISEhISE="
	// bound is how long a test waits for what has to happen.
	bound = 60 * time.Second
)

// world is a part of the DNS: name servers, each at an address of its own, and a
// resolver that knows their zones.
type world struct {
	resolver string
	port     uint16
	free     []*nameserver // that serve nothing yet

	mu    sync.Mutex                // guards the fields below
	zones map[string][]*nameserver  // their servers
	hosts map[string][]netip.Addr   // further addresses
	asked map[string]map[uint16]int // of the resolver
}

// nameserver serves one zone.
type nameserver struct {
	name    string
	address netip.Addr

	mu      sync.Mutex // guards the fields below
	zone    string
	txt     map[string][]string
	cname   map[string]string
	child   string                                      // a zone beneath that it refers to
	behave  func(w dns.ResponseWriter, q *dns.Msg) bool // reports whether it has dealt with q; nil: nothing special
	peers   []*nameserver                               // get the updates that it takes
	asked   int                                         // questions
	updates []*dns.Msg
}

// newWorld opens a resolver and four name servers on one port.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{zones: map[string][]*nameserver{}, hosts: map[string][]netip.Addr{}, asked: map[string]map[uint16]int{}}
	for try := 0; !w.listen(t); try++ {
		if try == 100 {
			t.Fatal("no port is free at five addresses")
		}
	}
	return w
}

// listen opens all on a port that the system chooses; false: it is taken somewhere.
func (w *world) listen(t *testing.T) bool {
	var servers []*dns.Server
	var free []*nameserver
	port := 0
	for i := range 5 {
		address := netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 1)})
		n := &nameserver{address: address, name: fmt.Sprintf("ns%d.test", i), txt: map[string][]string{}, cname: map[string]string{}}
		handler := dns.HandlerFunc(n.serve)
		if i == 0 {
			handler = w.serve
		} else {
			free = append(free, n)
		}
		packets, err := net.ListenPacket("udp", net.JoinHostPort(address.String(), fmt.Sprint(port)))
		if err != nil {
			closeAll(servers)
			return false
		}
		port = packets.LocalAddr().(*net.UDPAddr).Port
		listener, err := net.Listen("tcp", packets.LocalAddr().String())
		servers = append(servers, &dns.Server{PacketConn: packets, Handler: handler, TsigSecret: keys(), MsgAcceptFunc: accept})
		if err != nil {
			closeAll(servers)
			return false
		}
		servers = append(servers, &dns.Server{Listener: listener, Handler: handler, TsigSecret: keys(), MsgAcceptFunc: accept})
	}
	for _, s := range servers {
		started, ended := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(started) }
		go func() { ended <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			_ = s.Shutdown()
			if err := <-ended; err != nil {
				t.Errorf("name server: %v", err)
			}
		})
	}
	w.port, w.free, w.resolver = uint16(port), free, net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	return true
}

func closeAll(servers []*dns.Server) {
	for _, s := range servers {
		if s.PacketConn != nil {
			_ = s.PacketConn.Close()
		} else {
			_ = s.Listener.Close()
		}
	}
}

func keys() map[string]string { return map[string]string{keyName + ".": secret} }

// accept takes updates too, which a server of this library else refuses.
func accept(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }

// serving has the next n name servers serve the zone. The first is its primary.
func (w *world) serving(zone string, n int) []*nameserver {
	w.mu.Lock()
	defer w.mu.Unlock()
	servers := w.free[:n:n]
	w.free = w.free[n:]
	for i, s := range servers {
		s.mu.Lock()
		if s.zone = zone; i == 0 {
			s.peers = servers[1:]
		}
		s.mu.Unlock()
	}
	w.zones[zone] = servers
	return servers
}

// zoneOf returns the innermost zone that holds name.
func (w *world) zoneOf(name string) (zone string) {
	for z := range w.zones {
		if (name == z || strings.HasSuffix(name, "."+z)) && len(z) > len(zone) {
			zone = z
		}
	}
	return zone
}

// serve is the resolver.
func (w *world) serve(out dns.ResponseWriter, q *dns.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, qtype := plain(q.Question[0].Name), q.Question[0].Qtype
	if w.asked[name] == nil {
		w.asked[name] = map[uint16]int{}
	}
	w.asked[name][qtype]++
	m := new(dns.Msg).SetReply(q)
	add := func(rrs *[]dns.RR, format string, args ...any) { *rrs = append(*rrs, parse(format, args...)) }
	zone := w.zoneOf(name)
	switch {
	case qtype == dns.TypeSOA && zone == name:
		add(&m.Answer, "%s. 0 IN SOA a. b. 1 1 1 1 1", zone)
	case qtype == dns.TypeSOA:
		add(&m.Ns, "%s. 0 IN SOA a. b. 1 1 1 1 1", zone)
	case qtype == dns.TypeNS:
		for _, n := range w.zones[name] {
			add(&m.Answer, "%s. 0 IN NS %s.", name, n.name)
		}
	}
	for _, servers := range w.zones {
		for _, n := range servers {
			if n.name == name && qtype == dns.TypeA && n.address.IsValid() {
				add(&m.Answer, "%s. 0 IN A %s", name, n.address)
			}
		}
	}
	for _, a := range w.hosts[name] {
		if a.Is6() && qtype == dns.TypeAAAA {
			add(&m.Answer, "%s. 0 IN AAAA %s", name, a)
		}
	}
	_ = out.WriteMsg(m)
}

func parse(format string, args ...any) dns.RR {
	rr, err := dns.NewRR(fmt.Sprintf(format, args...))
	if err != nil {
		panic(err)
	}
	return rr
}

func plain(name string) string { return strings.TrimSuffix(dns.CanonicalName(name), ".") }

// serve answers a question or makes an update.
func (n *nameserver) serve(w dns.ResponseWriter, q *dns.Msg) {
	n.mu.Lock()
	behave := n.behave
	if q.Opcode == dns.OpcodeQuery {
		n.asked++
	}
	n.mu.Unlock()
	switch {
	case behave != nil && behave(w, q):
	case q.Opcode == dns.OpcodeUpdate:
		n.update(w, q)
	default:
		n.answer(w, q)
	}
}

func (n *nameserver) answer(w dns.ResponseWriter, q *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := plain(q.Question[0].Name)
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	target, alias := n.cname[name]
	switch {
	case n.child != "" && strings.HasSuffix(name, n.child):
		m.Authoritative = false
		m.Ns = []dns.RR{parse("%s. 0 IN NS ns.%s.", n.child, n.child)}
	case alias:
		m.Answer = []dns.RR{parse("%s. 0 IN CNAME %s.", name, target)}
	case n.txt[name] == nil:
		m.Rcode = dns.RcodeNameError
	case q.Question[0].Qtype == dns.TypeTXT:
		for _, value := range n.txt[name] {
			m.Answer = append(m.Answer, dnsclient.NewTXT(name, value, 0))
		}
	}
	if w.RemoteAddr().Network() == "udp" {
		m.Truncate(dns.MinMsgSize)
	}
	_ = w.WriteMsg(m)
}

// update takes TXT records in and out, as a primary does.
func (n *nameserver) update(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	defer func() {
		m.SetTsig(keyName+".", q.IsTsig().Algorithm, 300, time.Now().Unix())
		_ = w.WriteMsg(m)
	}()
	n.mu.Lock()
	zone, receivers := n.zone, append(slices.Clone(n.peers), n)
	n.mu.Unlock()
	if w.TsigStatus() != nil || plain(q.Question[0].Name) != zone {
		m.Rcode = dns.RcodeNotAuth
		return
	}
	n.mu.Lock()
	n.updates = append(n.updates, q)
	n.mu.Unlock()
	for _, rr := range q.Ns {
		txt, ok := rr.(*dns.TXT)
		if !ok {
			m.Rcode = dns.RcodeRefused
			return
		}
		for _, s := range receivers {
			if txt.Hdr.Class == dns.ClassNONE {
				s.take(plain(txt.Hdr.Name), dnsclient.Text(txt))
			} else {
				s.put(plain(txt.Hdr.Name), dnsclient.Text(txt))
			}
		}
	}
}

// put adds TXT records.
func (n *nameserver) put(name string, values ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.txt[name] = append(n.txt[name], values...)
}

// take removes one.
func (n *nameserver) take(name, value string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.txt[name] = slices.DeleteFunc(n.txt[name], func(v string) bool { return v == value }); len(n.txt[name]) == 0 {
		delete(n.txt, name)
	}
}

func (n *nameserver) get(name string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.txt[name])
}

func (n *nameserver) alias(name, target string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cname[name] = target
}

// refers has the server send those who ask for names in a zone beneath to that.
func (n *nameserver) refers(zone string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.child = zone
}

// alone has the server tell no other of updates.
func (n *nameserver) alone() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.peers = nil
}

func (n *nameserver) does(behave func(w dns.ResponseWriter, q *dns.Msg) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.behave = behave
}

// says has the server answer every question with an RCODE.
func (n *nameserver) says(rcode int) {
	n.does(func(w dns.ResponseWriter, q *dns.Msg) bool {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(q, rcode))
		return true
	})
}

// counts returns how many questions and updates came.
func (n *nameserver) counts() (questions, updates int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked, len(n.updates)
}

// publisher returns one for the responders, with the resolver and the port of w.
func (w *world) publisher(r config.Responders) *publish.Publisher {
	return publish.New(r, w.client(bound))
}

func (w *world) client(timeout time.Duration) *dnsclient.Client {
	return &dnsclient.Client{Resolvers: []string{w.resolver}, Port: w.port, Timeout: timeout}
}

// updates is a configuration of zones whose primaries are the given servers.
func (w *world) updates(primaries ...*nameserver) config.Responders {
	var r config.Responders
	for _, n := range primaries {
		r.DNSUpdates = append(r.DNSUpdates, config.DNSUpdate{
			Zone: n.zone, Server: netip.AddrPortFrom(n.address, w.port).String(),
			TSIG: &config.TSIG{KeyName: keyName, Algorithm: "hmac-sha256", Secret: promconfig.Secret(secret)},
		})
	}
	return r
}

// until returns a ctx that ends when done says so, and not before.
func until(t *testing.T, done func() bool) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	t.Cleanup(cancel)
	go func() {
		for ctx.Err() == nil && !done() {
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
		cancel()
	}()
	return ctx
}

// failure returns the PublicationError that err is, and holds that it is fit to be
// shown.
func failure(t *testing.T, err error) *probe.PublicationError {
	t.Helper()
	p, ok := errors.AsType[*probe.PublicationError](err)
	if !ok {
		t.Fatalf("got %v, want a publication error", err)
	}
	if p.Advice == "" || p.Detail == "" || len(p.Detail) > 600 || len(p.Advice) > 700 || strings.HasSuffix(p.Advice, ".") {
		t.Errorf("unfit: %+v", p)
	}
	if strings.Contains(p.Detail+p.Advice, secret) {
		t.Errorf("the secret is in %+v", p)
	}
	return p
}
