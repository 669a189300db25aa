package fakeca

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// ValidateTLSALPN returns an Options.Validate that makes the handshake of
// tls-alpn-01 (RFC 8737 §3, RFC 8738 §6) with the address that address returns,
// whatever the name is, and checks the certificate as strictly as the RFC allows.
func ValidateTLSALPN(address func() string) func(context.Context, probe.Challenge) error {
	return func(ctx context.Context, c probe.Challenge) error {
		if c.Type != probe.TLSALPN01 {
			return malformed("validator: challenge of type %q", c.Type)
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		name := c.Identifier
		if _, err := netip.ParseAddr(name); err == nil {
			reverse, err := dns.ReverseAddr(name)
			if err != nil {
				return malformed("validator: %v", err)
			}
			name = strings.TrimSuffix(reverse, ".")
		}
		dialer := &tls.Dialer{Config: &tls.Config{
			ServerName: name, NextProtos: []string{"acme-tls/1"}, MinVersion: tls.VersionTLS12,
			InsecureSkipVerify: true, // the certificate is self-signed, RFC 8737 §3
		}}
		conn, err := dialer.DialContext(ctx, "tcp", address())
		if err != nil {
			if alert, ok := errors.AsType[*net.OpError](err); ok && alert.Op == "remote error" {
				return &Problem{Type: "tls", Status: http.StatusBadRequest, Detail: err.Error()}
			}
			return &Problem{Type: "connection", Status: http.StatusBadRequest, Detail: "the handshake failed"}
		}
		defer func() { _ = conn.Close() }()
		if err := checkALPN(conn.(*tls.Conn).ConnectionState(), c); err != nil {
			return &Problem{Type: "unauthorized", Status: http.StatusForbidden, Detail: err.Error()}
		}
		return nil
	}
}

// checkALPN verifies, as RFC 8737 §3 lists it, that the protocol was agreed on
// and that the certificate is the answer to c.
func checkALPN(state tls.ConnectionState, c probe.Challenge) error {
	if state.NegotiatedProtocol != "acme-tls/1" {
		return fmt.Errorf("the protocol is %q", state.NegotiatedProtocol)
	}
	if n := len(state.PeerCertificates); n != 1 {
		return fmt.Errorf("there are %d certificates", n)
	}
	leaf := state.PeerCertificates[0]
	if err := leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature); err != nil {
		return fmt.Errorf("the certificate is not self-signed: %w", err)
	}
	if got, want := subjectNames(leaf), "["+c.Identifier+"]"; !strings.EqualFold(got, want) {
		return fmt.Errorf("the certificate is for %s, want %s", got, want)
	}
	want := sha256.Sum256([]byte(c.KeyAuthorization))
	for _, extension := range leaf.Extensions {
		if !extension.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}) {
			continue
		}
		var got []byte
		rest, err := asn1.Unmarshal(extension.Value, &got)
		switch {
		case !extension.Critical:
			return errors.New("acmeIdentifier is not critical")
		case err != nil || len(rest) > 0:
			return errors.New("acmeIdentifier is not an OCTET STRING and nothing else")
		case string(got) != string(want[:]):
			return errors.New("acmeIdentifier is not the digest of the key authorization")
		}
		return nil
	}
	return errors.New("there is no acmeIdentifier")
}

// subjectNames are all entries of the subjectAltName.
func subjectNames(c *x509.Certificate) string {
	names := append(append([]string{}, c.DNSNames...), c.EmailAddresses...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for _, uri := range c.URIs {
		names = append(names, uri.String())
	}
	return fmt.Sprint(names)
}
