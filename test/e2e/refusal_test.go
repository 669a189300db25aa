package e2e_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/examples/demo/process"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// The modules of what a CA has to refuse.
const (
	unansweredHTTP = "unanswered_http"
	unansweredDNS  = "unanswered_dns"
	forbiddenHTTP  = "forbidden_http"
	forbiddenDNS   = "forbidden_dns"
	byPolicy       = "by_policy"
)

// expecting has the exporter look for what its CA has to refuse. It is its own, and so
// may be asked more often than once an hour; it resolves names where we do.
func expecting(t *testing.T, p parts.Ports, e *parts.Exporter) {
	t.Helper()
	e.Reconfigure("    environment: staging\n", "    environment: staging\n    own_ca: true\n")
	e.Reconfigure("      directory: 0s\n", fmt.Sprintf("      directory: 0s\n      %s: 0s\n      %s: 0s\n      %s: 0s\n      %s: 0s\n      %s: 0s\n",
		unansweredHTTP, unansweredDNS, forbiddenHTTP, forbiddenDNS, byPolicy))
	e.Reconfigure("modules:\n", fmt.Sprintf(`resolvers: [%q]
modules:
  %s: {prober: issue, timeout: 60s, issue: {challenge: http-01, expect: {problem: unauthorized}}}
  %s: {prober: issue, timeout: 60s, issue: {challenge: dns-01, expect: {problem: unauthorized}}}
  %s: {prober: issue, timeout: 60s, issue: {challenge: http-01, expect: {problem: caa}}}
  %s: {prober: issue, timeout: 60s, issue: {challenge: dns-01, expect: {problem: caa}}}
  %s: {prober: issue, timeout: 60s, issue: {expect: {problem: rejectedIdentifier}}}
`, process.Loopback(p.DNS), unansweredHTTP, unansweredDNS, forbiddenHTTP, forbiddenDNS, byPolicy))
}

// TestExpectedRefusals holds that a CA that refuses what it has to makes each module succeed,
// beside one that issues, and leaves no valid authorization behind.
func TestExpectedRefusals(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, "-caa", "-blocked=example.org")
	exporter := parts.NewExporter(t, ports, pebble.CA)
	expecting(t, ports, exporter)
	exporter.Serve()
	for _, test := range []struct {
		module, problem string
		step            probe.StepName
		visitors        bool // somebody came for the answer
	}{
		{unansweredHTTP, "unauthorized", probe.StepValidation, true},
		{unansweredDNS, "unauthorized", probe.StepValidation, true},
		{forbiddenHTTP, "caa", probe.StepFinalization, true},
		{forbiddenDNS, "caa", probe.StepFinalization, true},
		{byPolicy, "rejectedIdentifier", probe.StepOrder, false},
	} {
		result := exporter.RunNow(test.module)
		checkNames(t, result)
		r := result.Refusal
		if !result.Verdict.Success() || !r.Refused() || r.Problem.Type != test.problem || r.Step != test.step {
			t.Errorf("%s: %+v, refusal %+v", test.module, result.Verdict, r)
		}
		if result.Certificate != nil || test.visitors != (len(result.Visits) > 0) {
			t.Errorf("%s: certificate %+v, visits %+v", test.module, result.Certificate, result.Visits)
		}
		answered := slices.ContainsFunc(result.Visits, func(v probe.Visit) bool { return v.OK })
		if answered != (test.problem == "caa") {
			t.Errorf("%s: validators got an answer: %v: %+v", test.module, answered, result.Visits)
		}
	}
	// Others are not held up: what is forbidden is one name.
	if result := exporter.RunNow("issue_dns"); !result.Verdict.Success() {
		t.Errorf("issue_dns: %+v", result.Verdict)
	}
	parts.Until(t, "the authorizations are deactivated", func() bool {
		// Two that are valid and were refused later, and the one that was issued for.
		return exporter.Metrics().Sum("acme_follow_ups_total", "kind", "deactivate_authz", "outcome", "success") == 3
	})
	m := exporter.Metrics()
	if !m.Has("acme_misissued_total", "module", unansweredHTTP) || m.Sum("acme_misissued_total") != 0 || m.Has("acme_misissued_total", "module", "issue_dns") {
		t.Errorf("misissued: %v", m["acme_misissued_total"])
	}
	if m.Has("acme_step_duration_seconds", "step", "validation", "module", unansweredDNS) || !m.Has("acme_step_duration_seconds", "step", "validation", "module", "issue_dns") {
		t.Error("the validation of what had to be refused is among those that are to be fast")
	}
	if m.Sum("acme_target_state", "state", "down")+m.Sum("acme_target_state", "state", "degraded") != 0 {
		t.Errorf("state %v", m["acme_target_state"])
	}
}

