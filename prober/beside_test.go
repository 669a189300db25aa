package prober

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// publisher is a CA that publishes beside its API, over real HTTP.
type publisher struct {
	t      *testing.T
	bench  *bench
	issuer *x509.Certificate
	key    crypto.Signer
	srv    *httptest.Server
	dir    string

	mu    sync.Mutex // guards the fields below
	pages map[string]page
	asked []string // method and path
	// conditional are how many requests asked for another version than the one before.
	conditional int
	sent        int // bytes of bodies
	last        []*x509.Certificate
	// lastErr is what Last fails with.
	lastErr error
}

// page is what is at a path.
type page struct {
	contentType string
	body        []byte
	status      int
	hang        bool
	etag        string
	changed     time.Time
	stuck       bool // whoever asks for another version hears that there is none
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{t: t, bench: newBench(t, fakeca.Options{}), pages: map[string]page{}, dir: t.TempDir()}
	p.issuer, p.key = p.authority("issuer")
	p.srv = httptest.NewServer(p)
	t.Cleanup(p.srv.Close)
	p.publish("/ca.cer", "application/pkix-cert", p.issuer.Raw)
	p.publish("/1.crl", "application/pkix-crl", p.list(nil))
	p.answer(ocsp.Response{Status: ocsp.Good})
	return p
}

// ServeHTTP implements http.Handler. What is published beneath a path with a final
// slash is there for all that is beneath.
func (p *publisher) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	p.mu.Lock()
	path := req.URL.Path
	if strings.HasPrefix(path, "/ocsp") {
		path = "/ocsp"
	}
	p.asked = append(p.asked, req.Method+" "+path)
	conditional := req.Header.Get("If-None-Match") != "" || req.Header.Get("If-Modified-Since") != ""
	if conditional {
		p.conditional++
	}
	page, ok := p.pages[req.Method+" "+path]
	if !ok {
		page, ok = p.pages[path]
	}
	p.mu.Unlock()
	switch {
	case !ok:
		http.NotFound(w, req)
		return
	case page.hang:
		<-req.Context().Done()
		return
	}
	w.Header().Set("Content-Type", page.contentType)
	w.Header().Set("Cache-Control", "max-age=7200")
	if page.status != 0 {
		w.WriteHeader(page.status)
	}
	counted := countingWriter{w, p}
	switch {
	case page.stuck && conditional:
		w.WriteHeader(http.StatusNotModified)
	case page.etag != "" || !page.changed.IsZero():
		if page.etag != "" {
			w.Header().Set("ETag", page.etag)
		}
		http.ServeContent(counted, req, "", page.changed, bytes.NewReader(page.body))
	default:
		counted.Write(page.body)
	}
}

// countingWriter counts the bytes of a body, before the client has them.
type countingWriter struct {
	http.ResponseWriter
	p *publisher
}

// Write implements io.Writer.
func (w countingWriter) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	w.p.sent += len(b)
	w.p.mu.Unlock()
	return w.ResponseWriter.Write(b)
}

// traffic returns how many bytes were sent and how many requests asked for another
// version since it was called last.
func (p *publisher) traffic() (sent, conditional int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sent, conditional = p.sent, p.conditional
	p.sent, p.conditional = 0, 0
	return sent, conditional
}

func (p *publisher) publish(path, contentType string, body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pages[path] = page{contentType: contentType, body: body}
}

// authority makes a CA's certificate and key.
func (p *publisher) authority(name string) (*x509.Certificate, crypto.Signer) {
	p.t.Helper()
	key := p.newKey()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, SubjectKeyId: []byte(name),
		NotBefore: time.Now().Add(-100 * 24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	return p.sign(template, template, key.Public(), key), key
}

func (p *publisher) newKey() crypto.Signer {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	return key
}

func (p *publisher) sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) *x509.Certificate {
	p.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// leaf issues a certificate that names all that is published.
func (p *publisher) leaf(change func(*x509.Certificate)) (*x509.Certificate, crypto.Signer) {
	p.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		CRLDistributionPoints: []string{p.srv.URL + "/1.crl"}, OCSPServer: []string{p.srv.URL + "/ocsp"}, IssuingCertificateURL: []string{p.srv.URL + "/ca.cer"},
	}
	if change != nil {
		change(template)
	}
	key := p.newKey()
	return p.sign(template, p.issuer, key.Public(), p.key), key
}

