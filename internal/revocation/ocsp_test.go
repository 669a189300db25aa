package revocation

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// answer is a template of an OCSP answer for serial 7.
func answer() ocsp.Response {
	return ocsp.Response{Status: ocsp.Good, SerialNumber: big.NewInt(7), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}
}

// ocsp signs an answer with a's key.
func (a *authority) ocsp(t testing.TB, r ocsp.Response) []byte {
	t.Helper()
	der, err := ocsp.CreateResponse(a.certificate, a.certificate, r, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// delegated signs an answer about a's certificate with a key of its own.
func (a *authority) delegated(t testing.TB, by *authority, change func(*x509.Certificate)) []byte {
	t.Helper()
	signer, key := by.leaf(t, 99, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
		if change != nil {
			change(c)
		}
	})
	r := answer()
	r.Certificate = signer
	der, err := ocsp.CreateResponse(a.certificate, signer, r, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestOCSP(t *testing.T) {
	a, other, twin := newAuthority(t, "issuer"), newAuthority(t, "other"), newAuthority(t, "issuer")
	renamed := newAuthorityOf(t, "renamed", a.key) // another name, the same key
	edit := func(change func(*ocsp.Response)) []byte {
		r := answer()
		change(&r)
		return a.ocsp(t, r)
	}
	broken := a.ocsp(t, answer())
	broken[len(broken)-1] ^= 1
	foreignSigner := func() []byte { // the other CA's key signs what is said of our issuer
		r := answer()
		der, err := ocsp.CreateResponse(a.certificate, a.certificate, r, other.key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}()
	for _, tt := range []struct {
		name      string
		der       []byte
		check     func(*OCSPCheck)
		status    probe.OCSPStatus
		delegated bool
		want      []probe.FlawKind
	}{
		{name: "good", der: a.ocsp(t, answer()), status: probe.OCSPGood},
		{name: "with SHA-256", der: edit(func(r *ocsp.Response) { r.IssuerHash = crypto.SHA256 }), status: probe.OCSPGood},
		{name: "revoked", der: edit(func(r *ocsp.Response) { r.Status, r.RevokedAt = ocsp.Revoked, now.Add(-2*time.Hour) }), status: probe.OCSPRevoked},
		{name: "unknown", der: edit(func(r *ocsp.Response) { r.Status = ocsp.Unknown }), status: probe.OCSPUnknown, want: []probe.FlawKind{probe.FlawOCSPStatus}},
		{name: "without nextUpdate", der: edit(func(r *ocsp.Response) { r.NextUpdate = time.Time{} }), status: probe.OCSPGood},
		{name: "expired", der: edit(func(r *ocsp.Response) { r.NextUpdate = now }), status: probe.OCSPGood, want: []probe.FlawKind{probe.FlawOCSPStale}},
		{name: "future", der: edit(func(r *ocsp.Response) { r.ThisUpdate = now.Add(2 * time.Minute) }), status: probe.OCSPGood, want: []probe.FlawKind{probe.FlawOCSPStale}},
		{name: "content type", der: a.ocsp(t, answer()), check: func(o *OCSPCheck) { o.ContentType = "" }, status: probe.OCSPGood, want: []probe.FlawKind{probe.FlawOCSPContentType}},
		{name: "another serial", der: edit(func(r *ocsp.Response) { r.SerialNumber = big.NewInt(8) }), want: []probe.FlawKind{probe.FlawOCSPCertificate}},
		{name: "another issuer's", der: other.ocsp(t, answer()), status: probe.OCSPGood, want: []probe.FlawKind{probe.FlawOCSPCertificate, probe.FlawOCSPSignature}},
		{name: "another key of that name", der: twin.ocsp(t, answer()), status: probe.OCSPGood, want: []probe.FlawKind{probe.FlawOCSPCertificate, probe.FlawOCSPSignature}},
		{name: "another name of that key", der: renamed.ocsp(t, answer()), status: probe.OCSPGood, want: []probe.FlawKind{probe.FlawOCSPCertificate}},
		{name: "wrong signature", der: broken, status: probe.OCSPGood, want: []probe.FlawKind{probe.FlawOCSPSignature}},
		{name: "another key", der: foreignSigner, status: probe.OCSPGood, want: []probe.FlawKind{probe.FlawOCSPSignature}},
		{name: "delegated", der: a.delegated(t, a, nil), status: probe.OCSPGood, delegated: true},
		{name: "delegated by another", der: a.delegated(t, other, nil), status: probe.OCSPGood, delegated: true, want: []probe.FlawKind{probe.FlawOCSPSignature}},
		{name: "delegated by a twin", der: a.delegated(t, twin, nil), status: probe.OCSPGood, delegated: true, want: []probe.FlawKind{probe.FlawOCSPSignature}},
		{name: "not for OCSP", der: a.delegated(t, a, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), status: probe.OCSPGood, delegated: true, want: []probe.FlawKind{probe.FlawOCSPSignature}},
		{name: "delegation expired", der: a.delegated(t, a, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }), status: probe.OCSPGood, delegated: true, want: []probe.FlawKind{probe.FlawOCSPSignature}},
		{name: "try later", der: ocsp.TryLaterErrorResponse, want: []probe.FlawKind{probe.FlawOCSPStatus}},
		{name: "unauthorized", der: ocsp.UnauthorizedErrorResponse, want: []probe.FlawKind{probe.FlawOCSPStatus}},
		{name: "HTML", der: []byte("<html>"), want: []probe.FlawKind{probe.FlawOCSPUnreadable}},
		{name: "empty", want: []probe.FlawKind{probe.FlawOCSPUnreadable}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := OCSPCheck{URL: "http://ocsp.example", Method: "GET", ContentType: typeOCSPResponse, Serial: big.NewInt(7), Issuer: a.certificate, Now: now}
			if tt.check != nil {
				tt.check(&o)
			}
			f := CheckOCSP(tt.der, o)
			wantFlaws(t, f.Flaws, tt.want...)
			if f.Status != tt.status || f.Delegated != tt.delegated || f.Bytes != int64(len(tt.der)) || f.RevokedAt.IsZero() != (tt.status != probe.OCSPRevoked) {
				t.Errorf("got %+v", f)
			}
		})
	}
}

// The issuer may send its own certificate along.
func TestOCSPWithTheIssuersCertificate(t *testing.T) {
	a := newAuthority(t, "issuer")
	r := answer()
	r.Certificate = a.certificate
	f := CheckOCSP(a.ocsp(t, r), OCSPCheck{ContentType: typeOCSPResponse, Serial: big.NewInt(7), Issuer: a.certificate, Now: now})
	if wantFlaws(t, f.Flaws); f.Delegated {
		t.Error("counts as delegated")
	}
}

func TestOCSPRequest(t *testing.T) {
	a := newAuthority(t, "issuer")
	der, err := OCSPRequest(big.NewInt(7), a.certificate)
	if err != nil {
		t.Fatal(err)
	}
	for _, responder := range []string{"http://ocsp.example", "http://ocsp.example/", "http://ocsp.example/r1"} {
		u, err := url.Parse(OCSPGet(responder, der))
		if err != nil {
			t.Fatal(err)
		}
		last := u.EscapedPath()[strings.LastIndexByte(u.EscapedPath(), '/')+1:]
		text, err := url.QueryUnescape(last)
		if err != nil {
			t.Fatal(err)
		}
		got, err := base64.StdEncoding.DecodeString(text)
		if err != nil || !bytes.Equal(got, der) {
			t.Errorf("%s: %v, %v", u, got, err)
		}
	}
	r, err := ocsp.ParseRequest(der)
	if err != nil || r.SerialNumber.Int64() != 7 {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzOCSP(f *testing.F) {
	a := newAuthority(f, "issuer")
	f.Add(a.ocsp(f, answer()))
	f.Add(a.delegated(f, a, nil))
	f.Add(ocsp.TryLaterErrorResponse)
	f.Fuzz(func(t *testing.T, der []byte) {
		got := CheckOCSP(der, OCSPCheck{ContentType: typeOCSPResponse, Serial: big.NewInt(7), Issuer: a.certificate, Now: now})
		if got.Status == "" && len(got.Flaws) == 0 {
			t.Error("no status, and nothing wrong")
		}
		for _, flaw := range got.Flaws {
			if len(flaw.Detail) > maxDetail {
				t.Errorf("detail of %d bytes", len(flaw.Detail))
			}
		}
		if len(got.Flaws) == 0 {
			if _, err := ocsp.ParseResponseForCert(der, &x509.Certificate{SerialNumber: big.NewInt(7)}, a.certificate); err != nil {
				t.Errorf("taken, and not by others: %v", err)
			}
		}
	})
}
