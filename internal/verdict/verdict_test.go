package verdict_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
)

const host = "https://acme.example"

func directoryCall() probe.Call {
	return probe.Call{Name: probe.CallDirectory, Step: probe.StepDirectory, Method: "GET", URL: host + "/dir", Status: 200}
}

func answered(name probe.CallName, step probe.StepName, status int, p *probe.Problem) probe.Call {
	return probe.Call{Name: name, Step: step, Method: "POST", URL: host + "/x", Status: status, Problem: p, End: time.Second}
}

func broken(name probe.CallName, step probe.StepName, phase probe.Phase, cause probe.Cause) probe.Call {
	return probe.Call{
		Name: name, Step: step, Method: "POST", URL: host + "/x", End: 5 * time.Second,
		Error: &probe.CallError{Phase: phase, Cause: cause, Message: "it broke"},
	}
}

// failed are facts whose last call is the evidence.
func failed(kind probe.FailureKind, step probe.StepName, calls ...probe.Call) *probe.Facts {
	return &probe.Facts{Calls: calls, Failure: &probe.Failure{Step: step, Kind: kind, Call: len(calls) - 1}}
}

func object(step probe.StepName, what string, p *probe.Problem) *probe.Facts {
	f := failed(probe.FailureObject, step, directoryCall(), answered(probe.CallAuthz, step, 200, nil))
	f.Failure.Object, f.Failure.Problem = what, p
	return f
}

// publication are facts of a record that is not where it has to be, after a call
// that the CA answered well.
func publication(kind probe.FailureKind) *probe.Facts {
	return &probe.Facts{Calls: []probe.Call{directoryCall()}, Failure: &probe.Failure{
		Step: probe.StepPublication, Kind: kind, Call: -1, Object: "challenge", Identifier: "www.example.org",
		Detail: "192.0.2.53:53 knows no key probe-fra.", Advice: "give the server the key probe-fra. or correct key_name",
	}}
}

// judgement is a verdict without its words.
type judgement struct {
	Outcome probe.Outcome
	Stage   probe.StepName
	Reason  probe.Reason
	Fault   probe.Fault
}

func judge(f *probe.Facts) judgement {
	v := verdict.Judge(f, verdict.Context{Prober: probe.ProberIssue})
	return judgement{v.Outcome, v.Stage, v.Reason, v.Fault}
}

func skipped(step probe.StepName, r probe.Reason) judgement {
	return judgement{probe.OutcomeSkipped, step, r, ""}
}

func failure(step probe.StepName, r probe.Reason, f probe.Fault) judgement {
	return judgement{probe.OutcomeFailure, step, r, f}
}

