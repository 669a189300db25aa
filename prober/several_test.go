package prober

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// fixedNames are ten names of one order.
var fixedNames = []string{
	"a.probe.example", "b.probe.example", "c.probe.example", "d.probe.example", "e.probe.example",
	"f.probe.example", "g.probe.example", "h.probe.example", "i.probe.example", "j.probe.example",
}

// ordering returns a request of the prober for those names.
func (b *bench) ordering(p probe.Prober, n config.Names) Request {
	b.t.Helper()
	req := b.request(p)
	m := req.Pair.Module
	m.Order.Names, m.Validate.Names, m.Issue.Names = n, n, n
	return req
}

// fixed are the names of a list.
func fixed(list ...string) config.Names { return config.Names{Mode: config.NamesFixed, List: list} }

// runFor does a run with that much time.
func runFor(t *testing.T, d time.Duration, req Request) probe.Facts {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return Run(ctx, req)
}

// tally counts the calls.
func tally(facts probe.Facts) map[probe.CallName]int {
	n := map[probe.CallName]int{}
	for _, c := range facts.Calls {
		n[c.Name]++
	}
	return n
}

// A hundred names are a hundred authorizations, in parallel and never too many at
// a time, one order that is polled, and everything stored before it is accepted.
func TestHundredNames(t *testing.T) {
	t.Parallel()
	for _, sync := range []bool{false, true} {
		t.Run(fmt.Sprintf("synchronous=%t", sync), func(t *testing.T) {
			b := newBench(t, fakeca.Options{SyncValidation: sync}).known()
			b.ca.Fault(probe.CallChallenge, fakeca.Fault{Delay: 5 * time.Millisecond}, 0)
			req := b.ordering(probe.ProberIssue, config.Names{Zone: "probe.example", Count: 100})
			facts := runFor(t, 20*time.Second, req)
			wantSuccess(t, facts)
			n := tally(facts)
			if n["authz"] != 100 || n["challenge"] != 100 || n["order"] < 1 || n["order"] > 3 || n["new-nonce"] > maxParallel || n["unknown"] != 0 {
				t.Errorf("calls %v", n)
			}
			wantList(t, "steps", steps(facts), []string{
				"setup", "directory", "nonce", "order", "authorization", "setup", "validation", "finalization", "download", "certificate",
			})
			if len(facts.Certificate.Names) != 100 || len(facts.Visits) != 100 {
				t.Errorf("%d names, %d visits", len(facts.Certificate.Names), len(facts.Visits))
			}
			urls := map[string]bool{}
			for _, f := range facts.FollowUps {
				urls[f.URL] = true
				for _, u := range f.More {
					urls[u] = true
				}
			}
			if len(facts.FollowUps) != 4 || len(urls) != 100 {
				t.Errorf("%d follow-ups for %d authorizations, want 4 for 100", len(facts.FollowUps), len(urls))
			}
			events := b.list()
			if i := slices.Index(events, "present http-01"); i != 4 {
				t.Errorf("%d follow-ups were stored before the first answer was published", i)
			}
			if n := b.most(facts, "challenge"); n > maxParallel || n < 2 {
				t.Errorf("%d challenges were accepted at a time, want 2 to %d", n, maxParallel)
			}
		})
	}
}

// most returns how many calls of that name were in flight at the same time.
func (b *bench) most(facts probe.Facts, name probe.CallName) (most int) {
	for _, c := range facts.Calls {
		n := 0
		for _, d := range facts.Calls {
			if d.Name == name && d.Start <= c.Start && c.Start < d.End {
				n++
			}
		}
		if c.Name == name {
			most = max(most, n)
		}
	}
	return most
}

