package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// The test sites that a CA has to have: whoever relies on its certificates can
// see there what their software makes of them.
const (
	siteValid   = "valid"
	siteExpired = "expired"
	siteRevoked = "revoked"
)

// siteLifetime is that of the sites' certificates.
const siteLifetime = 90 * 24 * time.Hour

// startSites serves the test sites, each at localhost and 127.0.0.1 on a port of
// its own.
func (s *signer) startSites() error {
	certificates := map[string]*tls.Certificate{}
	for _, site := range []string{siteValid, siteExpired, siteRevoked} {
		certificate, err := s.siteCertificate(site, time.Now())
		if err != nil {
			return err
		}
		certificates[site] = certificate
	}
	for site := range certificates {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("listen for the %s site: %w", site, err)
		}
		s.sites[site] = fmt.Sprintf("https://localhost:%d/", listener.Addr().(*net.TCPAddr).Port)
		server := &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, "the certificate of this site is %s\n", site)
			}),
			TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return s.shown(certificates, site), nil
			}},
			ReadHeaderTimeout: 5 * time.Second,
			ErrorLog:          log.New(io.Discard, "", 0),
		}
		s.servers = append(s.servers, server)
		go func() { _ = server.ServeTLS(listener, "", "") }() // ends with Shutdown
	}
	return nil
}

// siteCertificate issues the certificate of a site.
func (s *signer) siteCertificate(site string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	begin := now.Add(-backdated)
	if site == siteExpired {
		begin = begin.Add(-siteLifetime)
	}
	certificate, err := s.issue(&x509.Certificate{
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		PublicKey:   key.Public(),
		NotBefore:   begin,
		NotAfter:    begin.Add(siteLifetime - time.Second),
	})
	if err != nil {
		return nil, err
	}
	if site == siteRevoked {
		// Long enough ago for everybody to say so.
		delay := max(s.options.crlDelay, s.options.ocspDelay)
		s.revoke(certificate.SerialNumber, begin.Add(-delay), 5 /* cessationOfOperation */)
	}
	return &tls.Certificate{
		Certificate: [][]byte{certificate.Raw, s.issuer.certificate.Raw}, PrivateKey: key, Leaf: certificate,
	}, nil
}

// shown is the certificate that a site shows, with the defects in force.
func (s *signer) shown(certificates map[string]*tls.Certificate, site string) *tls.Certificate {
	switch {
	case site == siteValid && s.defects.has(siteValidExpired):
		site = siteExpired
	case site == siteExpired && s.defects.has(siteExpiredValid), site == siteRevoked && s.defects.has(siteRevokedValid):
		site = siteValid
	}
	certificate := *certificates[site]
	if s.defects.has(siteIncomplete) {
		certificate.Certificate = certificate.Certificate[:1]
	}
	return &certificate
}