// issue makes it the last certificate that was issued.
func (p *publisher) issue(change func(*x509.Certificate)) {
	leaf, _ := p.leaf(change)
	p.Keep([]*x509.Certificate{leaf, p.issuer})
}

// list makes a CRL of the serials.
func (p *publisher) list(change func(*x509.RevocationList), serials ...int64) []byte {
	p.t.Helper()
	l := &x509.RevocationList{Number: big.NewInt(42), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for _, s := range serials {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: time.Now()})
	}
	if change != nil {
		change(l)
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, p.issuer, p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	return der
}

// forURL has the CRL say that it is for the URL.
func forURL(u string) func(*x509.RevocationList) {
	name := append([]byte{0x86, byte(len(u))}, u...)
	full := append([]byte{0xa0, byte(len(name))}, name...)
	point := append([]byte{0xa0, byte(len(full))}, full...)
	value := append([]byte{0x30, byte(len(point))}, point...)
	return func(l *x509.RevocationList) {
		l.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: value}}
	}
}

// answer publishes an OCSP answer about serial 7.
func (p *publisher) answer(r ocsp.Response) {
	p.t.Helper()
	r.SerialNumber, r.ThisUpdate = big.NewInt(7), time.Now().Add(-time.Hour)
	if r.NextUpdate.IsZero() {
		r.NextUpdate = time.Now().Add(time.Hour)
	}
	der, err := ocsp.CreateResponse(p.issuer, p.issuer, r, p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.publish("/ocsp", "application/ocsp-response", der)
}

// Keep implements Issued.
func (p *publisher) Keep(chain []*x509.Certificate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = chain
}

// Last implements Issued.
func (p *publisher) Last() ([]*x509.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.lastErr
}

// file writes certificates in PEM, and returns its name.
func (p *publisher) file(name string, certificates ...*x509.Certificate) string {
	p.t.Helper()
	var b []byte
	for _, c := range certificates {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	name = filepath.Join(p.dir, name)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return name
}

// run does a run of the module, which has that section; target is added to the
// target's.
func (p *publisher) run(prober probe.Prober, section, target string) probe.Facts {
	p.t.Helper()
	return p.runFor(20*time.Second, prober, section, target)
}

func (p *publisher) runFor(d time.Duration, prober probe.Prober, section, target string) probe.Facts {
	p.t.Helper()
	text := fmt.Sprintf("targets: {fake: {directory_url: %q, rate_limits: none, %s probes: {tested: 0, issuing: 0}}}\nresponders: {http: {}}\n"+
		"modules: {tested: {prober: %s%s}, issuing: {prober: issue, issue: {names: {zone: a.example}}}}", p.bench.target.DirectoryURL, target, prober, section)
	c, err := config.Parse(filepath.Join(p.dir, "acme.yml"), []byte(text))
	if err != nil {
		p.t.Fatal(err)
	}
	req := p.bench.request(prober)
	req.Issued = p
	var ok bool
	if req.Pair, ok = c.Pair(probe.Pair{Target: "fake", Module: "tested"}); !ok {
		p.t.Fatal("no pair")
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), d)
	defer cancel()
	return Run(ctx, req)
}

// wantFlaw holds that the run failed for the flaw; empty: that it succeeded.
func wantFlaw(t *testing.T, facts probe.Facts, step probe.StepName, want probe.FlawKind) {
	t.Helper()
	if want == "" {
		wantSuccess(t, facts)
		return
	}
	f := facts.Failure
	if f == nil || f.Kind != probe.FailureFlaw || f.Flaw != want || f.Step != step || f.Detail == "" {
		t.Errorf("failure %+v, want the flaw %s in %s", f, want, step)
	}
}

func TestCRL(t *testing.T) {
	p := newPublisher(t)
	other, _ := p.authority("other")
	signature := p.list(nil)
	signature[len(signature)-1] ^= 1
	for _, tt := range []struct {
		name string
		page page
		want probe.FlawKind
	}{
		{name: "good", page: page{body: p.list(forURL(p.srv.URL+"/1.crl"), 1, 2)}},
		{name: "signature", page: page{body: signature}, want: probe.FlawCRLSignature},
		{name: "stale", page: page{body: p.list(func(l *x509.RevocationList) {
			l.ThisUpdate, l.NextUpdate = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		})}, want: probe.FlawCRLStale},
		{name: "another's URL", page: page{body: p.list(forURL(p.srv.URL + "/2.crl"))}, want: probe.FlawCRLIDP},
		{name: "HTML", page: page{contentType: "text/html", body: []byte("<html>")}, want: probe.FlawCRLUnreadable},
		{name: "content type", page: page{contentType: "application/x-pkcs7-crl", body: p.list(nil)}, want: probe.FlawCRLContentType},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.page.contentType == "" {
				tt.page.contentType = "application/pkix-crl"
			}
			p.publish("/1.crl", tt.page.contentType, tt.page.body)
			p.issue(nil)
			wantFlaw(t, p.run(probe.ProberCRL, "", ""), probe.StepCRL, tt.want)
			p.Keep(nil)
			section := fmt.Sprintf(", crl: {urls: [%q], issuer_file: %q}", p.srv.URL+"/1.crl", p.file("issuers.pem", other, p.issuer))
			facts := p.run(probe.ProberCRL, section, "")
			wantFlaw(t, facts, probe.StepCRL, tt.want)
			if len(facts.CRLs) != 1 || facts.CRLs[0].URL != p.srv.URL+"/1.crl" {
				t.Errorf("CRLs %+v", facts.CRLs)
			}
			if c := facts.CRLs[0]; tt.name == "good" && (c.Entries != 2 || c.Number != "42" || !c.Sharded || c.Issuer != "CN=issuer" || c.Lifetime != 2*time.Hour) {
				t.Errorf("CRL %+v", c)
			}
			wantList(t, "calls", names(facts.Calls), []probe.CallName{probe.CallCRL})
		})
	}
	section := fmt.Sprintf(", crl: {urls: [%q], issuer_file: %q}", p.srv.URL+"/1.crl", p.file("issuers.pem", other))
	p.publish("/1.crl", "application/pkix-crl", p.list(nil))
	wantFlaw(t, p.run(probe.ProberCRL, section, ""), probe.StepCRL, probe.FlawCRLIssuer)
}