// A wildcard and its name are two authorizations of one identifier, with two
// answers at a time.
func TestWildcards(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex // guards asked
	asked := map[string]int{}
	b := newBench(t, fakeca.Options{Validate: func(_ context.Context, c probe.Challenge) error {
		mu.Lock()
		defer mu.Unlock()
		asked[c.Identifier]++
		return nil
	}}).known()
	req := b.ordering(probe.ProberIssue, config.Names{Zone: "probe.example", Count: 2, Wildcard: true})
	req.Pair.Module.Issue.Challenge = probe.DNS01
	facts := runFor(t, 10*time.Second, req)
	wantSuccess(t, facts)
	got := facts.Certificate.Names
	if len(got) != 4 {
		t.Fatalf("names %v", got)
	}
	for _, name := range got {
		plain, wildcard := strings.CutPrefix(name, "*.")
		if !wildcard && (!slices.Contains(got, "*."+name) || asked[plain] != 2) {
			t.Errorf("%s: names %v, asked %v", name, got, asked)
		}
	}
	wantList(t, "events", b.list()[:5], []string{"add deactivate_authz", "present dns-01", "present dns-01", "present dns-01", "present dns-01"})
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{}).known()
	list := []string{"192.0.2.1", "2001:db8::1", "a.probe.example"}
	facts := runFor(t, 10*time.Second, b.ordering(probe.ProberIssue, fixed("a.probe.example", "2001:db8::1", "192.0.2.1")))
	wantSuccess(t, facts)
	wantList(t, "names", slices.Sorted(slices.Values(facts.Certificate.Names)), list)

	// One is an order like any other, and its authorization is polled.
	facts = runFor(t, 10*time.Second, b.ordering(probe.ProberValidate, fixed("192.0.2.1")))
	wantSuccess(t, facts)
	if n := tally(facts); n["authz"] != 2 || n["order"] != 0 {
		t.Errorf("calls %v", n)
	}
	// An address that is a DNS name in a certificate is another name.
	b.ca.Fault(probe.CallCertificate, fakeca.Fault{Certificate: fakeca.CertificateOtherNames}, 0)
	facts = runFor(t, 10*time.Second, b.ordering(probe.ProberIssue, fixed("192.0.2.1")))
	wantFailure(t, facts, probe.StepCertificate, probe.FailureCertificate, "certificate", `asked for was "192.0.2.1"`)
}

// Which of ten names has failed, and why, is in the failure, whatever way the CA
// tells it.
func TestOneOfTenFails(t *testing.T) {
	t.Parallel()
	problem := &fakeca.Problem{Type: "caa", Status: 403, Detail: "CAA record for g.probe.example prevents issuance"}
	failing := func(bad ...string) func(context.Context, probe.Challenge) error {
		return func(_ context.Context, c probe.Challenge) error {
			if slices.Contains(bad, c.Identifier) {
				return problem
			}
			return nil
		}
	}
	for _, tt := range []struct {
		name    string
		options fakeca.Options
		detail  string
	}{
		{"synchronous", fakeca.Options{SyncValidation: true, Validate: failing("g.probe.example")}, "the authorization is invalid"},
		{"asynchronous", fakeca.Options{Validate: failing("g.probe.example")}, "the authorization is invalid"},
		{"two of them", fakeca.Options{Validate: failing("j.probe.example", "g.probe.example")}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.options).known()
			facts := runFor(t, 10*time.Second, b.ordering(probe.ProberIssue, fixed(fixedNames...)))
			f := wantFailure(t, facts, probe.StepValidation, probe.FailureObject, "challenge", tt.detail)
			if f.Identifier != "g.probe.example" && (tt.name != "two of them" || f.Identifier != "j.probe.example") {
				t.Errorf("failure of %q", f.Identifier)
			}
			if f.Problem == nil || f.Problem.Type != "caa" || f.Call < 0 || facts.Calls[f.Call].Name != probe.CallAuthz {
				t.Errorf("problem %+v of call %d", f.Problem, f.Call)
			}
			// The others may have become valid.
			if len(facts.FollowUps) != 1 || len(facts.Visits) != 10 {
				t.Errorf("%d follow-ups, %d visits", len(facts.FollowUps), len(facts.Visits))
			}
		})
	}
}

