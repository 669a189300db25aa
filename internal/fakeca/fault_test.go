package fakeca_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// seen is what a plain client sees of one request for the directory.
type seen struct {
	status int
	header http.Header
	body   string
	err    error
}

func get(t *testing.T, ca *fakeca.CA, target string, timeout time.Duration) seen {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: ca.TLSConfig(), ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return seen{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return seen{res.StatusCode, res.Header, string(body), err}
}

// isReset reports whether there was a reset, which HTTP/2 calls an unexpected EOF.
func isReset(s seen) bool {
	return s.status == 0 && (errors.Is(s.err, syscall.ECONNRESET) || errors.Is(s.err, io.ErrUnexpectedEOF))
}

func TestFaultsOfAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		fault fakeca.Fault
		check func(seen) bool
	}{
		"none":     {fakeca.Fault{}, func(s seen) bool { return s.status == 200 && strings.Contains(s.body, "newOrder") }},
		"status":   {fakeca.Fault{Status: 503}, func(s seen) bool { return s.status == 503 && s.body == "" }},
		"body":     {fakeca.Fault{Body: []byte("x")}, func(s seen) bool { return s.status == 200 && s.body == "x" }},
		"empty":    {fakeca.Fault{Body: []byte{}}, func(s seen) bool { return s.status == 200 && s.body == "" }},
		"HTML":     {fakeca.Fault{HTML: true, Status: 502}, func(s seen) bool { return s.status == 502 && s.body == fakeca.Page }},
		"redirect": {fakeca.Fault{Redirect: "https://x.example/"}, func(s seen) bool { return s.status == 302 && s.header.Get("Location") == "https://x.example/" }},
		"problem": {
			fakeca.Fault{Problem: &fakeca.Problem{Type: "urn:acme:error:serverInternal", Status: 500}, Header: http.Header{"Retry-After": {"60"}}},
			func(s seen) bool {
				return s.status == 500 && s.header.Get("Retry-After") == "60" && s.header.Get("Replay-Nonce") != "" &&
					s.header.Get("Content-Type") == "application/problem+json" && strings.Contains(s.body, `"urn:acme:error:serverInternal"`)
			},
		},
		"problem without nonce": {
			fakeca.Fault{Problem: &fakeca.Problem{Type: "malformed"}, DropNonce: true},
			func(s seen) bool { return s.status == 400 && s.header.Get("Replay-Nonce") == "" },
		},
		"edit":           {fakeca.Fault{Edit: fakeca.Without("newOrder")}, func(s seen) bool { return s.status == 200 && !strings.Contains(s.body, "newOrder") }},
		"wrong type":     {fakeca.Fault{Edit: fakeca.Set("newOrder", 7)}, func(s seen) bool { return strings.Contains(s.body, `"newOrder":7`) }},
		"http URLs":      {fakeca.Fault{Edit: fakeca.WithScheme("http")}, func(s seen) bool { return strings.Contains(s.body, `"newOrder":"http://127.0.0.1`) }},
		"private URLs":   {fakeca.Fault{Edit: fakeca.WithHost("10.0.0.1")}, func(s seen) bool { return strings.Contains(s.body, `"newOrder":"https://10.0.0.1/`) }},
		"oversize":       {fakeca.Fault{Oversize: 3 << 20}, func(s seen) bool { return s.err == nil && len(s.body) == 3<<20 }},
		"gzip bomb":      {fakeca.Fault{GzipBomb: 3 << 20}, func(s seen) bool { return s.err == nil && len(s.body) == 3<<20 }},
		"truncated":      {fakeca.Fault{Truncate: true}, func(s seen) bool { return s.status == 200 && s.err != nil && s.body != "" }},
		"closed before":  {fakeca.Fault{HangUp: fakeca.BeforeHeaders}, func(s seen) bool { return s.status == 0 && s.err != nil }},
		"closed after":   {fakeca.Fault{HangUp: fakeca.AfterHeaders}, func(s seen) bool { return s.status == 200 && s.err != nil }},
		"reset":          {fakeca.Fault{HangUp: fakeca.BeforeHeaders, Reset: true}, isReset},
		"hangs":          {fakeca.Fault{Hang: true}, func(s seen) bool { return s.status == 0 && errors.Is(s.err, context.DeadlineExceeded) }},
		"hangs in body":  {fakeca.Fault{BodyDelay: time.Hour}, func(s seen) bool { return s.status == 200 && errors.Is(s.err, context.DeadlineExceeded) }},
		"delayed":        {fakeca.Fault{Delay: 10 * time.Millisecond}, func(s seen) bool { return s.status == 200 && s.err == nil }},
		"delayed body":   {fakeca.Fault{BodyDelay: 10 * time.Millisecond}, func(s seen) bool { return s.err == nil && strings.HasSuffix(s.body, "}") }},
		"delayed at all": {fakeca.Fault{Delay: time.Hour}, func(s seen) bool { return s.status == 0 && errors.Is(s.err, context.DeadlineExceeded) }},
	} {
		for _, http1 := range []bool{true, false} {
			ca := fakeca.New(t, fakeca.Options{HTTP1: http1})
			ca.Fault(probe.CallDirectory, test.fault, 1)
			timeout := 10 * time.Second
			if test.fault.Hang || test.fault.Delay > time.Minute || test.fault.BodyDelay > time.Minute {
				timeout = 300 * time.Millisecond
			}
			if s := get(t, ca, ca.URL(), timeout); !test.check(s) {
				t.Errorf("%s, HTTP/1 %v: status %d, header %v, %d bytes, error %v", name, http1, s.status, s.header, len(s.body), s.err)
			}
			if s := get(t, ca, ca.URL(), 10*time.Second); s.status != 200 || s.err != nil {
				t.Errorf("%s, HTTP/1 %v: the second request: status %d, error %v, want a right answer", name, http1, s.status, s.err)
			}
		}
	}
}

