package main

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// crl reads the CRL at url.
func crl(t *testing.T, url string) *x509.RevocationList {
	t.Helper()
	status, contentType, body := fetch(t, url)
	if status != 200 || contentType != "application/pkix-crl" {
		t.Fatalf("%s: %d, %s", url, status, contentType)
	}
	list, err := x509.ParseRevocationList(body)
	must(t, err)
	return list
}

// lists reports whether list has the serial number of c, and with what reason.
func lists(list *x509.RevocationList, c *x509.Certificate) (bool, int) {
	for _, entry := range list.RevokedCertificateEntries {
		if entry.SerialNumber.Cmp(c.SerialNumber) == 0 {
			return true, entry.ReasonCode
		}
	}
	return false, 0
}

// idp is the URL in a CRL's issuing distribution point; empty: it has none.
func idp(t *testing.T, list *x509.RevocationList) string {
	t.Helper()
	for _, extension := range list.Extensions {
		if extension.Id.String() != "2.5.29.28" {
			continue
		}
		var value struct {
			Point struct {
				FullName []asn1.RawValue `asn1:"tag:0,optional"`
			} `asn1:"tag:0,optional"`
			Users bool `asn1:"tag:1,optional"`
		}
		if rest, err := asn1.Unmarshal(extension.Value, &value); err != nil || len(rest) > 0 || !extension.Critical || !value.Users {
			t.Fatalf("%v: %v, %+v", extension, err, value)
		}
		return string(value.Point.FullName[0].Bytes)
	}
	return ""
}

// TestCRL holds what a revocation does to a CRL, and that openssl obeys it.
func TestCRL(t *testing.T) {
	t.Parallel()
	s := startSigner(t, nil)
	certificate, _, _ := s.leaf(t)
	url := certificate.CRLDistributionPoints[0]
	before := crl(t, url)
	must(t, before.CheckSignatureFrom(s.issuer.certificate))
	if listed, _ := lists(before, certificate); listed {
		t.Error("listed before it is revoked")
	}
	// The revoked site's.
	if len(before.RevokedCertificateEntries) != 1 || before.NextUpdate.Sub(before.ThisUpdate) != 24*time.Hour-time.Second || idp(t, before) != url {
		t.Errorf("%d entries, %s to %s, at %s", len(before.RevokedCertificateEntries), before.ThisUpdate, before.NextUpdate, idp(t, before))
	}
	if again := crl(t, url); !bytes.Equal(again.Raw, before.Raw) {
		t.Error("signed anew, and nothing has come in")
	}
	if out, ok := verifyWithCRL(t, s, certificate, before); !ok {
		t.Errorf("openssl: %s", out)
	}

	when := time.Now().Truncate(time.Second)
	s.revoke(certificate.SerialNumber, when, 4)
	s.revoke(certificate.SerialNumber, when, 5) // it is
	s.revoke(newSerial(), when, 4)              // nobody's
	after := crl(t, url)
	if listed, reason := lists(after, certificate); !listed || reason != 4 || len(after.RevokedCertificateEntries) != 2 {
		t.Errorf("listed: %t, reason %d, of %d", listed, reason, len(after.RevokedCertificateEntries))
	}
	if after.Number.Cmp(before.Number) <= 0 {
		t.Errorf("number %d after %d", after.Number, before.Number)
	}
	out, ok := verifyWithCRL(t, s, certificate, after)
	if ok || !strings.Contains(out, "certificate revoked") {
		t.Errorf("openssl: %s", out)
	}
}

// verifyWithCRL has openssl verify c with a CRL.
func verifyWithCRL(t *testing.T, s *signer, c *x509.Certificate, list *x509.RevocationList) (string, bool) {
	t.Helper()
	return openssl(t, "verify", "-CAfile", file(t, s.root.certificate), "-untrusted", file(t, s.issuer.certificate),
		"-crl_check", "-CRLfile", write(t, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list.Raw})), file(t, c))
}

