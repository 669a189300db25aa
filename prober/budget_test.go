package prober

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// purse is a Budget that says what it is asked, among the events of its bench.
type purse struct {
	b      *bench
	pool   []string
	denied []*probe.RateLimit // one after the other; those that are left out are nil
	err    error
	refuse *probe.RateLimit
	spent  []probe.Spent
}

func (p *purse) Reserve(what probe.Spending, names []string) ([]string, *probe.RateLimit, error) {
	p.b.add("reserve %d", what)
	if p.err != nil {
		return nil, nil, p.err
	}
	if len(p.denied) > 0 {
		denied := p.denied[0]
		if p.denied = p.denied[1:]; denied != nil {
			return nil, denied, nil
		}
	}
	if names == nil {
		names = p.pool
	}
	return names, nil, nil
}

func (p *purse) Refused(call *probe.Call) *probe.RateLimit {
	p.b.add("refused %s %d", call.Name, call.Status)
	return p.refuse
}

func (p *purse) Settle(spent probe.Spent) error {
	p.b.add("settle")
	p.spent = append(p.spent, spent)
	return errors.New("the disk is full") // which is not the run's failure
}

// spending does a run of the prober for two names with the purse.
func (b *bench) spending(p *purse, prober probe.Prober, n config.Names) probe.Facts {
	b.t.Helper()
	p.b = b
	req := b.ordering(prober, n)
	req.Budget = p
	return runFor(b.t, 10*time.Second, req)
}

// What a run spends is reserved before the CA hears of it, and what it has not
// spent is said at its end.
func TestSpent(t *testing.T) {
	t.Parallel()
	const one, two = "a.probe.example", "b.probe.example"
	both, none := []string{one, two}, []string(nil)
	problem := &fakeca.Problem{Type: "connection", Status: 400}
	internal := &fakeca.Problem{Type: "serverInternal", Status: 500}
	rejected := &fakeca.Problem{Type: "badCSR", Status: 400}
	for name, tt := range map[string]struct {
		prober probe.Prober
		reuse  bool
		fault  func(*fakeca.CA)
		want   probe.Spent
	}{
		"order":    {probe.ProberOrder, false, nil, probe.Spent{NoAccount: true, NoCertificate: true, Untried: both}},
		"validate": {probe.ProberValidate, false, nil, probe.Spent{NoAccount: true, NoCertificate: true, Valid: both}},
		"issue":    {probe.ProberIssue, false, nil, probe.Spent{NoAccount: true, Issued: true, Valid: both}},
		"no directory": {probe.ProberIssue, false, func(ca *fakeca.CA) { ca.Fault(probe.CallDirectory, fakeca.Fault{Status: 503}, 0) },
			probe.Spent{NoAccount: true, NoOrder: true, NoCertificate: true, Untried: both}},
		"no answer to new-order": {probe.ProberIssue, false, func(ca *fakeca.CA) { ca.Fault(probe.CallNewOrder, fakeca.Fault{HangUp: fakeca.AfterHeaders}, 0) },
			probe.Spent{NoAccount: true, NoCertificate: true, Untried: both}},
		"refused order": {probe.ProberIssue, false, func(ca *fakeca.CA) { ca.Fault(probe.CallNewOrder, fakeca.Fault{Problem: internal}, 0) },
			probe.Spent{NoAccount: true, NoCertificate: true, Untried: both}},
		"failed validation": {probe.ProberValidate, false, func(ca *fakeca.CA) { ca.Fault(probe.CallChallenge, fakeca.Fault{Invalid: problem}, 0) },
			probe.Spent{NoAccount: true, NoCertificate: true, Untried: none}},
		"unheard challenges": {probe.ProberValidate, false, func(ca *fakeca.CA) { ca.Fault(probe.CallChallenge, fakeca.Fault{Problem: rejected}, 0) },
			probe.Spent{NoAccount: true, NoCertificate: true, Untried: both}},
		"refused CSR": {probe.ProberIssue, false, func(ca *fakeca.CA) { ca.Fault(probe.CallFinalize, fakeca.Fault{Problem: rejected}, 0) },
			probe.Spent{NoAccount: true, NoCertificate: true, Valid: both}},
		"unknown end of finalize": {probe.ProberIssue, false, func(ca *fakeca.CA) { ca.Fault(probe.CallFinalize, fakeca.Fault{Problem: internal}, 0) },
			probe.Spent{NoAccount: true, Valid: both}},
		"order invalid": {probe.ProberIssue, false, func(ca *fakeca.CA) { ca.Fault(probe.CallFinalize, fakeca.Fault{Invalid: internal}, 0) },
			probe.Spent{NoAccount: true, NoCertificate: true, Valid: both}},
		"no download": {probe.ProberIssue, false, func(ca *fakeca.CA) { ca.Fault(probe.CallCertificate, fakeca.Fault{Status: 500}, 0) },
			probe.Spent{NoAccount: true, Issued: true, Valid: both}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fakeca.Options{SyncValidation: true}).known()
			if tt.fault != nil {
				tt.fault(b.ca)
			}
			p := &purse{}
			facts := b.spending(p, tt.prober, fixed(one, two))
			if tt.fault == nil {
				wantSuccess(t, facts)
			} else if facts.Failure == nil {
				t.Error("no failure")
			}
			if diff := cmp.Diff([]probe.Spent{tt.want}, p.spent, cmpopts.SortSlices(func(a, b string) bool { return a < b }), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("spent (-want +got):\n%s", diff)
			}
			events := b.list()
			what := map[probe.Prober]int{probe.ProberOrder: 2, probe.ProberValidate: 6, probe.ProberIssue: 14}[tt.prober]
			if events[0] != fmt.Sprintf("reserve %d", what) || events[len(events)-1] != "settle" {
				t.Errorf("events %v", events)
			}
		})
	}
}

