package main

import (
	_ "crypto/sha1"   // one of the hashes by which clients name an issuer
	_ "crypto/sha256" // and the other
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"
)

const (
	// ocspLifetime is how long an answer is good for.
	ocspLifetime = 4 * 24 * time.Hour
	// maxOCSPRequest bounds a request, in bytes; one about a single certificate has
	// about 100.
	maxOCSPRequest = 10_000
)

// oidNoCheck says that a responder's certificate need not be asked about (RFC
// 6960 §4.2.2.2.1).
var oidNoCheck = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}

// newResponder makes a certificate of issuer's for usage, which is a responder's
// if it is OCSPSigning.
func newResponder(issuer *authority, now time.Time, usage x509.ExtKeyUsage) (*authority, error) {
	return newAuthority(&x509.Certificate{
		Subject:         caName("Responder", issuer.certificate.Subject.CommonName),
		NotBefore:       now.Add(-backdated),
		NotAfter:        now.Add(30 * 24 * time.Hour),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{usage},
		ExtraExtensions: []pkix.Extension{{Id: oidNoCheck, Value: asn1.NullBytes}},
	}, issuer)
}

// serveOCSP answers GET and POST (RFC 6960 appendix A).
func (s *signer) serveOCSP(w http.ResponseWriter, r *http.Request) {
	var request []byte
	var err error
	switch {
	case r.Method == http.MethodGet && !s.defects.has(ocspNoGet):
		request, err = requestInURL(r.URL)
	case r.Method == http.MethodPost && !s.defects.has(ocspNoPost):
		request, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxOCSPRequest))
	default:
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", s.contentType(ocspContentType, "application/ocsp-response"))
	_, _ = w.Write(s.respond(request, time.Now())) // the client has gone: nobody to tell
}

// requestInURL reads the request that a GET has in its path. What stands for
// a slash there may be one.
func requestInURL(u *url.URL) ([]byte, error) {
	text, err := url.PathUnescape(strings.TrimPrefix(u.EscapedPath(), ocspPath+"/"))
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(text)
}

// respond answers a request with what is so at now.
func (s *signer) respond(der []byte, now time.Time) []byte {
	request, err := ocsp.ParseRequest(der)
	switch {
	case err != nil:
		return ocsp.MalformedRequestErrorResponse
	case s.defects.has(ocspTryLater):
		return ocsp.TryLaterErrorResponse
	case !s.isOurs(request):
		return ocsp.UnauthorizedErrorResponse
	}
	response := s.status(request.SerialNumber, now)
	response.IssuerHash = request.HashAlgorithm
	response.ThisUpdate = now.Truncate(time.Minute)
	response.NextUpdate = response.ThisUpdate.Add(ocspLifetime)
	responder := s.responder
	for _, defect := range s.defects.list() {
		switch defect {
		case ocspStale:
			age := ocspLifetime + time.Hour
			response.ThisUpdate, response.NextUpdate = response.ThisUpdate.Add(-age), response.NextUpdate.Add(-age)
		case ocspOther:
			response.SerialNumber = newSerial()
		case ocspSigner:
			responder = s.stranger
		case ocspDelegation:
			responder = s.impostor
		}
	}
	if responder != s.issuer {
		response.Certificate = responder.certificate
	}
	key := responder.key
	if s.defects.has(ocspSignature) {
		key = s.root.key
	}
	answer, err := ocsp.CreateResponse(s.issuer.certificate, responder.certificate, response, key)
	if err != nil {
		return ocsp.InternalErrorErrorResponse
	}
	return answer
}

// isOurs reports whether a request is about a certificate that the issuer could
// have issued.
func (s *signer) isOurs(request *ocsp.Request) bool {
	if !request.HashAlgorithm.Available() {
		return false
	}
	ours, err := ocsp.CreateRequest(&x509.Certificate{SerialNumber: request.SerialNumber}, s.issuer.certificate,
		&ocsp.RequestOptions{Hash: request.HashAlgorithm})
	if err != nil {
		return false
	}
	want, err := ocsp.ParseRequest(ours)
	return err == nil && string(want.IssuerKeyHash) == string(request.IssuerKeyHash) &&
		string(want.IssuerNameHash) == string(request.IssuerNameHash)
}

// status is what is so of a certificate at now.
func (s *signer) status(serial *big.Int, now time.Time) ocsp.Response {
	response := ocsp.Response{Status: ocsp.Unknown, SerialNumber: serial}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.issued[serial.Text(16)]
	switch {
	case r == nil || s.defects.has(ocspUnknown):
	case r.revoked.IsZero() || now.Before(r.revoked.Add(s.options.ocspDelay)) || s.defects.has(ocspGood):
		response.Status = ocsp.Good
	default:
		response.Status, response.RevokedAt, response.RevocationReason = ocsp.Revoked, r.revoked, r.reason
	}
	return response
}
