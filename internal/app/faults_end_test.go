package app

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// issuing fills in what the cases of an issuance have in common.
func issuing(cases []faultCase) []faultCase {
	for i := range cases {
		cases[i].prober = probe.ProberIssue
	}
	return cases
}

// The CA does not sign.
func finalizations() []faultCase {
	const finalization = probe.StepFinalization
	const scts = "Unable to meet CA SCT embedding requirements"
	later := fakeca.Options{AsyncFinalize: true, Polls: 1}
	down, noSCTs := invalid("serverInternal", 500, "Error finalizing order"), invalid("serverInternal", 500, scts)
	forbidden := problem("unauthorized", 403)
	return issuing([]faultCase{
		{name: "issuance works", validator: asks(nil), want: succeeded},
		{name: "issuance works, later", ca: later, want: succeeded},
		{name: "order invalid with serverInternal", arm: on(probe.CallFinalize, down), want: byCA(finalization, "server_internal")},
		{name: "order invalid with serverInternal, later", ca: later, arm: on(probe.CallFinalize, down), want: byCA(finalization, "server_internal")},
		{name: "no SCTs", arm: on(probe.CallFinalize, noSCTs), want: byCA(finalization, "server_internal")},
		{name: "no SCTs, later", ca: later, arm: on(probe.CallFinalize, noSCTs), want: byCA(finalization, "server_internal")},
		{name: "order invalid by nothing", ca: later, arm: on(probe.CallOrder, fakeca.Fault{Edit: fakeca.Set("status", "invalid")}), want: unknown(finalization, "invalid")},
		{name: "order invalid by badCSR, it worked", ca: later, worked: 1, runs: 2, arm: on(probe.CallFinalize, invalid("badCSR", 400, "in words")), want: byCA(finalization, "rejected_bad_csr")},
		{name: "order invalid by caa", ca: later, arm: on(probe.CallFinalize, invalid("caa", 403, "in words")), want: byClient(finalization, "caa")},
		{name: "finalize 403", arm: on(probe.CallFinalize, forbidden), want: unknown(finalization, "rejected_unauthorized")},
		{name: "finalize 403 of the edge", arm: on(probe.CallFinalize, html(403)), want: byCA(finalization, "edge_4xx")},
		{name: "finalize 403, never ready", arm: on(probe.CallFinalize, problem("orderNotReady", 403)), want: unknown(finalization, "rejected_order_not_ready")},
		{name: "finalize 403, not ready once", arm: times(1, probe.CallFinalize, problem("orderNotReady", 403)), want: succeeded},
		{name: "no certificate URL", arm: on(probe.CallFinalize, fakeca.Fault{Edit: fakeca.Without("certificate")}), want: byCA(finalization, "protocol")},
	})
}

// What the CA has signed is wrong.
func certificates() []faultCase {
	const download, certificate = probe.StepDownload, probe.StepCertificate
	wrong := func(d fakeca.CertificateDefect) armed { return on(probe.CallCertificate, fakeca.Fault{Certificate: d}) }
	return issuing([]faultCase{
		{name: "certificate for another key", arm: wrong(fakeca.CertificateOtherKey), want: byCA(certificate, "certificate_key")},
		{name: "certificate for other names", arm: wrong(fakeca.CertificateOtherNames), want: byCA(certificate, "certificate_names")},
		{name: "certificate for a name more", arm: wrong(fakeca.CertificateExtraName), want: byCA(certificate, "certificate_names")},
		{name: "certificate that has expired", arm: wrong(fakeca.CertificateExpired), want: byCA(certificate, "certificate_validity")},
		{name: "certificate that is not valid yet", arm: wrong(fakeca.CertificateNotYetValid), want: byCA(certificate, "certificate_validity")},
		{name: "broken chain", arm: wrong(fakeca.CertificateUnrelated), want: byCA(certificate, "certificate_order")},
		{name: "no chain", arm: wrong(fakeca.CertificateLeafOnly), want: byCA(certificate, "certificate_order")},
		{name: "broken signature", arm: wrong(fakeca.CertificateBadSignature), want: byCA(certificate, "certificate_signatures")},
		{name: "certificate that is empty", arm: wrong(fakeca.CertificateEmpty), want: byCA(download, "certificate_unreadable")},
		{name: "certificate that is HTML", arm: on(probe.CallCertificate, html(200)), want: byCA(download, "certificate_unreadable")},
		{name: "certificate that is no X.509", arm: wrong(fakeca.CertificateNotDER), want: byCA(download, "certificate_unreadable")},
		{name: "chain of too many", arm: wrong(fakeca.CertificateLong), want: byCA(download, "certificate_unreadable")},
		{name: "chain that is too long", arm: wrong(fakeca.CertificateHuge), want: byCA(download, "too_large")},
		{name: "certificate that is not there", arm: on(probe.CallCertificate, problem("malformed", 404)), want: unknown(download, "rejected_malformed")},
	})
}

// The CA says in each answer what the time is.
func clocks() []faultCase {
	const certificate, certified = probe.StepCertificate, probe.CallCertificate
	tells := func(off time.Duration, wrong fakeca.CertificateDefect) armed {
		return func(ca *fakeca.CA) {
			date := http.Header{"Date": {time.Now().Add(off).UTC().Format(http.TimeFormat)}}
			for _, call := range probe.Calls() {
				f := fakeca.Fault{Header: date}
				if call == certified {
					f.Certificate = wrong
				}
				ca.Fault(call, f, 0)
			}
		}
	}
	untold := func(ca *fakeca.CA) {
		for _, call := range probe.Calls() {
			ca.Fault(call, fakeca.Fault{Header: http.Header{"Date": nil}, Certificate: fakeca.CertificateExpired}, 0)
		}
	}
	const expired, early = fakeca.CertificateExpired, fakeca.CertificateNotYetValid
	return issuing([]faultCase{
		{name: "our clock is behind", arm: tells(36*time.Hour, early), want: local(certificate, "certificate_validity")},
		{name: "our clock is ahead", arm: tells(-36*time.Hour, expired), want: local(certificate, "certificate_validity")},
		{name: "our clock is a minute behind", arm: tells(time.Minute, early), want: local(certificate, "certificate_validity")},
		{name: "our clock is nearly right", arm: tells(15*time.Second, early), want: byCA(certificate, "certificate_validity")},
		{name: "the CA does not tell the time", arm: untold, want: byCA(certificate, "certificate_validity")},
		{name: "our clock is behind, and the certificate is for another key", arm: tells(36*time.Hour, fakeca.CertificateOtherKey), want: byCA(certificate, "certificate_key")},
		{name: "our clock is behind, and the certificate is right", arm: tells(36*time.Hour, ""), want: succeeded},
	})
}

// It is ourselves.
func ours() []faultCase {
	closed := func(s *scene) {
		if err := s.responders.Close(s.t.Context()); err != nil {
			s.t.Error(err)
		}
	}
	spoilt := func(s *scene) {
		if err := os.WriteFile(filepath.Join(s.state, "accounts", "ca.pem"), []byte("no key"), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	metadata := func(*testing.T) (string, []byte) { return "https://169.254.169.254/directory", nil }
	const setup = probe.StepSetup
	return []faultCase{
		{name: "no responder", prober: probe.ProberValidate, broken: closed, want: local(setup, "local")},
		{name: "a key that cannot be read", prober: probe.ProberOrder, worked: 1, broken: spoilt, want: local(setup, "local")},
		{name: "a directory that is not to be met", site: metadata, want: byClient(probe.StepDirectory, "url_refused")},
	}
}
