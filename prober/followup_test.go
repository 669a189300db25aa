package prober

import (
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// validated returns a bench with the follow-up of a run that validated.
func validated(t *testing.T) (*bench, probe.FollowUp) {
	t.Helper()
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	facts := b.run(probe.ProberValidate)
	wantSuccess(t, facts)
	if len(facts.FollowUps) != 1 {
		t.Fatalf("follow-ups %v", facts.FollowUps)
	}
	return b, facts.FollowUps[0]
}

func (b *bench) follow(f probe.FollowUp) probe.Facts {
	b.t.Helper()
	return b.following(f, b.request(probe.ProberValidate))
}

// following does the follow-up with what the run before it had.
func (b *bench) following(f probe.FollowUp, before Request) probe.Facts {
	b.t.Helper()
	req := b.request(before.Pair.Module.Prober)
	req.Records, req.Responders, req.FollowUp = before.Records, before.Responders, &f
	return runFor(b.t, time.Minute, req)
}

func TestFollowUp(t *testing.T) {
	b, f := validated(t)
	facts := b.follow(f)
	wantSuccess(t, facts)
	wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce", "authz", "deactivate-authz"})
	wantList(t, "steps", steps(facts), []string{"directory", "nonce", "authorization", "deactivation"})
	if a := b.ca.Authorizations()[0]; a.Status != "deactivated" {
		t.Errorf("authorization %+v", a)
	}
	// Nothing is left to be done the second time.
	facts = b.follow(f)
	wantSuccess(t, facts)
	wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce", "authz"})
}

func TestFollowUpNothingToDo(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault fakeca.Fault
	}{
		{"pending", fakeca.Fault{Edit: fakeca.Set("status", "pending")}},
		{"invalid", fakeca.Fault{Edit: fakeca.Set("status", "invalid")}},
		{"expired", fakeca.Fault{Edit: fakeca.Set("status", "expired")}},
		{"gone", fakeca.Fault{Problem: &fakeca.Problem{Type: "malformed", Status: 404}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, f := validated(t)
			b.ca.Fault(probe.CallAuthz, tt.fault, 0)
			f.Created = f.Created.Add(-time.Hour)
			facts := b.follow(f)
			wantSuccess(t, facts)
			wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce", "authz"})
		})
	}
}

// TestFollowUpYoung holds that an authorization whose validation may still be
// going on is neither deactivated nor forgotten.
func TestFollowUpYoung(t *testing.T) {
	b, f := validated(t)
	b.ca.Fault(probe.CallAuthz, fakeca.Fault{Edit: fakeca.Set("status", "pending")}, 0)
	before := len(b.list())
	facts := b.follow(f)
	wantFailure(t, facts, probe.StepAuthorization, probe.FailureTimeout, "authorization", "still pending")
	wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce", "authz"})
	if events := b.list()[before:]; len(events) != 0 {
		t.Errorf("events %v", events)
	}
}

func TestFollowUpFails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		call   probe.CallName
		fault  fakeca.Fault
		step   probe.StepName
		kind   probe.FailureKind
		object string
		detail string
		drops  bool
	}{
		{"gone, says the edge", "authz", fakeca.Fault{HTML: true, Status: 404}, probe.StepAuthorization, probe.FailureCall, "", "authz answered HTTP 404", false},
		{"unread", "authz", fakeca.Fault{Problem: &fakeca.Problem{Type: "serverInternal", Status: 500}}, probe.StepAuthorization, probe.FailureCall, "", "serverInternal", false},
		{"refused", "deactivate-authz", fakeca.Fault{Problem: &fakeca.Problem{Type: "serverInternal", Status: 500}}, probe.StepDeactivation, probe.FailureCall, "", "serverInternal", false},
		{"without effect", "deactivate-authz", fakeca.Fault{Edit: fakeca.Set("status", "valid")}, probe.StepDeactivation, probe.FailureProtocol, "authorization", `"valid" after its deactivation`, false},
		{"unreadable", "deactivate-authz", fakeca.Fault{HTML: true}, probe.StepDeactivation, probe.FailureProtocol, "authorization", "cannot be read", false},
		{"not offered", "deactivate-authz", fakeca.Fault{Problem: &fakeca.Problem{Type: "malformed"}}, probe.StepDeactivation, probe.FailureUnsupported, "authorization", "does not let", true},
		{"not allowed", "deactivate-authz", fakeca.Fault{Status: 405}, probe.StepDeactivation, probe.FailureUnsupported, "authorization", "does not let", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, f := validated(t)
			before := len(b.list())
			b.ca.Fault(tt.call, tt.fault, 0)
			facts := b.follow(f)
			wantFailure(t, facts, tt.step, tt.kind, tt.object, tt.detail)
			if dropped := len(b.list()) > before; dropped != tt.drops {
				t.Errorf("events %v, dropped %v, want %v", b.list()[before:], dropped, tt.drops)
			}
		})
	}
}

// TestFollowUpIdentifier holds that the name that a CA gives an authorization
// takes no more room in the facts than a name.
func TestFollowUpIdentifier(t *testing.T) {
	b, f := validated(t)
	b.ca.Fault(probe.CallAuthz, fakeca.Fault{Edit: fakeca.Set("identifier", map[string]any{
		"type": "dns", "value": strings.Repeat("long.", 1000) + "example",
	})}, 0)
	facts := b.follow(f)
	wantSuccess(t, facts)
	for _, s := range facts.Steps {
		if len(s.Identifier) > maxQuoted {
			t.Errorf("step %s is about a name of %d bytes", s.Name, len(s.Identifier))
		}
	}
}
