package prober

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// sampling is a Revocations whose turn it is until one has begun.
type sampling struct {
	*events
	every time.Duration // that was asked for
	begun bool
	err   error
}

func (s *sampling) Due(every time.Duration) bool {
	s.every = every
	return !s.begun
}

func (s *sampling) Begin() error {
	if s.err != nil {
		return s.err
	}
	s.begun = true
	s.add("begin")
	return nil
}

// keeping is an Issued that counts.
type keeping struct{ kept []*x509.Certificate }

func (k *keeping) Keep(chain []*x509.Certificate) { k.kept = chain }

func (k *keeping) Last() ([]*x509.Certificate, error) { return k.kept, nil }

// before is what was issued before.
var before = []*x509.Certificate{{}}

// revoking is the request of a run whose certificates are to be revoked.
func (b *bench) revoking(reason probe.RevocationReason) (Request, *sampling, *keeping) {
	b.t.Helper()
	req := b.request(probe.ProberIssue)
	req.Pair.Module.Issue.Revoke = &config.Revoke{Reason: reason, Every: model.Duration(12 * time.Hour)}
	s, k := &sampling{events: b.events}, &keeping{before}
	req.Revocations, req.Issued = s, k
	return req, s, k
}

// revocable returns a bench with the follow-up that revokes a certificate.
func revocable(t *testing.T) (*bench, probe.FollowUp) {
	t.Helper()
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	req, _, _ := b.revoking(probe.ReasonSuperseded)
	facts := runFor(t, 5*time.Second, req)
	wantSuccess(t, facts)
	if len(facts.FollowUps) != 2 || facts.FollowUps[1].Kind != probe.FollowUpRevoke {
		t.Fatalf("follow-ups %v", facts.FollowUps)
	}
	return b, facts.FollowUps[1]
}

func TestSampleRevocation(t *testing.T) {
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	req, s, k := b.revoking(probe.ReasonSuperseded)
	facts := runFor(t, 5*time.Second, req)
	wantSuccess(t, facts)
	wantList(t, "events", b.list()[1:], []string{"present http-01", "validate", "withdraw", "begin", "add revoke"})
	wantList(t, "steps", steps(facts)[6:], []string{"validation", "finalization", "download", "certificate", "setup"})
	if s.every != 12*time.Hour {
		t.Errorf("asked whether one is due every %s", s.every)
	}
	if k.kept[0] != before[0] {
		t.Error("what is to be revoked is kept for those who look at certificates")
	}
	f := facts.FollowUps[1]
	if f.Revocation.Serial != facts.Certificate.Serial || f.Revocation.Reason != probe.ReasonSuperseded || len(f.Revocation.Chain) != 2 || f.URL != "" {
		t.Errorf("follow-up %+v", f)
	}
	if life := f.Expires.Sub(f.Created); life != probe.WatchLife {
		t.Errorf("it lives %s", life)
	}

	// The next certificate is not its turn.
	req.HTTP = b.request(probe.ProberIssue).HTTP
	facts = runFor(t, 5*time.Second, req)
	wantSuccess(t, facts)
	if len(facts.FollowUps) != 1 || k.kept[0] == before[0] {
		t.Errorf("follow-ups %v, kept %v", facts.FollowUps, k.kept)
	}
}

