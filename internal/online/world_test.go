package online_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/txtar"
)

// The hosts of the world that a configuration is compared with.
const (
	resolverHost = "127.0.0.1" // a resolver
	firstHost    = "127.0.0.2" // two name servers of every zone but ours
	secondHost   = "127.0.0.3"
	ourHost      = "127.0.0.4" // our responders, where the delegation leads
)

// world is a little DNS: zones at two servers, and a resolver that follows their
// delegations. All servers listen on one port, each on a host of its own.
type world struct {
	port int
	// zones are by name; those of a server that has other records than the rest are
	// in special.
	zones   map[string][]dns.RR
	special map[string]map[string][]dns.RR

	silent atomic.Bool // the resolver says nothing where it gets no answer

	mu    sync.Mutex // guards asked
	asked []string   // names that the resolver was asked for
}

// newWorld serves the files ZONE.zone and HOST/ZONE.zone of an archive until the
// test ends.
func newWorld(t *testing.T, files []txtar.File) *world {
	t.Helper()
	w := &world{zones: map[string][]dns.RR{}, special: map[string]map[string][]dns.RR{firstHost: {}, secondHost: {}}}
	for _, f := range files {
		zone, ok := strings.CutSuffix(path.Base(f.Name), ".zone")
		if !ok {
			continue
		}
		var records []dns.RR
		parser := dns.NewZoneParser(bytes.NewReader(f.Data), zone+".", f.Name)
		for rr, more := parser.Next(); more; rr, more = parser.Next() {
			records = append(records, rr)
		}
		if err := parser.Err(); err != nil {
			t.Fatal(err)
		}
		if host := path.Dir(f.Name); host != "." {
			w.special[host][zone] = records
		} else {
			w.zones[zone] = records
		}
	}
	w.listen(t)
	return w
}

// listen opens all servers on one port that is free everywhere.
func (w *world) listen(t *testing.T) {
	t.Helper()
	handlers := map[string]dns.HandlerFunc{resolverHost: w.resolve, firstHost: w.authority(firstHost), secondHost: w.authority(secondHost)}
	for try := 0; ; try++ {
		servers, port, err := listenAll(handlers)
		if errors.Is(err, syscall.EADDRINUSE) && try < 50 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		w.port = port
		for _, s := range servers {
			serveDNS(t, s)
		}
		return
	}
}

// serveDNS runs a name server until the test ends.
func serveDNS(t *testing.T, s *dns.Server) {
	t.Helper()
	started, ended := make(chan struct{}), make(chan struct{})
	s.NotifyStartedFunc = func() { close(started) }
	go func() {
		defer close(ended)
		serve := s.ListenAndServe
		if s.PacketConn != nil {
			serve = s.ActivateAndServe
		}
		if err := serve(); err != nil {
			t.Errorf("name server: %v", err)
		}
	}()
	select {
	case <-started:
	case <-ended:
		return
	}
	t.Cleanup(func() {
		_ = s.Shutdown()
		<-ended
	})
}

func listenAll(handlers map[string]dns.HandlerFunc) (servers []*dns.Server, port int, err error) {
	for host, handler := range handlers {
		conn, listenErr := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(host), uint16(port))))
		if listenErr != nil {
			err = listenErr
			break
		}
		port = conn.LocalAddr().(*net.UDPAddr).Port
		servers = append(servers, &dns.Server{PacketConn: conn, Handler: handler})
	}
	if err != nil {
		for _, s := range servers {
			_ = s.PacketConn.Close()
		}
	}
	return servers, port, err
}

// find returns the records of the innermost zone that holds name, and the
// delegation there that leads further down; empty: none does.
func find(zones map[string][]dns.RR, name string, qtype uint16) (records []dns.RR, cut string, ok bool) {
	best := ""
	for zone := range zones {
		if dns.IsSubDomain(zone+".", name) && len(zone) >= len(best) {
			best, ok = zone, true
		}
	}
	for _, rr := range zones[best] {
		owner := rr.Header().Name
		if rr.Header().Rrtype == dns.TypeNS && owner != best+"." && dns.IsSubDomain(owner, name) && (qtype != dns.TypeDS || owner != name) {
			cut = owner
		}
	}
	return zones[best], cut, ok
}

