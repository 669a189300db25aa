package dnsclient_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
)

// answerTXT answers with 12,000 bytes, whole only over TCP.
func answerTXT(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	for range 20 {
		m.Answer = append(m.Answer, dnsclient.NewTXT(q.Question[0].Name, strings.Repeat("0123456789", 60), 0))
	}
	if w.RemoteAddr().Network() == "udp" {
		m.Truncate(1232)
	}
	_ = w.WriteMsg(m)
}

// TestExchangeTruncated holds that a truncated answer is asked for again over TCP.
func TestExchangeTruncated(t *testing.T) {
	server := serve(t, answerTXT)
	q := dnsclient.NewQuery("x.example", dns.TypeTXT)
	q.Id = 7
	m, err := long().Exchange(t.Context(), server, q)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Answer) != 20 || m.Truncated {
		t.Errorf("got %d records, truncated %t", len(m.Answer), m.Truncated)
	}
	if q.Id != 7 || len(q.Extra) != 1 {
		t.Errorf("the question was changed: %v", q)
	}
}

// TestExchangeCutOff holds the same of an answer that ends within a record.
func TestExchangeCutOff(t *testing.T) {
	server := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Answer = []dns.RR{dnsclient.NewTXT(q.Question[0].Name, "whole", 0)}
		m.Truncated = w.RemoteAddr().Network() == "udp"
		packet, err := m.Pack()
		if err != nil {
			t.Error(err)
		}
		if m.Truncated {
			packet = packet[:len(packet)-3]
		}
		_, _ = w.Write(packet)
	})
	m, err := (&dnsclient.Client{Timeout: 10 * time.Second}).Exchange(t.Context(), server, dnsclient.NewQuery("x.example", dns.TypeTXT))
	if err != nil || len(m.Answer) != 1 {
		t.Errorf("got %v, %v", m, err)
	}
}

// TestExchangeOverTCP holds what is said of a server whose answer over TCP is none.
func TestExchangeOverTCP(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(w dns.ResponseWriter, q *dns.Msg)
		want   string
	}{
		{"truncated", func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.Truncated = true
			_ = w.WriteMsg(m)
		}, "its answer is truncated over TCP too"},
		{"another question", func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.Question[0].Name = "y.example."
			_ = w.WriteMsg(m)
		}, "it answered another question"},
		{"unreadable", func(w dns.ResponseWriter, _ *dns.Msg) {
			_, _ = w.Write([]byte("long enough, and no message at all"))
		}, "its answer cannot be read: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
				if w.RemoteAddr().Network() == "udp" {
					answerTXT(w, q)
					return
				}
				test.answer(w, q)
			})
			m, err := long().Exchange(t.Context(), server, dnsclient.NewQuery("x.example", dns.TypeTXT))
			if want := "name server " + server + ": " + test.want; err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %v, %v, want %s", m, err, want)
			}
		})
	}
}

// TestExchangePassesOver holds that packets that are no answer to the question do
// not count, whoever sent them.
func TestExchangePassesOver(t *testing.T) {
	wrong := map[string]func(m *dns.Msg){
		"id":       func(m *dns.Msg) { m.Id++ },
		"query":    func(m *dns.Msg) { m.Response = false },
		"opcode":   func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify },
		"name":     func(m *dns.Msg) { m.Question[0].Name = "y.example." },
		"type":     func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA },
		"class":    func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
		"no name":  func(m *dns.Msg) { m.Question = nil },
		"question": func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) },
	}
	for what, change := range wrong {
		t.Run(what, func(t *testing.T) {
			server := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
				m := new(dns.Msg).SetReply(q)
				change(m)
				_ = w.WriteMsg(m)
				_, _ = w.Write([]byte("short"))
				_, _ = w.Write([]byte("long enough, and no message at all"))
				rcode(dns.RcodeRefused)(w, q)
			})
			m, err := long().Exchange(t.Context(), server, dnsclient.NewQuery("x.example", dns.TypeTXT))
			if err != nil || m.Rcode != dns.RcodeRefused {
				t.Errorf("got %v, %v; want the answer that came last", m, err)
			}
		})
	}
}

