package main

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// ask asks the responder about c with a method, and returns its answer raw.
func ask(t *testing.T, s *signer, method string, hash crypto.Hash, c, issuer *x509.Certificate) (*http.Response, []byte) {
	t.Helper()
	request, err := ocsp.CreateRequest(c, issuer, &ocsp.RequestOptions{Hash: hash})
	must(t, err)
	target := s.base + ocspPath
	if method == http.MethodGet {
		target, request = target+"/"+url.PathEscape(base64.StdEncoding.EncodeToString(request)), nil
	}
	resp, err := http.DefaultClient.Do(newRequest(t, method, target, request))
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp, body
}

// opensslOCSP has openssl ask about c.
func opensslOCSP(t *testing.T, s *signer, c *x509.Certificate) string {
	t.Helper()
	out, _ := openssl(t, "ocsp", "-CAfile", file(t, s.root.certificate), "-issuer", file(t, s.issuer.certificate),
		"-cert", file(t, c), "-no_nonce", "-url", s.base+ocspPath)
	return out
}

// TestOCSP holds the answers to GET and POST, with and without a responder of
// its own, by x/crypto and by openssl.
func TestOCSP(t *testing.T) {
	t.Parallel()
	for _, delegate := range []bool{false, true} {
		s := startSigner(t, func(o *signingOptions) { o.delegate = delegate })
		good, _, _ := s.leaf(t)
		revoked, _, _ := s.leaf(t)
		when := time.Now().Add(-time.Hour).Truncate(time.Second)
		s.revoke(revoked.SerialNumber, when, ocsp.CessationOfOperation)
		nobodys := *good
		nobodys.SerialNumber = newSerial()
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256} {
				for want, c := range map[int]*x509.Certificate{ocsp.Good: good, ocsp.Revoked: revoked, ocsp.Unknown: &nobodys} {
					resp, body := ask(t, s, method, hash, c, s.issuer.certificate)
					answer, err := ocsp.ParseResponseForCert(body, c, s.issuer.certificate)
					if err != nil {
						t.Fatalf("%s, %s, want %d: %v", method, hash, want, err)
					}
					if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/ocsp-response" {
						t.Errorf("%s: %s", resp.Status, resp.Header.Get("Content-Type"))
					}
					if answer.Status != want || answer.IssuerHash != hash || (answer.Certificate != nil) != delegate ||
						answer.ThisUpdate.After(time.Now()) || answer.NextUpdate.Sub(answer.ThisUpdate) != ocspLifetime {
						t.Errorf("%s, %s, want %d: %+v", method, hash, want, answer)
					}
					if want == ocsp.Revoked && (!answer.RevokedAt.Equal(when) || answer.RevocationReason != ocsp.CessationOfOperation) {
						t.Errorf("revoked at %s for %d", answer.RevokedAt, answer.RevocationReason)
					}
				}
			}
		}
		for c, want := range map[*x509.Certificate]string{good: ": good", revoked: ": revoked"} {
			if out := opensslOCSP(t, s, c); !strings.Contains(out, want) || !strings.Contains(out, "Response verify OK") {
				t.Errorf("openssl: want %q:\n%s", want, out)
			}
		}
		_, body := ask(t, s, http.MethodPost, crypto.SHA1, good, s.stranger.certificate)
		if !bytes.Equal(body, ocsp.UnauthorizedErrorResponse) {
			t.Errorf("about another CA's: %x", body)
		}
	}
}

// TestOCSPRequests holds what is answered to what is no request.
func TestOCSPRequests(t *testing.T) {
	t.Parallel()
	s := startSigner(t, nil)
	for path, want := range map[string]int{"/ocsp/": 200, "/ocsp/!": 400, "/ocsp/AAAA": 200, "/ocsp///8=": 200, "/ocsp//8=": 400, "/ocspx": 404} {
		status, _, body := fetch(t, s.base+path)
		if status != want || status == 200 && !bytes.Equal(body, ocsp.MalformedRequestErrorResponse) {
			t.Errorf("%s: %d, %x", path, status, body)
		}
	}
	off := startSigner(t, func(o *signingOptions) { o.ocsp = false })
	certificate, _, _ := off.leaf(t)
	if status, _, _ := fetch(t, off.base+"/ocsp/AAAA"); status != 404 || len(certificate.OCSPServer) != 0 {
		t.Errorf("without OCSP: %d, %v", status, certificate.OCSPServer)
	}
}

// TestOCSPDefects holds each defect, and what openssl makes of it.
func TestOCSPDefects(t *testing.T) {
	t.Parallel()
	s := startSigner(t, nil)
	certificate, _, _ := s.leaf(t)
	s.revoke(certificate.SerialNumber, time.Now(), 0)
	// answer is what x/crypto reads, of which err says why it does not.
	type answer struct {
		*ocsp.Response
		err       error
		get, post *http.Response
	}
	for defect, test := range map[string]struct {
		is      func(answer) bool
		openssl string
	}{
		ocspUnknown:     {func(a answer) bool { return a.Status == ocsp.Unknown }, ": unknown"},
		ocspGood:        {func(a answer) bool { return a.Status == ocsp.Good }, ": good"},
		ocspStale:       {func(a answer) bool { return a.NextUpdate.Before(time.Now()) }, "WARNING: Status times invalid"},
		ocspSigner:      {func(a answer) bool { return a.err != nil }, "Response Verify Failure"},
		ocspDelegation:  {func(a answer) bool { return a.err == nil && a.Certificate != nil }, "missing ocspsigning usage"},
		ocspSignature:   {func(a answer) bool { return a.err != nil }, "Response Verify Failure"},
		ocspOther:       {func(a answer) bool { return a.err != nil && strings.Contains(a.err.Error(), "no response matching") }, "ERROR: No Status found"},
		ocspTryLater:    {func(a answer) bool { return errors.As(a.err, new(ocsp.ResponseError)) }, "Responder Error: trylater (3)"},
		ocspContentType: {func(a answer) bool { return strings.HasPrefix(a.post.Header.Get("Content-Type"), "text/plain") }, "unexpected content type"},
		ocspNoGet: {func(a answer) bool {
			return a.get.StatusCode == http.StatusMethodNotAllowed && a.post.StatusCode == http.StatusOK
		}, ": revoked"},
		ocspNoPost: {func(a answer) bool {
			return a.post.StatusCode == http.StatusMethodNotAllowed && a.get.StatusCode == http.StatusOK
		}, "Error querying OCSP responder"},
	} {
		s.with(t)
		for i, want := range []bool{false, true} {
			if i == 1 {
				s.with(t, defect)
			}
			var a answer
			var body []byte
			a.get, _ = ask(t, s, http.MethodGet, crypto.SHA1, certificate, s.issuer.certificate)
			a.post, body = ask(t, s, http.MethodPost, crypto.SHA1, certificate, s.issuer.certificate)
			if a.Response, a.err = ocsp.ParseResponseForCert(body, certificate, s.issuer.certificate); a.err != nil {
				a.Response = new(ocsp.Response)
			}
			if test.is(a) != want {
				t.Errorf("%s, in force: %t: %+v, %v", defect, want, a.Response, a.err)
			}
		}
		if out := opensslOCSP(t, s, certificate); !strings.Contains(out, test.openssl) {
			t.Errorf("%s: openssl does not say %q:\n%s", defect, test.openssl, out)
		}
	}
}