// TestCRLDefects holds each defect, and what openssl makes of those that it
// looks for.
func TestCRLDefects(t *testing.T) {
	t.Parallel()
	s := startSigner(t, nil)
	certificate, _, _ := s.leaf(t)
	s.revoke(certificate.SerialNumber, time.Now(), 0)
	url := certificate.CRLDistributionPoints[0]
	good := crl(t, url)
	for defect, test := range map[string]struct {
		is      func(*x509.RevocationList) bool
		openssl string
	}{
		crlSignature: {func(l *x509.RevocationList) bool { return l.CheckSignatureFrom(s.issuer.certificate) != nil }, "CRL signature failure"},
		crlIssuer: {func(l *x509.RevocationList) bool {
			return bytes.Equal(l.RawIssuer, s.stranger.certificate.RawSubject) && l.CheckSignatureFrom(s.stranger.certificate) == nil
		}, "unable to get certificate CRL"},
		crlExpired:  {func(l *x509.RevocationList) bool { return l.NextUpdate.Before(time.Now()) }, "CRL has expired"},
		crlFuture:   {func(l *x509.RevocationList) bool { return l.ThisUpdate.After(time.Now()) }, "CRL is not yet valid"},
		crlNoIDP:    {func(l *x509.RevocationList) bool { return idp(t, l) == "" }, "certificate revoked"},
		crlOtherIDP: {func(l *x509.RevocationList) bool { return idp(t, l) == s.base+"/crl/1.crl" }, "different CRL scope"},
		crlAbsent:   {func(l *x509.RevocationList) bool { listed, _ := lists(l, certificate); return !listed }, ": OK"},
		crlNumber:   {func(l *x509.RevocationList) bool { return l.Number.Cmp(good.Number) < 0 }, "certificate revoked"},
	} {
		if test.is(good) {
			t.Errorf("%s: without it, too", defect)
		}
		s.with(t, defect)
		list := crl(t, url)
		if !test.is(list) {
			t.Errorf("%s: it is not in force", defect)
		}
		if out, _ := verifyWithCRL(t, s, certificate, list); !strings.Contains(out, test.openssl) {
			t.Errorf("%s: openssl does not say %q:\n%s", defect, test.openssl, out)
		}
	}
	s.with(t, crlContentType)
	if _, contentType, _ := fetch(t, url); contentType != "text/plain; charset=utf-8" {
		t.Errorf("%s: %s", crlContentType, contentType)
	}
	s.with(t, crlPEM)
	_, _, body := fetch(t, url)
	if block, _ := pem.Decode(body); block == nil || block.Type != "X509 CRL" {
		t.Errorf("%s: %s", crlPEM, body)
	}
	s.with(t, crlMissing)
	if status, _, _ := fetch(t, url); status != 404 {
		t.Errorf("%s: %d", crlMissing, status)
	}
	s.with(t)
	if listed, _ := lists(crl(t, url), certificate); !listed {
		t.Error("no defect any more, and not listed")
	}
}

// TestCRLShards holds that a certificate is in the shard that it names, and in no
// other, and that padding pads.
func TestCRLShards(t *testing.T) {
	t.Parallel()
	s := startSigner(t, func(o *signingOptions) { o.shards, o.padding = 3, 1000 })
	used := map[string]bool{}
	for range 40 {
		certificate, _, _ := s.leaf(t)
		s.revoke(certificate.SerialNumber, time.Now(), 0)
		used[certificate.CRLDistributionPoints[0]] = true
		for i := range 3 {
			list := crl(t, s.crlURL(i))
			if idp(t, list) != s.crlURL(i) || len(list.RevokedCertificateEntries) < 1000 {
				t.Fatalf("shard %d is %s and has %d entries", i, idp(t, list), len(list.RevokedCertificateEntries))
			}
			if listed, _ := lists(list, certificate); listed != slices.Contains(certificate.CRLDistributionPoints, s.crlURL(i)) {
				t.Fatalf("shard %d: listed: %t, of %v", i, listed, certificate.CRLDistributionPoints)
			}
		}
		if len(used) == 3 {
			break
		}
	}
	if len(used) != 3 {
		t.Errorf("shards used: %v", used)
	}
	if status, _, _ := fetch(t, s.crlURL(3)); status != 404 {
		t.Errorf("a shard too many: %d", status)
	}
}

// TestDelay holds when a revocation is published, and when a CRL is signed anew.
func TestDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := newSigner(signingOptions{
			shards: 1, crlDelay: time.Minute, ocspDelay: 2 * time.Minute, period: time.Hour, lifetime: 24 * time.Hour,
		})
		must(t, err)
		certificate, _, _ := s.leaf(t)
		s.revoke(certificate.SerialNumber, time.Now(), 0)
		number := new(big.Int)
		for _, step := range []struct {
			wait                time.Duration
			listed, ocsp, fresh bool
		}{
			{0, false, false, true},
			{time.Minute - 1, false, false, false},
			{1, true, false, true},
			{time.Minute - 1, true, false, false},
			{1, true, true, false},
			{59*time.Minute - 1, true, true, false},
			{1, true, true, true},
		} {
			time.Sleep(step.wait)
			der, err := s.publish(s.crls[0], time.Now())
			must(t, err)
			list, err := x509.ParseRevocationList(der)
			must(t, err)
			if listed, _ := lists(list, certificate); listed != step.listed {
				t.Errorf("%v: listed: %t", step, listed)
			}
			if revoked := !s.status(certificate.SerialNumber, time.Now()).RevokedAt.IsZero(); revoked != step.ocsp {
				t.Errorf("%v: OCSP: %t", step, revoked)
			}
			if fresh := list.Number.Cmp(number) > 0; fresh != step.fresh {
				t.Errorf("%v: signed anew: %t", step, fresh)
			}
			number = list.Number
		}
	})
}
