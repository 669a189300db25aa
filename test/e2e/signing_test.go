package e2e_test

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/ocsp"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// issuedCertificate is one that a client has downloaded, with what came with it.
type issuedCertificate struct {
	chain []*x509.Certificate // the certificate first
}

// download has a certificate issued, and downloads it.
func (c *plainClient) download(t *testing.T, names ...string) issuedCertificate {
	t.Helper()
	order, err := c.ready(names...)
	must(t, err)
	must(t, c.finalize(order))
	order, err = c.GetOrder(t.Context(), order.URI)
	must(t, err)
	ders, err := c.FetchCert(t.Context(), order.CertURL, true)
	must(t, err)
	again, err := c.FetchCert(t.Context(), order.CertURL, true)
	must(t, err)
	if !slices.EqualFunc(ders, again, bytes.Equal) {
		t.Error("downloaded again, it is another")
	}
	var issued issuedCertificate
	for _, der := range ders {
		certificate, err := x509.ParseCertificate(der)
		must(t, err)
		issued.chain = append(issued.chain, certificate)
	}
	return issued
}

// ari is what a certificate is called where it is asked when to renew it (RFC
// 9773 §4.1). Ours have serial numbers that begin with a byte below 0x80.
func (i issuedCertificate) ari() string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode(i.chain[0].AuthorityKeyId) + "." + encode(i.chain[0].SerialNumber.Bytes())
}

// pemFile writes what is of a kind to a file.
func pemFile(t *testing.T, kind string, der []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file.pem")
	must(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return name
}

// openssl runs openssl, and returns what it says.
func openssl(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out)
}

// holds fails the test if openssl does not say all of it.
func holds(t *testing.T, out string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("openssl does not say %q:\n%s", part, out)
		}
	}
}

// revocation is what CRL and OCSP say of a certificate.
func (i issuedCertificate) revocation(t *testing.T) (list *x509.RevocationList, entry *x509.RevocationListEntry, answer *ocsp.Response) {
	t.Helper()
	leaf, issuer := i.chain[0], i.chain[1]
	list, err := x509.ParseRevocationList(parts.Do(t, http.MethodGet, leaf.CRLDistributionPoints[0]))
	must(t, err)
	must(t, list.CheckSignatureFrom(issuer))
	for j, e := range list.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
			entry = &list.RevokedCertificateEntries[j]
		}
	}
	request, err := ocsp.CreateRequest(leaf, issuer, &ocsp.RequestOptions{Hash: crypto.SHA1})
	must(t, err)
	body := parts.Do(t, http.MethodGet, leaf.OCSPServer[0]+"/"+strings.ReplaceAll(base64.StdEncoding.EncodeToString(request), "/", "%2F"))
	answer, err = ocsp.ParseResponseForCert(body, leaf, issuer)
	must(t, err)
	return list, entry, answer
}

