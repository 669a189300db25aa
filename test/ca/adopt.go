package main

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/letsencrypt/pebble/v2/core"
	"github.com/letsencrypt/pebble/v2/db"
)

// certificatePath is where Pebble has its certificates, by what it calls them.
const certificatePath = "/certZ/"

// wrap puts the signer before next, Pebble's handler. A certificate becomes the
// signer's when it is first downloaded: nobody has seen it before. From then on
// it is so for Pebble too, which revokes it, tells when to renew it, and knows
// what an order replaces.
func (s *signer) wrap(next http.Handler, store *db.MemoryStore) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, ok := strings.CutPrefix(r.URL.Path, certificatePath); ok {
			id, _, _ = strings.Cut(id, "/")
			if err := s.adopt(store.GetCertificateByID(id), store); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		if r.URL.Path == revokePath {
			s.passRevocation(w, r, next, store)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// adopt puts a certificate of the signer's in the place of one of Pebble's; nil:
// there is none.
func (s *signer) adopt(c *core.Certificate, store *db.MemoryStore) error {
	if c == nil || s.adopted[c] || len(c.IssuerChains) == 0 || len(c.IssuerChains[0]) == 0 {
		return nil // the last: one of Pebble's roots
	}
	order, err := orderOf(c, store)
	if err != nil {
		return err
	}
	asked := *c.Cert
	if order.NotBefore == "" && order.NotAfter == "" {
		asked.NotBefore, asked.NotAfter = asked.NotBefore.Add(-backdated), asked.NotAfter.Add(-backdated)
		if s.options.validity > 0 {
			// Both ends belong to it (RFC 5280 §4.1.2.5).
			asked.NotAfter = asked.NotBefore.Add(s.options.validity - time.Second)
		}
	}
	asked.ExtraExtensions = mustStaple(c.Cert)
	certificate, err := s.issue(&asked)
	if err != nil {
		return err
	}
	if s.adopted == nil {
		// From now on Pebble knows our issuer by its key identifier, where clients
		// name a certificate by it (RFC 9773 §4.1).
		c.IssuerChains[0][0].Cert.SubjectKeyId = s.issuer.certificate.SubjectKeyId
		s.adopted = map[*core.Certificate]bool{}
	}
	s.adopted[c] = true
	c.Cert, c.DER, c.IssuerChains = certificate, certificate.Raw, [][]*core.Certificate{s.chain()}
	// Pebble calls a certificate by its serial number, and the old name stays
	// good: it is in the order's URL.
	c.ID = hex.EncodeToString(certificate.SerialNumber.Bytes())
	_, err = store.AddCertificate(c)
	return errors.Join(err, store.AddOrderByIssuedSerial(order))
}

// orderOf returns the order that c was issued for. Pebble writes that down a
// moment after it has said that c is there, and only then has done with c.
func orderOf(c *core.Certificate, store *db.MemoryStore) (*core.Order, error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for {
		order, err := store.GetOrderByIssuedSerial(c.ID)
		if err == nil {
			return order, nil
		}
		select {
		case <-tick.C:
		case <-late:
			return nil, fmt.Errorf("find the order of certificate %s: %w", c.ID, err)
		}
	}
}

// mustStaple returns the extension that asks for stapling, if c has it.
func mustStaple(c *x509.Certificate) (kept []pkix.Extension) {
	for _, extension := range c.Extensions {
		if extension.Id.String() == "1.3.6.1.5.5.7.1.24" {
			kept = append(kept, extension)
		}
	}
	return kept
}

// chain is what comes with a certificate.
func (s *signer) chain() (chain []*core.Certificate) {
	authorities := []*authority{s.issuer}
	switch {
	case s.defects.has(chainIncomplete):
		authorities = nil
	case s.defects.has(chainForeign):
		authorities[0] = s.stranger
	case s.defects.has(chainOrder):
		authorities = []*authority{s.root, s.issuer}
	}
	for _, a := range authorities {
		chain = append(chain, &core.Certificate{ID: a.certificate.Subject.CommonName, Cert: a.certificate, DER: a.certificate.Raw})
	}
	return chain
}

// passRevocation lets Pebble revoke, and what it has revoked is revoked, but for the
// defects.
func (s *signer) passRevocation(w http.ResponseWriter, r *http.Request, next http.Handler, store *db.MemoryStore) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	switch {
	case s.defects.has(revokeError):
		problem{errorPrefix + "serverInternal", "Error revoking", http.StatusInternalServerError}.write(w, http.StatusInternalServerError)
		return
	case s.defects.has(revokeAlready):
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header()) // the nonce, above all
		problem{errorPrefix + "alreadyRevoked", "Certificate already revoked", http.StatusBadRequest}.write(w, http.StatusBadRequest)
	default:
		next.ServeHTTP(w, r)
	}
	if !s.defects.has(revokeLost) {
		s.takeRevocation(body, store)
	}
}

// takeRevocation revokes what a request has had Pebble revoke, if it has: the
// store says.
func (s *signer) takeRevocation(body []byte, store *db.MemoryStore) {
	var jws struct{ Payload string }
	var payload struct{ Certificate string }
	if json.Unmarshal(body, &jws) != nil || decode(jws.Payload, &payload) != nil {
		return // Pebble has read it
	}
	der, err := base64.RawURLEncoding.DecodeString(payload.Certificate)
	if err != nil {
		return
	}
	if revoked := store.GetRevokedCertificateByDER(der); revoked != nil {
		reason := 0
		if revoked.Reason != nil {
			reason = int(*revoked.Reason)
		}
		s.revoke(revoked.Certificate.Cert.SerialNumber, revoked.RevokedAt, reason)
	}
}
