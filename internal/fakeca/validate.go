package fakeca

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// ValidateHTTP returns an Options.Validate that fetches http-01 answers (RFC
// 8555 §8.3) from the address that address returns, whatever the name is.
func ValidateHTTP(address func() string) func(context.Context, probe.Challenge) error {
	return func(ctx context.Context, c probe.Challenge) error {
		if c.Type != probe.HTTP01 {
			return malformed("validator: challenge of type %q", c.Type)
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		url := "http://" + address() + "/.well-known/acme-challenge/" + c.Token
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return malformed("validator: %v", err)
		}
		req.Host = c.Identifier
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Do(req)
		if err != nil {
			return &Problem{Type: "connection", Status: http.StatusBadRequest, Detail: "fetching the answer failed"}
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		if err != nil || res.StatusCode != http.StatusOK || strings.TrimRight(string(body), " \t\r\n") != c.KeyAuthorization {
			return &Problem{Type: "unauthorized", Status: http.StatusForbidden, Detail: fmt.Sprintf("wrong answer with status %d", res.StatusCode)}
		}
		return nil
	}
}

// ValidateDNS returns an Options.Validate that asks the server at the address
// that address returns for dns-01 answers (RFC 8555 §8.4).
func ValidateDNS(address func() string) func(context.Context, probe.Challenge) error {
	return func(ctx context.Context, c probe.Challenge) error {
		if c.Type != probe.DNS01 {
			return malformed("validator: challenge of type %q", c.Type)
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		resolver := &net.Resolver{
			PreferGo: true,
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, network, address())
			},
		}
		values, err := resolver.LookupTXT(ctx, "_acme-challenge."+c.Identifier+".")
		if err != nil {
			return &Problem{Type: "dns", Status: http.StatusBadRequest, Detail: "looking up the TXT record failed"}
		}
		sum := sha256.Sum256([]byte(c.KeyAuthorization))
		if !slices.Contains(values, base64.RawURLEncoding.EncodeToString(sum[:])) {
			return &Problem{Type: "unauthorized", Status: http.StatusForbidden, Detail: "no TXT record has the value"}
		}
		return nil
	}
}
