package verdict_test

import (
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
)

// TestControls holds whose it is that the CA was not reached: ours if nobody is,
// the way's or the CA's if others are, and not to be told if nobody was asked.
func TestControls(t *testing.T) {
	dead, alive := probe.Control{Kind: probe.ControlURL}, probe.Control{Kind: probe.ControlName, Alive: true}
	start := time.Now()
	unreached := map[probe.Reason]*probe.Facts{}
	for reason, at := range map[probe.Reason]struct {
		phase probe.Phase
		cause probe.Cause
	}{
		"dns_not_found": {probe.PhaseDNS, probe.CauseNotFound}, "dns_timeout": {probe.PhaseDNS, probe.CauseTimeout}, "dns_failed": {probe.PhaseDNS, probe.CauseOther},
		"connect_refused": {probe.PhaseConnect, probe.CauseRefused}, "connect_timeout": {probe.PhaseConnect, probe.CauseTimeout},
		"connect_unreachable": {probe.PhaseConnect, probe.CauseUnreachable}, "connect_failed": {probe.PhaseConnect, probe.CauseOther},
		"tls_timeout": {probe.PhaseTLS, probe.CauseTimeout}, "tls_failed": {probe.PhaseTLS, probe.CauseOther},
		"no_answer_timeout": {probe.PhaseResponse, probe.CauseTimeout}, "no_answer_closed": {probe.PhaseResponse, probe.CauseClosed}, "no_answer_failed": {probe.PhaseResponse, probe.CauseOther},
		"body_timeout": {probe.PhaseBody, probe.CauseTimeout}, "body_closed": {probe.PhaseBody, probe.CauseClosed}, "body_failed": {probe.PhaseBody, probe.CauseOther},
	} {
		unreached[reason] = failed(probe.FailureCall, probe.StepDirectory, broken(probe.CallDirectory, probe.StepDirectory, at.phase, at.cause))
	}
	for reason, f := range unreached {
		if !verdict.Unreached(f) {
			t.Errorf("%s: controls are not asked", reason)
		}
		for _, tt := range []struct {
			controls []probe.Control
			want     probe.Fault
		}{
			{nil, probe.FaultUnknown},
			{[]probe.Control{dead, dead}, probe.FaultLocal},
			{[]probe.Control{dead, alive}, probe.FaultUnreachable},
		} {
			v := verdict.Judge(f, verdict.Context{Controls: tt.controls, Start: start})
			if v.Reason != reason || v.Fault != tt.want {
				t.Errorf("%s with %d controls: %s, fault %q, want %q", reason, len(tt.controls), v.Reason, v.Fault, tt.want)
			}
		}
	}
	for name, f := range map[string]*probe.Facts{
		"an answer":              failed(probe.FailureCall, probe.StepOrder, answered(probe.CallNewOrder, probe.StepOrder, 500, nil)),
		"an expired certificate": failed(probe.FailureCall, probe.StepDirectory, broken(probe.CallDirectory, probe.StepDirectory, probe.PhaseTLS, probe.CauseExpired)),
		"our own":                failed(probe.FailureLocal, probe.StepSetup),
		"a success":              {},
	} {
		if verdict.Unreached(f) {
			t.Errorf("%s: controls are asked", name)
		}
		if v := verdict.Judge(f, verdict.Context{Controls: []probe.Control{dead}}); v.Fault == probe.FaultLocal && v.Reason != verdict.Local {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestControlsInMidRun holds whose it is that a host that has answered does so no more:
// ours if nobody else does, its own if others do; where nobody was asked, its own if
// somebody has closed the connection, and not to be told if all was silent.
func TestControlsInMidRun(t *testing.T) {
	dead, alive := []probe.Control{{}}, []probe.Control{{}, {Alive: true}}
	for _, tt := range []struct {
		phase                probe.Phase
		cause                probe.Cause
		none, cut, connected probe.Fault
	}{
		{probe.PhaseResponse, probe.CauseTimeout, "unknown", "local", "ca"},
		{probe.PhaseResponse, probe.CauseClosed, "ca", "local", "ca"},
		{probe.PhaseResponse, probe.CauseOther, "ca", "local", "ca"},
		{probe.PhaseBody, probe.CauseTimeout, "unknown", "local", "ca"},
		{probe.PhaseBody, probe.CauseClosed, "ca", "local", "ca"},
		{probe.PhaseBody, probe.CauseOther, "ca", "local", "ca"},
		// A new connection is another matter.
		{probe.PhaseDNS, probe.CauseTimeout, "unknown", "local", "unreachable"},
		{probe.PhaseConnect, probe.CauseRefused, "unknown", "local", "unreachable"},
		{probe.PhaseTLS, probe.CauseTimeout, "unknown", "local", "unreachable"},
	} {
		f := failed(probe.FailureCall, probe.StepOrder, directoryCall(), broken(probe.CallNewOrder, probe.StepOrder, tt.phase, tt.cause))
		if !verdict.Unreached(f) {
			t.Errorf("%s, %s: controls are not asked", tt.phase, tt.cause)
		}
		for _, c := range []struct {
			controls []probe.Control
			want     probe.Fault
		}{{nil, tt.none}, {dead, tt.cut}, {alive, tt.connected}} {
			if v := verdict.Judge(f, verdict.Context{Controls: c.controls}); v.Fault != c.want {
				t.Errorf("%s, %s, %d controls: fault %q, want %q", tt.phase, tt.cause, len(c.controls), v.Fault, c.want)
			}
		}
	}
}

// TestFailedValidations holds whose a failed validation is, by all that others
// know of it.
func TestFailedValidations(t *testing.T) {
	visit := func(challenge probe.ChallengeType, asked string, ok bool) probe.Visit {
		return probe.Visit{Challenge: challenge, Identifier: "a.example", Asked: asked, OK: ok}
	}
	served := []probe.Visit{visit(probe.HTTP01, "GET", true)}
	found, address, missing, silent := probe.Lookup{Found: true, Type: "TXT"}, probe.Lookup{Found: true, Type: "A/AAAA"}, probe.Lookup{Answer: "NXDOMAIN"}, probe.Lookup{Silent: true}
	for name, tt := range map[string]struct {
		problem   string
		detail    string
		visits    []probe.Visit
		lookups   []probe.Lookup
		elsewhere bool
		want      probe.Fault
	}{
		"connection, nothing known":                {problem: "connection", want: "unknown"},
		"connection, and they came":                {problem: "connection", visits: served, want: "ca"},
		"unauthorized, and they were told":         {problem: "unauthorized", visits: served, want: "ca"},
		"unauthorized, and they were told wrongly": {problem: "unauthorized", visits: []probe.Visit{visit(probe.HTTP01, "GET", false)}, want: "local"},
		"tls, and they came":                       {problem: "tls", visits: []probe.Visit{visit(probe.TLSALPN01, "acme-tls/1", true)}, want: "ca"},
		"dns, and they were told":                  {problem: "dns", visits: []probe.Visit{visit(probe.DNS01, "TXT", true)}, want: "ca"},
		"another name's visit":                     {problem: "connection", visits: []probe.Visit{{Challenge: probe.HTTP01, Identifier: "b.example", Asked: "GET", OK: true}}, want: "unknown"},
		"only CAA was asked":                       {problem: "unauthorized", visits: []probe.Visit{visit(probe.DNS01, "CAA", true)}, want: "unknown"},
		"only an address was asked":                {problem: "connection", visits: []probe.Visit{visit(probe.HTTP01, "A", true)}, want: "unknown"},
		"some perspectives":                        {problem: "unauthorized", detail: "During secondary validation: 192.0.2.1: invalid", visits: served, want: "unknown"},
		"some perspectives, others are served":     {problem: "unauthorized", detail: "During secondary validation: x", visits: served, elsewhere: true, want: "ca"},
		"dns, the world resolves it":               {problem: "dns", lookups: []probe.Lookup{found, silent}, want: "ca"},
		"dns, half of the world does":              {problem: "dns", lookups: []probe.Lookup{found, missing}, want: "unknown"},
		"dns, an address from a cache":             {problem: "dns", lookups: []probe.Lookup{address}, want: "unknown"},
		"dns, the world does not":                  {problem: "dns", lookups: []probe.Lookup{missing, silent}, want: "client"},
		"dns, nobody answers":                      {problem: "dns", lookups: []probe.Lookup{silent, silent}, want: "unknown"},
		"dns, nobody answers, others are served":   {problem: "dns", lookups: []probe.Lookup{silent, silent}, elsewhere: true, want: "ca"},
		"connection, the world resolves it":        {problem: "connection", lookups: []probe.Lookup{found}, want: "unknown"},
		"connection, others are served":            {problem: "connection", lookups: []probe.Lookup{found}, elsewhere: true, want: "ca"},
		"connection, the world does not":           {problem: "connection", lookups: []probe.Lookup{missing}, elsewhere: true, want: "client"},
		"caa is never the CA's":                    {problem: "caa", visits: served, lookups: []probe.Lookup{found}, elsewhere: true, want: "client"},
		"its own word":                             {problem: "serverInternal", lookups: []probe.Lookup{missing}, want: "ca"},
	} {
		f := object(probe.StepValidation, "challenge", &probe.Problem{Type: tt.problem, Detail: tt.detail, Status: 400})
		f.Failure.Identifier = "*.a.example"
		f.Visits, f.Lookups = tt.visits, tt.lookups
		if v := verdict.Judge(f, verdict.Context{ServedElsewhere: tt.elsewhere}); v.Fault != tt.want {
			t.Errorf("%s: %s, fault %q, want %q", name, v.Reason, v.Fault, tt.want)
		}
	}
	// What a CA finds wrong when it is to issue is not what its validators found.
	late := object(probe.StepFinalization, "order", &probe.Problem{Type: "unauthorized", Status: 403})
	late.Visits = served
	if v := verdict.Judge(late, verdict.Context{}); v.Reason != verdict.RejectedUnauthorized || v.Fault != probe.FaultUnknown {
		t.Errorf("unauthorized at finalization: %+v", v)
	}
	stuck := failed(probe.FailureTimeout, probe.StepValidation, directoryCall())
	if v := verdict.Judge(stuck, verdict.Context{}); v.Fault != probe.FaultUnknown {
		t.Errorf("stuck: %+v", v)
	}
	stuck.Visits = served
	if v := verdict.Judge(stuck, verdict.Context{}); v.Fault != probe.FaultCA || v.Reason != verdict.ValidationTimeout {
		t.Errorf("stuck after they came: %+v", v)
	}
}

// TestRejections holds that what is the client's in a right world is the CA's
// where it worked before and two keys in a row are rejected.
func TestRejections(t *testing.T) {
	for _, problem := range []string{"malformed", "badPublicKey", "badCSR", "badSignatureAlgorithm"} {
		f := failed(probe.FailureCall, probe.StepFinalization, answered(probe.CallFinalize, probe.StepFinalization, 400, &probe.Problem{Type: problem}))
		reason := verdict.Judge(f, verdict.Context{}).Reason
		for _, tt := range []struct {
			worked bool
			again  probe.Reason
			want   probe.Fault
		}{
			{false, "", probe.FaultUnknown},
			{true, "", probe.FaultUnknown},
			{false, reason, probe.FaultUnknown},
			{true, "rejected_other", probe.FaultUnknown},
			{true, reason, probe.FaultCA},
		} {
			if v := verdict.Judge(f, verdict.Context{Worked: tt.worked, Again: tt.again}); v.Fault != tt.want {
				t.Errorf("%s, worked %t, again %q: %q, want %q", problem, tt.worked, tt.again, v.Fault, tt.want)
			}
		}
	}
	f := failed(probe.FailureCall, probe.StepOrder, answered(probe.CallNewOrder, probe.StepOrder, 400, &probe.Problem{Type: "rejectedIdentifier"}))
	if v := verdict.Judge(f, verdict.Context{Worked: true, Again: "rejected_identifier"}); v.Fault != probe.FaultClient {
		t.Errorf("rejectedIdentifier: %+v", v)
	}
}

// TestSkew holds that a certificate is not called wrong by a clock that is.
func TestSkew(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		date time.Time
		want probe.Fault
	}{
		"no date":       {time.Time{}, probe.FaultCA},
		"right":         {start.Add(time.Second), probe.FaultCA},
		"a little off":  {start.Add(-29 * time.Second), probe.FaultCA},
		"we are behind": {start.Add(time.Hour), probe.FaultLocal},
		"we are ahead":  {start.Add(-time.Hour), probe.FaultLocal},
	} {
		call := answered(probe.CallCertificate, probe.StepDownload, 200, nil)
		call.Date = tt.date
		f := failed(probe.FailureCertificate, probe.StepCertificate, directoryCall(), call)
		f.Certificate = &probe.Certificate{Checks: []probe.CheckResult{{Check: probe.CheckValidity}}}
		if v := verdict.Judge(f, verdict.Context{Start: start}); v.Fault != tt.want || v.Reason != verdict.CertificateValidity {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
