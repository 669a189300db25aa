package prober

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// What is to be undone is stored before the CA is told, and what was published
// is withdrawn.
func TestValidate(t *testing.T) {
	t.Parallel()
	for _, sync := range []bool{true, false} {
		b := newBench(t, fakeca.Options{SyncValidation: sync}).known()
		facts := b.run(probe.ProberValidate)
		wantSuccess(t, facts)
		wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce", "new-order", "authz", "challenge", "authz"})
		wantList(t, "steps", steps(facts), []string{"directory", "nonce", "order", "authorization", "setup", "validation"})
		wantList(t, "events", b.list(), []string{"add deactivate_authz", "present http-01", "validate", "withdraw"})
		wantList(t, "orders", b.ca.Orders(), []string{"ready"})
		if len(facts.FollowUps) != 1 || len(facts.Visits) != 1 {
			t.Fatalf("follow-ups %v, visits %v", facts.FollowUps, facts.Visits)
		}
		f, a := facts.FollowUps[0], b.ca.Authorizations()[0]
		if f.URL != a.URL || f.Kind != probe.FollowUpDeactivateAuthz || !strings.HasPrefix(f.ID, f.Parent+"-") ||
			f.Target != "fake" || f.Expires.Sub(f.Created) != 24*time.Hour {
			t.Errorf("follow-up %+v of %+v", f, a)
		}
		validation := facts.Steps[len(facts.Steps)-1]
		challenge, last := facts.Calls[4], facts.Calls[5]
		if validation.Start > challenge.Start || validation.Start+validation.Duration < last.End || validation.Identifier == "" {
			t.Errorf("validation %+v, calls %v to %v", validation, challenge.Start, last.End)
		}
		if sync && last.Start-challenge.End > 200*time.Millisecond {
			t.Errorf("waited %v for what was there", last.Start-challenge.End)
		}
	}
}

func TestValidateInvalid(t *testing.T) {
	t.Parallel()
	problem := &fakeca.Problem{Type: "connection", Status: 400, Detail: "timeout during connect, see https://ca.example/?key=s3cret"}
	for _, tt := range []struct {
		name   string
		fault  func(*bench)
		kind   probe.FailureKind
		object string
		detail string
		events []string
	}{
		{
			"invalid",
			func(b *bench) { b.ca.Fault(probe.CallChallenge, fakeca.Fault{Invalid: problem}, 0) },
			probe.FailureObject, "challenge", "the authorization is invalid",
			[]string{"add deactivate_authz", "present http-01", "drop", "withdraw"},
		},
		{
			"deactivated under way",
			func(b *bench) {
				b.ca.Fault(probe.CallAuthz, fakeca.Fault{}, 1)
				b.ca.Fault(probe.CallAuthz, fakeca.Fault{Edit: fakeca.Set("status", "deactivated")}, 0)
			},
			probe.FailureObject, "authorization", "the authorization is deactivated",
			[]string{"add deactivate_authz", "present http-01", "validate", "drop", "withdraw"},
		},
		{
			"pending with an error", // as step-ca leaves it
			func(b *bench) {
				b.ca.Fault(probe.CallChallenge, fakeca.Fault{Stuck: true}, 0)
				b.ca.Fault(probe.CallAuthz, fakeca.Fault{}, 1)
				b.ca.Fault(probe.CallAuthz, fakeca.Fault{Edit: fakeca.EditChallenges(func(c map[string]any) {
					if c["type"] == "http-01" {
						c["status"], c["error"] = "pending", map[string]any{"type": "urn:ietf:params:acme:error:connection", "detail": "refused"}
					}
				})}, 0)
			},
			probe.FailureObject, "challenge", "the challenge is pending and has an error",
			[]string{"add deactivate_authz", "present http-01", "withdraw"},
		},
		{
			"refused",
			func(b *bench) {
				b.ca.Fault(probe.CallChallenge, fakeca.Fault{Problem: &fakeca.Problem{Type: "malformed"}}, 0)
			},
			probe.FailureCall, "", "challenge answered HTTP 400 malformed",
			[]string{"add deactivate_authz", "present http-01", "drop", "withdraw"},
		},
		{
			"perhaps accepted", // nobody knows, so the follow-up will look
			func(b *bench) { b.ca.Fault(probe.CallChallenge, fakeca.Fault{HangUp: fakeca.BeforeHeaders}, 0) },
			probe.FailureCall, "", "challenge: response: closed",
			[]string{"add deactivate_authz", "present http-01", "withdraw"},
		},
		{
			"accepted, and polled too often", // what was refused is the look, not the challenge
			func(b *bench) {
				b.ca.Fault(probe.CallAuthz, fakeca.Fault{}, 1)
				b.ca.Fault(probe.CallAuthz, fakeca.Fault{Problem: &fakeca.Problem{Type: "rateLimited", Status: 429}}, 0)
			},
			probe.FailureCall, "", "authz answered HTTP 429 rateLimited",
			[]string{"add deactivate_authz", "present http-01", "validate", "withdraw"},
		},
		{
			"a problem of the CA's",
			func(b *bench) {
				b.ca.Fault(probe.CallChallenge, fakeca.Fault{Problem: &fakeca.Problem{Type: "serverInternal", Status: 500}}, 0)
			},
			probe.FailureCall, "", "challenge answered HTTP 500 serverInternal",
			[]string{"add deactivate_authz", "present http-01", "withdraw"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fakeca.Options{SyncValidation: true}).known()
			tt.fault(b)
			facts := b.run(probe.ProberValidate)
			f := wantFailure(t, facts, probe.StepValidation, tt.kind, tt.object, tt.detail)
			wantList(t, "events", b.list(), tt.events)
			if dropped := slices.Contains(tt.events, "drop"); dropped != (len(facts.FollowUps) == 0) {
				t.Errorf("follow-ups %v", facts.FollowUps)
			}
			if tt.object == "challenge" && (f.Problem == nil || f.Problem.Type != "connection" || strings.Contains(f.Problem.Detail, "s3cret")) {
				t.Errorf("problem %+v", f.Problem)
			}
		})
	}
}

