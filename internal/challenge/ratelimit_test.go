package challenge

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// take asks n times and returns how often each allowance came.
func take(l *limiter, from string, now time.Time, n int) (got [3]int) {
	for range n {
		got[l.take(netip.MustParseAddr(from), now)]++
	}
	return got
}

func TestLimiter(t *testing.T) {
	l := newLimiter(dnsLimits{rate: 10, burst: 20, networks: 100})
	now := time.Unix(1000, 0)
	steps := []struct {
		from  string
		after time.Duration
		n     int
		want  [3]int // answers, slips, silence
	}{
		{"192.0.2.1", 0, 50, [3]int{20, 20, 10}},
		{"192.0.2.200", 0, 5, [3]int{0, 0, 5}}, // the same /24
		{"192.0.3.1", 0, 20, [3]int{20, 0, 0}}, // another
		{"2001:db8::1", 0, 20, [3]int{20, 0, 0}},
		{"2001:db8:0:ff::1", 0, 1, [3]int{0, 1, 0}},  // the same /56
		{"2001:db8:0:100::1", 0, 1, [3]int{1, 0, 0}}, // another
		{"192.0.2.1", 100 * time.Millisecond, 5, [3]int{1, 1, 3}},
		{"192.0.2.1", time.Second, 25, [3]int{10, 10, 5}},
		{"192.0.2.1", time.Minute, 20, [3]int{20, 0, 0}},
		{"192.0.2.1", 0, 1, [3]int{0, 1, 0}},
	}
	for i, step := range steps {
		now = now.Add(step.after)
		if got := take(l, step.from, now, step.n); got != step.want {
			t.Errorf("step %d: %s: got %v, want %v", i, step.from, got, step.want)
		}
	}
}

// A hundred names validated at once cost about a thousand queries from one
// network; none of them may be told to come again.
func TestLimiterValidators(t *testing.T) {
	l := newLimiter(defaultDNSLimits())
	if got := take(l, "192.0.2.1", time.Unix(1000, 0), 1000); got[allowAnswer] != 1000 {
		t.Errorf("got %v, want 1000 answers", got)
	}
}

// Forged queries from everywhere fill the table; it keeps its size, and those
// for whom there is no room share one allowance.
func TestLimiterTable(t *testing.T) {
	l := newLimiter(dnsLimits{rate: 10, burst: 2, networks: 64})
	now := time.Unix(1000, 0)
	var got [3]int
	for i := range 1000 {
		got[l.take(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), now)]++
	}
	if len(l.entries) != 64 || got != [3]int{66, 2, 932} {
		t.Errorf("%d entries, answers %v, want 64 entries with one answer each and 2 for the rest", len(l.entries), got)
	}
	now = now.Add(time.Second) // all are idle now
	for i := range 1000 {
		now = now.Add(10 * time.Millisecond)
		if got := l.take(netip.AddrFrom4([4]byte{11, byte(i >> 8), byte(i), 1}), now); got != allowAnswer {
			t.Fatalf("network %d got %v after idle ones could go", i, got)
		}
		if len(l.entries) > 64 {
			t.Fatalf("%d entries, want at most 64", len(l.entries))
		}
	}
}

// What is limited is told to use TCP, where it is answered; time heals.
func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := responderWithoutSockets(t, dnsLimits{rate: 1, burst: 2, networks: 10})
		c := aChallenge(probe.DNS01, "x.solo.test", "limited")
		p, err := newPresentation(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.board.add(p); err != nil {
			t.Fatal(err)
		}
		from := netip.MustParseAddr("192.0.2.1")
		ask := func(over transport, name string) string {
			t.Helper()
			m := query(name, dns.TypeTXT)
			m.SetEdns0(1232, false)
			packet := packed(t, m)
			b := r.handle(packet, from, over)
			if b == nil {
				return "silence"
			}
			var reply dns.Msg
			if err := reply.Unpack(b); err != nil {
				t.Fatal(err)
			}
			switch {
			case reply.Truncated && len(b) <= len(packet) && reply.IsEdns0() != nil:
				return "TC"
			case len(reply.Answer) == 1 && !reply.Truncated:
				return "answer"
			}
			return dns.RcodeToString[reply.Rcode]
		}
		const live = "_acme-challenge.x.solo.test."
		var got []string
		for range 5 {
			got = append(got, ask(overUDP, live))
		}
		got = append(got, ask(overTCP, live))
		time.Sleep(time.Second)
		got = append(got, ask(overUDP, live), ask(overUDP, live), ask(overUDP, live))
		time.Sleep(time.Minute)
		got = append(got, ask(overUDP, live), ask(overUDP, "elsewhere.example."), ask(overUDP, "elsewhere.example."), ask(overUDP, live))
		want := "answer answer TC TC silence answer answer TC silence answer REFUSED silence TC"
		if got := strings.Join(got, " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}

		var visits []string
		for _, v := range r.board.remove(p) {
			visits = append(visits, fmt.Sprint(v.At, " ", v.Answered, " ", v.OK))
		}
		want = "0s 1 value true|0s 1 value true|0s truncated false|0s truncated false|0s dropped false|0s 1 value true|" +
			"1s 1 value true|1s truncated false|1s dropped false|1m1s 1 value true|1m1s truncated false"
		if got := strings.Join(visits, "|"); got != want {
			t.Errorf("visits\n got %s\nwant %s", got, want)
		}
	})
}

// The limit of a Set holds on its socket.
func TestRateLimitSocket(t *testing.T) {
	s := newSet(t)
	s.limits = dnsLimits{rate: 1, burst: 1, networks: 10}
	serve(t, s, config.Responders{DNS: dnsConfig()})
	if m := ask(t, s, "udp", query("solo.test.", dns.TypeA)); m.Truncated || len(m.Answer) != 2 {
		t.Errorf("first answer: %v", m)
	}
	if m := ask(t, s, "udp", query("solo.test.", dns.TypeA)); !m.Truncated || len(m.Answer) != 0 {
		t.Errorf("second answer: %v, want TC", m)
	}
	if m := ask(t, s, "tcp", query("solo.test.", dns.TypeA)); m.Truncated || len(m.Answer) != 2 {
		t.Errorf("over TCP: %v", m)
	}
}
