package parts

import (
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestNameServers holds that an update at a primary reaches its secondary and, over
// the delegation, whoever asks the resolver; and that only the key updates, and only
// TXT records.
func TestNameServers(t *testing.T) {
	for _, kind := range []struct {
		name               string
		primary, secondary func(*Namespace, testing.TB, string, ...Zone)
	}{
		{"named to knotd", (*Namespace).StartNamed, (*Namespace).StartKnot},
		{"knotd to named", (*Namespace).StartKnot, (*Namespace).StartNamed},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			n := NewNamespace(t, "127.0.0.53")
			n.StartNamed(t, "127.0.0.10", Zone{Records: "@ NS ns.root.\nns.root. A 127.0.0.10\n" +
				"updates.example. NS ns1.updates.example.\nns1.updates.example. A 127.0.0.20\n" +
				"updates.example. NS ns2.updates.example.\nns2.updates.example. A 127.0.0.21\n"})
			kind.primary(n, t, "127.0.0.20", Zone{
				Name: "updates.example", Updates: true, Secondary: "127.0.0.21",
				Records: "@ NS ns1\n@ NS ns2\nns1 A 127.0.0.20\nns2 A 127.0.0.21\n",
			})
			kind.secondary(n, t, "127.0.0.21", Zone{Name: "updates.example", Primary: "127.0.0.20"})
			n.StartUnbound(t, "127.0.0.53", "127.0.0.10")

			update := func(key, record string) int {
				t.Helper()
				rr, err := dns.NewRR(record)
				if err != nil {
					t.Fatal(err)
				}
				m := new(dns.Msg).SetUpdate("updates.example.")
				m.Insert([]dns.RR{rr})
				conn, err := n.Dial(t.Context(), "udp", "127.0.0.20:53")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				client := new(dns.Client)
				if key != "" {
					m.SetTsig(key+".", dns.HmacSHA256, 300, time.Now().Unix())
					client.TsigSecret = map[string]string{key + ".": TSIGSecret}
				}
				answer, _, err := client.ExchangeWithConnContext(t.Context(), m, &dns.Conn{Conn: conn})
				if answer == nil {
					t.Fatal(err)
				}
				return answer.Rcode
			}
			if got := update("", `www.updates.example. 1 TXT "no key"`); got != dns.RcodeRefused && got != dns.RcodeNotAuth {
				t.Errorf("an update without the key: %s", dns.RcodeToString[got])
			}
			if got := update(TSIGName, "www.updates.example. 1 A 192.0.2.1"); got != dns.RcodeRefused && got != dns.RcodeNotAuth {
				t.Errorf("an update of an address: %s", dns.RcodeToString[got])
			}
			if got := update(TSIGName, `www.updates.example. 1 TXT "there"`); got != dns.RcodeSuccess {
				t.Fatalf("an update: %s", dns.RcodeToString[got])
			}
			for _, address := range []string{"127.0.0.20", "127.0.0.21", "127.0.0.53"} {
				Until(t, address+" has the record", func() bool {
					return slices.Equal(n.TXT(t, address, "www.updates.example"), []string{"there"})
				})
			}
			for _, address := range []string{"127.0.0.20", "127.0.0.21"} {
				if got := n.Transfer(t, address, "updates.example"); len(got) != 1 || len(got["www.updates.example"]) != 1 {
					t.Errorf("%s transfers %v", address, got)
				}
			}
		})
	}
}
