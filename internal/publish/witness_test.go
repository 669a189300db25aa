package publish

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
)

// TestTroubled holds which addresses stand in the way of knowing what a server
// has.
func TestTroubled(t *testing.T) {
	answers := map[string]func(w *witness){
		"has":      func(w *witness) { w.judge("probe.test", reply{authoritative: true}, nil) },
		"nothing":  func(w *witness) { w.judge("probe.test", reply{authoritative: true, rcode: dns.RcodeNameError}, nil) },
		"lame":     func(w *witness) { w.judge("probe.test", reply{rcode: dns.RcodeRefused}, nil) },
		"broken":   func(w *witness) { w.judge("probe.test", reply{rcode: dns.RcodeServerFailure}, nil) },
		"silent":   func(w *witness) { w.judge("probe.test", reply{}, dnsclient.ErrNoAnswer) },
		"refused":  func(w *witness) { w.judge("probe.test", reply{}, fmt.Errorf("x: %w", syscall.ECONNREFUSED)) },
		"no route": func(w *witness) { w.judge("probe.test", reply{}, fmt.Errorf("x: %w", syscall.ENETUNREACH)) },
		"unasked":  func(*witness) {},
	}
	for _, test := range []struct {
		server   []string // what its addresses answer
		troubled []int
		nowhere  bool // there is no way to it
	}{
		{[]string{"has"}, nil, false},
		{[]string{"nothing"}, nil, false},
		{[]string{"has", "no route"}, nil, false},
		{[]string{"silent", "has"}, nil, false},
		{[]string{"has", "refused"}, nil, false},
		{[]string{"has", "lame"}, []int{1}, false},
		{[]string{"broken", "has"}, []int{0}, false},
		{[]string{"silent", "no route"}, []int{0}, false},
		{[]string{"silent", "refused"}, []int{0, 1}, false},
		{[]string{"unasked"}, []int{0}, false},
		{[]string{"no route", "no route"}, nil, true},
	} {
		var server, want []*witness
		for i, answer := range test.server {
			w := &witness{server: "ns", address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}
			answers[answer](w)
			server = append(server, w)
		}
		for _, i := range test.troubled {
			want = append(want, server[i])
		}
		if got := troubles(server); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", test.server, got, want)
		}
		if got := unreachable(server); got != test.nowhere {
			t.Errorf("%q: unreachable %t", test.server, got)
		}
	}
}