// All lists are looked at, whatever is wrong with the first one.
func TestCRLs(t *testing.T) {
	p := newPublisher(t)
	one, two, gone := p.srv.URL+"/1.crl", p.srv.URL+"/2.crl", p.srv.URL+"/gone.crl"
	section := fmt.Sprintf(", crl: {urls: [%q, %q, %q], issuer_file: %q}", gone, one, two, p.file("issuer.pem", p.issuer))
	p.publish("/1.crl", "application/pkix-crl", p.list(forURL(one)))
	p.publish("/2.crl", "application/pkix-crl", p.list(forURL(two), 8))
	facts := p.run(probe.ProberCRL, section, "")
	wantFailure(t, facts, probe.StepCRL, probe.FailureCall, "", "HTTP 404")
	if len(facts.CRLs) != 2 {
		t.Errorf("CRLs %+v", facts.CRLs)
	}
	wantList(t, "steps", steps(facts), []string{"crl!", "crl", "crl"})

	p.publish("/gone.crl", "application/pkix-crl", p.list(forURL(gone), 9))
	wantSuccess(t, p.run(probe.ProberCRL, section, ""))
	p.publish("/2.crl", "application/pkix-crl", p.list(nil, 8)) // missing its IDP
	facts = p.run(probe.ProberCRL, section, "")
	wantFlaw(t, facts, probe.StepCRL, probe.FlawCRLIDP)
	if f := facts.Failure; f != nil && !strings.Contains(f.Detail, two) {
		t.Errorf("detail %q does not name %s", f.Detail, two)
	}
	p.mu.Lock()
	p.pages["/1.crl"] = page{hang: true}
	p.mu.Unlock()
	facts = p.runFor(time.Second, probe.ProberCRL, section, "")
	wantFailure(t, facts, probe.StepCRL, probe.FailureCall, "", "timeout")
}