func TestKinds(t *testing.T) {
	good := directoryCall()
	certificate := func(checks ...probe.CheckResult) *probe.Facts {
		f := failed(probe.FailureCertificate, probe.StepCertificate, good, answered(probe.CallCertificate, probe.StepDownload, 200, nil))
		f.Certificate = &probe.Certificate{Checks: checks}
		return f
	}
	unreadable := certificate()
	unreadable.Certificate = nil
	unreadableChain := failed(probe.FailureProtocol, probe.StepDownload, good)
	unreadableChain.Failure.Object = "certificate"
	refusedURL := failed(probe.FailureProtocol, probe.StepDirectory, good)
	refusedURL.Failure.Object = "url"
	for name, test := range map[string]struct {
		facts *probe.Facts
		want  judgement
	}{
		"success":              {&probe.Facts{Calls: []probe.Call{good}}, judgement{Outcome: probe.OutcomeSuccess}},
		"success after a 500":  {&probe.Facts{Calls: []probe.Call{answered(probe.CallNewOrder, probe.StepOrder, 500, nil), good}}, judgement{Outcome: probe.OutcomeSuccess}},
		"canceled":             {failed(probe.FailureCanceled, probe.StepOrder, good), skipped(probe.StepOrder, verdict.Canceled)},
		"canceled in a call":   {failed(probe.FailureCall, probe.StepOrder, good, broken(probe.CallNewOrder, probe.StepOrder, probe.PhaseResponse, probe.CauseCanceled)), skipped(probe.StepOrder, verdict.Canceled)},
		"canceled without any": {failed(probe.FailureCanceled, probe.StepSetup), skipped(probe.StepSetup, verdict.Canceled)},
		"unsupported":          {failed(probe.FailureUnsupported, probe.StepAuthorization, good), skipped(probe.StepAuthorization, verdict.Unsupported)},
		"client":               {failed(probe.FailureClient, probe.StepAccount, good), failure(probe.StepAccount, verdict.Configuration, probe.FaultClient)},
		"client and a 500":     {failed(probe.FailureClient, probe.StepAccount, answered(probe.CallNewAccount, probe.StepAccount, 500, nil)), failure(probe.StepAccount, verdict.Configuration, probe.FaultClient)},
		"local":                {failed(probe.FailureLocal, probe.StepSetup), failure(probe.StepSetup, verdict.Local, probe.FaultLocal)},
		"protocol":             {failed(probe.FailureProtocol, probe.StepDirectory, good), failure(probe.StepDirectory, verdict.Protocol, probe.FaultCA)},
		"unreadable":           {unreadableChain, failure(probe.StepDownload, verdict.CertificateUnreadable, probe.FaultCA)},
		"refused URL":          {refusedURL, failure(probe.StepDirectory, verdict.URLRefused, probe.FaultCA)},
		"protocol, no call":    {failed(probe.FailureProtocol, probe.StepDirectory), failure(probe.StepDirectory, verdict.Protocol, probe.FaultCA)},
		"protocol on a 502":    {failed(probe.FailureProtocol, probe.StepDirectory, answered(probe.CallDirectory, probe.StepDirectory, 502, nil)), failure(probe.StepDirectory, verdict.Edge5xx, probe.FaultCA)},
		"protocol, no answer":  {failed(probe.FailureProtocol, probe.StepDirectory, broken(probe.CallDirectory, probe.StepDirectory, probe.PhaseConnect, probe.CauseRefused)), failure(probe.StepDirectory, verdict.ConnectRefused, probe.FaultUnknown)},
		"2xx of another call":  {failed(probe.FailureCall, probe.StepOrder, answered(probe.CallNewOrder, probe.StepOrder, 204, nil)), failure(probe.StepOrder, verdict.UnexpectedStatus, probe.FaultCA)},

		"timeout in validation":   {failed(probe.FailureTimeout, probe.StepValidation, good), failure(probe.StepValidation, verdict.ValidationTimeout, probe.FaultUnknown)},
		"timeout in finalization": {failed(probe.FailureTimeout, probe.StepFinalization, good), failure(probe.StepFinalization, verdict.FinalizationTimeout, probe.FaultCA)},
		"timeout after a retry":   {failed(probe.FailureTimeout, probe.StepFinalization, answered(probe.CallFinalize, probe.StepFinalization, 403, &probe.Problem{Type: "orderNotReady"})), failure(probe.StepFinalization, verdict.FinalizationTimeout, probe.FaultCA)},
		"timeout elsewhere":       {failed(probe.FailureTimeout, probe.StepOrder, good), failure(probe.StepOrder, verdict.RunTimeout, probe.FaultUnknown)},

		"key":            {certificate(probe.CheckResult{Check: probe.CheckKey}), failure(probe.StepCertificate, verdict.CertificateKey, probe.FaultCA)},
		"first check":    {certificate(probe.CheckResult{Check: probe.CheckKey, Passed: true}, probe.CheckResult{Check: probe.CheckNames}, probe.CheckResult{Check: probe.CheckOrder}), failure(probe.StepCertificate, verdict.CertificateNames, probe.FaultCA)},
		"validity":       {certificate(probe.CheckResult{Check: probe.CheckValidity}), failure(probe.StepCertificate, verdict.CertificateValidity, probe.FaultCA)},
		"chain order":    {certificate(probe.CheckResult{Check: probe.CheckOrder}), failure(probe.StepCertificate, verdict.CertificateOrder, probe.FaultCA)},
		"signatures":     {certificate(probe.CheckResult{Check: probe.CheckSignatures}), failure(probe.StepCertificate, verdict.CertificateSignatures, probe.FaultCA)},
		"profile":        {certificate(probe.CheckResult{Check: probe.CheckProfile}), failure(probe.StepCertificate, verdict.CertificateProfile, probe.FaultCA)},
		"serial":         {certificate(probe.CheckResult{Check: probe.CheckSerial}), failure(probe.StepCertificate, verdict.CertificateSerial, probe.FaultCA)},
		"key usage":      {certificate(probe.CheckResult{Check: probe.CheckKeyUsage}), failure(probe.StepCertificate, verdict.CertificateKeyUsage, probe.FaultCA)},
		"extensions":     {certificate(probe.CheckResult{Check: probe.CheckExtensions}), failure(probe.StepCertificate, verdict.CertificateExtensions, probe.FaultCA)},
		"trust":          {certificate(probe.CheckResult{Check: probe.CheckTrust}), failure(probe.StepCertificate, verdict.CertificateTrust, probe.FaultCA)},
		"lint":           {certificate(probe.CheckResult{Check: probe.CheckLint}), failure(probe.StepCertificate, verdict.CertificateLint, probe.FaultCA)},
		"SCTs":           {certificate(probe.CheckResult{Check: probe.CheckSCTs}), failure(probe.StepCertificate, verdict.CertificateSCTs, probe.FaultCA)},
		"no failed one":  {certificate(probe.CheckResult{Check: probe.CheckKey, Passed: true}), failure(probe.StepCertificate, verdict.CertificateUnreadable, probe.FaultCA)},
		"unknown check":  {certificate(probe.CheckResult{Check: "beauty"}), failure(probe.StepCertificate, verdict.CertificateUnreadable, probe.FaultCA)},
		"no certificate": {unreadable, failure(probe.StepCertificate, verdict.CertificateUnreadable, probe.FaultCA)},

		"publication refused":     {publication(probe.FailureClient), failure(probe.StepPublication, verdict.PublicationRefused, probe.FaultClient)},
		"publication unreachable": {publication(probe.FailureLocal), failure(probe.StepPublication, verdict.PublicationUnreachable, probe.FaultLocal)},
		"publication incomplete":  {publication(probe.FailureTimeout), failure(probe.StepPublication, verdict.PublicationIncomplete, probe.FaultLocal)},
		"publication canceled":    {publication(probe.FailureCanceled), skipped(probe.StepPublication, verdict.Canceled)},
		"publication unsupported": {publication(probe.FailureUnsupported), skipped(probe.StepPublication, verdict.Unsupported)},
		"publication, our disk":   {failed(probe.FailureLocal, probe.StepPublication), failure(probe.StepPublication, verdict.Local, probe.FaultLocal)},

		"unknown kind":      {failed("new", probe.StepOrder, good), failure(probe.StepOrder, verdict.Unclassified, probe.FaultUnknown)},
		"unknown step":      {failed(probe.FailureLocal, "elsewhere"), failure(probe.StepSetup, verdict.Local, probe.FaultLocal)},
		"call out of range": {&probe.Facts{Failure: &probe.Failure{Step: probe.StepOrder, Kind: probe.FailureCall, Call: 3}}, failure(probe.StepOrder, verdict.Unclassified, probe.FaultUnknown)},
		"call never made":   {failed(probe.FailureCall, probe.StepOrder, probe.Call{Name: probe.CallNewOrder}), failure(probe.StepOrder, verdict.Unclassified, probe.FaultUnknown)},
	} {
		if got := judge(test.facts); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

// row is a cell of the table of phases and causes: the reason, and the fault
// when it is the first call and when the host has answered another one before.
type row struct {
	phase        probe.Phase
	cause        probe.Cause
	reason       probe.Reason
	first, later probe.Fault
}

func rows(phase probe.Phase, same func(probe.Cause) (probe.Reason, probe.Fault, probe.Fault)) []row {
	var list []row
	for _, cause := range []probe.Cause{
		probe.CauseTimeout, probe.CauseRefused, probe.CauseUnreachable, probe.CauseNotFound, probe.CauseCertificate,
		probe.CauseExpired, probe.CauseClosed, probe.CauseOther, "unheard of",
	} {
		r, first, later := same(cause)
		list = append(list, row{phase, cause, r, first, later})
	}
	return list
}

func TestPhasesAndCauses(t *testing.T) {
	u, ca := probe.FaultUnknown, probe.FaultCA
	pick := func(known map[probe.Cause]probe.Reason, other probe.Reason, first, later probe.Fault) func(probe.Cause) (probe.Reason, probe.Fault, probe.Fault) {
		return func(c probe.Cause) (probe.Reason, probe.Fault, probe.Fault) {
			if r, ok := known[c]; ok {
				return r, first, later
			}
			return other, first, later
		}
	}
	var table []row
	table = append(table, rows(probe.PhaseRequest, pick(map[probe.Cause]probe.Reason{"timeout": "run_timeout"}, "unclassified", u, u))...)
	table = append(table, rows(probe.PhaseDNS, pick(map[probe.Cause]probe.Reason{"timeout": "dns_timeout", "not_found": "dns_not_found"}, "dns_failed", u, u))...)
	table = append(table, rows(probe.PhaseConnect, pick(map[probe.Cause]probe.Reason{"timeout": "connect_timeout", "refused": "connect_refused", "unreachable": "connect_unreachable"}, "connect_failed", u, u))...)
	table = append(table, rows(probe.PhaseTLS, func(c probe.Cause) (probe.Reason, probe.Fault, probe.Fault) {
		switch c {
		case probe.CauseCertificate:
			return "tls_certificate", ca, ca
		case probe.CauseExpired:
			return "tls_expired", ca, ca
		case probe.CauseTimeout:
			return "tls_timeout", u, u
		}
		return "tls_failed", u, u
	})...)
	table = append(table, rows(probe.PhaseResponse, pick(map[probe.Cause]probe.Reason{"timeout": "no_answer_timeout", "closed": "no_answer_closed"}, "no_answer_failed", u, ca))...)
	table = append(table, rows(probe.PhaseBody, pick(map[probe.Cause]probe.Reason{"timeout": "body_timeout", "closed": "body_closed"}, "body_failed", u, ca))...)
	table = append(table, rows("unheard of", pick(nil, "unclassified", u, u))...)
	for _, phase := range []probe.Phase{"request", "dns", "connect", "tls", "response", "body", "unheard of"} {
		table = append(table,
			row{phase, probe.CauseAddress, "url_refused", ca, ca},
			row{phase, probe.CauseScheme, "url_refused", ca, ca},
		)
	}
	table = append(table,
		row{probe.PhaseRequest, probe.CauseTooLarge, "url_refused", ca, ca},
		row{probe.PhaseResponse, probe.CauseTooLarge, "too_large", ca, ca},
		row{probe.PhaseBody, probe.CauseTooLarge, "too_large", ca, ca},
	)
	for _, r := range table {
		if r.cause == probe.CauseTimeout {
			r.later = r.first // silence may be our own line's
		}
		first := failed(probe.FailureCall, probe.StepOrder, broken(probe.CallNewOrder, probe.StepOrder, r.phase, r.cause))
		if got, want := judge(first), failure(probe.StepOrder, r.reason, r.first); got != want {
			t.Errorf("%s, %s, first call: got %v, want %v", r.phase, r.cause, got, want)
		}
		later := failed(probe.FailureCall, probe.StepOrder, directoryCall(), broken(probe.CallNewOrder, probe.StepOrder, r.phase, r.cause))
		if got, want := judge(later), failure(probe.StepOrder, r.reason, r.later); got != want {
			t.Errorf("%s, %s, later call: got %v, want %v", r.phase, r.cause, got, want)
		}
	}
}

func TestNoAnswerOfAnotherHost(t *testing.T) {
	other := broken(probe.CallNewOrder, probe.StepOrder, probe.PhaseResponse, probe.CauseTimeout)
	other.URL = "https://other.example/x"
	if got, want := judge(failed(probe.FailureCall, probe.StepOrder, directoryCall(), other)), failure(probe.StepOrder, verdict.NoAnswerTimeout, probe.FaultUnknown); got != want {
		t.Errorf("got %v, want %v: another host's answer proves nothing", got, want)
	}
}

func TestDirectoryURLRefused(t *testing.T) {
	for _, cause := range []probe.Cause{probe.CauseAddress, probe.CauseScheme} {
		f := failed(probe.FailureCall, probe.StepDirectory, broken(probe.CallDirectory, probe.StepDirectory, probe.PhaseConnect, cause))
		if got, want := judge(f), failure(probe.StepDirectory, verdict.URLRefused, probe.FaultClient); got != want {
			t.Errorf("%s: got %v, want %v: nobody but the configuration named this URL", cause, got, want)
		}
	}
}

// An acceptance that is never answered may be a validation that waits for our
// responder; of another call of the step that is not answered nothing but controls tell.
func TestUnansweredAcceptance(t *testing.T) {
	accepted := answered(probe.CallChallenge, probe.StepValidation, 200, nil)
	for name, test := range map[string]struct {
		facts *probe.Facts
		want  judgement
	}{
		"acceptance":        {failed(probe.FailureCall, probe.StepValidation, directoryCall(), broken(probe.CallChallenge, probe.StepValidation, probe.PhaseResponse, probe.CauseTimeout)), failure(probe.StepValidation, verdict.ValidationTimeout, probe.FaultUnknown)},
		"closed":            {failed(probe.FailureCall, probe.StepValidation, directoryCall(), broken(probe.CallChallenge, probe.StepValidation, probe.PhaseResponse, probe.CauseClosed)), failure(probe.StepValidation, verdict.NoAnswerClosed, probe.FaultCA)},
		"not yet connected": {failed(probe.FailureCall, probe.StepValidation, directoryCall(), broken(probe.CallChallenge, probe.StepValidation, probe.PhaseConnect, probe.CauseTimeout)), failure(probe.StepValidation, verdict.ConnectTimeout, probe.FaultUnknown)},
		"poll":              {failed(probe.FailureCall, probe.StepValidation, accepted, broken(probe.CallAuthz, probe.StepValidation, probe.PhaseResponse, probe.CauseTimeout)), failure(probe.StepValidation, verdict.NoAnswerTimeout, probe.FaultUnknown)},
		"finalization":      {failed(probe.FailureCall, probe.StepFinalization, directoryCall(), broken(probe.CallFinalize, probe.StepFinalization, probe.PhaseResponse, probe.CauseTimeout)), failure(probe.StepFinalization, verdict.NoAnswerTimeout, probe.FaultUnknown)},
	} {
		if got := judge(test.facts); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestReasonsAreClosedAndExplained(t *testing.T) {
	seen := map[probe.Reason]bool{}
	for _, d := range verdict.Reasons() {
		if seen[d.Reason] {
			t.Errorf("%s is listed twice", d.Reason)
		}
		seen[d.Reason] = true
		for field, text := range map[string]string{"Summary": d.Summary, "Seen": d.Seen, "Whose": d.Whose, "Do": d.Do} {
			if text == "" {
				t.Errorf("%s: %s is empty", d.Reason, field)
			}
		}
		if d.Outcome != probe.OutcomeFailure && d.Outcome != probe.OutcomeSkipped {
			t.Errorf("%s: outcome %q", d.Reason, d.Outcome)
		}
		if (d.Outcome == probe.OutcomeFailure) != (len(d.Faults) > 0) {
			t.Errorf("%s: outcome %s with faults %v", d.Reason, d.Outcome, d.Faults)
		}
	}
	list := verdict.Reasons()
	i := slices.IndexFunc(list, func(d verdict.ReasonDoc) bool { return d.Reason == verdict.Configuration })
	list[i].Faults[0] = "changed"
	if diff := cmp.Diff(probe.FaultClient, verdict.Reasons()[i].Faults[0]); diff != "" {
		t.Errorf("a caller can change the list: %s", diff)
	}
}
