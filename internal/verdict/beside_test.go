package verdict

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// flawed is a run that found the flaw in an answer of that status.
func flawed(kind probe.FlawKind, status int) *probe.Facts {
	return &probe.Facts{
		Calls:   []probe.Call{{Name: probe.CallSite, URL: "https://site.example/", Status: status, End: time.Second}},
		Failure: &probe.Failure{Step: probe.StepSite, Kind: probe.FailureFlaw, Flaw: kind, Object: "site", Detail: "what was wrong"},
	}
}

// Each flaw is a reason of its own and the CA's fault, whatever the status of the
// answer.
func TestFlaws(t *testing.T) {
	for _, kind := range probe.Flaws() {
		for _, status := range []int{http.StatusOK, http.StatusNotFound, http.StatusBadGateway} {
			v := Judge(flawed(kind, status), Context{Prober: probe.ProberSite})
			if v.Reason != probe.Reason(kind) || v.Fault != probe.FaultCA || v.Outcome != probe.OutcomeFailure || v.Stage != probe.StepSite {
				t.Errorf("%s, HTTP %d: %+v", kind, status, v)
			}
			if !strings.Contains(v.Summary, "what was wrong") {
				t.Errorf("%s: summary %q", kind, v.Summary)
			}
		}
	}
	if v := Judge(flawed("other", http.StatusOK), Context{}); v.Reason != Unclassified {
		t.Errorf("an unknown flaw: %+v", v)
	}
}

// What is stale by a clock of ours that is wrong is not the CA's fault.
func TestStaleBySkew(t *testing.T) {
	start := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for kind, want := range map[probe.FlawKind]probe.Fault{
		probe.FlawCRLStale: probe.FaultLocal, probe.FlawOCSPStale: probe.FaultLocal, probe.FlawCRLSignature: probe.FaultCA,
	} {
		f := flawed(kind, http.StatusOK)
		f.Calls[0].Date = start.Add(-48 * time.Hour)
		if v := Judge(f, Context{Start: start}); v.Fault != want {
			t.Errorf("%s: %+v, want the fault %s", kind, v, want)
		}
		f.Calls[0].Date = start
		if v := Judge(f, Context{Start: start}); v.Fault != probe.FaultCA {
			t.Errorf("%s, clock right: %+v", kind, v)
		}
	}
}

func TestNotApplicable(t *testing.T) {
	f := &probe.Facts{Failure: &probe.Failure{Step: probe.StepSetup, Kind: probe.FailureNotApplicable, Call: -1, Detail: "no responder"}}
	if v := Judge(f, Context{Prober: probe.ProberOCSP}); v.Outcome != probe.OutcomeSkipped || v.Reason != NotApplicable || v.Fault != "" {
		t.Errorf("%+v", v)
	}
}