// TestNoRevocation holds what is not revoked: a certificate with a defect, one that
// cannot be noted, and one that cannot be promised.
func TestNoRevocation(t *testing.T) {
	t.Run("defect", func(t *testing.T) {
		b := newBench(t, fakeca.Options{SyncValidation: true}).known()
		b.ca.Fault(probe.CallCertificate, fakeca.Fault{Certificate: fakeca.CertificateOtherKey}, 0)
		req, s, k := b.revoking(probe.ReasonUnspecified)
		facts := runFor(t, 5*time.Second, req)
		wantFailure(t, facts, probe.StepCertificate, probe.FailureCertificate, "certificate", "")
		if s.begun || len(facts.FollowUps) != 1 || k.kept[0] == before[0] {
			t.Errorf("begun %v, follow-ups %v, kept %v", s.begun, facts.FollowUps, k.kept)
		}
	})
	t.Run("not noted", func(t *testing.T) {
		b := newBench(t, fakeca.Options{SyncValidation: true}).known()
		req, s, _ := b.revoking(probe.ReasonUnspecified)
		s.err = errors.New("no space left on device")
		facts := runFor(t, 5*time.Second, req)
		wantFailure(t, facts, probe.StepSetup, probe.FailureLocal, "", "no space left on device")
		if len(facts.FollowUps) != 1 {
			t.Errorf("follow-ups %v", facts.FollowUps)
		}
	})
	t.Run("the first one", func(t *testing.T) {
		b := newBench(t, fakeca.Options{SyncValidation: true}).known()
		req, s, k := b.revoking(probe.ReasonUnspecified)
		k.kept = nil
		facts := runFor(t, 5*time.Second, req)
		wantSuccess(t, facts)
		if s.begun || len(facts.FollowUps) != 1 || k.kept == nil {
			t.Errorf("begun %v, follow-ups %v, kept %v", s.begun, facts.FollowUps, k.kept)
		}
	})
	t.Run("never", func(t *testing.T) {
		b := newBench(t, fakeca.Options{SyncValidation: true}).known()
		req, s, k := b.revoking(probe.ReasonUnspecified)
		req.Pair.Module.Issue.Revoke = nil
		facts := runFor(t, 5*time.Second, req)
		wantSuccess(t, facts)
		if s.begun || len(facts.FollowUps) != 1 || k.kept[0] == before[0] {
			t.Errorf("begun %v, follow-ups %v, kept %v", s.begun, facts.FollowUps, k.kept)
		}
	})
}

func TestRevoke(t *testing.T) {
	b, f := revocable(t)
	begun := time.Now()
	facts := b.follow(f)
	wantSuccess(t, facts)
	wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce", "revoke-cert"})
	wantList(t, "steps", steps(facts), []string{"directory", "nonce", "revocation"})
	v := facts.Revocation
	if n := b.noted; len(n) != 1 || n[0].Asked.Before(begun) || n[0].Asked.After(v.At) || len(n[0].Chain) == 0 {
		t.Errorf("noted before the CA was asked: %+v", n)
	}
	if v == nil || v.Serial != f.Revocation.Serial || v.Reason != probe.ReasonSuperseded || v.At.Before(begun) || v.Chain != nil {
		t.Errorf("revocation %+v", v)
	}
	requests := b.ca.Requests()
	var payload struct {
		Certificate string
		Reason      int
	}
	if err := json.Unmarshal(requests[len(requests)-1].Payload, &payload); err != nil {
		t.Fatal(err)
	}
	if der, err := base64.RawURLEncoding.DecodeString(payload.Certificate); err != nil || string(der) != string(f.Revocation.Chain[0]) || payload.Reason != 4 {
		t.Errorf("asked for %+v, %v", payload, err)
	}

	// After a crash nobody knows that it was done.
	facts = b.follow(f)
	wantSuccess(t, facts)
	if last := facts.Calls[len(facts.Calls)-1]; last.Problem == nil || last.Problem.Type != "alreadyRevoked" || facts.Revocation.At.IsZero() {
		t.Errorf("the second time: %+v, %+v", last, facts.Revocation)
	}
}

