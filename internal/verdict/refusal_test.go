package verdict_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
)

// expecting returns f as that of a run that the CA has to refuse with the problem.
func expecting(problem string, f *probe.Facts) *probe.Facts {
	f.Refusal = &probe.Refusal{Expected: problem}
	return f
}

// TestNotRefused holds the verdict on each way of not refusing.
func TestNotRefused(t *testing.T) {
	for kind, want := range map[probe.RefusalKind]probe.Fault{
		probe.RefusalMisissued: probe.FaultCA, probe.RefusalMisauthorized: probe.FaultCA,
		probe.RefusalUnproven: probe.FaultUnknown, probe.RefusalMissing: probe.FaultUnknown,
	} {
		// Whatever its last call came to.
		f := expecting("unauthorized", failed(probe.FailureRefusal, probe.StepFinalization, answered(probe.CallCertificate, probe.StepDownload, 500, nil)))
		f.Failure.Refusal = kind
		if got := judge(f); got != failure(probe.StepFinalization, probe.Reason(kind), want) {
			t.Errorf("%s: %v", kind, got)
		}
	}
	f := failed(probe.FailureRefusal, probe.StepFinalization, directoryCall())
	if got := judge(f); got != failure(probe.StepFinalization, verdict.Unclassified, probe.FaultUnknown) {
		t.Errorf("no kind: %v", got)
	}
	if len(probe.Refusals()) != 4 {
		t.Errorf("%v", probe.Refusals())
	}
}

// TestRefusedOtherwise holds that visitors who were told nothing, as it has to be, do
// not make a failed validation ours.
func TestRefusedOtherwise(t *testing.T) {
	told := []probe.Visit{{Challenge: probe.HTTP01, Identifier: "a.example", Asked: "GET", Answered: "404"}}
	for _, tt := range []struct {
		expected, problem string
		elsewhere         bool
		want              judgement
	}{
		{"unauthorized", "dns", false, failure(probe.StepValidation, verdict.RefusedOtherwise, probe.FaultUnknown)},
		{"unauthorized", "connection", true, failure(probe.StepValidation, verdict.RefusedOtherwise, probe.FaultUnknown)},
		{"unauthorized", "tls", false, failure(probe.StepValidation, verdict.RefusedOtherwise, probe.FaultUnknown)},
		{"unauthorized", "serverInternal", false, failure(probe.StepValidation, verdict.ServerInternal, probe.FaultCA)},
		{"unauthorized", "caa", false, failure(probe.StepValidation, verdict.CAA, probe.FaultClient)},
		{"caa", "connection", false, failure(probe.StepValidation, verdict.ValidationConnection, probe.FaultLocal)},
		{"", "connection", false, failure(probe.StepValidation, verdict.ValidationConnection, probe.FaultLocal)},
	} {
		f := object(probe.StepValidation, "challenge", &probe.Problem{Type: tt.problem, Status: 400})
		f.Failure.Identifier, f.Visits = "a.example", told
		if tt.expected != "" {
			expecting(tt.expected, f)
		}
		v := verdict.Judge(f, verdict.Context{ServedElsewhere: tt.elsewhere})
		if got := (judgement{v.Outcome, v.Stage, v.Reason, v.Fault}); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
	// That it does not come to an end is not ours either.
	stuck := expecting("unauthorized", failed(probe.FailureTimeout, probe.StepValidation, directoryCall()))
	stuck.Visits = told
	for _, elsewhere := range []bool{false, true} {
		v := verdict.Judge(stuck, verdict.Context{ServedElsewhere: elsewhere})
		if v.Reason != verdict.RefusedOtherwise || v.Fault != probe.FaultUnknown || !strings.Contains(v.Summary, "the CA has not refused in time") {
			t.Errorf("stuck, another CA: %v: %+v", elsewhere, v)
		}
	}
	// Unless the CA says what it is that goes on.
	for problem, want := range map[string]judgement{
		"unauthorized":   failure(probe.StepValidation, verdict.RefusedOtherwise, probe.FaultUnknown),
		"serverInternal": failure(probe.StepValidation, verdict.ServerInternal, probe.FaultCA),
	} {
		stuck.Failure.Problem = &probe.Problem{Type: problem}
		if got := judge(stuck); got != want {
			t.Errorf("stuck with %s: %v", problem, got)
		}
	}
}

// TestRefused holds what is said of a success that is a refusal, and of one with few
// perspectives.
func TestRefused(t *testing.T) {
	f := expecting("unauthorized", &probe.Facts{Calls: []probe.Call{directoryCall()}})
	f.Refusal.Step, f.Refusal.Problem = probe.StepValidation, &probe.Problem{Type: "unauthorized", Detail: "no TXT record"}
	v := verdict.Judge(f, verdict.Context{Prober: probe.ProberIssue})
	if want := "as it has to be: validation, unauthorized: no TXT record."; !v.Success() || !strings.HasSuffix(v.Summary, want) {
		t.Errorf("%+v", v)
	}
	few := &probe.Facts{Perspectives: &probe.Perspectives{Networks: 1, Minimum: 3}}
	if v := verdict.Judge(few, verdict.Context{Prober: probe.ProberValidate}); !v.Success() || v.Summary != "validate passed; validators came from 1 network, fewer than the 3 expected." {
		t.Errorf("%+v", v)
	}
	enough := &probe.Facts{Perspectives: &probe.Perspectives{Networks: 3, Minimum: 3}}
	if v := verdict.Judge(enough, verdict.Context{Prober: probe.ProberValidate}); v.Summary != "validate passed." {
		t.Errorf("%+v", v)
	}
	if !slices.ContainsFunc(verdict.Reasons(), func(d verdict.ReasonDoc) bool { return d.Reason == verdict.Misissued }) {
		t.Error("misissued is not documented")
	}
}
