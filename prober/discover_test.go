package prober

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// left returns the follow-up of that kind which the run has left.
func left(t *testing.T, facts probe.Facts, kind probe.FollowUpKind) probe.FollowUp {
	t.Helper()
	i := slices.IndexFunc(facts.FollowUps, func(f probe.FollowUp) bool { return f.Kind == kind })
	if i < 0 {
		t.Fatalf("no follow-up %s, failure %+v", kind, facts.Failure)
	}
	return facts.FollowUps[i]
}

// told returns the follow-up as it is when what it may find was told.
func told(f probe.FollowUp) probe.FollowUp {
	known := *f.Forbidden
	known.Told = true
	f.Forbidden = &known
	return f
}

// TestDiscovered holds that a certificate that comes after the run is told of by the
// follow-up that finds it, with the certificate itself, as far as the run could prove
// it, and revoked when that was told.
func TestDiscovered(t *testing.T) {
	t.Parallel()
	late := fakeca.Fault{Edit: fakeca.Set("status", "processing")}
	for _, tt := range []struct {
		name, expected string
		call           probe.CallName
		fault          fakeca.Fault
		visits         []probe.Visit
		killed         bool              // the run has no end
		run            probe.Misissuance // what it tells itself
		kind           probe.RefusalKind // empty: the run has told of it
		detail         string
	}{
		// An authorization first, and then a certificate: the CA gave either.
		{"late", "unauthorized", probe.CallOrder, late, nil, false, probe.MisissuedAuthorization, probe.RefusalMisissued, "nobody got the challenge's answer from us; it was found after the run"},
		{"late, with a doubt", "unauthorized", probe.CallOrder, late, []probe.Visit{toldAnswer}, false, "", probe.RefusalUnproven, "; but somebody got an answer"},
		{"late, CAA", "caa", probe.CallOrder, late, []probe.Visit{sawCAA, toldAnswer}, false, "", probe.RefusalUnproven, "; but it may have looked for the CAA record again after the run"},
		{"killed", "unauthorized", probe.CallOrder, late, nil, true, probe.MisissuedAuthorization, probe.RefusalUnproven, "; but the run that ordered it was cut"},
		{"not handed out", "unauthorized", probe.CallCertificate, fakeca.Fault{Status: 404}, nil, false, probe.MisissuedCertificate, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fakeca.Options{Challenges: withoutPersist, AsyncFinalize: true}).known()
			b.ca.Fault(tt.call, tt.fault, 0)
			req := b.refusing(tt.expected, tt.visits...)
			var first *probe.FollowUp
			req.FollowUps = storing{req.FollowUps, probe.FollowUpRevoke, &first}
			facts := runFor(t, 3*time.Second, req)
			f := left(t, facts, probe.FollowUpRevoke)
			if facts.Misissued() != tt.run {
				t.Errorf("the run tells of %q, want %q", facts.Misissued(), tt.run)
			}
			if tt.killed {
				f = *first
			}
			b.ca.Heal()
			if tt.kind != "" {
				facts = b.follow(f)
				checkEvidenceOnly(t, facts)
				wantAccusation(t, facts, tt.kind, "certificate", tt.detail)
			}
			before := len(b.list())
			facts = b.follow(told(f))
			wantSuccess(t, facts)
			checkEvidenceOnly(t, facts)
			if next := left(t, facts, probe.FollowUpRevoke); len(next.Revocation.Chain) == 0 || next.Forbidden != nil {
				t.Errorf("it is not revoked: %+v", next)
			}
			if facts.Refusal == nil || facts.Refusal.Expected != tt.expected {
				t.Errorf("refusal %+v", facts.Refusal)
			}
			wantList(t, "events", b.list()[before:], []string{"add revoke"})
		})
	}
}

// wantAccusation holds that a follow-up accuses the CA, and has not done anything else:
// that is for when it is stored that it was told.
func wantAccusation(t *testing.T, facts probe.Facts, kind probe.RefusalKind, object, detail string) {
	t.Helper()
	got := facts.Failure
	if got == nil || got.Kind != probe.FailureRefusal || got.Refusal != kind || got.Object != object || got.Identifier == "" || !strings.Contains(got.Detail, detail) || facts.Refusal == nil {
		t.Fatalf("failure %+v", got)
	}
	if len(facts.FollowUps) > 0 || slices.Contains(names(facts.Calls), probe.CallRevokeCert) || slices.Contains(names(facts.Calls), probe.CallDeactivateAuthz) {
		t.Errorf("calls %v, follow-ups %v", names(facts.Calls), facts.FollowUps)
	}
}