func TestOCSP(t *testing.T) {
	p := newPublisher(t)
	p.issue(nil)
	facts := p.run(probe.ProberOCSP, "", "")
	wantSuccess(t, facts)
	if len(facts.OCSP) != 2 || facts.OCSP[0].Method != http.MethodGet || facts.OCSP[1].Method != http.MethodPost || facts.OCSP[1].Status != probe.OCSPGood {
		t.Errorf("OCSP %+v", facts.OCSP)
	}
	p.answer(ocsp.Response{Status: ocsp.Revoked, RevokedAt: time.Now()})
	facts = p.run(probe.ProberOCSP, "", "")
	wantSuccess(t, facts)
	if facts.OCSP[0].Status != probe.OCSPRevoked || facts.OCSP[0].RevokedAt.IsZero() {
		t.Errorf("OCSP %+v", facts.OCSP)
	}
	p.answer(ocsp.Response{Status: ocsp.Unknown})
	wantFlaw(t, p.run(probe.ProberOCSP, "", ""), probe.StepOCSP, probe.FlawOCSPStatus)
	p.answer(ocsp.Response{Status: ocsp.Good, NextUpdate: time.Now().Add(-time.Minute)})
	wantFlaw(t, p.run(probe.ProberOCSP, "", ""), probe.StepOCSP, probe.FlawOCSPStale)
	p.answer(ocsp.Response{Status: ocsp.Good})
	leaf, _ := p.leaf(nil)
	section := fmt.Sprintf(", ocsp: {certificate_file: %q}", p.file("chain.pem", leaf, p.issuer))
	p.Keep(nil)
	wantSuccess(t, p.run(probe.ProberOCSP, section, ""))

	// Only one of the two ways works.
	p.mu.Lock()
	p.pages["POST /ocsp"] = page{status: http.StatusMethodNotAllowed}
	p.mu.Unlock()
	facts = p.run(probe.ProberOCSP, section, "")
	wantFailure(t, facts, probe.StepOCSP, probe.FailureCall, "", "HTTP 405")
	wantList(t, "steps", steps(facts), []string{"directory", "ocsp", "ocsp!"})
}

func TestAIA(t *testing.T) {
	p := newPublisher(t)
	p.issue(nil)
	facts := p.run(probe.ProberAIA, "", "")
	wantSuccess(t, facts)
	if len(facts.Issuers) != 1 || facts.Issuers[0].Subject != "CN=issuer" {
		t.Errorf("issuers %+v", facts.Issuers)
	}
	other, _ := p.authority("other")
	twin, _ := p.authority("issuer")
	p.publish("/ca.cer", "application/pkix-cert", other.Raw)
	wantFlaw(t, p.run(probe.ProberAIA, "", ""), probe.StepAIA, probe.FlawAIASubject)
	p.publish("/ca.cer", "application/pkix-cert", twin.Raw)
	wantFlaw(t, p.run(probe.ProberAIA, "", ""), probe.StepAIA, probe.FlawAIASignature)
	p.publish("/ca.cer", "text/plain", p.issuer.Raw)
	wantFlaw(t, p.run(probe.ProberAIA, "", ""), probe.StepAIA, probe.FlawAIAContentType)
	p.publish("/ca.cer", "application/pkix-cert", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.issuer.Raw}))
	wantFlaw(t, p.run(probe.ProberAIA, "", ""), probe.StepAIA, probe.FlawAIAUnreadable)
}

