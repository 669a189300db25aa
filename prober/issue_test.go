package prober

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// tail returns the calls from the first finalize on.
func tail(calls []probe.Call) []probe.CallName {
	list := names(calls)
	if i := slices.Index(list, probe.CallFinalize); i >= 0 {
		return list[i:]
	}
	return nil
}

func TestFinalize(t *testing.T) {
	t.Parallel()
	bare := http.Header{"Location": {""}}
	past := http.Header{"Retry-After": {"Thu, 01 Jan 2026 00:00:00 GMT"}}
	notReady := fakeca.Fault{Problem: &fakeca.Problem{Type: "orderNotReady", Status: 403}}
	for _, tt := range []struct {
		name    string
		options fakeca.Options
		faults  map[probe.CallName]fakeca.Fault // once each
		want    []probe.CallName
	}{
		{"synchronous", fakeca.Options{}, nil, []probe.CallName{"finalize", "certificate"}},
		{"asynchronous", fakeca.Options{AsyncFinalize: true}, nil, []probe.CallName{"finalize", "order", "certificate"}},
		{"asynchronous, slow", fakeca.Options{AsyncFinalize: true, Polls: 1}, nil, []probe.CallName{"finalize", "order", "order", "certificate"}},
		{
			"asynchronous, no Location and a Retry-After in the past", fakeca.Options{AsyncFinalize: true},
			map[probe.CallName]fakeca.Fault{"finalize": {Header: http.Header{"Location": bare["Location"], "Retry-After": past["Retry-After"]}}},
			[]probe.CallName{"finalize", "order", "certificate"},
		},
		{
			"ready for a while after finalize", fakeca.Options{AsyncFinalize: true},
			map[probe.CallName]fakeca.Fault{"finalize": {Edit: fakeca.Set("status", "ready")}},
			[]probe.CallName{"finalize", "order", "certificate"},
		},
		{
			"not ready", fakeca.Options{},
			map[probe.CallName]fakeca.Fault{"finalize": notReady},
			[]probe.CallName{"finalize", "order", "finalize", "certificate"},
		},
		{
			"not ready, then pending for a while", fakeca.Options{AsyncFinalize: true},
			map[probe.CallName]fakeca.Fault{"finalize": notReady, "order": {Edit: fakeca.Set("status", "pending")}},
			[]probe.CallName{"finalize", "order", "order", "finalize", "order", "certificate"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.options.SyncValidation = tt.options.Polls == 0
			b := newBench(t, tt.options).known()
			for call, fault := range tt.faults {
				b.ca.Fault(call, fault, 1)
			}
			facts := b.run(probe.ProberIssue)
			wantSuccess(t, facts)
			wantList(t, "calls", tail(facts.Calls), tt.want)
			finalizations := 0
			for _, c := range facts.Calls {
				if c.Name != probe.CallFinalize {
					continue
				}
				cause := ""
				if finalizations > 0 {
					cause = "order_not_ready"
				}
				if c.Attempt != finalizations || c.RetryCause != cause {
					t.Errorf("finalize %d: attempt %d, cause %q", finalizations, c.Attempt, c.RetryCause)
				}
				finalizations++
			}
		})
	}
}