// TestDiscoveredNotHandedOut holds that a certificate that the CA has issued after the
// run, and does not hand out, is told of all the same.
func TestDiscoveredNotHandedOut(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		call   probe.CallName
		fault  fakeca.Fault
		detail string
	}{
		"404":    {probe.CallCertificate, fakeca.Fault{Status: 404}, "; it was found after the run; then: certificate answered HTTP 404"},
		"no URL": {probe.CallOrder, fakeca.Fault{Edit: fakeca.Set("certificate", "")}, "; then: the valid order's certificate is not an absolute https URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fakeca.Options{Challenges: withoutPersist, AsyncFinalize: true}).known()
			b.ca.Fault(probe.CallOrder, fakeca.Fault{Edit: fakeca.Set("status", "processing")}, 0)
			f := left(t, runFor(t, 3*time.Second, b.refusing("unauthorized")), probe.FollowUpRevoke)
			b.ca.Heal()
			b.ca.Fault(fault.call, fault.fault, 0)
			wantAccusation(t, b.follow(f), probe.RefusalMisissued, "certificate", fault.detail)
			// It is looked for again, and there is no more to tell.
			if facts := b.follow(told(f)); facts.Failure == nil || facts.Misissued() != "" {
				t.Errorf("failure %+v", facts.Failure)
			}
		})
	}
}

// TestDiscoveredInRun holds that the certificate that a run has downloaded is told of by
// what revokes it, if the run is killed before anybody heard of it.
func TestDiscoveredInRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{Challenges: withoutPersist}).known()
	facts := runFor(t, time.Minute, b.refusing("unauthorized"))
	f := left(t, facts, probe.FollowUpRevoke)
	if facts.Misissued() != probe.MisissuedCertificate || len(f.Revocation.Chain) != 2 {
		t.Fatalf("failure %+v, follow-up %+v", facts.Failure, f)
	}
	again := b.follow(f)
	wantAccusation(t, again, probe.RefusalMisissued, "certificate", "; it was found after the run")
	checkEvidenceOnly(t, again)
	if again.Certificate.PEM != facts.Certificate.PEM {
		t.Errorf("certificate %+v", again.Certificate)
	}
	if facts := b.follow(told(f)); facts.Revocation == nil || !slices.Contains(names(facts.Calls), probe.CallRevokeCert) {
		t.Errorf("it is not revoked: %+v, calls %v", facts.Failure, names(facts.Calls))
	}
}

// storing notes the first follow-up of that kind, as it was stored first.
type storing struct {
	FollowUps
	kind  probe.FollowUpKind
	first **probe.FollowUp
}

func (s storing) Add(f probe.FollowUp) error {
	if *s.first == nil && f.Kind == s.kind {
		*s.first = &f
	}
	return s.FollowUps.Add(f)
}

// checkEvidenceOnly holds that the certificate is kept as it is, and that nothing in it
// is held against the CA beside.
func checkEvidenceOnly(t *testing.T, facts probe.Facts) {
	t.Helper()
	if c := facts.Certificate; c == nil || !strings.Contains(c.PEM, "BEGIN CERTIFICATE") || c.Serial == "" || len(c.Checks) != 0 {
		t.Fatalf("certificate %+v, failure %+v", c, facts.Failure)
	}
}

// TestDiscoveredAuthorization holds that an authorization that becomes valid after the
// run, though nobody got an answer, is told of by the follow-up that deactivates it,
// whether that is possible or not.
func TestDiscoveredAuthorization(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]*fakeca.Fault{
		"deactivated": nil,
		"as step-ca":  {Problem: &fakeca.Problem{Type: "malformed"}},
		"broken":      {Problem: &fakeca.Problem{Type: "serverInternal", Status: 500}},
	} {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, killed %v", name, killed), func(t *testing.T) {
				t.Parallel()
				testDiscoveredAuthorization(t, fault, killed)
			})
		}
	}
}

// testDiscoveredAuthorization has deactivation meet the fault; nil: none.
func testDiscoveredAuthorization(t *testing.T, fault *fakeca.Fault, killed bool) {
	over := make(chan struct{})
	b := newBench(t, fakeca.Options{Challenges: withoutPersist, Validate: func(ctx context.Context, _ probe.Challenge) error {
		select {
		case <-over:
		case <-ctx.Done():
		}
		return nil
	}}).known()
	req := b.refusing("unauthorized")
	var first *probe.FollowUp
	req.FollowUps = storing{req.FollowUps, probe.FollowUpDeactivateAuthz, &first}
	facts := runFor(t, 2*time.Second, req)
	if facts.Failure == nil || facts.Failure.Kind != probe.FailureTimeout && !cutInFlight(facts) {
		t.Fatalf("failure %+v", facts.Failure)
	}
	f, kind := left(t, facts, probe.FollowUpDeactivateAuthz), probe.RefusalMisauthorized
	if killed {
		f, kind = *first, probe.RefusalUnproven
	}
	close(over)
	for end := time.Now().Add(time.Minute); b.ca.Authorizations()[0].Status != "valid"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("authorizations %+v", b.ca.Authorizations())
		}
	}
	if fault != nil {
		b.ca.Fault(probe.CallDeactivateAuthz, *fault, 0)
	}
	facts = b.follow(f)
	wantAccusation(t, facts, kind, "authorization", "; it was found after the run")
	if facts = b.follow(told(f)); facts.Misissued() != "" || (facts.Failure == nil) != (fault == nil) {
		t.Errorf("failure %+v", facts.Failure)
	}
	if a := b.ca.Authorizations()[0]; (a.Status == "deactivated") != (fault == nil) {
		t.Errorf("authorization %+v", a)
	}
}
