package fakeca_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// serveTXT starts a name server that has the values at every name that begins
// with the label, and returns its address.
func serveTXT(t *testing.T, label string, values ...string) string {
	t.Helper()
	socket, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: socket, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		for _, value := range values {
			if strings.HasPrefix(q.Question[0].Name, label) {
				m.Answer = append(m.Answer, &dns.TXT{
					Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET},
					Txt: []string{value},
				})
			}
		}
		_ = w.WriteMsg(m)
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.ActivateAndServe()
	}()
	t.Cleanup(func() {
		_ = socket.Close()
		<-ended
	})
	return socket.LocalAddr().String()
}

// The validator of records takes what the drafts allow, and nothing else.
func TestValidateDNS(t *testing.T) {
	const account = "https://ca.example/account/1"
	at := func(d time.Duration) string { return fmt.Sprintf("; persistUntil=%d", time.Now().Add(d).Unix()) }
	key := probe.Record{Name: "_acme-challenge.a.example", Value: "digest"}
	persist := probe.Record{Name: "_validation-persist.a.example", Value: "ca.example; accounturi=" + account}
	wildcard := probe.Record{Name: persist.Name, Value: persist.Value + "; policy=wildcard"}
	for _, tt := range []struct {
		name    string
		kind    probe.ChallengeType
		wanted  probe.Record
		present []string
		want    string // of the problem; empty: solved
	}{
		{"digest", probe.DNS01, key, []string{"other", "digest"}, ""},
		{"another digest", probe.DNSAccount01, key, []string{"other"}, "no TXT record has the value"},
		{"nothing", probe.DNS01, key, nil, "looking up"},
		{"persistent", probe.DNSPersist01, persist, []string{"x", persist.Value}, ""},
		{"says more", probe.DNSPersist01, persist, []string{wildcard.Value + at(time.Hour)}, ""},
		{"wildcard", probe.DNSPersist01, wildcard, []string{wildcard.Value}, ""},
		{"no wildcard", probe.DNSPersist01, wildcard, []string{persist.Value}, "no wildcard"},
		{"over", probe.DNSPersist01, persist, []string{persist.Value + at(-time.Hour)}, "time is over"},
		{"no time", probe.DNSPersist01, persist, []string{persist.Value + "; persistUntil=tomorrow"}, "time is over"},
		{"another issuer", probe.DNSPersist01, persist, []string{"other.example; accounturi=" + account}, "another issuer"},
		{"another account", probe.DNSPersist01, persist, []string{persist.Value + "0"}, "another account"},
		{"twice", probe.DNSPersist01, persist, []string{persist.Value + "; accounturi=" + account}, "parameter"},
		{"no syntax", probe.DNSPersist01, persist, []string{persist.Value + ";"}, "parameter"},
		{"another type", probe.HTTP01, key, []string{"digest"}, "challenge of type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			label, _, _ := strings.Cut(tt.wanted.Name, ".")
			address := serveTXT(t, label+".", tt.present...)
			err := fakeca.ValidateDNS(func() string { return address })(context.Background(), probe.Challenge{
				Type: tt.kind, Identifier: "a.example", Record: tt.wanted,
			})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