func TestFaultsInOrder(t *testing.T) {
	ca := fakeca.New(t, fakeca.Options{})
	ca.Fault(probe.CallDirectory, fakeca.Fault{Status: 500}, 2)
	ca.Fault(probe.CallDirectory, fakeca.Fault{Status: 501}, 1)
	ca.Fault(probe.CallDirectory, fakeca.Fault{Status: 502}, 0)
	for i, want := range []int{500, 500, 501, 502, 502} {
		if s := get(t, ca, ca.URL(), 10*time.Second); s.status != want {
			t.Errorf("request %d: status %d, want %d", i, s.status, want)
		}
	}
	ca.Heal()
	if s := get(t, ca, ca.URL(), 10*time.Second); s.status != 200 {
		t.Errorf("healed: status %d, want 200", s.status)
	}
	if s := get(t, ca, ca.URL()+"x", 10*time.Second); s.status != 404 {
		t.Errorf("unknown path: status %d, want 404", s.status)
	}
	calls := ca.Calls()
	if len(calls) != 7 || calls[6] != probe.CallUnknown || calls[0] != probe.CallDirectory {
		t.Errorf("calls %v, want six of the directory and an unknown one", calls)
	}
}

func TestFaultsOfObjects(t *testing.T) {
	ca := fakeca.New(t, fakeca.Options{})
	c := client(t, ca)
	order, z := prepare(t, c, "a.example")

	ca.Fault(probe.CallAuthz, fakeca.Fault{Edit: fakeca.WithoutChallenge(probe.HTTP01)}, 1)
	if got, err := c.GetAuthorization(t.Context(), z.URI); err != nil || len(got.Challenges) != len(probe.ChallengeTypes())-1 {
		t.Errorf("authorization %+v, error %v, want one without one of the challenges", got, err)
	}
	ca.Fault(probe.CallNewOrder, fakeca.Fault{BadNonce: true}, 1)
	if _, err := c.AuthorizeOrder(t.Context(), acme.DomainIDs("x.example")); problemType(err) != "urn:ietf:params:acme:error:badNonce" {
		t.Errorf("error %v, want badNonce", err)
	}
	if len(ca.Orders()) != 1 {
		t.Errorf("%d orders, want one: a rejected request must do nothing", len(ca.Orders()))
	}
	csr, _ := request(t, "a.example")
	if _, _, err := c.CreateOrderCert(t.Context(), order.FinalizeURL, csr, true); problemType(err) != "urn:ietf:params:acme:error:orderNotReady" {
		t.Errorf("error %v, want orderNotReady", err)
	}

	ca.Fault(probe.CallChallenge, fakeca.Fault{Invalid: &fakeca.Problem{Type: "dns", Detail: "query timed out"}}, 1)
	accept(t, c, z, probe.HTTP01)
	got, err := c.GetAuthorization(t.Context(), z.URI)
	if err != nil || got.Status != acme.StatusInvalid || problemType(got.Challenges[0].Error) != "urn:ietf:params:acme:error:dns" {
		t.Errorf("authorization %+v, error %v, want an invalid one with the problem", got, err)
	}
	if o, err := c.GetOrder(t.Context(), order.URI); err != nil || o.Status != acme.StatusInvalid {
		t.Errorf("order %+v, error %v, want an invalid one", o, err)
	}
}