// TestRevokedBefore holds when a revocation was of which nobody has heard, and where it
// is not known that nobody measures from it.
func TestRevokedBefore(t *testing.T) {
	asked := time.Now().Add(-time.Hour)
	for _, tt := range []struct {
		name     string
		asked    time.Time
		attempts int
		undated  bool
	}{
		{"the answer was lost", asked, 1, false},
		{"the run was cut", asked, 0, false},
		{"one of several", asked, 2, true},
		{"asked by nobody knows whom", time.Time{}, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, f := revocable(t)
			b.ca.Fault(probe.CallRevokeCert, fakeca.Fault{Problem: &fakeca.Problem{Type: "alreadyRevoked"}}, 0)
			f.Created, f.Attempts, f.Revocation.Asked = time.Now().Add(-20*time.Hour), tt.attempts, tt.asked
			begun := time.Now()
			facts := b.follow(f)
			wantSuccess(t, facts)
			v := facts.Revocation
			if v.Undated != tt.undated || !tt.asked.IsZero() && !v.At.Equal(tt.asked) || tt.asked.IsZero() && v.At.Before(begun) || !v.Asked.IsZero() {
				t.Errorf("revocation %+v", v)
			}
		})
	}

	// Without the note it would be dated wrong.
	b, f := revocable(t)
	b.addErr = errors.New("no space left on device")
	facts := b.follow(f)
	wantFailure(t, facts, probe.StepRevocation, probe.FailureLocal, "", "no space left on device")
	if got := names(facts.Calls); got[len(got)-1] == probe.CallRevokeCert {
		t.Errorf("calls %v", got)
	}
}

func TestRevokeUnspecified(t *testing.T) {
	b, f := revocable(t)
	f.Revocation.Reason = probe.ReasonUnspecified
	wantSuccess(t, b.follow(f))
	requests := b.ca.Requests()
	var payload map[string]any
	if err := json.Unmarshal(requests[len(requests)-1].Payload, &payload); err != nil || payload["reason"] != nil {
		t.Errorf("asked for the reason %v, %v", payload["reason"], err)
	}
}

func TestRevokeFails(t *testing.T) {
	for _, tt := range []struct {
		name   string
		call   probe.CallName
		fault  fakeca.Fault
		kind   probe.FailureKind
		object string
		detail string
		drops  bool
	}{
		{"server error", "revoke-cert", fakeca.Fault{Problem: &fakeca.Problem{Type: "serverInternal", Status: 500}}, probe.FailureCall, "", "serverInternal", false},
		{"not ours", "revoke-cert", fakeca.Fault{Problem: &fakeca.Problem{Type: "unauthorized", Status: 403}}, probe.FailureCall, "", "unauthorized", false},
		{"edge", "revoke-cert", fakeca.Fault{HTML: true, Status: 502}, probe.FailureCall, "", "HTTP 502", false},
		{"bad reason", "revoke-cert", fakeca.Fault{Problem: &fakeca.Problem{Type: "badRevocationReason"}}, probe.FailureCall, "", "badRevocationReason", true},
		{"not offered", "directory", fakeca.Fault{Edit: fakeca.Without("revokeCert")}, probe.FailureUnsupported, "directory", "no revokeCert", true},
		{"not https", "directory", fakeca.Fault{Edit: fakeca.Set("revokeCert", "http://ca.example/revoke")}, probe.FailureProtocol, "url", "revokeCert is not https, but http", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, f := revocable(t)
			before := len(b.list())
			b.ca.Fault(tt.call, tt.fault, 0)
			facts := b.follow(f)
			wantFailure(t, facts, probe.StepRevocation, tt.kind, tt.object, tt.detail)
			if dropped := len(b.list()) > before; dropped != tt.drops {
				t.Errorf("events %v, dropped %v, want %v", b.list()[before:], dropped, tt.drops)
			}
			if !facts.Revocation.At.IsZero() || facts.Revocation.GivenUp != tt.drops {
				t.Errorf("revocation %+v", facts.Revocation)
			}
		})
	}
}