// What becomes of a poll says nothing about an order whose finalization the CA took.
func TestPollRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	b.ca.Fault(probe.CallFinalize, fakeca.Fault{Stuck: true}, 0)
	b.ca.Fault(probe.CallOrder, fakeca.Fault{Problem: &fakeca.Problem{Type: "rateLimited", Status: 429}}, 0)
	p := &purse{}
	facts := b.spending(p, probe.ProberIssue, fixed("a.probe.example"))
	wantFailure(t, facts, probe.StepFinalization, probe.FailureCall, "", "429")
	if len(p.spent) != 1 || p.spent[0].NoCertificate || p.spent[0].Issued {
		t.Errorf("spent %+v", p.spent)
	}
}

// A run that the budget denies asks the CA for nothing.
func TestDenied(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(time.Hour)
	limit := &probe.RateLimit{Limit: "new_orders", Until: until, Detail: "rate limit new_orders: all 300 are spent"}
	for _, prober := range []probe.Prober{probe.ProberOrder, probe.ProberValidate, probe.ProberIssue} {
		b := newBench(t, fakeca.Options{}).known()
		facts := b.spending(&purse{denied: []*probe.RateLimit{limit}}, prober, fixed("a.probe.example"))
		wantFailure(t, facts, probe.StepSetup, probe.FailureBudget, "", "all 300 are spent")
		if len(facts.Calls) != 0 || facts.RateLimit != limit {
			t.Errorf("%s: calls %v, limit %+v", prober, names(facts.Calls), facts.RateLimit)
		}
		wantList(t, "events", b.list(), []string{fmt.Sprintf("reserve %d", map[probe.Prober]int{probe.ProberOrder: 2, probe.ProberValidate: 6, probe.ProberIssue: 14}[prober])})
	}
	b := newBench(t, fakeca.Options{}).known()
	facts := b.spending(&purse{err: errors.New("the ledger of rate limits cannot be read")}, probe.ProberIssue, fixed("a.probe.example"))
	wantFailure(t, facts, probe.StepSetup, probe.FailureLocal, "", "cannot be read")
	if len(facts.Calls) != 0 {
		t.Errorf("calls %v", names(facts.Calls))
	}
}

// The names of a pool are the budget's; without one there is no pool.
func TestPoolNames(t *testing.T) {
	t.Parallel()
	pool := config.Names{Mode: config.NamesPool, Zone: "probe.example", Count: 1, Sets: 3}
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	facts := b.spending(&purse{pool: []string{"pooled.probe.example"}}, probe.ProberIssue, pool)
	wantSuccess(t, facts)
	wantList(t, "names", facts.Certificate.Names, []string{"pooled.probe.example"})
	facts = runFor(t, 10*time.Second, b.ordering(probe.ProberIssue, pool))
	wantFailure(t, facts, probe.StepSetup, probe.FailureLocal, "", "no pool")
}

// An order that is placed anew after a drain is an order more.
func TestDrainSpends(t *testing.T) {
	t.Parallel()
	drained := fakeca.Fault{Edit: fakeca.Set("status", "valid")}
	name := fixed("a.probe.example")
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	b.ca.Fault(probe.CallAuthz, drained, 1)
	wantSuccess(t, b.spending(&purse{}, probe.ProberValidate, name))
	reserved := slices.DeleteFunc(b.list(), func(e string) bool { return !strings.HasPrefix(e, "reserve") })
	wantList(t, "reserved", reserved, []string{"reserve 6", "reserve 2"})

	denied := &probe.RateLimit{Limit: "new_orders", Detail: "all are spent"}
	b.ca.Fault(probe.CallAuthz, drained, 1)
	facts := b.spending(&purse{denied: []*probe.RateLimit{nil, denied}}, probe.ProberValidate, name)
	wantFailure(t, facts, probe.StepOrder, probe.FailureBudget, "", "all are spent")
	if n := tally(facts)[probe.CallNewOrder]; n != 1 || facts.RateLimit != denied {
		t.Errorf("%d orders, limit %+v", n, facts.RateLimit)
	}
}