func TestStuck(t *testing.T) {
	ca := fakeca.New(t, fakeca.Options{AsyncFinalize: true, RetryAfter: "7"})
	c := client(t, ca)
	_, stuck := prepare(t, c, "stuck.example")
	ca.Fault(probe.CallChallenge, fakeca.Fault{Stuck: true}, 1)
	accept(t, c, stuck, probe.HTTP01)
	for range 3 {
		if got, err := c.GetAuthorization(t.Context(), stuck.URI); err != nil || got.Status != acme.StatusPending {
			t.Fatalf("authorization %+v, error %v, want a pending one", got, err)
		}
	}
	order, z := prepareAgain(t, c, "a.example")
	accept(t, c, z, probe.HTTP01)
	ca.Fault(probe.CallFinalize, fakeca.Fault{Invalid: &fakeca.Problem{Type: "serverInternal", Status: 500}}, 1)
	csr, _ := request(t, "a.example")
	_, _, err := c.CreateOrderCert(t.Context(), order.FinalizeURL, csr, true)
	failed, ok := errors.AsType[*acme.OrderError](err)
	if !ok || failed.Status != acme.StatusInvalid {
		t.Errorf("error %v, want that of an invalid order", err)
	}
	if o, err := c.GetOrder(t.Context(), order.URI); err != nil || o.Error == nil || o.Error.StatusCode != http.StatusInternalServerError {
		t.Errorf("order %+v, error %v, want one with the problem", o, err)
	}
}

func prepareAgain(t *testing.T, c *acme.Client, name string) (*acme.Order, *acme.Authorization) {
	t.Helper()
	o, err := c.AuthorizeOrder(t.Context(), acme.DomainIDs(name))
	if err != nil {
		t.Fatal(err)
	}
	z, err := c.GetAuthorization(t.Context(), o.AuthzURLs[0])
	if err != nil {
		t.Fatal(err)
	}
	return o, z
}

func problemType(err error) string {
	if p, ok := errors.AsType[*acme.Error](err); ok {
		return p.ProblemType
	}
	return ""
}

func TestCertificateDefects(t *testing.T) {
	ca := fakeca.New(t, fakeca.Options{})
	c := client(t, ca)
	order, z := prepare(t, c, "a.example")
	accept(t, c, z, probe.HTTP01)
	csr, k := request(t, "a.example")
	_, certURL, err := c.CreateOrderCert(t.Context(), order.FinalizeURL, csr, true)
	if err != nil {
		t.Fatal(err)
	}
	for defect, check := range map[fakeca.CertificateDefect]func([]*x509.Certificate) bool{
		fakeca.CertificateOtherKey:   func(l []*x509.Certificate) bool { return !k.PublicKey.Equal(l[0].PublicKey) },
		fakeca.CertificateOtherNames: func(l []*x509.Certificate) bool { return l[0].DNSNames[0] == "other.example" },
		fakeca.CertificateExtraName:  func(l []*x509.Certificate) bool { return len(l[0].DNSNames) == 2 },
		fakeca.CertificateExpired:    func(l []*x509.Certificate) bool { return l[0].NotAfter.Before(time.Now()) },
		fakeca.CertificateNotYetValid: func(l []*x509.Certificate) bool {
			return l[0].NotBefore.After(time.Now())
		},
		fakeca.CertificateSwapped:      func(l []*x509.Certificate) bool { return l[0].IsCA },
		fakeca.CertificateUnrelated:    func(l []*x509.Certificate) bool { return l[0].CheckSignatureFrom(l[1]) != nil },
		fakeca.CertificateBadSignature: func(l []*x509.Certificate) bool { return l[0].CheckSignatureFrom(l[1]) != nil },
		fakeca.CertificateLeafOnly:     func(l []*x509.Certificate) bool { return len(l) == 1 },
		fakeca.CertificateLong:         func(l []*x509.Certificate) bool { return len(l) == 60 },
		"":                             func(l []*x509.Certificate) bool { return len(l) == 2 && l[0].CheckSignatureFrom(l[1]) == nil },
	} {
		ca.Fault(probe.CallCertificate, fakeca.Fault{Certificate: defect}, 1)
		if list := download(t, c, certURL); !check(list) {
			t.Errorf("%q: does not have the defect", defect)
		}
	}
	ca.Fault(probe.CallCertificate, fakeca.Fault{Certificate: fakeca.CertificateHuge}, 1)
	if _, err := c.FetchCert(t.Context(), certURL, true); err == nil {
		t.Error("huge: x/crypto/acme reads it, it is to have more than its limit of 10 MiB or 100 certificates")
	}
	for _, defect := range []fakeca.CertificateDefect{fakeca.CertificateEmpty, fakeca.CertificateNotPEM, fakeca.CertificateNotDER} {
		ca.Fault(probe.CallCertificate, fakeca.Fault{Certificate: defect}, 1)
		if der, err := c.FetchCert(t.Context(), certURL, true); err == nil {
			if _, err := x509.ParseCertificate(der[0]); err == nil {
				t.Errorf("%s: reads well", defect)
			}
		}
	}
}

