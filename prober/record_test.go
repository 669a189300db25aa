package prober

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/challenge"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// solving returns a request of the prober that solves with that type of
// challenge, for the names.
func (b *bench) solving(p probe.Prober, typ probe.ChallengeType, n config.Names) Request {
	b.t.Helper()
	req := b.ordering(p, n)
	m := req.Pair.Module
	m.Validate.Challenge, m.Issue.Challenge = typ, typ
	b.target.IssuerDomainName = "ca.example"
	return req
}

// accountURL returns the URL of the bench's account.
func (b *bench) accountURL() string {
	b.t.Helper()
	account, err := b.account.Read()
	if err != nil || account.Record.AccountURL == "" {
		b.t.Fatalf("account %+v, error %v", account.Record, err)
	}
	return account.Record.AccountURL
}

// nameServer returns our responders with a DNS responder of the zone alone.
func nameServer(t *testing.T, zone string) (*challenge.Set, config.Responders) {
	t.Helper()
	c := config.Responders{DNS: &config.DNSResponder{
		ListenAddress: "127.0.0.1:0", Zones: []string{zone}, Nameserver: "ns." + zone,
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7")},
	}}
	responders := challenge.NewSet(slog.New(slog.DiscardHandler))
	change, err := responders.Prepare(c)
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	t.Cleanup(func() {
		if err := responders.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return responders, c
}

// Every challenge that a record answers is solved by our own name server, for
// names and wildcards, at a CA that asks it.
func TestDNSChallenges(t *testing.T) {
	responders, c := nameServer(t, "probe.example")
	b := newBench(t, fakeca.Options{
		Validate: fakeca.ValidateDNS(func() string { return responders.Addresses()["dns"].String() }),
	}).known()
	for _, typ := range []probe.ChallengeType{probe.DNS01, probe.DNSAccount01, probe.DNSPersist01} {
		for _, p := range []probe.Prober{probe.ProberValidate, probe.ProberIssue} {
			t.Run(fmt.Sprintf("%s/%s", typ, p), func(t *testing.T) {
				req := b.solving(p, typ, config.Names{Zone: "probe.example", Count: 3, Wildcard: true})
				req.Solver, req.Responders = responders, c
				m := req.Pair.Module
				m.Validate.PersistPolicy, m.Issue.PersistPolicy = "wildcard", "wildcard"
				facts := runFor(t, time.Minute, req)
				wantSuccess(t, facts)
				if slices.Contains(steps(facts), string(probe.StepPublication)) {
					t.Errorf("steps %v", steps(facts))
				}
				visited := map[string]bool{}
				for _, v := range facts.Visits {
					if v.Challenge != typ {
						t.Errorf("visit %+v", v)
					}
					if v.OK {
						visited[v.Identifier] = true
					}
				}
				if len(visited) != 3 {
					t.Errorf("visits of %v, want of 3 names", visited)
				}
			})
		}
	}
}

// A record of dns-persist-01 says what the configuration says, whatever the CA
// would like, and does not outlive the day.
func TestPersistRecord(t *testing.T) {
	for _, tt := range []struct {
		name, policy, want string
	}{
		{"none", "", ""},
		{"wildcard", "wildcard", "; policy=wildcard"}, // also for what needs none
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, fakeca.Options{Issuers: []string{"evil.example", "CA.example"}}).known()
			req := b.solving(probe.ProberValidate, probe.DNSPersist01, config.Names{Zone: "probe.example", Count: 1})
			solver := &answers{}
			req.Solver = solver
			req.Responders.DNS = &config.DNSResponder{Zones: []string{"probe.example"}}
			req.Pair.Module.Validate.PersistPolicy = tt.policy
			wantSuccess(t, runFor(t, time.Minute, req))
			if len(solver.all) != 1 {
				t.Fatalf("answers %+v", solver.all)
			}
			c := solver.all[0]
			want := probe.Record{
				Name: "_validation-persist." + c.Identifier,
				Value: fmt.Sprintf("ca.example; accounturi=%s%s; persistUntil=%d",
					b.accountURL(), tt.want, req.Start.Add(24*time.Hour).Unix()),
			}
			if c.Record != want || c.Token != "" || c.KeyAuthorization != "" {
				t.Errorf("got %+v\nwant %+v", c, want)
			}
		})
	}
}

// A challenge that is not for us is refused before anybody hears of it.
func TestPersistRefused(t *testing.T) {
	challenge := func(edit func(map[string]any)) func(*bench) {
		return func(b *bench) {
			b.ca.Fault(probe.CallAuthz, fakeca.Fault{Edit: fakeca.EditChallenges(func(c map[string]any) {
				if c["type"] == string(probe.DNSPersist01) {
					edit(c)
				}
			})}, 0)
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*bench)
		kind   probe.FailureKind
		detail string
		advice string
	}{
		{
			"another issuer", func(b *bench) { b.target.IssuerDomainName = "other.example" },
			probe.FailureClient, `the CA calls itself "ca.example" in records, not "other.example"`, "set the target's issuer_domain_name",
		},
		{
			"no issuer of ours", func(b *bench) { b.target.IssuerDomainName = "" },
			probe.FailureClient, `not ""`, "set the target's issuer_domain_name",
		},
		{"no issuers", challenge(fakeca.Without("issuer-domain-names")), probe.FailureProtocol, "has 0 issuer-domain-names, not 1 to 10", ""},
		{
			"many issuers", challenge(fakeca.Set("issuer-domain-names", strings.Split("ca.example"+strings.Repeat(" x.example", 10), " "))),
			probe.FailureProtocol, "has 11 issuer-domain-names", "",
		},
		{"unreadable", challenge(fakeca.Set("issuer-domain-names", "ca.example")), probe.FailureProtocol, "cannot be read", ""},
		{
			"another account", challenge(fakeca.Set("accounturi", "https://evil.example/account/1")),
			probe.FailureProtocol, `for another account, "https://evil.example/account/1"`, "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, fakeca.Options{}).known()
			req := b.solving(probe.ProberValidate, probe.DNSPersist01, fixed("a.elsewhere.example", "b.probe.example"))
			req.Responders.DNS = &config.DNSResponder{Zones: []string{"probe.example"}}
			req.Records = &dnsElsewhere{events: b.events}
			tt.change(b)
			facts := runFor(t, time.Minute, req)
			f := wantFailure(t, facts, probe.StepAuthorization, tt.kind, "challenge", tt.detail)
			if f.Identifier == "" || !strings.Contains(f.Advice, tt.advice) {
				t.Errorf("failure %+v", f)
			}
			wantList(t, "events", b.list(), nil)
			if n := tally(facts); n["challenge"] != 0 {
				t.Errorf("calls %v", n)
			}
		})
	}
}

// A CA that does not say for which account a challenge is still gets ours.
func TestPersistWithoutAccount(t *testing.T) {
	b := newBench(t, fakeca.Options{}).known()
	b.ca.Fault(probe.CallAuthz, fakeca.Fault{Edit: fakeca.EditChallenges(fakeca.Without("accounturi"))}, 0)
	req := b.solving(probe.ProberValidate, probe.DNSPersist01, config.Names{Zone: "probe.example", Count: 1})
	req.Responders.DNS = &config.DNSResponder{Zones: []string{"probe.example"}}
	wantSuccess(t, runFor(t, time.Minute, req))
}

// answers is a Solver that remembers what it was to answer with.
type answers struct{ all []probe.Challenge } // for one name at a time

func (a *answers) Present(_ context.Context, c probe.Challenge) (func() []probe.Visit, error) {
	a.all = append(a.all, c)
	return func() []probe.Visit { return nil }, nil
}
