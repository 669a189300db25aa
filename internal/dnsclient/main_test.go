package dnsclient_test

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	keyName = "probe-key.example"
	secret  = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0ISEhISE="
	another = "YW5vdGhlciBhbm90aGVyIGFub3RoZXIgYW5vdGhlciE="
)

// serve runs a name server with a key until the test ends, and returns its address
// over UDP and TCP.
func serve(t *testing.T, handler dns.HandlerFunc) string {
	t.Helper()
	packets, listener := listen(t)
	keys := map[string]string{keyName + ".": secret}
	for _, s := range []*dns.Server{
		{PacketConn: packets, Handler: handler, TsigSecret: keys, MsgAcceptFunc: accept},
		{Listener: listener, Handler: handler, TsigSecret: keys, MsgAcceptFunc: accept},
	} {
		started, ended := make(chan struct{}), make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() {
			defer close(ended)
			if err := s.ActivateAndServe(); err != nil {
				t.Errorf("name server: %v", err)
			}
		}()
		<-started
		t.Cleanup(func() {
			_ = s.Shutdown()
			<-ended
		})
	}
	return packets.LocalAddr().String()
}

// listen opens a port over UDP and TCP. One that is free for the first may be
// taken for the second: then another is tried.
func listen(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 100 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, listener
		}
		_ = packets.Close()
	}
	t.Fatal("no port is free over UDP and TCP")
	return nil, nil
}

// accept takes updates too, which a server of this library else refuses.
func accept(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }

// zoneFile returns a handler that answers from records in zone-file form: an alias
// for every type, and an SOA record of zone where there is nothing.
func zoneFile(t *testing.T, zone string, lines ...string) dns.HandlerFunc {
	t.Helper()
	var records []dns.RR
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rr)
	}
	soa, err := dns.NewRR(zone + " 60 IN SOA ns." + zone + " hostmaster." + zone + " 1 60 60 60 60")
	if err != nil {
		t.Fatal(err)
	}
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative, m.Rcode = true, dns.RcodeNameError
		// Copies: to send a record changes it.
		for _, rr := range slices.Concat(records, []dns.RR{soa}) {
			if !strings.EqualFold(rr.Header().Name, q.Question[0].Name) {
				continue
			}
			m.Rcode = dns.RcodeSuccess
			if rr.Header().Rrtype == q.Question[0].Qtype || rr.Header().Rrtype == dns.TypeCNAME {
				m.Answer = append(m.Answer, dns.Copy(rr))
			}
		}
		if len(m.Answer) == 0 {
			m.Ns = []dns.RR{dns.Copy(soa)}
		}
		_ = w.WriteMsg(m)
	}
}

// rcode returns a handler that says no more than that.
func rcode(code int) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(q, code)) }
}

// silent reads and does not answer.
func silent(dns.ResponseWriter, *dns.Msg) {}

// short is for tests that wait for it to be over.
func short(resolvers ...string) *dnsclient.Client {
	return &dnsclient.Client{Resolvers: resolvers, Timeout: 300 * time.Millisecond}
}

// long is for tests that do not.
func long(resolvers ...string) *dnsclient.Client {
	return &dnsclient.Client{Resolvers: resolvers, Timeout: 60 * time.Second}
}