// TestMisissued holds that a CA that issues although nobody has answered is found out:
// an incident at once, a counter that a crash does not set back, and the certificate,
// kept and revoked.
func TestMisissued(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	files, flags := parts.Signing(t)
	pebble := parts.StartPebble(t, ports, append(flags, "-smooth", "-always-valid")...)
	exporter := parts.NewExporter(t, ports, pebble.CA)
	expecting(t, ports, exporter)
	exporter.Serve()
	before := len(pebble.Signed().Certificates)

	result := exporter.RunNow(unansweredHTTP)
	v := result.Verdict
	if v.Outcome != probe.OutcomeFailure || v.Reason != "misissued" || v.Fault != probe.FaultCA || v.Stage != probe.StepFinalization {
		t.Fatalf("verdict %+v, failure %+v, lookups %+v", v, result.Failure, result.Lookups)
	}
	checkNames(t, result)
	leaf := checkKept(t, result, files.Root)
	checkRevoked := func() {
		t.Helper()
		parts.Until(t, "the certificate is revoked", func() bool {
			for _, c := range pebble.Signed().Certificates[before:] {
				if c.Serial == leaf.SerialNumber.Text(16) && !c.Revoked.IsZero() {
					return true
				}
			}
			return false
		})
	}
	checkRevoked()
	if got := exporter.Metrics().Sum("acme_misissued_total", "module", unansweredHTTP); got != 1 {
		t.Errorf("misissued %v times, want 1", got)
	}

	exporter.Kill()
	exporter.Serve()
	m := exporter.Metrics()
	if m.Sum("acme_misissued_total", "module", unansweredHTTP) != 1 || m.Sum("acme_misissued_total") != 1 {
		t.Errorf("after a crash: %v", m["acme_misissued_total"])
	}
	// It is an incident after the one run, and only degrades the target.
	if m.Sum("acme_target_state", "state", "degraded") != 1 {
		t.Errorf("state %v", m["acme_target_state"])
	}
	incidents := pairIncidents(t, exporter)
	if len(incidents) != 1 || incidents[0].Reason != "misissued" || incidents[0].Failures != 1 {
		t.Fatalf("incidents %+v", incidents)
	}
	var whole struct{ Evidence probe.Evidence }
	get(t, exporter, "/api/v1/incidents/"+incidents[0].ID, &whole)
	checkKept(t, whole.Evidence.First.Result, files.Root)
	page := string(parts.Do(t, "GET", exporter.URL+"/runs/"+result.ID))
	if !strings.Contains(page, "The certificate that had to be refused") || !strings.Contains(page, "-----BEGIN CERTIFICATE-----") {
		t.Error("the page of the run has no certificate")
	}

	// Who never asks our name server may see another zone than ours.
	if v := exporter.RunNow(forbiddenDNS).Verdict; v.Reason != "misissuance_unproven" || v.Fault != probe.FaultUnknown {
		t.Errorf("CAA, unseen: %+v", v)
	}
}

// TestMisissuedAgainstRules holds that a CA that validates, and heeds neither CAA nor a
// policy, is found out, whether it has come by HTTP or by DNS.
func TestMisissuedAgainstRules(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, "-smooth")
	exporter := parts.NewExporter(t, ports, pebble.CA)
	expecting(t, ports, exporter)
	exporter.Serve()
	for _, module := range []string{forbiddenDNS, forbiddenHTTP} {
		result := exporter.RunNow(module)
		if v := result.Verdict; v.Reason != "misissued" || v.Fault != probe.FaultCA {
			t.Errorf("%s: %+v, visits %+v", module, v, result.Visits)
			continue
		}
		if c := result.Certificate; c == nil || !strings.HasPrefix(c.PEM, "-----BEGIN CERTIFICATE-----") {
			t.Errorf("%s: kept is %+v", module, c)
		}
		parts.Until(t, "it is revoked, and the authorization deactivated", func() bool {
			m := exporter.Metrics()
			return m.Sum("acme_follow_ups_total", "module", module, "kind", "revoke", "outcome", "success") == 1 &&
				m.Sum("acme_follow_ups_total", "module", module, "kind", "deactivate_authz", "outcome", "success") == 1
		})
	}
	if v := exporter.RunNow(byPolicy).Verdict; v.Reason != "not_refused" || v.Fault != probe.FaultUnknown {
		t.Errorf("by policy: %+v", v)
	}
	// Nobody answers, and Pebble looks.
	if v := exporter.RunNow(unansweredDNS).Verdict; !v.Success() {
		t.Errorf("unanswered: %+v", v)
	}
}

// checkKept holds that the run has the certificate as it was issued, and returns it.
func checkKept(t *testing.T, r *probe.Result, rootFile string) *x509.Certificate {
	t.Helper()
	if r.Certificate == nil {
		t.Fatalf("no certificate: %+v", r.Failure)
	}
	root, err := os.ReadFile(rootFile)
	if err != nil {
		t.Fatal(err)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	block, rest := pem.Decode([]byte(r.Certificate.PEM))
	if block == nil {
		t.Fatalf("kept is %q", r.Certificate.PEM)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	between.AppendCertsFromPEM(rest)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: r.Failure.Identifier}); err != nil {
		t.Errorf("kept is %v of %v: %v", leaf.SerialNumber, leaf.DNSNames, err)
	}
	return leaf
}

// pairIncidents are those of the exporter's pairs.
func pairIncidents(t *testing.T, e *parts.Exporter) []probe.Incident {
	t.Helper()
	var list struct{ Incidents []probe.Incident }
	get(t, e, "/api/v1/incidents?kind=pair", &list)
	return list.Incidents
}

// get reads the API.
func get(t *testing.T, e *parts.Exporter, path string, into any) {
	t.Helper()
	if err := json.Unmarshal(parts.Do(t, "GET", e.URL+path), into); err != nil {
		t.Fatal(err)
	}
}

// TestRefusedInOtherWords holds what is said of a CA that refuses what it has to, and
// gives another reason: step-ca says connection where http-01 has no answer. It is no
// misissuance.
func TestRefusedInOtherWords(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	exporter := parts.NewExporter(t, ports, *parts.StartStepCA(t, ports))
	expecting(t, ports, exporter)
	exporter.Serve()
	result := exporter.RunNow(unansweredHTTP)
	if v := result.Verdict; v.Reason != "refused_otherwise" || v.Fault != probe.FaultUnknown || result.Failure.Problem == nil || result.Failure.Problem.Type != "connection" {
		t.Errorf("%+v, failure %+v", v, result.Failure)
	}
	if got := exporter.Metrics().Sum("acme_misissued_total"); got != 0 {
		t.Errorf("misissued %v times", got)
	}
}
