package main

import (
	"net"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
)

// serveResolver answers, until the script ends, as a resolver that knows of one
// zone, example: its name server has no address, and there is no name beneath it.
func serveResolver(env *testscript.Env) (address string, err error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	var zone []dns.RR
	for _, line := range []string{"example. 60 IN SOA ns1.example. hostmaster.example. 1 60 60 60 60", "example. 60 IN NS ns1.example."} {
		rr, err := dns.NewRR(line)
		if err != nil {
			return "", err
		}
		zone = append(zone, rr)
	}
	started, ended := make(chan struct{}), make(chan struct{})
	server := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }}
	server.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		for _, rr := range zone {
			if h := rr.Header(); h.Name == q.Question[0].Name && h.Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		if len(m.Answer) == 0 {
			m.Ns = zone[:1]
		}
		_ = w.WriteMsg(m)
	})
	go func() {
		defer close(ended)
		_ = server.ActivateAndServe() // it ends with the script
	}()
	<-started
	env.Defer(func() {
		_ = server.Shutdown()
		<-ended
	})
	return conn.LocalAddr().String(), nil
}