// fill answers from the records of one zone. It returns where an alias leads.
func fill(m *dns.Msg, records []dns.RR, name string, qtype uint16) (alias string) {
	exists := slices.ContainsFunc(records, func(rr dns.RR) bool { return dns.IsSubDomain(name, rr.Header().Name) })
	for _, rr := range records {
		if above, is := strings.CutPrefix(rr.Header().Name, "*"); is && !exists && strings.HasSuffix(name, above) {
			rr = dns.Copy(rr) // RFC 4592
			rr.Header().Name = name
			defer func() { m.Rcode = dns.RcodeSuccess }()
		}
		h := rr.Header()
		cname, is := rr.(*dns.CNAME)
		switch {
		case h.Name != name:
		case is && qtype != dns.TypeCNAME:
			alias = cname.Target
			m.Answer = append(m.Answer, rr)
		case h.Rrtype == qtype:
			m.Answer = append(m.Answer, rr)
		}
	}
	if len(m.Answer) == 0 {
		for _, rr := range records {
			if rr.Header().Rrtype == dns.TypeSOA {
				m.Ns = append(m.Ns, rr)
			}
		}
		if !exists {
			m.Rcode = dns.RcodeNameError
		}
	}
	return alias
}

// authority answers for every zone of the world, with the records of one host.
func (w *world) authority(host string) dns.HandlerFunc {
	return func(to dns.ResponseWriter, q *dns.Msg) {
		zones := maps.Clone(w.zones)
		maps.Copy(zones, w.special[host])
		m := new(dns.Msg).SetReply(q)
		name, qtype := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
		records, cut, ok := find(zones, name, qtype)
		switch {
		case !ok:
			m.Rcode = dns.RcodeRefused
		case cut != "":
			for _, rr := range records {
				ns, is := rr.(*dns.NS)
				if !is || ns.Hdr.Name != cut {
					continue
				}
				m.Ns = append(m.Ns, ns)
				for _, glue := range records {
					if glue.Header().Name == ns.Ns && glue.Header().Rrtype != dns.TypeNS {
						m.Extra = append(m.Extra, glue)
					}
				}
			}
		default:
			m.Authoritative = true
			fill(m, records, name, qtype)
		}
		_ = to.WriteMsg(m)
	}
}

// resolve answers as a resolver does.
func (w *world) resolve(to dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	w.mu.Lock()
	w.asked = append(w.asked, q.Question[0].Name)
	w.mu.Unlock()
	for name, qtype := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype; name != ""; {
		records, cut, ok := find(w.zones, name, qtype)
		switch {
		case !ok:
			m.Rcode = dns.RcodeServerFailure
			name = ""
		case cut != "":
			w.forward(m, records, cut, name, qtype)
			name = ""
		default:
			name = fill(m, records, name, qtype)
		}
	}
	if m.Rcode == dns.RcodeServerFailure && w.silent.Load() {
		return
	}
	_ = to.WriteMsg(m)
}

// forward asks the name servers of a delegation.
func (w *world) forward(m *dns.Msg, records []dns.RR, cut, name string, qtype uint16) {
	m.Rcode = dns.RcodeServerFailure
	for _, rr := range records {
		ns, is := rr.(*dns.NS)
		if !is || ns.Hdr.Name != cut {
			continue
		}
		host := new(dns.Msg)
		if dns.IsSubDomain(cut, ns.Ns) {
			fill(host, records, ns.Ns, dns.TypeA)
		} else if outside, _, ok := find(w.zones, ns.Ns, dns.TypeA); ok {
			fill(host, outside, ns.Ns, dns.TypeA)
		}
		for _, rr := range host.Answer {
			a, is := rr.(*dns.A)
			if !is {
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			client := &dns.Client{Timeout: 5 * time.Second}
			answer, _, err := client.ExchangeContext(ctx, new(dns.Msg).SetQuestion(name, qtype), netip.AddrPortFrom(netip.MustParseAddr(a.A.String()), uint16(w.port)).String())
			cancel()
			if err == nil && answer.Rcode != dns.RcodeRefused {
				m.Rcode = answer.Rcode
				m.Answer, m.Ns = append(m.Answer, answer.Answer...), answer.Ns
				return
			}
		}
	}
}
