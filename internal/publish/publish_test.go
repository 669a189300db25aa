package publish_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/publish"
)

const (
	owner = "_acme-challenge.x.probe.test"
	value = `a value with a back\slash`
)

func records() []probe.Record { return []probe.Record{{Name: owner, Value: value}} }

// TestPublish holds that a record is written, that every server is waited for, and
// that exactly it is removed.
func TestPublish(t *testing.T) {
	w := newWorld(t)
	servers := w.serving("probe.test", 3)
	primary, late := servers[0], servers[2]
	primary.put(owner, "another's")
	primary.mu.Lock()
	primary.peers = servers[1:2]
	primary.mu.Unlock()
	var asked atomic.Int32
	late.does(func(_ dns.ResponseWriter, q *dns.Msg) bool {
		if asked.Add(1) == 3 {
			late.put(owner, "another's", value)
		}
		return false
	})
	p := w.publisher(w.updates(primary))
	if err := p.Publish(t.Context(), records()); err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		if !slices.Contains(s.get(owner), value) {
			t.Errorf("%s has %q", s.name, s.get(owner))
		}
	}
	for range 2 { // what is not there is removed as well
		if err := p.Withdraw(t.Context(), records()); err != nil {
			t.Fatal(err)
		}
		if got := primary.get(owner); !slices.Equal(got, []string{"another's"}) {
			t.Errorf("the primary still has %q", got)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.asked {
		if strings.HasSuffix(name, "x.probe.test") {
			t.Errorf("the resolver was asked for %s, and may remember that it does not exist", name)
		}
	}
}

// TestPublishChallengeZone holds that the zone of one name's challenges alone is
// written to, and not taken for a part of the zone above.
func TestPublishChallengeZone(t *testing.T) {
	const zone = "_acme-challenge.www.corp.test"
	w := newWorld(t)
	above, primary := w.serving("corp.test", 1)[0], w.serving(zone, 1)[0]
	p := w.publisher(w.updates(primary))
	if located, err := p.Locate(t.Context(), zone); err != nil || located != zone {
		t.Fatalf("got %q, %v", located, err)
	}
	if err := p.Publish(t.Context(), []probe.Record{{Name: zone, Value: value}}); err != nil {
		t.Fatal(err)
	}
	if got := primary.get(zone); !slices.Equal(got, []string{value}) {
		t.Errorf("its server has %q", got)
	}
	if questions, updates := above.counts(); questions > 0 || updates > 0 {
		t.Errorf("the server above got %d questions and %d updates", questions, updates)
	}
}

// TestPublishWithoutRoute holds that an address counts for nothing to which this
// machine has no way, beside one that it can reach.
func TestPublishWithoutRoute(t *testing.T) {
	w := newWorld(t)
	servers := w.serving("probe.test", 2)
	w.mu.Lock()
	w.hosts[servers[1].name] = []netip.Addr{netip.MustParseAddr("2001:db8::1")}
	w.mu.Unlock()
	// Where there is a route, nobody answers there: that is waited for.
	p := publish.New(w.updates(servers[0]), w.client(bound/60))
	if err := p.Publish(t.Context(), records()); err != nil {
		t.Fatal(err)
	}
}

// TestPublishPatience holds that a server which cannot be asked yet is waited for.
func TestPublishPatience(t *testing.T) {
	for name, first := range map[string]func(dns.ResponseWriter, *dns.Msg){
		"silent": func(dns.ResponseWriter, *dns.Msg) {},
		"SERVFAIL": func(w dns.ResponseWriter, q *dns.Msg) {
			_ = w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeServerFailure))
		},
		"REFUSED": func(w dns.ResponseWriter, q *dns.Msg) { _ = w.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeRefused)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			servers := w.serving("probe.test", 2)
			var asked atomic.Int32
			servers[1].does(func(w dns.ResponseWriter, q *dns.Msg) bool {
				if asked.Add(1) > 3 {
					return false
				}
				first(w, q)
				return true
			})
			p := publish.New(w.updates(servers[0]), w.client(time.Second))
			if err := p.Publish(t.Context(), records()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPublishMany holds that more records than a message has room for, of several
// zones, are written whole.
func TestPublishMany(t *testing.T) {
	w := newWorld(t)
	one, two := w.serving("probe.test", 2), w.serving("corp.test", 2)
	var all []probe.Record
	for i := range 250 {
		all = append(all, probe.Record{Name: fmt.Sprintf("_validation-persist.x%d.probe.test", i), Value: strings.Repeat("v", 300)},
			probe.Record{Name: "_acme-challenge.corp.test", Value: fmt.Sprintf("one value of many %d", i)})
	}
	p := w.publisher(w.updates(one[0], two[0]))
	if err := p.Publish(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		for _, s := range append(one, two...) {
			if strings.HasSuffix(r.Name, s.zone) && !slices.Contains(s.get(r.Name), r.Value) {
				t.Fatalf("%s lacks %s", s.name, r.Name)
			}
		}
	}
	if err := p.Withdraw(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	for _, s := range append(one, two...) {
		if s.mu.Lock(); len(s.txt) > 0 {
			t.Errorf("%s keeps %d names", s.name, len(s.txt))
		}
		s.mu.Unlock()
	}
}

// TestPublishNowhere holds that nothing at all is written when one record lies
// where we may not write, or the servers of a zone cannot be found.
func TestPublishNowhere(t *testing.T) {
	for _, test := range []struct {
		name   string
		record string
		detail string
	}{
		{"elsewhere", "_acme-challenge.corp.test", "_acme-challenge.corp.test lies in no zone of responders.dns_updates"},
		{"our own responder's", "_acme-challenge.own.probe.test", "_acme-challenge.own.probe.test lies in no zone of responders.dns_updates"},
		{"an alias's", "_acme-challenge.alias.test", "_acme-challenge.alias.test lies in no zone of responders.dns_updates"},
		{"a dot in a label", `x\.probe.test`, `x\.probe.test lies in no zone of responders.dns_updates`},
		{"seems beneath", `x\.zone.probe.test`, `x\.zone.probe.test lies in no zone of responders.dns_updates`},
		{"not delegated", "_acme-challenge.x.lost.test", `the resolvers say that lost.test lies in the zone "test", and is none itself`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			primary := w.serving("probe.test", 1)[0]
			w.serving("test", 1)
			r := w.updates(primary, &nameserver{zone: "lost.test", address: primary.address})
			r.DNS = &config.DNSResponder{Zones: []string{"own.probe.test"}}
			r.DNSAliases = []string{"alias.test"}
			all := append(records(), probe.Record{Name: test.record, Value: value})
			if p := failure(t, w.publisher(r).Publish(t.Context(), all)); p.Kind != probe.FailureClient || p.Detail != test.detail {
				t.Errorf("got %+v", p)
			}
			if _, updates := primary.counts(); updates > 0 {
				t.Errorf("%d updates were made", updates)
			}
		})
	}
}

// TestPublishWithoutResolver holds that nothing is written when it cannot be told
// who would have to have it.
func TestPublishWithoutResolver(t *testing.T) {
	w := newWorld(t)
	primary := w.serving("probe.test", 1)[0]
	client := w.client(bound / 200)
	client.Resolvers = []string{netip.AddrPortFrom(w.free[0].address, w.port).String()}
	w.free[0].says(dns.RcodeServerFailure)
	p := failure(t, publish.New(w.updates(primary), client).Publish(t.Context(), records()))
	if p.Kind != probe.FailureLocal || !strings.Contains(p.Detail, "cannot find the name servers of probe.test: cannot resolve probe.test SOA: resolver "+client.Resolvers[0]+": SERVFAIL") {
		t.Errorf("got %+v", p)
	}
	if _, updates := primary.counts(); updates > 0 {
		t.Errorf("%d updates were made", updates)
	}
}

// TestWithdrawTries holds that the records which can be removed are, whatever
// becomes of the others.
func TestWithdrawTries(t *testing.T) {
	w := newWorld(t)
	primary := w.serving("probe.test", 1)[0]
	r := w.updates(primary)
	primary.put(owner, value)
	all := append([]probe.Record{{Name: "_acme-challenge.gone.test", Value: "v"}, {Name: "_validation-persist.probe.test", Value: "v", Standing: true}}, records()...)
	p := failure(t, w.publisher(r).Withdraw(t.Context(), all))
	if want := `configure its zone again, or remove the TXT record _acme-challenge.gone.test with the value "v" by hand if it is there`; p.Kind != probe.FailureClient || p.Advice != want {
		t.Errorf("got %+v", p)
	}
	if got := primary.get(owner); len(got) > 0 {
		t.Errorf("still there: %q", got)
	}
	primary.mu.Lock()
	defer primary.mu.Unlock()
	if len(primary.updates) != 1 || len(primary.updates[0].Ns) != 1 {
		t.Errorf("updates %v", primary.updates)
	}
}