func TestNothingToLookAt(t *testing.T) {
	p := newPublisher(t)
	probers := []probe.Prober{probe.ProberCRL, probe.ProberOCSP, probe.ProberAIA}
	for _, prober := range probers {
		wantFailure(t, p.run(prober, "", ""), probe.StepSetup, probe.FailureNotApplicable, "", "issued nothing")
	}
	p.issue(func(c *x509.Certificate) {
		c.CRLDistributionPoints, c.OCSPServer, c.IssuingCertificateURL = []string{"ldap://ca.example/"}, nil, nil
	})
	for _, prober := range probers {
		wantFailure(t, p.run(prober, "", ""), probe.StepSetup, probe.FailureNotApplicable, "", "names no")
	}
	p.Keep(p.last[:1])
	for _, prober := range probers {
		wantFailure(t, p.run(prober, "", ""), probe.StepSetup, probe.FailureNotApplicable, "", "without its issuer")
	}
	p.lastErr = errors.New("held by another process")
	for _, prober := range probers {
		wantFailure(t, p.run(prober, "", ""), probe.StepSetup, probe.FailureNotApplicable, "", "held by another process")
	}
	if len(p.asked) > 0 {
		t.Errorf("asked %v", p.asked)
	}
}

// A certificate may lead into the private network in which the directory lives, as
// the directory itself shows, and into no other.
func TestIssuedURLsAreGuarded(t *testing.T) {
	p := newPublisher(t)
	p.issue(nil)
	facts := p.run(probe.ProberCRL, "", "")
	wantSuccess(t, facts)
	wantList(t, "calls", names(facts.Calls), []probe.CallName{probe.CallCRL, probe.CallDirectory, probe.CallCRL})
	if facts.Calls[2].Step != probe.StepCRL {
		t.Errorf("step %q", facts.Calls[2].Step)
	}
	p.issue(func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://10.0.0.1/1.crl"} })
	facts = p.run(probe.ProberCRL, "", "")
	wantFailure(t, facts, probe.StepCRL, probe.FailureCall, "", "address")
	p.bench.ca.Fault(probe.CallDirectory, fakeca.Fault{Status: http.StatusBadGateway, HTML: true}, 0)
	p.issue(nil)
	facts = p.run(probe.ProberCRL, "", "")
	wantFailure(t, facts, probe.StepCRL, probe.FailureCall, "", "address")
}

// site serves TLS with the chain, and returns its URL.
func (p *publisher) site(key crypto.Signer, chain ...*x509.Certificate) string {
	p.t.Helper()
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	c := tls.Certificate{PrivateKey: key}
	for _, one := range chain {
		c.Certificate = append(c.Certificate, one.Raw)
	}
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	p.t.Cleanup(srv.Close)
	return srv.URL
}

func TestSite(t *testing.T) {
	p := newPublisher(t)
	make1 := func(change func(*x509.Certificate)) string {
		leaf, key := p.leaf(change)
		return p.site(key, leaf)
	}
	good := make1(nil)
	expired := make1(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	named := make1(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.example"} })
	both := make1(func(c *x509.Certificate) {
		c.IPAddresses, c.DNSNames, c.NotAfter = nil, []string{"other.example"}, time.Now().Add(-time.Hour)
	})
	crlOnly := make1(func(c *x509.Certificate) { c.OCSPServer = nil })
	ocspOnly := make1(func(c *x509.Certificate) { c.CRLDistributionPoints = nil })
	neither := make1(func(c *x509.Certificate) { c.CRLDistributionPoints, c.OCSPServer = nil, nil })
	target := fmt.Sprintf("issuer_roots: %q,", p.file("roots.pem", p.issuer))
	other, _ := p.authority("other")
	distrusting := fmt.Sprintf("issuer_roots: %q,", p.file("others.pem", other))

	listed := func() { p.publish("/1.crl", "application/pkix-crl", p.list(nil, 7)) }
	unlisted := func() { p.publish("/1.crl", "application/pkix-crl", p.list(nil, 8)) }
	revoked := func() { p.answer(ocsp.Response{Status: ocsp.Revoked, RevokedAt: time.Now()}) }
	fine := func() { p.answer(ocsp.Response{Status: ocsp.Good}) }
	stale := func() {
		p.publish("/1.crl", "application/pkix-crl", p.list(func(l *x509.RevocationList) {
			l.ThisUpdate, l.NextUpdate = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		}, 7))
	}
	for _, tt := range []struct {
		name, kind, url, target string
		before                  []func()
		want                    probe.FlawKind
	}{
		{name: "valid", kind: "valid", url: good},
		{name: "valid, and expired", kind: "valid", url: expired, want: probe.FlawSiteValid},
		{name: "valid, and another name", kind: "valid", url: named, want: probe.FlawSiteValid},
		{name: "valid, and not trusted", kind: "valid", url: good, target: distrusting, want: probe.FlawSiteValid},
		{name: "expired", kind: "expired", url: expired},
		{name: "expired, and valid", kind: "expired", url: good, want: probe.FlawSiteExpired},
		{name: "expired, and another name", kind: "expired", url: both, want: probe.FlawSiteExpired},
		{name: "revoked", kind: "revoked", url: good, before: []func(){listed, revoked}},
		{name: "revoked, and not listed", kind: "revoked", url: good, before: []func(){unlisted, revoked}, want: probe.FlawSiteRevoked},
		{name: "revoked, and good", kind: "revoked", url: good, before: []func(){listed, fine}, want: probe.FlawSiteRevoked},
		{name: "revoked by CRL", kind: "revoked", url: crlOnly, before: []func(){listed, fine}},
		{name: "revoked by OCSP", kind: "revoked", url: ocspOnly, before: []func(){unlisted, revoked}},
		{name: "revoked, and nobody says so", kind: "revoked", url: neither, want: probe.FlawSiteRevoked},
		{name: "revoked, and expired", kind: "revoked", url: expired, before: []func(){listed, revoked}, want: probe.FlawSiteRevoked},
		{name: "revoked, by a stale list", kind: "revoked", url: crlOnly, before: []func(){stale}, want: probe.FlawCRLStale},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, do := range tt.before {
				do()
			}
			if tt.target == "" {
				tt.target = target
			}
			facts := p.run(probe.ProberSite, fmt.Sprintf(", site: {%s: %q}", tt.kind, tt.url), tt.target)
			wantFlaw(t, facts, probe.StepSite, tt.want)
			if len(facts.Sites) != 1 || string(facts.Sites[0].Kind) != tt.kind || facts.Sites[0].Serial != "07" {
				t.Errorf("sites %+v", facts.Sites)
			}
		})
	}
	// All are met, whatever is wrong with the first one.
	facts := p.run(probe.ProberSite, fmt.Sprintf(", site: {valid: %q, expired: %q}", expired, expired), target)
	wantFlaw(t, facts, probe.StepSite, probe.FlawSiteValid)
	wantList(t, "steps", steps(facts), []string{"site!", "site"})
	facts = p.run(probe.ProberSite, `, site: {valid: "https://127.0.0.1:1/"}`, target)
	wantFailure(t, facts, probe.StepSite, probe.FailureCall, "", "refused")
}

// What was issued is kept, and only that.
func TestIssuedIsKept(t *testing.T) {
	b := newBench(t, fakeca.Options{}).known()
	kept := &publisher{}
	req := b.request(probe.ProberIssue)
	req.Issued = kept
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	facts := Run(ctx, req)
	wantSuccess(t, facts)
	if chain := kept.last; len(chain) != facts.Certificate.Chain || !slices.Contains(facts.Certificate.Names, chain[0].DNSNames[0]) {
		t.Errorf("kept %d certificates, issued %+v", len(chain), facts.Certificate)
	}
}