func TestFinalizeFails(t *testing.T) {
	t.Parallel()
	serverInternal := &fakeca.Problem{Type: "serverInternal", Status: 500, Detail: "Unable to meet CA SCT embedding requirements"}
	type faults map[probe.CallName]fakeca.Fault
	for _, tt := range []struct {
		name    string
		async   bool
		faults  faults
		timeout time.Duration
		step    probe.StepName
		kind    probe.FailureKind
		object  string
		detail  string
		call    probe.CallName
	}{
		{"refused", false, faults{"finalize": {Problem: serverInternal}}, 0, probe.StepFinalization, probe.FailureCall, "", "finalize answered HTTP 500 serverInternal", "finalize"},
		{"invalid at once", false, faults{"finalize": {Invalid: serverInternal}}, 0, probe.StepFinalization, probe.FailureObject, "order", "the order is invalid", "finalize"},
		{"invalid later", true, faults{"finalize": {Invalid: serverInternal}}, 0, probe.StepFinalization, probe.FailureObject, "order", "the order is invalid", "order"},
		{"unknown status", false, faults{"finalize": {Edit: fakeca.Set("status", "done")}}, 0, probe.StepFinalization, probe.FailureProtocol, "order", `unknown status "done"`, "finalize"},
		{"unknown status later", true, faults{"order": {Edit: fakeca.Set("status", "done")}}, 0, probe.StepFinalization, probe.FailureProtocol, "order", `unknown status "done"`, "order"},
		{"HTML", false, faults{"finalize": {HTML: true}}, 0, probe.StepFinalization, probe.FailureProtocol, "order", "the finalized order cannot be read", "finalize"},
		{"HTML later", true, faults{"order": {HTML: true}}, 0, probe.StepFinalization, probe.FailureProtocol, "", "the answer of order cannot be read", "order"},
		{"no certificate", false, faults{"finalize": {Edit: fakeca.Without("certificate")}}, 0, probe.StepFinalization, probe.FailureProtocol, "order", "certificate", "finalize"},
		{"processing for ever", true, faults{"finalize": {Stuck: true}}, 2500 * time.Millisecond, probe.StepFinalization, probe.FailureTimeout, "order", "the order was still processing after", "order"},
		{
			"not ready for ever", false,
			faults{"finalize": {Problem: &fakeca.Problem{Type: "orderNotReady", Status: 403}}, "order": {Edit: fakeca.Set("status", "pending")}},
			2500 * time.Millisecond, probe.StepFinalization, probe.FailureTimeout, "order", "the order was still pending after", "order",
		},
		{
			"ready and not ready", false,
			faults{"finalize": {Problem: &fakeca.Problem{Type: "orderNotReady", Status: 403}}},
			0, probe.StepFinalization, probe.FailureCall, "", "finalize answered HTTP 403 orderNotReady", "finalize",
		},
		{"certificate lost", false, faults{"certificate": {Status: 404}}, 0, probe.StepDownload, probe.FailureCall, "", "certificate answered HTTP 404", "certificate"},
		{"certificate of HTML", false, faults{"certificate": {HTML: true}}, 0, probe.StepDownload, probe.FailureProtocol, "certificate", "no certificate in it", "certificate"},
		{"chain too long", false, faults{"certificate": {Certificate: fakeca.CertificateLong}}, 0, probe.StepDownload, probe.FailureProtocol, "certificate", "more than 10 certificates", "certificate"},
		{"another key", false, faults{"certificate": {Certificate: fakeca.CertificateOtherKey}}, 0, probe.StepCertificate, probe.FailureCertificate, "certificate", "key: ", "certificate"},
		{"bad signature", false, faults{"certificate": {Certificate: fakeca.CertificateBadSignature}}, 0, probe.StepCertificate, probe.FailureCertificate, "certificate", "signatures: ", "certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, fakeca.Options{SyncValidation: true, AsyncFinalize: tt.async}).known()
			for call, fault := range tt.faults {
				b.ca.Fault(call, fault, 0)
			}
			req := b.request(probe.ProberIssue)
			if tt.timeout == 0 {
				tt.timeout = 10 * time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
			defer cancel()
			facts := Run(ctx, req)
			if tt.kind == probe.FailureTimeout && cutInFlight(facts) {
				tt.kind, tt.object, tt.detail = probe.FailureCall, "", "timeout"
			}
			f := wantFailure(t, facts, tt.step, tt.kind, tt.object, tt.detail)
			if f.Call < 0 || facts.Calls[f.Call].Name != tt.call {
				t.Errorf("call %d of %v, want one of %s", f.Call, names(facts.Calls), tt.call)
			}
			if tt.kind == probe.FailureObject && (f.Problem == nil || f.Problem.Type != "serverInternal" || f.Problem.Status != 500) {
				t.Errorf("problem %+v", f.Problem)
			}
			if tt.kind == probe.FailureCertificate && (facts.Certificate == nil || len(facts.Certificate.Checks) != len(issuing(b.target).Checks())) {
				t.Errorf("certificate %+v", facts.Certificate)
			}
			// Whatever became of the order, its authorization was used.
			if len(facts.FollowUps) != 1 {
				t.Errorf("follow-ups %v", facts.FollowUps)
			}
		})
	}
}

// Several names in one order are each validated, and one follow-up is for both.
func TestIssueTwoNames(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	req := b.request(probe.ProberIssue)
	req.Pair.Module.Issue.Names.Count = 2
	facts := Run(t.Context(), req)
	wantSuccess(t, facts)
	if len(facts.FollowUps) != 1 || len(facts.FollowUps[0].More) != 1 || len(facts.Visits) != 2 || len(facts.Certificate.Names) != 2 {
		t.Errorf("follow-ups %v, visits %v, names %v", facts.FollowUps, facts.Visits, facts.Certificate.Names)
	}
}