// download uses the trick that a signed POST-as-GET of any URL is an
// authorization's, and reads the body before the client fails on it.
func download(t *testing.T, c *acme.Client, from string) []*x509.Certificate {
	t.Helper()
	keep := &keeper{RoundTripper: c.HTTPClient.Transport}
	c.HTTPClient.Transport = keep
	defer func() { c.HTTPClient.Transport = keep.RoundTripper }()
	_, _ = c.GetAuthorization(t.Context(), from)
	var list []*x509.Certificate
	for rest := keep.body; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, cert)
	}
	if len(list) == 0 {
		t.Fatalf("no certificate in %q", keep.body)
	}
	return list
}

type keeper struct {
	http.RoundTripper
	body []byte
}

func (k *keeper) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := k.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	k.body, err = io.ReadAll(res.Body)
	res.Body = io.NopCloser(strings.NewReader(string(k.body)))
	return res, err
}

func TestDefectsOfTheSocket(t *testing.T) {
	for defect, want := range map[fakeca.APIDefect]func(error) bool{
		"":                    func(err error) bool { return err == nil },
		fakeca.APIExpired:     isInvalid,
		fakeca.APINotYetValid: isInvalid,
		fakeca.APIWrongName:   func(err error) bool { _, ok := errors.AsType[x509.HostnameError](err); return ok },
		fakeca.APIUntrusted:   func(err error) bool { _, ok := errors.AsType[x509.UnknownAuthorityError](err); return ok },
	} {
		ca := fakeca.New(t, fakeca.Options{API: defect})
		u, err := url.Parse(ca.URL())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := tls.Dial("tcp", u.Host, &tls.Config{RootCAs: ca.Roots()})
		if !want(err) {
			t.Errorf("%q: error %v", defect, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

func isInvalid(err error) bool {
	invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok && invalid.Reason == x509.Expired
}

func TestSilent(t *testing.T) {
	u, err := url.Parse(fakeca.Silent(t))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes, error %v, want none until the deadline", n, err)
	}
}

func TestUnsignedAndReplayed(t *testing.T) {
	ca := fakeca.New(t, fakeca.Options{})
	transport := &http.Transport{TLSClientConfig: ca.TLSConfig()}
	defer transport.CloseIdleConnections()
	for name, test := range map[string]struct {
		kind, body string
		want       int
	}{
		"no JWS":       {"application/jose+json", "{}", 400},
		"not JSON":     {"application/jose+json", "<html>", 400},
		"content type": {"application/json", "{}", 415},
	} {
		res, err := (&http.Client{Transport: transport}).Post(ca.Endpoint(probe.CallNewOrder), test.kind, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		var p struct{ Type string }
		err = json.NewDecoder(res.Body).Decode(&p)
		_ = res.Body.Close()
		if res.StatusCode != test.want || err != nil || p.Type == "" {
			t.Errorf("%s: status %d, type %q, error %v, want %d and a problem", name, res.StatusCode, p.Type, err, test.want)
		}
	}
	// A signature that was good once is refused the second time.
	c := client(t, ca)
	keep := &repeater{RoundTripper: c.HTTPClient.Transport}
	c.HTTPClient.Transport = keep
	prepare(t, c, "a.example")
	if keep.status != 400 || !strings.Contains(keep.body, "badNonce") {
		t.Errorf("replayed: status %d, %q, want 400 and badNonce", keep.status, keep.body)
	}
}

// repeater sends each POST twice, and keeps the last second answer.
type repeater struct {
	http.RoundTripper
	status int
	body   string
}

func (k *repeater) RoundTrip(r *http.Request) (*http.Response, error) {
	first, err := k.RoundTripper.RoundTrip(r)
	if err != nil || r.Method != http.MethodPost {
		return first, err
	}
	again := r.Clone(r.Context())
	again.Body, _ = r.GetBody()
	second, err := k.RoundTripper.RoundTrip(again)
	if err != nil {
		return nil, err
	}
	defer second.Body.Close()
	body, err := io.ReadAll(second.Body)
	k.status, k.body = second.StatusCode, string(body)
	return first, err
}