// TestSigning holds that what a client downloads from Pebble with the signing
// back end is right, for openssl too, and that a revocation reaches CRL and OCSP
// when it should.
func TestSigning(t *testing.T) {
	t.Parallel()
	const delay = 2 * time.Second
	files, flags := parts.Signing(t)
	pebble := parts.StartPebble(t, parts.NewPorts(t), append(flags, "-smooth", "-always-valid",
		"-crl-delay="+delay.String(), "-ocsp-delay="+delay.String(),
		parts.RateLimits(parts.Limit{Name: "certificates_per_domain", Count: 2, Period: long}))...)
	c, other := newPlainClient(t, pebble.CA), newPlainClient(t, pebble.CA)
	issued := c.download(t, "a.example", "*.b.example")
	if len(issued.chain) != 2 || !slices.Equal(slices.Sorted(slices.Values(issued.chain[0].DNSNames)), []string{"*.b.example", "a.example"}) {
		t.Fatalf("%d certificates, for %v", len(issued.chain), issued.chain[0].DNSNames)
	}
	leaf, issuer := issued.chain[0], issued.chain[1]
	leafFile, issuerFile := pemFile(t, "CERTIFICATE", leaf.Raw), pemFile(t, "CERTIFICATE", issuer.Raw)
	holds(t, openssl(t, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", files.Root, "-untrusted", issuerFile, leafFile), ": OK")
	if got := leaf.NotAfter.Sub(leaf.NotBefore); got != 90*24*time.Hour-time.Second {
		t.Errorf("it is valid for %s", got)
	}
	if der := parts.Do(t, http.MethodGet, leaf.IssuingCertificateURL[0]); !bytes.Equal(der, issuer.Raw) {
		t.Errorf("its issuer is %x", der)
	}
	parts.Until(t, "it is counted", func() bool { return len(pebble.Spent().Issuances) == 1 })

	list, entry, answer := issued.revocation(t)
	if entry != nil || answer.Status != ocsp.Good {
		t.Errorf("before it is revoked: %v, %d", entry, answer.Status)
	}
	holds(t, openssl(t, "verify", "-CAfile", files.Root, "-untrusted", issuerFile, "-crl_check",
		"-CRLfile", pemFile(t, "X509 CRL", list.Raw), leafFile), ": OK")

	if err := other.RevokeCert(t.Context(), nil, leaf.Raw, acme.CRLReasonSuperseded); err == nil {
		t.Error("another account has revoked it")
	}
	must(t, c.RevokeCert(t.Context(), nil, leaf.Raw, acme.CRLReasonSuperseded))
	var seen time.Time
	parts.Until(t, "CRL and OCSP say that it is revoked", func() bool {
		list, entry, answer = issued.revocation(t)
		seen = time.Now()
		return entry != nil && answer.Status == ocsp.Revoked
	})
	signed := pebble.Signed()
	record := signed.Certificates[len(signed.Certificates)-1]
	if record.Serial != leaf.SerialNumber.Text(16) || record.CRL != leaf.CRLDistributionPoints[0] || record.Reason != 4 ||
		seen.Sub(record.Revoked) < delay || entry.ReasonCode != 4 || answer.RevocationReason != 4 ||
		!entry.RevocationTime.Equal(record.Revoked.Truncate(time.Second)) {
		t.Errorf("seen at %s: %+v, %+v, %+v", seen, record, entry, answer)
	}
	holds(t, openssl(t, "verify", "-CAfile", files.Root, "-untrusted", issuerFile, "-crl_check",
		"-CRLfile", pemFile(t, "X509 CRL", list.Raw), leafFile), "certificate revoked")
	holds(t, openssl(t, "ocsp", "-CAfile", files.Root, "-issuer", issuerFile, "-cert", leafFile, "-no_nonce", "-url", signed.OCSP),
		"Response verify OK", leafFile+": revoked", "Reason: superseded")
	// It takes "already revoked" for a success. What was said stays.
	must(t, c.RevokeCert(t.Context(), nil, leaf.Raw, acme.CRLReasonUnspecified))
	if again := pebble.Signed().Certificates; !slices.Equal(again, signed.Certificates) {
		t.Errorf("revoked again: %+v, was %+v", again, signed.Certificates)
	}
}

// TestSigningTransparency holds that openssl, told of the logs in the list, finds
// two valid SCTs in what a client has downloaded.
func TestSigningTransparency(t *testing.T) {
	t.Parallel()
	files, flags := parts.Signing(t)
	pebble := parts.StartPebble(t, parts.NewPorts(t), append(flags, "-smooth", "-always-valid", "-validity=160h")...)
	issued := newPlainClient(t, pebble.CA).download(t, "a.example")
	if got := issued.chain[0].NotAfter.Sub(issued.chain[0].NotBefore); got != 160*time.Hour-time.Second {
		t.Errorf("it is valid for %s", got)
	}
	text, err := os.ReadFile(files.LogList)
	must(t, err)
	type entry struct{ Description, Key string }
	var list struct {
		Operators []struct {
			Logs  []entry
			Tiled []entry `json:"tiled_logs"`
		}
	}
	must(t, json.Unmarshal(text, &list))
	var names, sections []string
	for _, operator := range list.Operators {
		for _, log := range slices.Concat(operator.Logs, operator.Tiled) {
			name := fmt.Sprintf("log%d", len(names))
			names = append(names, name)
			sections = append(sections, fmt.Sprintf("[%s]\ndescription = %s\nkey = %s\n", name, log.Description, log.Key))
		}
	}
	logs := filepath.Join(t.TempDir(), "logs.cnf")
	must(t, os.WriteFile(logs, []byte("enabled_logs = "+strings.Join(names, ",")+"\n"+strings.Join(sections, "")), 0o600))

	// The site has what is issued like everything else, and a key that the test
	// needs not know.
	site := strings.TrimSuffix(strings.TrimPrefix(pebble.Signed().Sites["valid"], "https://"), "/")
	out := openssl(t, "s_client", "-connect", strings.Replace(site, "localhost", "127.0.0.1", 1), "-servername", "localhost",
		"-verify_hostname", "localhost", "-verify_return_error", "-CAfile", files.Root, "-ct", "-ctlogfile", logs)
	holds(t, out, "SCTs present (2)", "Verify return code: 0 (ok)")
	if n := strings.Count(out, "SCT validation status: valid"); n != 2 {
		t.Errorf("%d SCTs are valid:\n%s", n, out)
	}
	shown := openssl(t, "x509", "-noout", "-ext", "ct_precert_scts", "-in", pemFile(t, "CERTIFICATE", issued.chain[0].Raw))
	if n := strings.Count(shown, "Signed Certificate Timestamp:"); n != 2 {
		t.Errorf("what was downloaded has %d SCTs:\n%s", n, shown)
	}
}

// TestSigningSites holds that each test site is what it is for.
func TestSigningSites(t *testing.T) {
	t.Parallel()
	files, flags := parts.Signing(t)
	pebble := parts.StartPebble(t, parts.NewPorts(t), append(flags, "-smooth", "-crl-delay=1h", "-ocsp-delay=1h")...)
	signed := pebble.Signed()
	text, err := os.ReadFile(files.Root)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	for site, want := range map[string]struct {
		expired bool
		status  int
	}{
		"valid": {false, ocsp.Good}, "expired": {true, ocsp.Good}, "revoked": {false, ocsp.Revoked},
	} {
		address := strings.TrimSuffix(strings.TrimPrefix(signed.Sites[site], "https://"), "/")
		verify := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		conn, err := (&tls.Dialer{Config: verify}).DialContext(t.Context(), "tcp", address)
		if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); want.expired && (!ok || invalid.Reason != x509.Expired) {
			t.Errorf("%s: %v", site, err)
		} else if !want.expired {
			must(t, err)
			must(t, conn.Close())
		}
		verify = verify.Clone()
		verify.Time = func() time.Time { return time.Now().Add(-60 * 24 * time.Hour) }
		if !want.expired {
			verify.Time = nil
		}
		conn, err = (&tls.Dialer{Config: verify}).DialContext(t.Context(), "tcp", address)
		must(t, err)
		issued := issuedCertificate{chain: conn.(*tls.Conn).ConnectionState().PeerCertificates}
		must(t, conn.Close())
		if _, entry, answer := issued.revocation(t); answer.Status != want.status || (entry != nil) != (want.status == ocsp.Revoked) {
			t.Errorf("%s: %v, %d", site, entry, answer.Status)
		}
	}
}

// TestSigningRenewal holds that Pebble knows the certificate that the client has,
// where it is asked when to renew it, and in an order that replaces it.
func TestSigningRenewal(t *testing.T) {
	t.Parallel()
	_, flags := parts.Signing(t)
	pebble := parts.StartPebble(t, parts.NewPorts(t), append(flags, "-smooth", "-always-valid")...)
	c := newPlainClient(t, pebble.CA)
	issued := c.download(t, "a.example")
	start := func() time.Time {
		t.Helper()
		resp, err := c.HTTPClient.Get(strings.TrimSuffix(pebble.DirectoryURL, "/dir") + "/draft-ietf-acme-ari-03/renewalInfo/" + issued.ari())
		must(t, err)
		defer resp.Body.Close()
		var info struct {
			Window struct{ Start time.Time } `json:"suggestedWindow"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&info); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v", resp.Status, err)
		}
		return info.Window.Start
	}
	if got := start(); got.Before(issued.chain[0].NotBefore.Add(50*24*time.Hour)) || got.After(issued.chain[0].NotAfter) {
		t.Errorf("renew it from %s on", got)
	}
	moved := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	pebble.RenewalInfo(issued.chain[0].SerialNumber, `{"suggestedWindow": {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}}`)
	if got := start(); !got.Equal(moved) {
		t.Errorf("moved to %s: renew it from %s on", moved, got)
	}
	pebble.RenewalInfo(issued.chain[0].SerialNumber, "")
	must(t, c.RevokeCert(t.Context(), nil, issued.chain[0].Raw, acme.CRLReasonUnspecified))
	if got := start(); got.After(time.Now()) || got.Equal(moved) {
		t.Errorf("revoked: renew it from %s on", got)
	}

	// The client has no way to say what an order replaces, but for one: it posts
	// any body to any URL, and does not expect a 201.
	directory, err := c.Discover(t.Context())
	must(t, err)
	body := fmt.Sprintf(`{"identifiers": [{"type": "dns", "value": "a.example"}], "replaces": %q}`, issued.ari())
	_, err = c.Accept(t.Context(), &acme.Challenge{URI: directory.OrderURL, Payload: []byte(body)})
	if problem, ok := errors.AsType[*acme.Error](err); !ok || problem.StatusCode != http.StatusCreated {
		t.Fatalf("an order that replaces it: %v", err)
	}
	if log := pebble.Log(); !strings.Contains(log, "is a replacement of") {
		t.Errorf("Pebble has not seen what the order replaces:\n%s", log)
	}
}

// TestSigningDefects holds that defects are put in force and taken back while the
// CA runs, in what is issued and in what is served.
func TestSigningDefects(t *testing.T) {
	t.Parallel()
	files, flags := parts.Signing(t)
	pebble := parts.StartPebble(t, parts.NewPorts(t), append(flags, "-smooth", "-always-valid", "-quiet")...)
	c := newPlainClient(t, pebble.CA)
	verify := func(issued issuedCertificate) string {
		args := []string{"verify", "-CAfile", files.Root}
		for _, c := range issued.chain[1:] {
			args = append(args, "-untrusted", pemFile(t, "CERTIFICATE", c.Raw))
		}
		return openssl(t, append(args, pemFile(t, "CERTIFICATE", issued.chain[0].Raw))...)
	}
	subjects := func(issued issuedCertificate) (names []string) {
		for _, c := range issued.chain {
			names = append(names, c.Subject.CommonName)
		}
		return names
	}
	good := c.download(t, "a.example")
	holds(t, verify(good), ": OK")
	for defect, want := range map[string]struct {
		chain   []string
		openssl string
	}{
		"chain-incomplete": {[]string{""}, "unable to get local issuer certificate"},
		"chain-foreign":    {[]string{"", "Test Intermediate E9"}, "unable to get local issuer certificate"},
		"chain-order":      {[]string{"", "Test Root R1", "Test Intermediate E1"}, ": OK"},
		"leaf-signature":   {[]string{"", "Test Intermediate E1"}, "certificate signature failure"},
	} {
		pebble.Defects(defect)
		if got := pebble.Signed().Defects; !slices.Equal(got, []string{defect}) {
			t.Errorf("%s: in force are %v", defect, got)
		}
		issued := c.download(t, "a.example")
		if got := subjects(issued); !slices.Equal(got, want.chain) {
			t.Errorf("%s: the chain is %q, want %q", defect, got, want.chain)
		}
		holds(t, verify(issued), want.openssl)
	}
	pebble.Defects("crl-expired", "aia-subject")
	if list, _, _ := good.revocation(t); list.NextUpdate.After(time.Now()) {
		t.Errorf("the CRL is good until %s", list.NextUpdate)
	}
	if der := parts.Do(t, http.MethodGet, good.chain[0].IssuingCertificateURL[0]); bytes.Equal(der, good.chain[1].Raw) {
		t.Error("the issuer is the right one")
	}
	pebble.Defects()
	if list, _, _ := good.revocation(t); list.NextUpdate.Before(time.Now()) {
		t.Errorf("no defect any more, and the CRL was good until %s", list.NextUpdate)
	}
	holds(t, verify(c.download(t, "a.example")), ": OK")
}

// TestSigningExporter holds that acme_exporter gets its certificates from it as
// from Pebble.
func TestSigningExporter(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	_, flags := parts.Signing(t)
	pebble := parts.StartPebble(t, ports, flags...)
	exporter := parts.NewExporter(t, ports, pebble.CA)
	exporter.Probe("account")
	if result := exporter.Probe("issue_http"); !result.Verdict.Success() {
		t.Errorf("verdict %+v", result.Verdict)
	}
	// The sites have one each.
	if n := len(pebble.Signed().Certificates); n != 4 {
		t.Errorf("%d certificates were issued, want 4", n)
	}
}