// TestRevokeGivenUp holds that it is tried for a day to revoke a certificate, and that
// the last try says that it has come to nothing, whatever was in its way.
func TestRevokeGivenUp(t *testing.T) {
	serverInternal := fakeca.Fault{Problem: &fakeca.Problem{Type: "serverInternal", Status: 500}}
	for _, tt := range []struct {
		name  string
		call  probe.CallName
		fault fakeca.Fault
		ago   time.Duration
		kind  probe.FailureKind // empty: it is revoked
		over  bool
	}{
		{"not for a day", "revoke-cert", serverInternal, revokeLasts - time.Minute, probe.FailureCall, false},
		{"for a day", "revoke-cert", serverInternal, revokeLasts, probe.FailureCall, true},
		{"too often", "revoke-cert", fakeca.Fault{Problem: &fakeca.Problem{Type: "rateLimited", Status: 429}}, revokeLasts, probe.FailureCall, true},
		{"not reached", "directory", fakeca.Fault{Status: 503}, revokeLasts, probe.FailureCall, true},
		{"late", "revoke-cert", fakeca.Fault{Problem: &fakeca.Problem{Type: "alreadyRevoked"}}, revokeLasts, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, f := revocable(t)
			f.Created = time.Now().Add(-tt.ago)
			before := len(b.list())
			b.ca.Fault(tt.call, tt.fault, 0)
			facts := b.follow(f)
			if got := facts.Failure; (got == nil) != (tt.kind == "") || got != nil && got.Kind != tt.kind {
				t.Errorf("failure %+v, want %s", got, tt.kind)
			}
			r := probe.Result{FollowUp: f.Kind, Facts: facts}
			if missing := r.MissingRevocation(); (missing == probe.ViaAPI) != tt.over || !tt.over && missing != "" {
				t.Errorf("missing %q, want it to be given up: %v", missing, tt.over)
			}
			if tt.over && (facts.Revocation.Serial != f.Revocation.Serial || facts.Revocation.Chain != nil || !slices.Equal(b.list()[before:], []string{"drop"})) {
				t.Errorf("revocation %+v, events %v", facts.Revocation, b.list()[before:])
			}
		})
	}

	// What is to be told of first, left to another follow-up, or cut, is not given up.
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	wantSuccess(t, b.run(probe.ProberIssue))
	f := probe.FollowUp{
		ID: "1", Kind: probe.FollowUpRevoke, URL: b.ca.OrderURL(0), Created: time.Now().Add(-revokeLasts),
		Revocation: &probe.Revocation{Reason: probe.ReasonUnspecified}, Forbidden: &probe.Forbidden{Expected: probe.ProblemUnauthorized, Identifier: "a.example"},
	}
	facts := b.follow(f)
	wantAccusation(t, facts, probe.RefusalMisissued, "certificate", "")
	if slices.Contains(b.list(), "drop") || facts.Revocation != nil {
		t.Errorf("events %v, revocation %+v", b.list(), facts.Revocation)
	}
	facts = b.follow(told(f))
	wantSuccess(t, facts)
	if facts.Revocation != nil || len(facts.FollowUps) != 1 {
		t.Errorf("revocation %+v, follow-ups %v", facts.Revocation, facts.FollowUps)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b, f = revocable(t)
	f.Created = time.Now().Add(-revokeLasts)
	req := b.request(probe.ProberIssue)
	req.FollowUp = &f
	if facts := Run(ctx, req); facts.Failure == nil || facts.Failure.Kind != probe.FailureCanceled || facts.Revocation != nil {
		t.Errorf("failure %+v, revocation %+v", facts.Failure, facts.Revocation)
	}
}