// How many names failed is told when all of them were validated.
func TestSeveralFail(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{}).known()
	b.ca.Fault(probe.CallOrder, fakeca.Fault{Edit: fakeca.Set("status", "invalid")}, 0)
	b.ca.Fault(probe.CallAuthz, fakeca.Fault{}, 10)
	b.ca.Fault(probe.CallAuthz, fakeca.Fault{Edit: func(o map[string]any) {
		name, _ := o["identifier"].(map[string]any)["value"].(string)
		if o["status"] = "valid"; name < "d" {
			o["status"] = "invalid"
		}
	}}, 0)
	facts := runFor(t, 10*time.Second, b.ordering(probe.ProberValidate, fixed(fixedNames...)))
	f := wantFailure(t, facts, probe.StepValidation, probe.FailureObject, "authorization",
		`the authorization is invalid, as are others: 3 of 10 names failed, "a.probe.example", "b.probe.example", "c.probe.example"`)
	if f.Identifier != "a.probe.example" {
		t.Errorf("failure of %q", f.Identifier)
	}
}

// An order that does not come to an end says which names it waits for.
func TestUnfinished(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	b.ca.Fault(probe.CallChallenge, fakeca.Fault{Stuck: true}, 1)
	facts := runFor(t, 1500*time.Millisecond, b.ordering(probe.ProberValidate, fixed("a.probe.example", "b.probe.example", "c.probe.example")))
	f := wantFailure(t, facts, probe.StepValidation, probe.FailureTimeout, "order", "not validated are 1 of 3 names: ")
	if f.Identifier == "" || !strings.Contains(f.Detail, f.Identifier) {
		t.Errorf("failure of %q: %s", f.Identifier, f.Detail)
	}
	if n := tally(facts); n["authz"] != 4 {
		t.Errorf("calls %v, want the three authorizations and the one that is not valid once more", n)
	}
}

// What a CA can do wrong with many authorizations.
func TestSeveralBroken(t *testing.T) {
	t.Parallel()
	challenges := make([]map[string]any, 10_000)
	for i := range challenges {
		challenges[i] = map[string]any{"type": "http-01", "url": fmt.Sprintf("https://ca.example/%d", i), "token": "x", "status": "pending"}
	}
	urls := make([]string, 10_000)
	for i := range urls {
		urls[i] = fmt.Sprintf("https://ca.example/%d", i)
	}
	for _, tt := range []struct {
		name   string
		call   probe.CallName
		fault  fakeca.Fault
		step   probe.StepName
		object string
		detail string
	}{
		{"10,000 authorizations", "new-order", fakeca.Fault{Edit: fakeca.Set("authorizations", urls)}, probe.StepOrder, "order", "10000 authorizations, more than 20"},
		{"10,000 challenges", "authz", fakeca.Fault{Edit: fakeca.Set("challenges", challenges)}, probe.StepAuthorization, "authorization", "10000 challenges, more than 50"},
		{"one not ordered", "authz", fakeca.Fault{Edit: fakeca.Set("identifier", map[string]any{"type": "dns", "value": "k.probe.example"})}, probe.StepAuthorization, "authorization", "not ordered"},
		{"one as an address", "authz", fakeca.Fault{Edit: fakeca.Set("identifier", map[string]any{"type": "ip", "value": "192.0.2.1"})}, probe.StepAuthorization, "authorization", "not ordered"},
		{"one as a wildcard", "authz", fakeca.Fault{Edit: fakeca.Set("wildcard", true)}, probe.StepAuthorization, "authorization", "not ordered"},
		{"one with the asterisk", "authz", fakeca.Fault{Edit: fakeca.Set("identifier", map[string]any{"type": "dns", "value": "*.a.probe.example"})}, probe.StepAuthorization, "authorization", "not ordered"},
		{"a token that is a path", "authz", fakeca.Fault{Edit: fakeca.EditChallenges(fakeca.Set("token", "../../etc/passwd"))}, probe.StepAuthorization, "challenge", "token"},
		{"a token with a NUL", "authz", fakeca.Fault{Edit: fakeca.EditChallenges(fakeca.Set("token", "a\x00b"))}, probe.StepAuthorization, "challenge", "token"},
		{"processing before", "order", fakeca.Fault{Edit: fakeca.Set("status", "processing")}, probe.StepValidation, "order", "processing before it was finalized"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fakeca.Options{}).known()
			b.ca.Fault(tt.call, tt.fault, 1)
			facts := runFor(t, 10*time.Second, b.ordering(probe.ProberValidate, fixed(fixedNames...)))
			f := wantFailure(t, facts, tt.step, probe.FailureProtocol, tt.object, tt.detail)
			if f.Call < 0 || facts.Calls[f.Call].Name != tt.call && tt.object != "challenge" {
				t.Errorf("evidence %d of %v, want %s", f.Call, names(facts.Calls), tt.call)
			}
			if n := tally(facts); tt.step != probe.StepValidation && (n["challenge"] != 0 || len(b.list()) != 0) {
				t.Errorf("calls %v, events %v: something was published or accepted", n, b.list())
			}
		})
	}
}

