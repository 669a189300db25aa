package waterfall

import (
	"slices"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestRevocation holds what a run says of the revocation that it has to do with.
func TestRevocation(t *testing.T) {
	at, took := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC), 12*time.Minute+300*time.Millisecond
	const begins = "serial 2a, reason superseded, revoked at 2026-07-01T12:00:00Z"
	for _, tt := range []struct {
		of   probe.Revocation
		want string
	}{
		{probe.Revocation{}, "serial 2a, reason superseded"},
		{probe.Revocation{GivenUp: true}, "serial 2a, reason superseded, which the CA has not taken, and is given up"},
		{probe.Revocation{At: at}, begins},
		{probe.Revocation{At: at, Via: probe.ViaCRL}, begins + ", does not show by crl yet"},
		{probe.Revocation{At: at, Via: probe.ViaOCSP, Shown: at.Add(took), Propagation: &took}, begins + ", shows by ocsp after 12m0s"},
		{probe.Revocation{At: at, Via: probe.ViaCRL, Shown: at.Add(took)}, begins + ", shows by crl; nobody has looked for a while before"},
		{probe.Revocation{At: at, Via: probe.ViaCRL, GivenUp: true}, begins + ", does not show by crl, and is given up"},
	} {
		tt.of.Serial, tt.of.Reason = "2a", probe.ReasonSuperseded
		r := &probe.Result{Facts: probe.Facts{Revocation: &tt.of}}
		if list := facts(r); !slices.Contains(list, Fact{Label: "revocation", Value: tt.want}) {
			t.Errorf("%+v, want %q", list, tt.want)
		}
	}
	left := &probe.Result{Facts: probe.Facts{FollowUps: []probe.FollowUp{
		{Kind: probe.FollowUpRevoke, Revocation: &probe.Revocation{Serial: "2a", Reason: probe.ReasonSuperseded}},
		{Kind: probe.FollowUpWatchRevocation, Revocation: &probe.Revocation{Serial: "2a", Reason: probe.ReasonSuperseded, Via: probe.ViaCRL}},
	}}}
	want := []Fact{
		{Label: "to follow up", Value: "revoke: serial 2a, reason superseded"},
		{Label: "to follow up", Value: "watch_revocation: serial 2a, by crl"},
	}
	if list := facts(left); !slices.Equal(list, want) {
		t.Errorf("%+v, want %+v", list, want)
	}
}
