package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// startSigner starts a signer that ends with the test.
func startSigner(t *testing.T, change func(*signingOptions)) *signer {
	t.Helper()
	o := signingOptions{on: true, shards: 1, period: time.Hour, lifetime: 24 * time.Hour, ocsp: true}
	if change != nil {
		change(&o)
	}
	s, err := newSigner(o)
	must(t, err)
	t.Cleanup(func() { must(t, s.close(context.WithoutCancel(t.Context()))) })
	must(t, s.start())
	return s
}

// with puts defects in force.
func (s *signer) with(t *testing.T, names ...string) {
	t.Helper()
	must(t, s.defects.set(names))
}

// leaf issues a certificate of 90 days for a.example and b.example. What was
// asked for comes with it.
func (s *signer) leaf(t *testing.T) (certificate, asked *x509.Certificate, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	asked = &x509.Certificate{
		DNSNames: []string{"a.example", "b.example"}, PublicKey: key.Public(),
		NotBefore: time.Now().Add(-backdated), NotAfter: time.Now().Add(90 * 24 * time.Hour),
	}
	certificate, err = s.issue(asked)
	must(t, err)
	return certificate, asked, key
}

// file writes certificates to a file, in PEM.
func file(t *testing.T, certificates ...*x509.Certificate) string {
	t.Helper()
	var text []byte
	for _, c := range certificates {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return write(t, text)
}

func write(t *testing.T, content []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(name, content, 0o600))
	return name
}

// openssl runs openssl with args, and returns what it says and whether it is
// content.
func openssl(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), err == nil
}

// fetch returns what is at url.
func fetch(t *testing.T, url string) (status int, contentType string, body []byte) {
	t.Helper()
	resp, err := http.DefaultClient.Do(newRequest(t, http.MethodGet, url, nil))
	must(t, err)
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, resp.Header.Get("Content-Type"), body
}

func newRequest(t *testing.T, method, url string, body []byte) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	must(t, err)
	return req
}

// pool is of one certificate.
func pool(c *x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return pool
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDefects holds that a defect that nobody knows is an error, and changes
// nothing.
func TestDefects(t *testing.T) {
	t.Parallel()
	d := new(defects)
	must(t, d.set([]string{crlPEM, aiaPEM}))
	if err := d.set([]string{crlNumber, "crl-pen"}); err == nil {
		t.Error("an unknown defect is in force")
	}
	if got := d.list(); !slices.Equal(got, []string{aiaPEM, crlPEM}) || !d.has(aiaPEM) || d.has(crlNumber) {
		t.Errorf("in force: %v", got)
	}
	must(t, d.set(nil))
	if got := d.list(); len(got) != 0 {
		t.Errorf("in force: %v", got)
	}
}

// wrong lists what a certificate has against it, by our own reading.
func wrong(s *signer, c, asked *x509.Certificate) (list []string) {
	check := func(what string, ok bool) {
		if !ok {
			list = append(list, what)
		}
	}
	check("issuer", bytes.Equal(c.RawIssuer, s.issuer.certificate.RawSubject) && bytes.Equal(c.AuthorityKeyId, s.issuer.certificate.SubjectKeyId))
	check("signature", c.CheckSignatureFrom(s.issuer.certificate) == nil)
	check("key", c.PublicKey.(*ecdsa.PublicKey).Equal(asked.PublicKey))
	check("names", slices.Equal(c.DNSNames, asked.DNSNames))
	check("dates", c.NotAfter.Sub(c.NotBefore) < 91*24*time.Hour && c.NotBefore.Before(time.Now()) && c.NotAfter.After(time.Now()))
	check("serial", c.SerialNumber.BitLen() > 64)
	check("key usage", c.KeyUsage == x509.KeyUsageDigitalSignature)
	check("extended key usage", slices.Equal(c.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}))
	check("CA", c.BasicConstraintsValid && !c.IsCA)
	check("CRL", slices.Equal(c.CRLDistributionPoints, []string{s.base + "/crl/0.crl"}))
	check("AIA", slices.Equal(c.IssuingCertificateURL, []string{s.base + "/issuer.der"}) && slices.Equal(c.OCSPServer, []string{s.base + "/ocsp"}))
	known := []string{
		"2.5.29.15", "2.5.29.37", "2.5.29.19", "2.5.29.35", "1.3.6.1.5.5.7.1.1", "2.5.29.17", "2.5.29.32",
		"2.5.29.31", "1.3.6.1.4.1.11129.2.4.2", "2.5.29.14",
	}
	check("extensions", !slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return !slices.Contains(known, e.Id.String()) }))
	return list
}

