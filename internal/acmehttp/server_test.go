package acmehttp

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// authority is a certificate authority for the API's own certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	roots       *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"},
		NotBefore: time.Now().Add(-24 * 365 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, roots: x509.NewCertPool()}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.roots.AddCert(a.certificate)
	return a
}

// leaf issues a certificate for names and the addresses of the loopback.
func (a *authority) leaf(t testing.TB, notBefore, notAfter time.Time, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test api"},
		NotBefore: notBefore, NotAfter: notAfter, DNSNames: names,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(names) == 0 {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
		template.DNSNames = []string{"ca.example"}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key, Leaf: parsed}
}

// valid issues a leaf that is valid now.
func (a *authority) valid(t testing.TB, names ...string) tls.Certificate {
	return a.leaf(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour), names...)
}

func (a *authority) client() *tls.Config { return &tls.Config{RootCAs: a.roots} }

// serve starts an HTTPS server with a certificate of a.
func (a *authority) serve(t testing.TB, h http.HandlerFunc, options ...func(*httptest.Server)) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{a.valid(t)}}
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = discard
	for _, o := range options {
		o(srv)
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func http1(srv *httptest.Server) { srv.EnableHTTP2 = false }

// transport makes a Transport whose directory is at url+"/dir".
func (a *authority) transport(t testing.TB, url string, change ...func(*Options)) *Transport {
	t.Helper()
	o := Options{DirectoryURL: url + "/dir", TLSConfig: a.client(), UserAgent: "acme_exporter/test"}
	for _, c := range change {
		c(&o)
	}
	tr, err := NewTransport(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.Close)
	return tr
}

func (a *authority) session(t testing.TB, url string, change ...func(*Options)) *Session {
	t.Helper()
	s := a.transport(t, url, change...).Session(time.Now())
	t.Cleanup(s.Close)
	return s
}

// do makes a request and returns the answer's body.
func do(ctx context.Context, s *Session, method, url string) (string, error) {
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("{}")
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return "", fmt.Errorf("make request: %w", err)
	}
	res, err := s.Client().Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

// wantError holds that err and the last call have this phase and cause.
func wantError(t *testing.T, s *Session, err error, phase probe.Phase, cause probe.Cause) probe.Call {
	t.Helper()
	calls := s.Calls()
	if len(calls) == 0 {
		t.Fatalf("no call was recorded; error: %v", err)
	}
	last := calls[len(calls)-1]
	if last.Error == nil {
		t.Fatalf("the call has no error: %+v; error: %v", last, err)
	}
	if last.Error.Phase != phase || last.Error.Cause != cause {
		t.Errorf("recorded %v, want %s: %s", last.Error, phase, cause)
	}
	if last.Answered() {
		t.Error("the call counts as answered")
	}
	ce, ok := errors.AsType[*probe.CallError](err)
	if !ok || ce != last.Error {
		t.Errorf("returned error %v does not wrap the one recorded", err)
	}
	if last.End < last.Start {
		t.Errorf("ended at %v, before its start at %v", last.End, last.Start)
	}
	return last
}

func names(calls []probe.Call) string {
	var b []string
	for _, c := range calls {
		b = append(b, string(c.Name))
	}
	return strings.Join(b, " ")
}