// TestRevokeOrder holds that a follow-up that was left before there was a certificate
// finds it by the order, and leaves it to another one.
func TestRevokeOrder(t *testing.T) {
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	facts := b.run(probe.ProberIssue)
	wantSuccess(t, facts)
	f := probe.FollowUp{
		ID: "1", Kind: probe.FollowUpRevoke, URL: b.ca.OrderURL(0), Created: time.Now(),
		Revocation: &probe.Revocation{Reason: probe.ReasonUnspecified},
	}
	facts = b.follow(f)
	wantSuccess(t, facts)
	wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce", "order", "certificate"})
	if len(facts.FollowUps) != 1 {
		t.Fatalf("follow-ups %v", facts.FollowUps)
	}
	next := facts.FollowUps[0]
	if next.Kind != probe.FollowUpRevoke || next.Revocation.Serial == "" || len(next.Revocation.Chain) != 2 {
		t.Errorf("follow-up %+v", next)
	}
	facts = b.follow(next)
	wantSuccess(t, facts)
	wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce", "revoke-cert"})

	refused := func(o map[string]any) {
		o["status"], o["error"] = "invalid", map[string]any{"type": "urn:ietf:params:acme:error:caa", "status": 403}
	}
	for _, tt := range []struct {
		name  string
		call  probe.CallName
		fault fakeca.Fault
		age   time.Duration
		kind  probe.FailureKind // empty: nothing is left to be done
		// finalized is the kind where the order was; lost says that nobody will know more.
		finalized probe.FailureKind
		lost      bool
	}{
		{"pending", "order", fakeca.Fault{Edit: fakeca.Set("status", "pending")}, 0, "", "", false},
		{"invalid", "order", fakeca.Fault{Edit: fakeca.Set("status", "invalid")}, 0, "", probe.FailureObject, true},
		{"ready", "order", fakeca.Fault{Edit: fakeca.Set("status", "ready")}, time.Hour, "", "", false},
		{"ready a moment ago", "order", fakeca.Fault{Edit: fakeca.Set("status", "ready")}, 0, probe.FailureTimeout, probe.FailureTimeout, false},
		{"processing", "order", fakeca.Fault{Edit: fakeca.Set("status", "processing")}, time.Hour, probe.FailureTimeout, probe.FailureTimeout, false},
		{"gone", "order", fakeca.Fault{Problem: &fakeca.Problem{Type: "malformed", Status: 404}}, 0, "", probe.FailureObject, true},
		{"deactivated", "order", fakeca.Fault{Edit: fakeca.Set("status", "deactivated")}, 0, "", probe.FailureObject, true},
		{"refused", "order", fakeca.Fault{Edit: refused}, 0, "", "", false},
		{"gone, says the edge", "order", fakeca.Fault{HTML: true, Status: 404}, 0, probe.FailureCall, probe.FailureCall, false},
		{"no certificate", "certificate", fakeca.Fault{Problem: &fakeca.Problem{Type: "serverInternal", Status: 500}}, 0, probe.FailureRefusal, probe.FailureRefusal, false}, // there is one
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.ca.Heal()
			b.ca.Fault(tt.call, tt.fault, 0)
			for _, finalized := range []bool{false, true} {
				f, want := f, tt.kind
				f.Created = f.Created.Add(-tt.age)
				f.Forbidden = &probe.Forbidden{Expected: probe.ProblemUnauthorized, Identifier: "a.example", Finalized: finalized}
				if finalized {
					want = tt.finalized
				}
				before := len(b.list())
				facts := b.follow(f)
				if len(facts.FollowUps) != 0 {
					t.Errorf("finalized %v: follow-ups %v", finalized, facts.FollowUps)
				}
				if dropped := len(b.list()) > before; dropped != (tt.lost && finalized) {
					t.Errorf("finalized %v: dropped %v", finalized, dropped)
				}
				if given := facts.Revocation != nil && facts.Revocation.GivenUp; given != (tt.lost && finalized) {
					t.Errorf("finalized %v: given up %v", finalized, given)
				}
				if want == "" {
					wantSuccess(t, facts)
				} else if got := facts.Failure; got == nil || got.Kind != want || tt.lost && !strings.Contains(got.Detail, "cannot be known any more") {
					t.Errorf("finalized %v: failure %+v, want %s", finalized, got, want)
				}
			}
		})
	}
}

// TestRevokeOfNothing holds that a follow-up that was stored damaged ends.
func TestRevokeOfNothing(t *testing.T) {
	b := newBench(t, fakeca.Options{}).known()
	facts := b.follow(probe.FollowUp{ID: "1", Kind: probe.FollowUpRevoke})
	wantFailure(t, facts, probe.StepSetup, probe.FailureLocal, "revocation", "does not say what to revoke")
	wantList(t, "events", b.list(), []string{"drop"})
}