// TestLeaf holds that a certificate is right, for openssl too, and that each
// defect makes it wrong in its own way only.
func TestLeaf(t *testing.T) {
	t.Parallel()
	s := startSigner(t, nil)
	tests := map[string][]string{
		"":              nil,
		leafSignature:   {"signature"},
		leafIssuer:      {"issuer", "signature"},
		leafKey:         {"key"},
		leafNameAdded:   {"names"},
		leafNameOther:   {"names"},
		leafLong:        {"dates"},
		leafExpired:     {"dates"},
		leafFuture:      {"dates"},
		leafShortSerial: {"serial"},
		leafKeyUsage:    {"key usage"},
		leafExtKeyUsage: {"extended key usage"},
		leafExtension:   {"extensions"},
		leafCA:          {"CA"},
		leafNoCRL:       {"CRL"},
		leafNoAIA:       {"AIA"},
	}
	for defect, want := range tests {
		s.with(t)
		if defect != "" {
			s.with(t, defect)
		}
		certificate, asked, _ := s.leaf(t)
		if got := wrong(s, certificate, asked); !slices.Equal(got, want) {
			t.Errorf("%q: %q is wrong, want %q", defect, got, want)
		}
		trusted := defect != leafSignature && defect != leafIssuer && defect != leafExpired && defect != leafFuture &&
			defect != leafExtKeyUsage && defect != leafCA
		out, ok := openssl(t, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", file(t, s.root.certificate),
			"-untrusted", file(t, s.issuer.certificate), file(t, certificate))
		if ok != trusted {
			t.Errorf("%q: openssl verifies: %t\n%s", defect, ok, out)
		}
	}
	for name := range defectTexts {
		if _, tested := tests[name]; !tested && strings.HasPrefix(name, "leaf-") {
			t.Errorf("%s is not tested", name)
		}
	}
}

// TestAIA holds that the issuer is served, as openssl reads it, and each defect.
func TestAIA(t *testing.T) {
	t.Parallel()
	s := startSigner(t, nil)
	url := s.base + issuerPath
	status, contentType, body := fetch(t, url)
	if status != 200 || contentType != "application/pkix-cert" || !bytes.Equal(body, s.issuer.certificate.Raw) {
		t.Errorf("%d, %s, %x", status, contentType, body)
	}
	if out, ok := openssl(t, "x509", "-inform", "DER", "-noout", "-subject", "-in", write(t, body)); !ok || out != "subject=C = XX, O = acme_exporter tests, CN = Test Intermediate E1\n" {
		t.Errorf("openssl: %s", out)
	}
	s.with(t, aiaPEM)
	if _, _, body := fetch(t, url); string(body) != string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.issuer.certificate.Raw})) {
		t.Errorf("%s: %s", aiaPEM, body)
	}
	s.with(t, aiaSubject)
	if _, _, body := fetch(t, url); !bytes.Equal(body, s.stranger.certificate.Raw) || bytes.Equal(s.stranger.certificate.RawSubject, s.issuer.certificate.RawSubject) {
		t.Errorf("%s: %x", aiaSubject, body)
	}
	s.with(t, aiaContentType)
	if _, contentType, _ := fetch(t, url); contentType != "text/plain; charset=utf-8" {
		t.Errorf("%s: %s", aiaContentType, contentType)
	}
	s.with(t, aiaMissing)
	if status, _, _ := fetch(t, url); status != 404 {
		t.Errorf("%s: %d", aiaMissing, status)
	}
}

// TestSites holds that each site shows the certificate that it is there for, and
// with a defect another's.
func TestSites(t *testing.T) {
	t.Parallel()
	s := startSigner(t, nil)
	for _, test := range []struct{ defect, valid, expired, revoked string }{
		{"", siteValid, siteExpired, siteRevoked},
		{siteValidExpired, siteExpired, siteExpired, siteRevoked},
		{siteExpiredValid, siteValid, siteValid, siteRevoked},
		{siteRevokedValid, siteValid, siteExpired, siteValid},
		{siteIncomplete, siteValid, siteExpired, siteRevoked},
	} {
		if s.with(t); test.defect != "" {
			s.with(t, test.defect)
		}
		for site, want := range map[string]string{siteValid: test.valid, siteExpired: test.expired, siteRevoked: test.revoked} {
			chain, body := s.visit(t, site)
			if got := s.state(chain[0]); got != want {
				t.Errorf("%q: the %s site's certificate is %s, want %s", test.defect, site, got, want)
			}
			if complete := len(chain) == 2 && chain[1].Equal(s.issuer.certificate); complete != (test.defect != siteIncomplete) {
				t.Errorf("%q: the %s site sends %d certificates", test.defect, site, len(chain))
			}
			if body != "the certificate of this site is "+site+"\n" {
				t.Errorf("%s: %q", site, body)
			}
		}
	}
}

// visit looks at a site as who verifies nothing.
func (s *signer) visit(t *testing.T, site string) ([]*x509.Certificate, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the test looks at what does not verify
	}}
	resp, err := client.Do(newRequest(t, http.MethodGet, s.sites[site], nil))
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.TLS.PeerCertificates, string(body)
}

// state says of a site's certificate what it is, of what is seen from outside.
func (s *signer) state(c *x509.Certificate) string {
	switch _, err := c.Verify(x509.VerifyOptions{
		Roots: pool(s.root.certificate), Intermediates: pool(s.issuer.certificate), CurrentTime: c.NotBefore, DNSName: "localhost",
	}); {
	case err != nil:
		return err.Error()
	case c.NotAfter.Before(time.Now()):
		return siteExpired
	case len(s.revokedIn(0, time.Now())) == 1 && s.revokedIn(0, time.Now())[0].SerialNumber.Cmp(c.SerialNumber) == 0:
		return siteRevoked
	default:
		return siteValid
	}
}
