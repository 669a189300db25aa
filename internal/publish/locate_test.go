package publish_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/publish"
)

// TestLocate holds where names lead, and what is said of those that lead nowhere.
func TestLocate(t *testing.T) {
	const asked = "_acme-challenge.www.alias.test"
	for _, test := range []struct {
		name    string
		prepare func(alias, other []*nameserver)
		want    string // the name, or the detail of the error
		kind    probe.FailureKind
	}{
		{"no alias", func(_, _ []*nameserver) {}, asked, ""},
		{"into our responder's zone", func(a, _ []*nameserver) { everywhere(a, asked, "x.own.test") }, "x.own.test", ""},
		{"into a zone that takes updates", func(a, _ []*nameserver) { everywhere(a, asked, "X.probe.test") }, "x.probe.test", ""},
		{"further", func(a, o []*nameserver) {
			everywhere(a, asked, "x.probe.test")
			everywhere(o, "x.probe.test", "y.probe.test")
			everywhere(o, "y.probe.test", "z.own.test")
		}, "z.own.test", ""},
		{"in a circle", func(a, o []*nameserver) {
			everywhere(a, asked, "x.probe.test")
			everywhere(o, "x.probe.test", asked)
		}, "the CNAME records lead round in a circle: " + asked + " → x.probe.test → " + asked, probe.FailureClient},
		{"too far", func(a, o []*nameserver) {
			everywhere(a, asked, "x0.probe.test")
			for i := range 20 {
				everywhere(o, fmt.Sprintf("x%d.probe.test", i), fmt.Sprintf("x%d.probe.test", i+1))
			}
		}, "more than 8 CNAME records lead away from " + asked + ": " + asked + " → x0.probe.test → ", probe.FailureClient},
		{"to what only looks like ours", func(a, _ []*nameserver) { everywhere(a, asked, `x\.probe.test`) },
			"the CNAME record of " + asked + ` leads to "x\\.probe.test", which is no host's name`, probe.FailureClient},
		{"contradiction", func(a, _ []*nameserver) { a[1].alias(asked, "x.own.test") },
			"the name servers of alias.test contradict each other: ns1.test (127.0.0.2) has no CNAME record at " + asked +
				", and ns2.test (127.0.0.3) has a CNAME record that leads to x.own.test", probe.FailureClient},
		{"lame", func(a, _ []*nameserver) { a[1].says(dns.RcodeRefused) },
			"not every name server of alias.test can be asked: ns2.test (127.0.0.3): it answered REFUSED", probe.FailureClient},
		{"failing", func(a, _ []*nameserver) { a[1].says(dns.RcodeServerFailure) },
			"not every name server of alias.test can be asked: ns2.test (127.0.0.3): it answered SERVFAIL", probe.FailureLocal},
		{"silent", func(a, _ []*nameserver) { a[1].does(func(dns.ResponseWriter, *dns.Msg) bool { return true }) },
			"not every name server of alias.test can be asked: ns2.test (127.0.0.3): no answer", probe.FailureLocal},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			alias, other := w.serving("alias.test", 2), w.serving("probe.test", 2)
			test.prepare(alias, other)
			r := w.updates(other[0])
			r.DNS = &config.DNSResponder{Zones: []string{"own.test"}}
			r.DNSAliases = []string{"alias.test"}
			timeout := bound
			if test.name == "silent" {
				timeout = 2 * time.Second
			}
			got, err := publish.New(r, w.client(timeout)).Locate(t.Context(), asked)
			if test.kind == "" {
				if err != nil || got != test.want {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if p := failure(t, err); p.Kind != test.kind || !strings.HasPrefix(p.Detail, test.want) {
				t.Errorf("got %+v", p)
			}
		})
	}
}

// everywhere gives all servers of a zone the same CNAME record.
func everywhere(servers []*nameserver, name, target string) {
	for _, s := range servers {
		s.alias(name, target)
	}
}

// TestLocateOwn holds that nobody is asked for what our own responder has.
func TestLocateOwn(t *testing.T) {
	r := config.Responders{DNS: &config.DNSResponder{Zones: []string{"own.test"}}}
	const name = "_acme-challenge.x.own.test"
	if got, err := publish.New(r, newWorld(t).client(time.Second)).Locate(t.Context(), name); err != nil || got != name {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestLocateBeneath holds that the servers of a zone which lies beneath an alias'
// domain are asked, and not those of the domain.
func TestLocateBeneath(t *testing.T) {
	const asked = "_acme-challenge.www.deep.alias.test"
	w := newWorld(t)
	above, beneath := w.serving("alias.test", 1), w.serving("deep.alias.test", 2)
	above[0].refers("deep.alias.test")
	everywhere(beneath, asked, "x.own.test")
	r := config.Responders{DNS: &config.DNSResponder{Zones: []string{"own.test"}}, DNSAliases: []string{"alias.test"}}
	if got, err := w.publisher(r).Locate(t.Context(), asked); err != nil || got != "x.own.test" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestLocateTogether holds that names of one zone have its servers looked for once,
// and that a look that failed is not remembered.
func TestLocateTogether(t *testing.T) {
	w := newWorld(t)
	p := w.publisher(w.updates(&nameserver{zone: "probe.test", address: w.free[0].address}))
	if _, err := p.Locate(t.Context(), owner); err == nil {
		t.Fatal("a zone that nobody serves was found")
	}
	w.serving("probe.test", 1)
	var all sync.WaitGroup
	for i := range 30 {
		all.Go(func() {
			if _, err := p.Locate(t.Context(), fmt.Sprintf("_acme-challenge.x%d.probe.test", i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.asked["probe.test"][dns.TypeNS]; n != 1 {
		t.Errorf("the resolver was asked %d times for the servers", n)
	}
}
