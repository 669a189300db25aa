package publish_test

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/publish"
)

// TestIncomplete holds what is said when the time is over and a server does not
// have the record, or not even an answer.
func TestIncomplete(t *testing.T) {
	const (
		lacks    = "not every name server of probe.test had the records when the time was over: "
		transfer = "see that the primary tells the others of changes and that they may transfer the zone; if they only take long, raise the module's timeout"
		asking   = "not every name server of probe.test can be asked: "
		reach    = "see that this machine reaches it over UDP and TCP, and that it is at work"
		serve    = "have it serve the zone, or remove its NS record there and in the zone above"
	)
	for _, test := range []struct {
		name    string
		prepare func(servers []*nameserver)
		want    probe.PublicationError
	}{
		{
			"no such name", func([]*nameserver) {},
			probe.PublicationError{Kind: probe.FailureTimeout, Detail: lacks + "ns2.test (127.0.0.3) lacks " + owner + " (NXDOMAIN)", Advice: transfer},
		},
		{
			"another value", func(s []*nameserver) { s[1].put(owner, "another's") },
			probe.PublicationError{Kind: probe.FailureTimeout, Detail: lacks + "ns2.test (127.0.0.3) lacks " + owner + " (only other TXT records)", Advice: transfer},
		},
		{
			"an alias", func(s []*nameserver) { s[1].alias(owner, "x.test") },
			probe.PublicationError{Kind: probe.FailureTimeout, Detail: lacks + "ns2.test (127.0.0.3) lacks " + owner + " (a CNAME record)", Advice: transfer},
		},
		{
			"refused", func(s []*nameserver) { s[1].says(dns.RcodeRefused) },
			probe.PublicationError{Kind: probe.FailureClient, Detail: asking + "ns2.test (127.0.0.3): it answered REFUSED", Advice: serve},
		},
		{
			"not authoritative", func(s []*nameserver) { s[1].says(dns.RcodeSuccess) },
			probe.PublicationError{Kind: probe.FailureClient, Detail: asking + "ns2.test (127.0.0.3): its answer is not authoritative", Advice: serve},
		},
		{
			"referral", func(s []*nameserver) { s[1].refers("x.probe.test") },
			probe.PublicationError{Kind: probe.FailureClient, Detail: asking + "ns2.test (127.0.0.3): it refers to the zone x.probe.test", Advice: serve},
		},
		{
			"failing", func(s []*nameserver) { s[1].says(dns.RcodeServerFailure) },
			probe.PublicationError{Kind: probe.FailureLocal, Detail: asking + "ns2.test (127.0.0.3): it answered SERVFAIL", Advice: reach},
		},
		{
			"silent", func(s []*nameserver) { s[1].does(func(dns.ResponseWriter, *dns.Msg) bool { return true }) },
			probe.PublicationError{Kind: probe.FailureLocal, Detail: asking + "ns2.test (127.0.0.3): no answer", Advice: reach},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			servers := w.serving("probe.test", 2)
			servers[0].alone()
			test.prepare(servers)
			// A question that gets no answer comes twice: a second round has begun at least.
			ctx := until(t, func() bool {
				first, _ := servers[0].counts()
				second, _ := servers[1].counts()
				return first > 0 && second > 3
			})
			publisher := publish.New(w.updates(servers[0]), w.client(time.Second))
			if got := failure(t, publisher.Publish(ctx, records())); *got != test.want {
				t.Errorf("got %+v\nwant %+v", *got, test.want)
			}
		})
	}
}

// TestIncompleteSeveral holds that a text names a few servers, and says how many
// records they lack.
func TestIncompleteSeveral(t *testing.T) {
	w := newWorld(t)
	servers := w.serving("probe.test", 4)
	servers[0].alone()
	servers[3].does(func(dns.ResponseWriter, *dns.Msg) bool { return true })
	all := append(records(), probe.Record{Name: "_acme-challenge.y.probe.test", Value: "v"}, probe.Record{Name: "_acme-challenge.z.probe.test", Value: "v"})
	ctx := until(t, func() bool {
		for _, s := range servers[1:] {
			if n, _ := s.counts(); n < 5 {
				return false
			}
		}
		return true
	})
	got := failure(t, publish.New(w.updates(servers[0]), w.client(time.Second)).Publish(ctx, all))
	want := "ns2.test (127.0.0.3) lacks " + owner + " and 2 more (NXDOMAIN); ns3.test (127.0.0.4) lacks " + owner + " and 2 more (NXDOMAIN); ns4.test (127.0.0.5): no answer"
	if got.Kind != probe.FailureTimeout || !strings.HasSuffix(got.Detail, want) {
		t.Errorf("got %+v", got)
	}
}