// Creating the account spends too.
func TestAccountSpends(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{})
	denied := &probe.RateLimit{Limit: "new_accounts_per_ip", Detail: "all 10 are spent"}
	facts := b.spending(&purse{denied: []*probe.RateLimit{denied}}, probe.ProberAccount, config.Names{})
	wantFailure(t, facts, probe.StepAccount, probe.FailureBudget, "", "all 10 are spent")
	if n := tally(facts)[probe.CallNewAccount]; n != 0 || facts.RateLimit != denied {
		t.Errorf("%d accounts asked for, limit %+v", n, facts.RateLimit)
	}
	p := &purse{}
	wantSuccess(t, b.spending(p, probe.ProberAccount, config.Names{}))
	if len(p.spent) != 1 || p.spent[0].NoAccount || !p.spent[0].NoOrder {
		t.Errorf("spent %+v", p.spent)
	}
	wantList(t, "events", b.list(), []string{"reserve 1", "reserve 1", "settle"})
}

// What says that we come too often is for the budget to understand, whoever said it.
func TestRefused(t *testing.T) {
	t.Parallel()
	limited := &fakeca.Problem{Type: "rateLimited", Status: 429, Detail: "too many"}
	for name, tt := range map[string]struct {
		call  probe.CallName
		fault fakeca.Fault
		want  []string
	}{
		"a limit":        {probe.CallNewOrder, fakeca.Fault{Problem: limited}, []string{"refused new-order 429"}},
		"the edge":       {probe.CallDirectory, fakeca.Fault{HTML: true, Status: 429}, []string{"refused directory 429"}},
		"another status": {probe.CallNewOrder, fakeca.Fault{Problem: &fakeca.Problem{Type: "rateLimited", Status: 403}}, []string{"refused new-order 403"}},
		"overload":       {probe.CallNewOrder, fakeca.Fault{Problem: &fakeca.Problem{Type: "rateLimited", Status: 503}}, nil},
		"something else": {probe.CallNewOrder, fakeca.Fault{Problem: &fakeca.Problem{Type: "malformed"}}, nil},
	} {
		b := newBench(t, fakeca.Options{}).known()
		b.ca.Fault(tt.call, tt.fault, 0)
		p := &purse{refuse: &probe.RateLimit{Limit: "new_orders", Refused: true}}
		facts := b.spending(p, probe.ProberValidate, fixed("a.probe.example"))
		events := slices.DeleteFunc(b.list(), func(e string) bool { return e == "reserve 6" || e == "settle" })
		if !slices.Equal(events, tt.want) || (facts.RateLimit != nil) != (tt.want != nil) || facts.Failure == nil {
			t.Errorf("%s: events %v, limit %+v, failure %+v", name, events, facts.RateLimit, facts.Failure)
		}
	}
}

// A request that the CA's edge has asked not to make is not made.
func TestHeld(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{}).known()
	until := time.Now().Add(time.Hour)
	transport, err := acmehttp.NewTransport(acmehttp.Options{
		DirectoryURL: b.target.DirectoryURL, TLSConfig: b.ca.TLSConfig(),
		Pace: func(_ context.Context, call probe.CallName, _ func()) error {
			if call == probe.CallNewOrder {
				return &probe.HeldError{Until: until}
			}
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.Close()
	p := &purse{b: b}
	req := b.ordering(probe.ProberValidate, fixed("a.probe.example"))
	req.HTTP, req.Budget = transport.Session(req.Start), p
	defer req.HTTP.Close()
	facts := runFor(t, 10*time.Second, req)
	wantFailure(t, facts, probe.StepOrder, probe.FailureBudget, "", "asked for no such requests until")
	want := &probe.RateLimit{Limit: probe.LimitRequests, Until: until}
	if diff := cmp.Diff(want, facts.RateLimit); diff != "" || tally(facts)[probe.CallNewOrder] != 0 {
		t.Errorf("calls %v, limit %s", names(facts.Calls), diff)
	}
	if len(p.spent) != 1 || !p.spent[0].NoOrder {
		t.Errorf("spent %+v", p.spent)
	}
}
