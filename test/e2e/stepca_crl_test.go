package e2e_test

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// accountOf makes a client of the exporter's account at ca.
func accountOf(t *testing.T, e *parts.Exporter, ca parts.CA) *plainClient {
	t.Helper()
	text, err := os.ReadFile(e.State("accounts/" + parts.Target + ".pem"))
	must(t, err)
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(t, err)
	c := newClient(t, ca)
	c.Key = key.(crypto.Signer)
	account, err := c.GetReg(t.Context(), "")
	must(t, err)
	c.account = account.URI
	return c
}

// crlOf is what the run has read of its only CRL.
func crlOf(t *testing.T, r *probe.Result) probe.CRL {
	t.Helper()
	if len(r.CRLs) != 1 {
		t.Fatalf("%d lists were read: %+v", len(r.CRLs), r.Verdict)
	}
	return r.CRLs[0]
}

// TestStepCACRL holds that the CRL of another CA than our own is read as openssl
// reads it, before and after a revocation, by a URL and by what a certificate names.
func TestStepCACRL(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	ca := parts.StartListingStepCA(t, ports, true)
	exporter := parts.NewExporter(t, ports, *ca.CA)
	exporter.Reconfigure("directory: 0s\n", "directory: 0s\n      crl: 0s\n      listed: 0s\n")
	exporter.Reconfigure("modules:\n", `modules:
  crl: {prober: crl, min_interval: 100ms}
  listed: {prober: crl, min_interval: 100ms, crl: {urls: ["`+ca.CRL+`"], issuer_file: "`+ca.IssuerFile+`"}}
`)
	exporter.Serve()
	issued := exporter.RunNow("issue_http")
	if !issued.Verdict.Success() {
		t.Fatalf("issue_http: %+v", issued.Verdict)
	}
	var number string
	for entries := range 2 {
		if entries == 1 {
			c := accountOf(t, exporter, *ca.CA)
			i := slices.IndexFunc(issued.Calls, func(c probe.Call) bool { return c.Name == probe.CallCertificate })
			chain, err := c.FetchCert(t.Context(), issued.Calls[i].URL, true)
			must(t, err)
			must(t, c.RevokeCert(t.Context(), nil, chain[0], acme.CRLReasonSuperseded))
		}
		der := parts.Do(t, http.MethodGet, ca.CRL)
		for _, module := range []string{"listed", "crl"} {
			r := exporter.RunNow(module)
			if !r.Verdict.Success() {
				t.Errorf("%s: %+v", module, r.Verdict)
			}
			f := crlOf(t, r)
			if f.URL != ca.CRL || f.Entries != entries || f.Bytes != int64(len(der)) || !f.Sharded || f.Number == number {
				t.Errorf("%s, of %d revoked: %+v, the number before was %s", module, entries, f, number)
			}
			agrees(t, pemFile(t, "X509 CRL", der), ca.IssuerFile, f)
		}
		number = crlOf(t, exporter.RunNow("listed")).Number
	}
	if m := exporter.Metrics(); m.Sum("acme_crl_entries", "module", "listed") != 1 {
		t.Errorf("acme_crl_entries: %v", m["acme_crl_entries"])
	}
}

// agrees holds that openssl reads the same in the CRL, and finds its signature right.
func agrees(t *testing.T, crl, issuer string, f probe.CRL) {
	t.Helper()
	out := openssl(t, "crl", "-in", crl, "-CAfile", issuer, "-noout", "-text")
	date := func(d time.Time) string { return d.UTC().Format("Jan _2 15:04:05 2006 GMT") }
	holds(t, out, "verify OK", "Last Update: "+date(f.ThisUpdate), "Next Update: "+date(f.NextUpdate), "URI:"+f.URL,
		"X509v3 CRL Number: \n                "+f.Number+"\n")
	if n := strings.Count(out, "    Serial Number: "); n != f.Entries {
		t.Errorf("openssl finds %d entries, not %d:\n%s", n, f.Entries, out)
	}
}

// TestStepCACRLElsewhere holds that a CRL is found out that says that it is for
// another URL, as step-ca's does where nobody has told it which one it is.
func TestStepCACRLElsewhere(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	ca := parts.StartListingStepCA(t, ports, false)
	exporter := parts.NewExporter(t, ports, *ca.CA)
	exporter.Reconfigure("directory: 0s\n", "directory: 0s\n      listed: 0s\n")
	exporter.Reconfigure("modules:\n", `modules:
  listed: {prober: crl, crl: {urls: ["`+ca.CRL+`"], issuer_file: "`+ca.IssuerFile+`"}}
`)
	exporter.Serve()
	r := exporter.RunNow("listed")
	if r.Verdict.Reason != "crl_idp" || r.Verdict.Fault != probe.FaultCA {
		t.Errorf("verdict %+v", r.Verdict)
	}
	if f := crlOf(t, r).Flaws; len(f) != 1 || !strings.Contains(f[0].Detail, "it is for https://127.0.0.1/1.0/crl") {
		t.Errorf("flaws %+v", f)
	}
}