// TestNoAddress holds that nothing is written to a zone of which a server cannot be
// asked for want of an address.
func TestNoAddress(t *testing.T) {
	w := newWorld(t)
	servers := w.serving("probe.test", 1)
	r := w.updates(servers[0])
	w.mu.Lock()
	w.zones["probe.test"] = []*nameserver{{name: "ns.gone.test"}}
	w.mu.Unlock()
	p := failure(t, w.publisher(r).Publish(t.Context(), records()))
	if p.Kind != probe.FailureClient || p.Detail != "the name server ns.gone.test of probe.test has no address" {
		t.Errorf("got %+v", p)
	}
	if _, updates := servers[0].counts(); updates > 0 {
		t.Errorf("%d updates were made", updates)
	}
}

const (
	persistOwner = "_validation-persist.www.provider.test"
	account      = "https://ca.test/acct/1"
	standing     = "ca.test; accounturi=" + account
)

// TestStanding holds which records count for one that somebody has to have put
// there, and what is said of others.
func TestStanding(t *testing.T) {
	future, past := "; persistUntil=99999999999", "; persistUntil=1600000000"
	for _, test := range []struct {
		name, want string
		there      []string
		instead    string // empty: it counts
	}{
		{"as it should be", standing, []string{standing}, ""},
		{"says more", standing, []string{"v=spf1", "CA.test ;policy=WildCard;  AccountURI = " + account + ";x=y" + future}, ""},
		{"for wildcards", standing + "; policy=wildcard", []string{standing + "; policy=wildcard"}, ""},
		{"not for wildcards", standing + "; policy=wildcard", []string{standing + "; policy=none"}, "; there is one without policy=wildcard (ns1.test)"},
		{"over", standing, []string{standing + past}, "; there is one whose persistUntil is over (ns1.test)"},
		{"one that is over and one that is not", standing, []string{standing + past, standing + future}, ""},
		{"another account's", standing, []string{"ca.test; accounturi=https://ca.test/acct/2"}, `; there is one for another account, "https://ca.test/acct/2" (ns1.test)`},
		{"no account's", standing, []string{"ca.test"}, `; there is one for another account, "" (ns1.test)`},
		{"another issuer's", standing, []string{"other.test; accounturi=" + account}, "none"},
		{"malformed", standing, []string{standing + ";"}, `; there is one that is not well-formed: "" is no parameter (ns1.test)`},
		{"nothing", standing, nil, "; there is NXDOMAIN (ns1.test)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			for _, s := range w.serving("provider.test", 2) {
				if len(test.there) > 0 {
					s.put(persistOwner, test.there...)
				}
			}
			err := w.publisher(config.Responders{}).Publish(t.Context(), []probe.Record{{Name: persistOwner, Value: test.want, Standing: true}})
			if test.instead == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			want := probe.PublicationError{
				Kind:   probe.FailureClient,
				Detail: "no name server of provider.test has the record of " + persistOwner + " that lets our account issue" + strings.TrimPrefix(test.instead, "none"),
				Advice: "create where its DNS is the record " + persistOwner + `. TXT "` + test.want + `"`,
			}
			if got := failure(t, err); *got != want {
				t.Errorf("got %+v\nwant %+v", *got, want)
			}
		})
	}
}

// TestStandingIncomplete holds that a server which has not got a standing record
// yet is waited for, for the other one has it.
func TestStandingIncomplete(t *testing.T) {
	w := newWorld(t)
	servers := w.serving("provider.test", 2)
	servers[0].put(persistOwner, standing)
	ctx := until(t, func() bool {
		n, _ := servers[1].counts()
		return n > 3
	})
	p := failure(t, w.publisher(config.Responders{}).Publish(ctx, []probe.Record{{Name: persistOwner, Value: standing, Standing: true}}))
	if p.Kind != probe.FailureTimeout || !strings.Contains(p.Detail, "ns2.test (127.0.0.3) lacks "+persistOwner+" (NXDOMAIN)") {
		t.Errorf("got %+v", p)
	}
}
