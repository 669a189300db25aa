package publish_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestUnwritten holds when it is certain that nothing was written, so that nothing is
// left to be removed: what a server says of a single update is in TestRefused.
func TestUnwritten(t *testing.T) {
	refuses := refusal(dns.RcodeRefused, 0, 0)
	many := func(zone string, n int) (list []probe.Record) {
		for i := range n {
			list = append(list, probe.Record{Name: fmt.Sprintf("_acme-challenge.x%d.%s", i, zone), Value: value})
		}
		return list
	}
	both := append(many("one.test", 1), many("two.test", 1)...)
	for _, test := range []struct {
		name    string
		change  func(one, two *nameserver, r *config.Responders)
		records []probe.Record
		want    bool
	}{
		{"both zones refused", func(one, two *nameserver, _ *config.Responders) {
			one.does(refuses)
			two.does(refuses)
		}, both, true},
		{"one zone refused", func(one, _ *nameserver, _ *config.Responders) { one.does(refuses) }, both, false},
		{"the other zone refused", func(_, two *nameserver, _ *config.Responders) { two.does(refuses) }, both, false},
		{"the second update of a zone refused", func(one, _ *nameserver, _ *config.Responders) {
			var updates atomic.Int32
			one.does(func(w dns.ResponseWriter, q *dns.Msg) bool {
				return q.Opcode == dns.OpcodeUpdate && updates.Add(1) > 1 && refuses(w, q)
			})
		}, many("one.test", 51), false},
		{"no secret", func(_, _ *nameserver, r *config.Responders) {
			r.DNSUpdates[0].TSIG.Secret, r.DNSUpdates[0].TSIG.SecretFile = "", filepath.Join(t.TempDir(), "none")
		}, many("one.test", 1), true},
		{"nobody listens", func(_, _ *nameserver, r *config.Responders) {
			r.DNSUpdates[0].Server = "127.0.0.99:1"
		}, many("one.test", 1), true},
		{"no zone of ours", func(_, _ *nameserver, _ *config.Responders) {}, append(many("three.test", 1), both...), true},
		{"no such zone", func(_, _ *nameserver, r *config.Responders) {
			r.DNSUpdates[0].Zone = "missing.test"
		}, many("missing.test", 1), true},
		{"not seen everywhere", func(one, _ *nameserver, _ *config.Responders) {
			one.does(func(w dns.ResponseWriter, q *dns.Msg) bool {
				if q.Opcode != dns.OpcodeUpdate {
					_ = w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeRefused))
				}
				return q.Opcode != dns.OpcodeUpdate
			})
		}, many("one.test", 1), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			one, two := w.serving("one.test", 1)[0], w.serving("two.test", 1)[0]
			r := w.updates(one, two)
			test.change(one, two, &r)
			ctx := until(t, func() bool {
				asked, _ := one.counts()
				return asked > 0
			})
			err := w.publisher(r).Publish(ctx, test.records)
			p, ok := errors.AsType[*probe.PublicationError](err)
			if !ok || p.Unwritten != test.want {
				t.Errorf("got %+v, want it unwritten: %v", err, test.want)
			}
			_, first := one.counts()
			_, second := two.counts()
			if test.want && first+second > 0 {
				t.Errorf("%d and %d updates came, and were made: the test shows nothing", first, second)
			}
		})
	}
}
