package acmehttp

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestVerification holds that nothing but the configuration turns verification
// off, and that the certificate is seen whether or not it passes.
func TestVerification(t *testing.T) {
	a := newAuthority(t)
	now := time.Now()
	expired := a.leaf(t, now.Add(-48*time.Hour), now.Add(-24*time.Hour))
	other := a.valid(t, "other.example")
	good := a.valid(t)
	tests := []struct {
		name   string
		leaf   tls.Certificate
		config *tls.Config
		cause  probe.Cause // empty: it passes
	}{
		{"good", good, a.client(), ""},
		{"expired", expired, a.client(), probe.CauseExpired},
		{"another name", other, a.client(), probe.CauseCertificate},
		{"system's roots", good, nil, probe.CauseCertificate},
		{"other roots", good, newAuthority(t).client(), probe.CauseCertificate},
		{"other roots and expired", expired, newAuthority(t).client(), probe.CauseExpired},
		{"server_name", other, &tls.Config{RootCAs: a.roots, ServerName: "other.example"}, ""},
		{"server_name of another", good, &tls.Config{RootCAs: a.roots, ServerName: "other.example"}, probe.CauseCertificate},
		{"insecure_skip_verify", expired, &tls.Config{InsecureSkipVerify: true}, ""},
	}
	for _, tt := range tests {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tt.name+" "+tls.VersionName(version), func(t *testing.T) {
				var asked atomic.Int32
				srv := a.serve(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) }, func(s *httptest.Server) {
					s.TLS.Certificates, s.TLS.MaxVersion = []tls.Certificate{tt.leaf}, version
				})
				s := a.session(t, srv.URL, func(o *Options) { o.TLSConfig = tt.config })
				_, err := do(t.Context(), s, "GET", srv.URL+"/dir")
				if tt.cause != "" {
					wantError(t, s, err, probe.PhaseTLS, tt.cause)
					if asked.Load() != 0 {
						t.Error("a request was sent without a verified certificate")
					}
				} else if err != nil {
					t.Error(err)
				}
				if call, _ := s.Call(0); err == nil && call.Connection.TLSVersion != tls.VersionName(version) {
					t.Errorf("recorded %q", call.Connection.TLSVersion)
				}
				api := s.APICertificate()
				if api == nil {
					t.Fatal("no certificate was seen")
				}
				want := tt.leaf.Leaf
				if !api.NotAfter.Equal(want.NotAfter) || !api.NotBefore.Equal(want.NotBefore) ||
					api.Subject != "CN=test api" || api.Issuer != "CN=test root" || api.DNSNames[0] != want.DNSNames[0] {
					t.Errorf("saw %+v, want what is in %v", api, want.Subject)
				}
			})
		}
	}
}

// TestFirstCertificateWins holds that the directory's is shown, not that of a
// host to which it points.
func TestFirstCertificateWins(t *testing.T) {
	a := newAuthority(t)
	srv := a.serve(t, issuance)
	second := a.serve(t, issuance, func(s *httptest.Server) { s.TLS.Certificates = []tls.Certificate{a.valid(t, "second.example")} })
	s := a.session(t, srv.URL)
	if s.APICertificate() != nil {
		t.Error("a certificate before any handshake")
	}
	if _, err := do(t.Context(), s, "GET", srv.URL+"/dir"); err != nil {
		t.Fatal(err)
	}
	_, err := do(t.Context(), s, "GET", second.URL+"/a")
	wantError(t, s, err, probe.PhaseTLS, probe.CauseCertificate)
	if api := s.APICertificate(); api.DNSNames[0] != "ca.example" {
		t.Errorf("saw the certificate of %v", api.DNSNames)
	}
}

// TestProxyCertificateIsNotTheAPIs has an HTTPS proxy with a bad certificate.
func TestProxyCertificateIsNotTheAPIs(t *testing.T) {
	a := newAuthority(t)
	p := a.serve(t, http.NotFound, http1, func(s *httptest.Server) { s.TLS.Certificates = []tls.Certificate{a.valid(t, "other.example")} })
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	s := a.session(t, "https://ca.example", func(o *Options) { o.Proxy = http.ProxyURL(u) })
	_, err = do(t.Context(), s, "GET", "https://ca.example/dir")
	call := wantError(t, s, err, probe.PhaseTLS, probe.CauseCertificate)
	if api := s.APICertificate(); api != nil {
		t.Errorf("the proxy's certificate is shown as the API's: %+v", api)
	}
	if !strings.Contains(call.Error.Message, "proxyconnect") {
		t.Errorf("message %q does not name the proxy", call.Error.Message)
	}
}
