package verdict

import (
	"net/http"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestStatusPage holds that a status page that cannot be read is never the CA's
// failure, whatever has happened to it, and never one that nobody knows whose it is.
func TestStatusPage(t *testing.T) {
	refused := &probe.CallError{Phase: probe.PhaseConnect, Cause: probe.CauseRefused}
	late := &probe.CallError{Phase: probe.PhaseResponse, Cause: probe.CauseTimeout}
	stopped := &probe.CallError{Phase: probe.PhaseResponse, Cause: probe.CauseCanceled}
	alive, dead := []probe.Control{{Alive: true}}, []probe.Control{{Alive: false}}
	for name, tt := range map[string]struct {
		kind     probe.FailureKind
		status   int
		err      *probe.CallError
		controls []probe.Control
		reason   probe.Reason
		fault    probe.Fault
		asks     bool // controls
	}{
		"refused":                  {probe.FailureCall, 0, refused, nil, StatusPageUnavailable, probe.FaultUnreachable, true},
		"refused, controls alive":  {probe.FailureCall, 0, refused, alive, StatusPageUnavailable, probe.FaultUnreachable, true},
		"refused, controls dead":   {probe.FailureCall, 0, refused, dead, StatusPageUnavailable, probe.FaultLocal, true},
		"late":                     {probe.FailureCall, 0, late, nil, StatusPageUnavailable, probe.FaultUnreachable, true},
		"404":                      {probe.FailureCall, http.StatusNotFound, nil, dead, StatusPageUnavailable, probe.FaultUnreachable, false},
		"429":                      {probe.FailureCall, http.StatusTooManyRequests, nil, nil, StatusPageUnavailable, probe.FaultUnreachable, false},
		"502":                      {probe.FailureCall, http.StatusBadGateway, nil, nil, StatusPageUnavailable, probe.FaultUnreachable, false},
		"cut short":                {probe.FailureCall, http.StatusOK, &probe.CallError{Phase: probe.PhaseBody, Cause: probe.CauseTooLarge}, nil, StatusPageUnavailable, probe.FaultUnreachable, false},
		"no status page":           {probe.FailureProtocol, http.StatusOK, nil, nil, StatusPageUnreadable, probe.FaultClient, false},
		"no such component":        {probe.FailureClient, http.StatusOK, nil, nil, Configuration, probe.FaultClient, false},
		"while the exporter stops": {probe.FailureCall, 0, stopped, nil, Canceled, probe.FaultNone, false},
	} {
		f := &probe.Facts{
			Calls:   []probe.Call{{Name: probe.CallStatusPage, URL: "https://status.example/", Status: tt.status, Error: tt.err}},
			Failure: &probe.Failure{Step: probe.StepStatusPage, Kind: tt.kind, Object: "status page"},
		}
		v := Judge(f, Context{Prober: probe.ProberStatusPage, Controls: tt.controls})
		if v.Reason != tt.reason || v.Fault != tt.fault || v.Stage != probe.StepStatusPage {
			t.Errorf("%s: %+v, want %s of %q", name, v, tt.reason, tt.fault)
		}
		if got := Unreached(f); got != tt.asks {
			t.Errorf("%s: controls are asked: %t", name, got)
		}
	}
}
