package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// revoking has the exporter's modules revoke their certificates, each for its reason.
func revoking(exporter *parts.Exporter, modules ...string) {
	reasons := []probe.RevocationReason{probe.ReasonSuperseded, probe.ReasonCessationOfOperation, probe.ReasonKeyCompromise}
	for i, module := range modules {
		challenge := map[string]string{"issue_http": "http-01", "issue_dns": "dns-01", "issue_alpn": "tls-alpn-01"}[module]
		exporter.Reconfigure("issue: {challenge: "+challenge+"}", fmt.Sprintf("issue: {challenge: %s, revoke: {reason: %s, every: 24h}}", challenge, reasons[i]))
	}
}

// propagation is how often a revocation was seen to show, and how long that took in
// all.
func propagation(m parts.Metrics, labels ...string) (count uint64, seconds float64) {
	return m.Observed("acme_revocation_propagation_seconds", labels...)
}

const pendingSince = "acme_revocation_oldest_pending_timestamp_seconds"

// TestRevocation holds that a certificate is revoked once, that the CRL which has it
// later than OCSP is waited for, across kill -9, that it is observed once when it
// shows, and that the pair's runs keep their time meanwhile.
func TestRevocation(t *testing.T) {
	t.Parallel()
	const delay = 25 * time.Second
	_, flags := parts.Signing(t)
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, append(flags, "-smooth", "-always-valid", "-crl-delay="+delay.String())...)
	exporter := parts.NewExporter(t, ports, pebble.CA)
	revoking(exporter, "issue_http")
	exporter.Reconfigure("issue_http: 0s", "issue_http: 10s")
	exporter.Serve()

	parts.Until(t, "OCSP says that a certificate is revoked", func() bool {
		count, _ := propagation(exporter.Metrics(), "module", "issue_http", "via", "ocsp")
		return count == 1
	})
	m := exporter.Metrics()
	at := m.Sum(pendingSince, "module", "issue_http", "via", "crl")
	if since := time.Since(time.Unix(int64(at), 0)); since < 0 || since > parts.Timeout || m.Has(pendingSince, "via", "ocsp") {
		t.Errorf("pending since %v ago, by OCSP too: %v", since, m.Has(pendingSince, "via", "ocsp"))
	}
	if count, _ := propagation(m, "via", "crl"); count != 0 {
		t.Errorf("the CRL has shown %d revocations", count)
	}
	if m.Sum("acme_requests_total", "call", "revoke-cert", "code", "200") != 1 || !m.Has("acme_request_duration_seconds", "call", "revoke-cert") {
		t.Error("the revocation was not timed, or not made")
	}
	missed := m.Sum("acme_exporter_schedule_missed_total", "module", "issue_http")

	exporter.Kill()
	exporter.Serve()
	m = exporter.Metrics()
	if got := m.Sum(pendingSince, "module", "issue_http", "via", "crl"); got != at {
		t.Errorf("ready, and pending since %v, want %v", got, at)
	}
	if count, _ := propagation(m); count != 0 {
		t.Errorf("the new process has seen %d", count)
	}
	parts.Until(t, "the CRL shows it", func() bool {
		count, _ := propagation(exporter.Metrics(), "via", "crl")
		return count == 1
	})
	m = exporter.Metrics()
	if _, took := propagation(m, "via", "crl"); took < delay.Seconds() {
		t.Errorf("the CRL showed it after %v s, and the CA waits for %s", took, delay)
	}
	if m.Has(pendingSince) {
		t.Error("still pending")
	}
	if count, _ := propagation(m, "via", "ocsp"); count != 0 || m.Sum("acme_follow_ups_total", "kind", "watch_revocation", "outcome", "success") != 1 {
		t.Errorf("after the restart OCSP has shown it %d times", count)
	}
	if more := m.Sum("acme_exporter_schedule_missed_total", "module", "issue_http"); missed+more != 0 {
		t.Errorf("%v ticks were missed while it was pending", missed+more)
	}
	if runs := m.Sum("acme_probes_total", "module", "issue_http", "outcome", "success"); runs < 2 || m.Sum("acme_probes_total", "outcome", "failure") != 0 {
		t.Errorf("%v runs after the restart", runs)
	}
	page := string(parts.Do(t, http.MethodGet, exporter.URL+"/runs?target=ca&module=issue_http"))
	if !strings.Contains(page, "The revocation list showed it after ") || !strings.Contains(page, "OCSP showed it after ") {
		t.Errorf("the pair's page does not say what came of it:\n%s", page)
	}
	revoked := 0
	for _, c := range pebble.Signed().Certificates[3:] { // those of the sites come first
		if !c.Revoked.IsZero() {
			revoked++
			if c.Reason != probe.ReasonSuperseded.Code() {
				t.Errorf("revoked for the reason %d", c.Reason)
			}
		}
	}
	if revoked != 1 {
		t.Errorf("%d certificates are revoked, want one in 24 h", revoked)
	}
}