// A challenge of several that cannot be accepted ends the run, and what may have
// become valid is followed up.
func TestOneIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{}).known()
	// Late, so that the other one is accepted meanwhile.
	b.ca.Fault(probe.CallChallenge, fakeca.Fault{Delay: 200 * time.Millisecond, Problem: &fakeca.Problem{Type: "malformed"}}, 1)
	facts := runFor(t, 10*time.Second, b.ordering(probe.ProberValidate, fixed("a.probe.example", "b.probe.example")))
	f := wantFailure(t, facts, probe.StepValidation, probe.FailureCall, "", "challenge answered HTTP 400 malformed")
	if f.Identifier == "" || len(facts.FollowUps) != 1 {
		t.Errorf("failure of %q, follow-ups %v", f.Identifier, facts.FollowUps)
	}
	b.ca.Fault(probe.CallChallenge, fakeca.Fault{Problem: &fakeca.Problem{Type: "malformed"}}, 0)
	facts = runFor(t, 10*time.Second, b.ordering(probe.ProberValidate, fixed("a.probe.example", "b.probe.example")))
	wantFailure(t, facts, probe.StepValidation, probe.FailureCall, "", "malformed")
	if len(facts.FollowUps) != 0 {
		t.Errorf("nothing was accepted, follow-ups %v", facts.FollowUps)
	}
}

// A follow-up deactivates what is valid of several, and nothing else.
func TestFollowUpOfSeveral(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	facts := runFor(t, 10*time.Second, b.ordering(probe.ProberValidate, fixed("a.probe.example", "b.probe.example")))
	wantSuccess(t, facts)
	if facts := runFor(t, 10*time.Second, b.ordering(probe.ProberOrder, fixed("c.probe.example"))); facts.Failure != nil {
		t.Fatal(facts.Failure)
	}
	pending := b.ca.Authorizations()[2]
	req := b.request(probe.ProberValidate)
	f := facts.FollowUps[0]
	f.Created = f.Created.Add(-time.Hour) // what is pending now stays pending
	f.More = append(f.More, pending.URL, b.ca.URL()+"/lost")
	req.FollowUp = &f
	b.ca.Fault(probe.CallUnknown, fakeca.Fault{Problem: &fakeca.Problem{Type: "malformed", Status: http.StatusNotFound}}, 0)
	done := runFor(t, 10*time.Second, req)
	wantSuccess(t, done)
	if n := tally(done); n["authz"] != 4 || n["deactivate-authz"] != 2 {
		t.Errorf("calls %v", n)
	}
	var states []string
	for _, a := range b.ca.Authorizations() {
		states = append(states, a.Status)
	}
	wantList(t, "authorizations", states, []string{"deactivated", "deactivated", "pending"})
}
