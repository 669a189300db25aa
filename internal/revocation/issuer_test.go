package revocation

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestIssuer(t *testing.T) {
	a, twin, other := newAuthority(t, "issuer"), newAuthority(t, "issuer"), newAuthority(t, "other")
	leaf, _ := a.leaf(t, 7)
	for _, tt := range []struct {
		name, contentType string
		body              []byte
		want              []probe.FlawKind
	}{
		{name: "good", body: a.certificate.Raw},
		{name: "content type", contentType: "application/x-x509-ca-cert", body: a.certificate.Raw, want: []probe.FlawKind{probe.FlawAIAContentType}},
		{name: "PEM", body: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}), want: []probe.FlawKind{probe.FlawAIAUnreadable}},
		{name: "HTML", body: []byte("<html>"), want: []probe.FlawKind{probe.FlawAIAUnreadable}},
		{name: "empty", want: []probe.FlawKind{probe.FlawAIAUnreadable}},
		{name: "another's", body: other.certificate.Raw, want: []probe.FlawKind{probe.FlawAIASubject}},
		{name: "another key", body: twin.certificate.Raw, want: []probe.FlawKind{probe.FlawAIASignature}},
		{name: "a leaf", body: leaf.Raw, want: []probe.FlawKind{probe.FlawAIASubject}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.contentType == "" {
				tt.contentType = typeIssuer
			}
			f := CheckIssuer("http://ca.example/i.cer", tt.body, tt.contentType, leaf)
			wantFlaws(t, f.Flaws, tt.want...)
			if len(tt.want) == 0 && (f.Subject != "CN=issuer" || f.NotAfter.IsZero()) {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestURLs(t *testing.T) {
	c := &x509.Certificate{
		CRLDistributionPoints: []string{"ldap://ca.example/cn=x", "http://a.example/", "HTTPS://b.example/", "c.example", "http://d/", "http://e/", "http://f/"},
		OCSPServer:            []string{"ftp://x/"},
	}
	if got := CRLURLs(c); len(got) != 4 || got[0] != "http://a.example/" || got[1] != "HTTPS://b.example/" {
		t.Errorf("got %q", got)
	}
	if got := OCSPURLs(c); got != nil {
		t.Errorf("got %q", got)
	}
}

// FuzzIssuer reads whatever is where a certificate says that its issuer's is.
func FuzzIssuer(f *testing.F) {
	a, other := newAuthority(f, "issuer"), newAuthority(f, "other")
	leaf, _ := a.leaf(f, 7)
	f.Add(a.certificate.Raw, typeIssuer)
	f.Add(other.certificate.Raw, "application/pkix-cert; x=y")
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw}), "text/plain")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		got := CheckIssuer("http://ca.example/i.cer", body, contentType, leaf)
		if len(got.Flaws) == 0 && !bytes.Equal(body, a.certificate.Raw) {
			// Another certificate of the issuer's key is right, too.
			if c, err := x509.ParseCertificate(body); err != nil || leaf.CheckSignatureFrom(c) != nil {
				t.Errorf("nothing is wrong with %x", body)
			}
		}
		if _, err := json.Marshal(got); err != nil || len(got.Subject) > maxDetail {
			t.Errorf("%+v: %v", got, err)
		}
	})
}