// TestRevocationDefects holds what becomes of revocations that a CA does not take, or
// takes and does not publish, and that a list with a wrong signature shows none.
func TestRevocationDefects(t *testing.T) {
	t.Parallel()
	_, flags := parts.Signing(t)
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, append(flags, "-smooth", "-always-valid")...)
	exporter := parts.NewExporter(t, ports, pebble.CA)
	revoking(exporter, "issue_http", "issue_dns", "issue_alpn")
	exporter.Serve()
	// A target's first certificate is none that is revoked.
	if r := exporter.RunNow("issue_http"); !r.Verdict.Success() || len(r.FollowUps) != 1 {
		t.Errorf("the first one: %+v, to follow up %v", r.Verdict, r.FollowUps)
	}

	pebble.Defects("revoke-error")
	issue := func(module string) {
		t.Helper()
		if r := exporter.RunNow(module); !r.Verdict.Success() || len(r.FollowUps) != 2 || r.FollowUps[1].Kind != probe.FollowUpRevoke {
			t.Errorf("%s: %+v, to follow up %v", module, r.Verdict, r.FollowUps)
		}
	}
	followed := func(module, kind, outcome string) float64 {
		return exporter.Metrics().Sum("acme_follow_ups_total", "module", module, "kind", kind, "outcome", outcome)
	}
	issue("issue_http")
	parts.Until(t, "the CA has refused", func() bool { return followed("issue_http", "revoke", "failure") == 1 })
	if m := exporter.Metrics(); m.Has(pendingSince, "via", "crl") || m.Has(pendingSince, "via", "ocsp") || m.Sum("acme_requests_total", "call", "revoke-cert", "code", "500") != 1 ||
		m.Sum("acme_probes_total", "outcome", "failure") != 0 {
		t.Error("what is not revoked is published, was not asked for, or is a failure of the module")
	}
	if since := time.Since(time.Unix(int64(exporter.Metrics().Sum(pendingSince, "module", "issue_http", "via", "api")), 0)); since < 0 || since > parts.Timeout {
		t.Errorf("the CA was asked in vain since %s ago", since)
	}

	pebble.Defects("revoke-lost")
	issue("issue_dns")
	parts.Until(t, "it is pending", func() bool { return followed("issue_dns", "watch_revocation", "skipped") >= 2 })
	if m := exporter.Metrics(); !m.Has(pendingSince, "module", "issue_dns", "via", "crl") || !m.Has(pendingSince, "module", "issue_dns", "via", "ocsp") {
		t.Error("what is never published is not pending")
	}

	pebble.Defects("revoke-already", "crl-signature")
	issue("issue_alpn")
	parts.Until(t, "the list was refused", func() bool { return followed("issue_alpn", "watch_revocation", "failure") >= 1 })
	parts.Until(t, "OCSP says so", func() bool { return followed("issue_alpn", "watch_revocation", "success") == 1 })
	if m := exporter.Metrics(); !m.Has(pendingSince, "module", "issue_alpn", "via", "crl") || m.Has(pendingSince, "module", "issue_alpn", "via", "ocsp") {
		t.Error("a list that nobody has signed shows a revocation, or OCSP does not")
	}
	pebble.Defects()
	parts.Until(t, "the CRL shows it", func() bool { return followed("issue_alpn", "watch_revocation", "success") == 2 })
	m := exporter.Metrics()
	if m.Has(pendingSince, "module", "issue_alpn") || !m.Has(pendingSince, "module", "issue_dns") {
		t.Error("pending is not what does not show")
	}
	// The CA said that it was revoked before, and nobody knows when.
	if count, _ := propagation(m, "module", "issue_alpn"); count != 0 {
		t.Errorf("%v propagations are measured", count)
	}
}

// TestRevocationAtStepCA has another CA's CRL show a revocation.
func TestRevocationAtStepCA(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	ca := parts.StartListingStepCA(t, ports, true)
	exporter := parts.NewExporter(t, ports, *ca.CA)
	revoking(exporter, "issue_http")
	exporter.Serve()
	for range 2 { // the first one is not revoked
		if r := exporter.RunNow("issue_http"); !r.Verdict.Success() {
			t.Fatalf("issue_http: %+v", r.Verdict)
		}
	}
	parts.Until(t, "the CRL shows it", func() bool {
		count, _ := propagation(exporter.Metrics(), "via", "crl")
		return count == 1
	})
	if m := exporter.Metrics(); m.Has(pendingSince) || m.Sum("acme_requests_total", "call", "revoke-cert", "code", "200") != 1 {
		t.Error("still pending, or never revoked")
	}
}

// TestRevocationByCommand holds that what the command probe has revoked is watched by
// the exporter that is started after it.
func TestRevocationByCommand(t *testing.T) {
	t.Parallel()
	_, flags := parts.Signing(t)
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, append(flags, "-smooth", "-always-valid")...)
	exporter := parts.NewExporter(t, ports, pebble.CA)
	revoking(exporter, "issue_http")
	for i := range 3 { // the first certificate of a target is not revoked, and of others one a day
		if r := exporter.Probe("issue_http"); (len(r.FollowUps) == 2) != (i == 1) {
			t.Errorf("run %d is followed up by %v", i+1, r.FollowUps)
		}
	}
	exporter.Serve()
	parts.Until(t, "CRL and OCSP show it", func() bool {
		count, _ := propagation(exporter.Metrics())
		return count == 2
	})
	if m := exporter.Metrics(); m.Has(pendingSince) || m.Has("acme_requests_total", "call", "revoke-cert") {
		t.Error("still pending, or revoked again")
	}
}
