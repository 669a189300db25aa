package prober

import (
	"context"
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

// TestDiscovered holds that a certificate that comes after the run is told of by the
// follow-up that finds it, with the certificate itself, as far as the run could prove it.
func TestDiscovered(t *testing.T) {
	t.Parallel()
	late := fakeca.Fault{Edit: fakeca.Set("status", "processing")}
	for _, tt := range []struct {
		name, expected string
		call           probe.CallName
		fault          fakeca.Fault
		visits         []probe.Visit
		killed         bool              // the run has no end
		kind           probe.RefusalKind // empty: the run has told of it
		detail         string
	}{
		{"late", "unauthorized", probe.CallOrder, late, nil, false, probe.RefusalMisissued, "nobody got the challenge's answer from us; it was found after the run"},
		{"late, with a doubt", "unauthorized", probe.CallOrder, late, []probe.Visit{toldAnswer}, false, probe.RefusalUnproven, "; but somebody got an answer"},
		{"late, CAA", "caa", probe.CallOrder, late, []probe.Visit{sawCAA, toldAnswer}, false, probe.RefusalUnproven, "; but it may have looked for the CAA record again after the run"},
		{"killed", "unauthorized", probe.CallOrder, late, nil, true, probe.RefusalUnproven, "; but the run that ordered it was cut"},
		{"not handed out", "unauthorized", probe.CallCertificate, fakeca.Fault{Status: 404}, nil, false, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fakeca.Options{Challenges: withoutPersist, AsyncFinalize: true}).known()
			b.ca.Fault(tt.call, tt.fault, 0)
			req := b.refusing(tt.expected, tt.visits...)
			var first *probe.FollowUp
			req.FollowUps = storing{req.FollowUps, &first}
			facts := runFor(t, 3*time.Second, req)
			f := left(t, facts, probe.FollowUpRevoke)
			if tt.killed {
				f = *first
			}
			b.ca.Heal()
			facts = b.follow(f)
			checkEvidenceOnly(t, facts)
			if next := left(t, facts, probe.FollowUpRevoke); len(next.Revocation.Chain) == 0 {
				t.Errorf("it is not revoked: %+v", next)
			}
			if facts.Refusal == nil || facts.Refusal.Expected != tt.expected {
				t.Errorf("refusal %+v", facts.Refusal)
			}
			if tt.kind == "" {
				wantSuccess(t, facts)
				return
			}
			got := facts.Failure
			if got == nil || got.Kind != probe.FailureRefusal || got.Refusal != tt.kind || got.Object != "certificate" || got.Identifier == "" || !strings.Contains(got.Detail, tt.detail) {
				t.Fatalf("failure %+v", got)
			}
			if list := b.list(); list[len(list)-1] != "drop" {
				t.Errorf("it will be told of again: %v", list)
			}
		})
	}
}

// storing notes the first follow-up that revokes, as it was stored first.
type storing struct {
	FollowUps
	first **probe.FollowUp
}

func (s storing) Add(f probe.FollowUp) error {
	if *s.first == nil && f.Kind == probe.FollowUpRevoke {
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
// run, though nobody got an answer, is told of by the follow-up that deactivates it.
func TestDiscoveredAuthorization(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	b := newBench(t, fakeca.Options{Challenges: withoutPersist, Validate: func(ctx context.Context, _ probe.Challenge) error {
		select {
		case <-over:
		case <-ctx.Done():
		}
		return nil
	}}).known()
	facts := runFor(t, 2*time.Second, b.refusing("unauthorized"))
	if facts.Failure == nil || facts.Failure.Kind != probe.FailureTimeout {
		t.Fatalf("failure %+v", facts.Failure)
	}
	f := left(t, facts, probe.FollowUpDeactivateAuthz)
	close(over)
	for end := time.Now().Add(time.Minute); b.ca.Authorizations()[0].Status != "valid"; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("authorizations %+v", b.ca.Authorizations())
		}
	}
	facts = b.follow(f)
	if got := facts.Failure; got == nil || got.Refusal != probe.RefusalMisauthorized || got.Object != "authorization" || facts.Misissued() != probe.MisissuedAuthorization {
		t.Errorf("failure %+v", got)
	}
	if a := b.ca.Authorizations()[0]; a.Status != "deactivated" {
		t.Errorf("authorization %+v", a)
	}
	if list := b.list(); list[len(list)-1] != "drop" {
		t.Errorf("it will be told of again: %v", list)
	}
}