func TestValidateNotBegun(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*bench)
		step   probe.StepName
		kind   probe.FailureKind
		object string
		detail string
		events []string
	}{
		{
			"no such challenge",
			func(b *bench) {
				b.ca.Fault(probe.CallAuthz, fakeca.Fault{Edit: fakeca.WithoutChallenge(probe.HTTP01)}, 0)
			},
			probe.StepAuthorization, probe.FailureUnsupported, "authorization", "no http-01 challenge", nil,
		},
		{
			"a token that is a path",
			func(b *bench) {
				b.ca.Fault(probe.CallAuthz, fakeca.Fault{Edit: fakeca.EditChallenges(fakeca.Set("token", "../x"))}, 0)
			},
			probe.StepAuthorization, probe.FailureProtocol, "challenge", "token", nil,
		},
		{
			"a long token",
			func(b *bench) {
				b.ca.Fault(probe.CallAuthz, fakeca.Fault{Edit: fakeca.EditChallenges(fakeca.Set("token", strings.Repeat("a", 201)))}, 0)
			},
			probe.StepAuthorization, probe.FailureProtocol, "challenge", "token", nil,
		},
		{
			"no URL",
			func(b *bench) {
				b.ca.Fault(probe.CallAuthz, fakeca.Fault{Edit: fakeca.EditChallenges(fakeca.Without("url"))}, 0)
			},
			probe.StepAuthorization, probe.FailureProtocol, "challenge", "url", nil,
		},
		{
			"no responder",
			func(b *bench) { b.presentErr = errors.New("no HTTP responder is open") },
			probe.StepSetup, probe.FailureLocal, "challenge", "no HTTP responder", []string{"add deactivate_authz", "drop"},
		},
		{
			"no disk",
			func(b *bench) { b.addErr = errors.New("disk full") },
			probe.StepSetup, probe.FailureLocal, "", "disk full", nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, fakeca.Options{}).known()
			tt.change(b)
			facts := b.run(probe.ProberValidate)
			wantFailure(t, facts, tt.step, tt.kind, tt.object, tt.detail)
			wantList(t, "events", b.list(), tt.events)
			if len(facts.FollowUps) != 0 {
				t.Errorf("follow-ups %v", facts.FollowUps)
			}
			wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce", "new-order", "authz"})
		})
	}
}

