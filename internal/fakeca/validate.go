package fakeca

import (
	"context"
	"fmt"
	"io"
	"net/http"
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
