package e2e_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// TestBesideTheAPI holds that each defect of what a CA publishes beside its API is
// found by the prober that looks at it, and nothing where there is none; over a
// restart too.
func TestBesideTheAPI(t *testing.T) {
	t.Parallel()
	files, flags := parts.Signing(t)
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, append(flags, "-smooth", "-always-valid")...)
	signed := pebble.Signed()
	issuer := pemFile(t, "CERTIFICATE", parts.Do(t, http.MethodGet, signed.Issuer))

	exporter := parts.NewExporter(t, ports, pebble.CA)
	exporter.Reconfigure("rate_limits: none\n", "rate_limits: none\n    issuer_roots: "+files.Root+"\n")
	exporter.Reconfigure("directory: 0s\n", "directory: 0s\n      crl: 0s\n      shards: 0s\n      ocsp: 0s\n      aia: 0s\n      site: 0s\n")
	exporter.Reconfigure("modules:\n", fmt.Sprintf(`modules:
  crl: {prober: crl, min_interval: 100ms}
  shards: {prober: crl, min_interval: 100ms, crl: {urls: [%q, %q], issuer_file: %q}}
  ocsp: {prober: ocsp, min_interval: 100ms}
  aia: {prober: aia, min_interval: 100ms}
  site: {prober: site, min_interval: 100ms, site: {valid: %q, expired: %q, revoked: %q}}
`, signed.CRLs[0], signed.CRLs[1], issuer, signed.Sites["valid"], signed.Sites["expired"], signed.Sites["revoked"]))
	modules := []string{"crl", "shards", "ocsp", "aia", "site"}

	exporter.Serve()
	if r := exporter.RunNow("ocsp"); r.Verdict.Outcome != probe.OutcomeSkipped || r.Verdict.Reason != "not_applicable" {
		t.Errorf("before anything was issued: %+v", r.Verdict)
	}
	if r := exporter.RunNow("issue_http"); !r.Verdict.Success() {
		t.Fatalf("issue_http: %+v", r.Verdict)
	}
	// Over a restart it is known what was issued.
	exporter.Kill()
	exporter.Serve()
	for _, module := range modules {
		if r := exporter.RunNow(module); !r.Verdict.Success() {
			t.Errorf("%s: %+v", module, r.Verdict)
		}
	}
	m := exporter.Metrics()
	for _, name := range []string{"acme_crl_number", "acme_crl_size_bytes", "acme_crl_this_update_timestamp_seconds"} {
		if m.Sum(name, "module", "shards") <= 0 {
			t.Errorf("%s is not there", name)
		}
	}
	for _, test := range []struct{ defect, module, reason string }{
		{"crl-signature", "crl", "crl_signature"},
		{"crl-issuer", "crl", "crl_issuer"},
		{"crl-expired", "crl", "crl_stale"},
		{"crl-future", "crl", "crl_stale"},
		{"crl-other-idp", "crl", "crl_idp"},
		{"crl-number", "crl", "crl_rollback"},
		{"crl-no-idp", "shards", "crl_idp"},
		{"crl-content-type", "crl", "crl_content_type"},
		{"crl-pem", "crl", "crl_unreadable"},
		{"crl-missing", "crl", "edge_4xx"},
		{"crl-serial-absent", "site", "site_revoked"},
		{"ocsp-unknown", "ocsp", "ocsp_status"},
		{"ocsp-stale", "ocsp", "ocsp_stale"},
		{"ocsp-signer", "ocsp", "ocsp_signature"},
		{"ocsp-delegation", "ocsp", "ocsp_signature"},
		{"ocsp-signature", "ocsp", "ocsp_signature"},
		{"ocsp-other-serial", "ocsp", "ocsp_certificate"},
		{"ocsp-try-later", "ocsp", "ocsp_status"},
		{"ocsp-content-type", "ocsp", "ocsp_content_type"},
		{"ocsp-no-get", "ocsp", "edge_4xx"},
		{"ocsp-no-post", "ocsp", "edge_4xx"},
		{"ocsp-good", "site", "site_revoked"},
		{"aia-pem", "aia", "aia_unreadable"},
		{"aia-subject", "aia", "aia_subject"},
		{"aia-content-type", "aia", "aia_content_type"},
		{"aia-missing", "aia", "edge_4xx"},
		{"site-valid-expired", "site", "site_valid"},
		{"site-expired-valid", "site", "site_expired"},
		{"site-revoked-valid", "site", "site_revoked"},
		{"site-incomplete", "site", "site_valid"},
	} {
		pebble.Defects(test.defect)
		if r := exporter.RunNow(test.module); string(r.Verdict.Reason) != test.reason || r.Verdict.Fault != probe.FaultCA {
			t.Errorf("%s: %+v, want the reason %s", test.defect, r.Verdict, test.reason)
		}
	}
	pebble.Defects()
	for _, module := range modules {
		if r := exporter.RunNow(module); !r.Verdict.Success() {
			t.Errorf("%s, without a defect again: %+v", module, r.Verdict)
		}
	}
}