// A name that the CA takes for authorized already: what the modes do about it.
func TestAuthorizedAlready(t *testing.T) {
	t.Parallel()
	valid := func(times int) func(*bench) {
		return func(b *bench) {
			b.ca.Fault(probe.CallAuthz, fakeca.Fault{Edit: fakeca.Set("status", "valid")}, times)
		}
	}
	t.Run("drained", func(t *testing.T) {
		b := newBench(t, fakeca.Options{SyncValidation: true}).known()
		valid(1)(b)
		facts := b.run(probe.ProberIssue)
		wantSuccess(t, facts)
		wantList(t, "calls", names(facts.Calls), []probe.CallName{
			"directory", "new-nonce", "new-order", "authz", "deactivate-authz",
			"new-order", "authz", "challenge", "authz", "finalize", "certificate",
		})
		wantList(t, "orders", b.ca.Orders(), []string{"invalid", "valid"})
		if len(facts.FollowUps) != 1 {
			t.Errorf("follow-ups %v", facts.FollowUps)
		}
	})
	t.Run("not to be drained", func(t *testing.T) {
		b := newBench(t, fakeca.Options{SyncValidation: true}).known()
		valid(0)(b)
		facts := b.run(probe.ProberValidate)
		wantFailure(t, facts, probe.StepAuthorization, probe.FailureUnsupported, "authorization", "even after")
		wantList(t, "events", b.list(), nil)
	})
	t.Run("no deactivation", func(t *testing.T) {
		b := newBench(t, fakeca.Options{SyncValidation: true}).known()
		valid(0)(b)
		b.ca.Fault(probe.CallDeactivateAuthz, fakeca.Fault{Problem: &fakeca.Problem{Type: "malformed"}}, 0)
		facts := b.run(probe.ProberValidate)
		wantFailure(t, facts, probe.StepDeactivation, probe.FailureUnsupported, "authorization", "does not let authorizations be deactivated")
	})
	t.Run("reused", func(t *testing.T) {
		b := newBench(t, fakeca.Options{ReuseAuthorizations: true, ReuseOrders: true, SyncValidation: true}).known()
		ready := b.request(probe.ProberIssue)
		ready.Pair.Module.Issue.Authorization = config.AuthorizationReuse
		// The order for the same name is ready at once the second time.
		const name = "a.probe.example"
		for i, want := range [][]probe.CallName{
			{"directory", "new-nonce", "new-order", "authz", "challenge", "authz"},
			{"new-order", "authz"},
		} {
			r := newRun(ready)
			if i > 0 {
				r = newRun(b.request(probe.ProberIssue))
			}
			if err := r.begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			o := &order{names: []string{name}}
			if err := r.authorize(t.Context(), o, method{challenge: probe.HTTP01, mode: config.AuthorizationReuse}); err != nil {
				t.Fatal(err)
			}
			calls := names(r.HTTP.Calls())
			wantList(t, "calls", calls[len(calls)-len(want):], want)
			if i == 1 && o.status != "ready" {
				t.Errorf("order %+v", o)
			}
			if len(r.facts.FollowUps) != 0 {
				t.Errorf("follow-ups %v", r.facts.FollowUps)
			}
		}
	})
}

func TestValidateTimeout(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{}).known()
	b.ca.Fault(probe.CallChallenge, fakeca.Fault{Stuck: true}, 0)
	b.ca.Fault(probe.CallAuthz, fakeca.Fault{Edit: fakeca.EditChallenges(func(c map[string]any) {
		if c["status"] == "processing" {
			c["error"] = map[string]any{"type": "urn:ietf:params:acme:error:dns", "detail": "query timed out"}
		}
	})}, 0)
	req := b.request(probe.ProberValidate)
	ctx, cancel := context.WithDeadline(t.Context(), req.Start.Add(900*time.Millisecond))
	defer cancel()
	facts := Run(ctx, req)
	if took := time.Since(req.Start); took < 900*time.Millisecond || took > 1900*time.Millisecond {
		t.Errorf("took %v, want 900ms", took)
	}
	if cutInFlight(facts) {
		wantFailure(t, facts, probe.StepValidation, probe.FailureCall, "", "timeout")
	} else {
		f := wantFailure(t, facts, probe.StepValidation, probe.FailureTimeout, "authorization", "the authorization was still pending after")
		if f.Problem == nil || f.Problem.Type != "dns" || facts.Calls[f.Call].Name != probe.CallAuthz {
			t.Errorf("failure %+v, problem %+v", f, f.Problem)
		}
	}
	wantList(t, "events", b.list(), []string{"add deactivate_authz", "present http-01", "withdraw"})
	if len(facts.FollowUps) != 1 {
		t.Errorf("follow-ups %v", facts.FollowUps)
	}
}
