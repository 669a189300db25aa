package main

import (
	"encoding/pem"
	"net/http"
)

// serveIssuer serves the issuer's certificate, as DER (RFC 5280 §4.2.2.1).
func (s *signer) serveIssuer(w http.ResponseWriter) {
	if s.defects.has(aiaMissing) {
		http.Error(w, "there is no such certificate", http.StatusNotFound)
		return
	}
	body := s.issuer.certificate.Raw
	if s.defects.has(aiaSubject) {
		body = s.stranger.certificate.Raw
	}
	if s.defects.has(aiaPEM) {
		body = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: body})
	}
	w.Header().Set("Content-Type", s.contentType(aiaContentType, "application/pkix-cert"))
	_, _ = w.Write(body) // the client has gone: nobody to tell
}
