package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
)

// blame is what matters of a verdict.
type blame struct {
	stage  probe.StepName
	reason probe.Reason
	fault  probe.Fault
}

// TestOutage goes through the modes of the outage switch, and holds where each
// prober notices, and whom it blames.
func TestOutage(t *testing.T) {
	t.Parallel()
	pebble, exporter := setUp(t)

	well := blame{}
	database := blame{probe.StepOrder, verdict.ServerInternal, probe.FaultCA}
	validators := blame{probe.StepValidation, verdict.ServerInternal, probe.FaultCA}
	resolver := blame{probe.StepValidation, verdict.ValidationDNS, probe.FaultUnknown}
	signer := blame{probe.StepFinalization, verdict.ServerInternal, probe.FaultCA}
	edge := blame{probe.StepDirectory, verdict.Edge5xx, probe.FaultCA}
	for _, test := range []struct {
		mode                              string
		directory, order, validate, issue blame
		// problem is the one embedded in what a failed issuance asked for last;
		// empty: the answer itself is one.
		problem string
		// silent: no status tells.
		silent bool
	}{
		{"off", well, well, well, well, "", true},
		{"db-down", well, database, database, database, "", false},
		{"va-down", well, well, validators, validators, "500 serverInternal: Could not communicate with VA", true},
		{"off", well, well, well, well, "", true},
		{"resolver-down", well, well, resolver, resolver, "400 dns: DNS problem: query timed out looking up A for NAME", true},
		{"signing-down", well, well, well, signer, "500 serverInternal: Error finalizing order", true},
		{"signing-down-sync", well, well, well, signer, "", false},
		{"slow", well, well, well, well, "", true},
		{"cdn-error", edge, edge, edge, edge, "", false},
		{"off", well, well, well, well, "", true},
	} {
		pebble.Outage(test.mode)
		for _, module := range []struct {
			name string
			want blame
		}{
			{"directory", test.directory}, {"order", test.order}, {"validate", test.validate}, {"issue_http", test.issue},
		} {
			result := exporter.RunNow(module.name)
			if got := (blame{result.Verdict.Stage, result.Verdict.Reason, result.Verdict.Fault}); got != module.want {
				t.Errorf("%s, %s: got %+v, want %+v: %s", test.mode, module.name, got, module.want, result.Verdict.Summary)
			}
			if module.want == well {
				continue
			}
			checkOutage(t, test.mode, test.problem, test.silent, result)
		}
	}
}

// checkOutage looks at how a run came to fail.
func checkOutage(t *testing.T, mode, problem string, silent bool, result *probe.Result) {
	t.Helper()
	f := result.Failure
	if f == nil {
		t.Errorf("%s, %s: no failure", mode, result.Pair.Module)
		return
	}
	if f.Step == probe.StepValidation && len(result.Visits) > 0 {
		t.Errorf("%s, %s: %d validators came", mode, result.Pair.Module, len(result.Visits))
	}
	told := false
	for _, call := range result.Calls {
		told = told || call.Status >= 300
	}
	if told == silent {
		t.Errorf("%s, %s: a status tells of it: %t", mode, result.Pair.Module, told)
	}
	got := ""
	if f.Problem != nil {
		got = fmt.Sprintf("%d %s: %s", f.Problem.Status, f.Problem.Type, f.Problem.Detail)
	}
	if want := strings.ReplaceAll(problem, "NAME", f.Identifier); got != want {
		t.Errorf("%s, %s: the embedded problem is %q, want %q", mode, result.Pair.Module, got, want)
	}
}
