package prober

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestRandomNames(t *testing.T) {
	seen := map[string]bool{}
	for range 20 {
		list := orderNames(config.Names{Zone: "probe.example", Count: 2})
		if len(list) != 2 || !slices.IsSorted(list) {
			t.Fatalf("names %v", list)
		}
		for _, name := range list {
			label, zone, _ := strings.Cut(name, ".")
			if seen[name] || len(label) != 20 || zone != "probe.example" || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz234567") != "" {
				t.Errorf("name %q", name)
			}
			seen[name] = true
		}
	}
}

func TestOrder(t *testing.T) {
	b := newBench(t, fakeca.Options{}).known()
	facts := b.run(probe.ProberOrder)
	wantSuccess(t, facts)
	wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce", "new-order", "order", "authz"})
	wantList(t, "steps", steps(facts), []string{"directory", "nonce", "order", "authorization"})
	wantList(t, "events", b.list(), nil)
	if a := b.ca.Authorizations(); len(a) != 1 || a[0].Status != "pending" {
		t.Errorf("authorizations %+v", a)
	}
}

func TestOrderBroken(t *testing.T) {
	many := make([]string, 0, 11)
	for i := range 11 {
		many = append(many, fmt.Sprintf("https://ca.example/%d", i))
	}
	id := func(kind, value string) []map[string]string {
		return []map[string]string{{"type": kind, "value": value}}
	}
	set := fakeca.Set
	for _, tt := range []struct {
		name   string
		call   probe.CallName
		fault  fakeca.Fault
		kind   probe.FailureKind
		object string
		detail string
	}{
		{"no Location", "new-order", fakeca.Fault{Header: http.Header{"Location": {""}}}, probe.FailureProtocol, "order", "Location"},
		{"200", "new-order", fakeca.Fault{Body: []byte("{}")}, probe.FailureCall, "", "new-order answered HTTP 200, which is not"},
		{"HTML", "new-order", fakeca.Fault{HTML: true, Status: 201}, probe.FailureProtocol, "", "the answer of new-order cannot be read"},
		{"unknown status", "new-order", fakeca.Fault{Edit: set("status", "odd")}, probe.FailureProtocol, "order", `unknown status "odd"`},
		{"no status", "new-order", fakeca.Fault{Edit: fakeca.Without("status")}, probe.FailureProtocol, "order", `unknown status ""`},
		{"valid", "new-order", fakeca.Fault{Edit: set("status", "valid")}, probe.FailureProtocol, "order", "valid before it was finalized"},
		{"invalid", "new-order", fakeca.Fault{Invalid: &fakeca.Problem{Type: "serverInternal", Status: 500}}, probe.FailureObject, "order", "the order is invalid"},
		{"no finalize", "new-order", fakeca.Fault{Edit: fakeca.Without("finalize")}, probe.FailureProtocol, "order", "finalize"},
		{"http finalize", "new-order", fakeca.Fault{Edit: set("finalize", "http://ca.example/f")}, probe.FailureProtocol, "url", "the order's finalize is not https, but http"},
		{"no authorizations", "new-order", fakeca.Fault{Edit: fakeca.Without("authorizations")}, probe.FailureProtocol, "order", "no authorizations"},
		{"many authorizations", "new-order", fakeca.Fault{Edit: set("authorizations", many)}, probe.FailureProtocol, "order", "11 authorizations, more than 10"},
		{"http authorization", "new-order", fakeca.Fault{Edit: set("authorizations", []string{"http://ca.example/"})}, probe.FailureProtocol, "url", "an authorization of the order is not https, but http"},
		{"an authorization twice", "new-order", fakeca.Fault{Edit: set("authorizations", []string{many[0], many[0]})}, probe.FailureProtocol, "order", "twice"},
		{"other name", "new-order", fakeca.Fault{Edit: set("identifiers", id("dns", "other.example"))}, probe.FailureProtocol, "order", "other identifiers"},
		{"other type", "new-order", fakeca.Fault{Edit: set("identifiers", id("email", "a@probe.example"))}, probe.FailureProtocol, "order", `type "email"`},
		{"an address", "new-order", fakeca.Fault{Edit: set("identifiers", id("ip", "192.0.2.1"))}, probe.FailureProtocol, "order", "other identifiers"},
		{"an address that is none", "new-order", fakeca.Fault{Edit: set("identifiers", id("ip", "probe.example"))}, probe.FailureProtocol, "order", `type "ip"`},
		{"no names", "new-order", fakeca.Fault{Edit: fakeca.Without("identifiers")}, probe.FailureProtocol, "order", "other identifiers"},
		{"refused", "new-order", fakeca.Fault{Problem: &fakeca.Problem{Type: "rateLimited", Status: 429}}, probe.FailureCall, "", "new-order answered HTTP 429 rateLimited"},
		{"changed", "order", fakeca.Fault{Edit: set("authorizations", many[:1])}, probe.FailureProtocol, "order", "other authorizations"},
		{"lost", "order", fakeca.Fault{Problem: &fakeca.Problem{Type: "malformed", Status: 404}}, probe.FailureCall, "", "order answered HTTP 404 malformed"},
		{"authorization of another name", "authz", fakeca.Fault{Edit: set("identifier", id("dns", "other.example")[0])}, probe.FailureProtocol, "authorization", "not ordered"},
		{"authorization of a wildcard", "authz", fakeca.Fault{Edit: set("wildcard", true)}, probe.FailureProtocol, "authorization", "not ordered"},
		{"authorization invalid", "authz", fakeca.Fault{Edit: set("status", "invalid")}, probe.FailureObject, "authorization", "the authorization is invalid"},
		{"authorization expired", "authz", fakeca.Fault{Edit: set("status", "expired")}, probe.FailureObject, "authorization", "the authorization is expired"},
		{"authorization odd", "authz", fakeca.Fault{Edit: set("status", "processing")}, probe.FailureProtocol, "authorization", `unknown status "processing"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fakeca.Options{}).known()
			b.ca.Fault(tt.call, tt.fault, 0)
			facts := b.run(probe.ProberOrder)
			step := probe.StepOrder
			if tt.call == "authz" {
				step = probe.StepAuthorization
			}
			f := wantFailure(t, facts, step, tt.kind, tt.object, tt.detail)
			if f.Call < 0 || facts.Calls[f.Call].Name != tt.call {
				t.Errorf("call %d, want one of %s", f.Call, tt.call)
			}
			if tt.name == "invalid" && (f.Problem == nil || f.Problem.Type != "serverInternal" || f.Problem.Status != 500) {
				t.Errorf("problem %+v", f.Problem)
			}
		})
	}
}

// Rejected nonces are retried, each retry counted with its cause, and the
// fourth rejection is the failure.
func TestBadNonce(t *testing.T) {
	for rejections := range 5 {
		t.Run(fmt.Sprint(rejections), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fakeca.Options{}).known()
			if rejections > 0 {
				b.ca.Fault(probe.CallNewOrder, fakeca.Fault{BadNonce: true}, rejections)
			}
			facts := b.run(probe.ProberOrder)
			var tries []probe.Call
			for _, c := range facts.Calls {
				switch c.Name {
				case probe.CallNewOrder:
					tries = append(tries, c)
				case probe.CallNewNonce:
					if c.Step != probe.StepNonce {
						t.Errorf("a nonce was fetched in the step %q", c.Step)
					}
				}
			}
			if want := min(rejections+1, 4); len(tries) != want {
				t.Fatalf("%d tries, want %d", len(tries), want)
			}
			for i, c := range tries {
				cause := ""
				if i > 0 {
					cause = "bad_nonce"
				}
				if c.Attempt != i || c.RetryCause != cause {
					t.Errorf("try %d: attempt %d, cause %q", i, c.Attempt, c.RetryCause)
				}
			}
			if rejections < 4 {
				wantSuccess(t, facts)
				return
			}
			f := wantFailure(t, facts, probe.StepOrder, probe.FailureCall, "", "new-order answered HTTP 400 badNonce")
			if f.Call != len(facts.Calls)-1 {
				t.Errorf("call %d of %d", f.Call, len(facts.Calls))
			}
		})
	}
}

// A rejection that brings no nonce costs a request for one.
func TestBadNonceWithoutNonce(t *testing.T) {
	b := newBench(t, fakeca.Options{}).known()
	b.ca.Fault(probe.CallNewOrder, fakeca.Fault{BadNonce: true, DropNonce: true}, 1)
	facts := b.run(probe.ProberOrder)
	wantSuccess(t, facts)
	wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce", "new-order", "new-nonce", "new-order", "order", "authz"})
}

// Nothing but a rejected nonce is tried again.
func TestNothingElseIsRetried(t *testing.T) {
	for _, p := range []fakeca.Problem{
		{Type: "serverInternal", Status: 500}, {Type: "rateLimited", Status: 429}, {Type: "rateLimited", Status: 503}, {Type: "malformed", Status: 400},
	} {
		b := newBench(t, fakeca.Options{}).known()
		b.ca.Fault(probe.CallNewOrder, fakeca.Fault{Problem: &p, Header: http.Header{"Retry-After": {"0"}}}, 0)
		facts := b.run(probe.ProberOrder)
		wantFailure(t, facts, probe.StepOrder, probe.FailureCall, "", p.Type)
		wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce", "new-order"})
	}
}