// TestExchangeBareError holds that an error without a question is an answer.
func TestExchangeBareError(t *testing.T) {
	server := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetRcode(q, dns.RcodeFormatError)
		m.Question = nil
		_ = w.WriteMsg(m)
	})
	m, err := long().Exchange(t.Context(), server, dnsclient.NewQuery("x.example", dns.TypeTXT))
	if err != nil || m.Rcode != dns.RcodeFormatError {
		t.Errorf("got %v, %v", m, err)
	}
}

// TestExchangeWithoutEDNS holds that a server which has no EDNS is asked without
// it, over TCP too, and that one which has it is not asked twice.
func TestExchangeWithoutEDNS(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer dns.HandlerFunc // to a question with EDNS
		asked  int32
		rcode  int
	}{
		{"no EDNS", rcode(dns.RcodeFormatError), 3, dns.RcodeSuccess},
		{"EDNS", func(w dns.ResponseWriter, q *dns.Msg) {
			_ = w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeFormatError).SetEdns0(1232, false))
		}, 1, dns.RcodeFormatError},
		{"another error", rcode(dns.RcodeRefused), 1, dns.RcodeRefused},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked atomic.Int32
			server := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
				asked.Add(1)
				if q.IsEdns0() != nil {
					test.answer(w, q)
					return
				}
				answerTXT(w, q)
			})
			m, err := long().Exchange(t.Context(), server, dnsclient.NewQuery("x.example", dns.TypeTXT))
			if err != nil || m.Rcode != test.rcode || asked.Load() != test.asked {
				t.Errorf("got %v, %v after %d questions, want RCODE %d after %d", m, err, asked.Load(), test.rcode, test.asked)
			}
		})
	}
}

// TestExchangeRepeats holds that a question whose packet was lost is sent again.
func TestExchangeRepeats(t *testing.T) {
	var asked atomic.Int32
	server := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		if asked.Add(1) > 1 {
			answerTXT(w, q)
		}
	})
	c := &dnsclient.Client{Timeout: 6 * time.Second}
	if _, err := c.Exchange(t.Context(), server, dnsclient.NewQuery("x.example", dns.TypeTXT)); err != nil {
		t.Fatal(err)
	}
}

// TestExchangeFails holds what is said where no answer came.
func TestExchangeFails(t *testing.T) {
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	mute := serve(t, silent)
	for server, want := range map[string]string{
		mute:                        "name server " + mute + ": no answer",
		closed.LocalAddr().String(): "connection refused",
	} {
		_, err := short().Exchange(t.Context(), server, dnsclient.NewQuery("x.example", dns.TypeTXT))
		if err == nil || !strings.Contains(err.Error(), want) || dnsclient.NoRoute(err) {
			t.Errorf("%s: got %v, want %q", server, err, want)
		}
		if silent := server == mute; errors.Is(err, dnsclient.ErrNoAnswer) != silent {
			t.Errorf("%s: %v is ErrNoAnswer: %t", server, err, !silent)
		}
	}
}

// TestExchangeEndsWithContext holds that ctx ends an exchange that waits.
func TestExchangeEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	over := errors.New("enough")
	server := serve(t, func(dns.ResponseWriter, *dns.Msg) { cancel(over) })
	start := time.Now()
	_, err := (&dnsclient.Client{Timeout: 4 * time.Minute}).Exchange(ctx, server, dnsclient.NewQuery("x.example", dns.TypeTXT))
	if took := time.Since(start); took > 100*time.Second {
		t.Errorf("it took %s", took)
	}
	if !errors.Is(err, over) || !errors.Is(err, dnsclient.ErrNoAnswer) {
		t.Errorf("got %v", err)
	}
}

// FuzzText holds that every text comes back from the wire as it was.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", `back\slash`, `\065\`, `"quoted"`, "\x00\xff;é", strings.Repeat(`\"`, 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if len(value) > 40_000 {
			return // no message has room for it
		}
		packet, err := (&dns.Msg{Answer: []dns.RR{dnsclient.NewTXT("x.example", value, 1)}}).Pack()
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		var m dns.Msg
		if err := m.Unpack(packet); err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		if got := dnsclient.Text(m.Answer[0].(*dns.TXT)); got != value {
			t.Errorf("%q came back as %q", value, got)
		}
	})
}
