package revocation

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// The media types of OCSP (RFC 6960 appendix A.1).
const (
	TypeOCSPRequest  = "application/ocsp-request"
	typeOCSPResponse = "application/ocsp-response"
)

// OCSPRequest returns the question for the certificate of that serial and issuer, as
// RFC 5019 §2.1.1 has it: without a nonce, with SHA-1.
func OCSPRequest(serial *big.Int, issuer *x509.Certificate) ([]byte, error) {
	return ocsp.CreateRequest(&x509.Certificate{SerialNumber: serial}, issuer, &ocsp.RequestOptions{Hash: crypto.SHA1})
}

// OCSPGet returns the URL at which the question is asked by GET (RFC 6960 appendix
// A.1): "{url}/{url-encoding of base-64 encoding of the DER encoding of the
// OCSPRequest}".
func OCSPGet(responder string, request []byte) string {
	return strings.TrimSuffix(responder, "/") + "/" + url.QueryEscape(base64.StdEncoding.EncodeToString(request))
}

// OCSPCheck says what an OCSP answer has to be.
type OCSPCheck struct {
	URL, Method string // how it was asked for
	ContentType string // of the answer
	Serial      *big.Int
	Issuer      *x509.Certificate
	Now         time.Time
}

// CheckOCSP returns what the answer says of the certificate, and what is wrong with
// it by RFC 6960. That the certificate is revoked is not.
func CheckOCSP(body []byte, o OCSPCheck) probe.OCSP {
	f := probe.OCSP{URL: o.URL, Method: o.Method, Bytes: int64(len(body))}
	add := func(kind probe.FlawKind, format string, args ...any) {
		f.Flaws = append(f.Flaws, flaw(kind, format, args...))
	}
	if !isType(o.ContentType, typeOCSPResponse) {
		add(probe.FlawOCSPContentType, "the content type is %q, not %s", o.ContentType, typeOCSPResponse)
	}
	r, err := ocsp.ParseResponseForCert(body, &x509.Certificate{SerialNumber: o.Serial}, nil)
	if err != nil {
		f.Flaws = append([]probe.Flaw{unreadOCSP(err)}, f.Flaws...)
		return f
	}
	f.ThisUpdate, f.NextUpdate = r.ThisUpdate, r.NextUpdate
	f.Delegated = r.Certificate != nil && !sameKey(r.Certificate, o.Issuer)
	switch r.Status {
	case ocsp.Good:
		f.Status = probe.OCSPGood
	case ocsp.Revoked:
		f.Status, f.RevokedAt = probe.OCSPRevoked, r.RevokedAt
	default:
		f.Status = probe.OCSPUnknown
		add(probe.FlawOCSPStatus, "the responder does not know the certificate")
	}
	if err := checkCertID(r, o.Serial, o.Issuer); err != nil {
		add(probe.FlawOCSPCertificate, "%s", err)
	}
	if err := checkSigner(r, o.Issuer, o.Now); err != nil {
		add(probe.FlawOCSPSignature, "%s", err)
	}
	if detail := stale(r.ThisUpdate, r.NextUpdate, o.Now); detail != "" {
		add(probe.FlawOCSPStale, "%s", detail)
	}
	return f
}

// unreadOCSP says what is wrong with an answer that was not read.
func unreadOCSP(err error) probe.Flaw {
	if status, ok := errors.AsType[ocsp.ResponseError](err); ok {
		return flaw(probe.FlawOCSPStatus, "the responder answered %q", status.Status)
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "no response matching"):
		return flaw(probe.FlawOCSPCertificate, "the answer is about another serial number")
	case strings.Contains(text, "bad signature on embedded certificate"):
		return flaw(probe.FlawOCSPSignature, "it is not signed by the key of the certificate that comes with it")
	}
	return flaw(probe.FlawOCSPUnreadable, "%s", text)
}

// certID is a CertID (RFC 6960 §4.1.1).
type certID struct {
	Hash              pkix.AlgorithmIdentifier
	NameHash, KeyHash []byte
	Serial            *big.Int
}

// responseData is a ResponseData (RFC 6960 §4.2.1) as far as it is not read by
// others. What follows the last field is left out.
type responseData struct {
	Version    int `asn1:"optional,default:0,explicit,tag:0"`
	Responder  asn1.RawValue
	ProducedAt time.Time `asn1:"generalized"`
	Responses  []struct{ CertID certID }
}

// checkCertID returns why the answer is not about the certificate; nil: it is.
func checkCertID(r *ocsp.Response, serial *big.Int, issuer *x509.Certificate) error {
	var data responseData
	if _, err := asn1.Unmarshal(r.TBSResponseData, &data); err != nil {
		return err
	}
	var key struct {
		Algorithm pkix.AlgorithmIdentifier
		Bits      asn1.BitString
	}
	if _, err := asn1.Unmarshal(issuer.RawSubjectPublicKeyInfo, &key); err != nil {
		return err
	}
	for _, one := range data.Responses {
		if one.CertID.Serial == nil || one.CertID.Serial.Cmp(serial) != 0 {
			continue
		}
		sum := func(b []byte) []byte {
			h := r.IssuerHash.New()
			h.Write(b)
			return h.Sum(nil)
		}
		if !bytes.Equal(one.CertID.NameHash, sum(issuer.RawSubject)) || !bytes.Equal(one.CertID.KeyHash, sum(key.Bits.RightAlign())) {
			return errors.New("the answer is about a certificate of another issuer")
		}
		return nil // the one that was read
	}
	return errors.New("the answer is about another serial number")
}

// checkSigner returns why whoever signed the answer may not; nil: he may. It is the
// issuer, or one whom the issuer has given that right (RFC 6960 §4.2.2.2).
func checkSigner(r *ocsp.Response, issuer *x509.Certificate, now time.Time) error {
	if err := tooLong(issuer); err != nil {
		return err
	}
	signer := r.Certificate
	switch {
	case signer == nil:
		return r.CheckSignatureFrom(issuer)
	case sameKey(signer, issuer):
		return nil // the answer has been held against the key that came with it
	case !bytes.Equal(signer.RawIssuer, issuer.RawSubject):
		return errors.New("the responder's certificate is not by the issuer")
	case !slices.Contains(signer.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return errors.New("the responder's certificate is not for OCSP: it lacks id-kp-OCSPSigning")
	case now.Before(signer.NotBefore) || now.After(signer.NotAfter):
		return errors.New("the responder's certificate is not valid now")
	}
	if err := issuer.CheckSignature(signer.SignatureAlgorithm, signer.RawTBSCertificate, signer.Signature); err != nil {
		return errors.New("the responder's certificate is not signed by the issuer")
	}
	return nil
}

// sameKey reports whether two certificates are of one key.
func sameKey(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}
