package prober

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// replayNonce is the header that carries a nonce (RFC 8555 §6.5.1).
const replayNonce = "Replay-Nonce"

// probeNonce reads the directory and fetches a nonce.
func probeNonce(ctx context.Context, r *run) error {
	if err := r.readDirectory(ctx, []string{"newNonce"}); err != nil {
		return err
	}
	return r.fetchNonce(ctx)
}

// fetchNonce fetches a nonce (RFC 8555 §7.2), for the first signed request to
// take. Left to the client, the first request would do it on the way, and what
// it costs would be counted in that request's step.
func (r *run) fetchNonce(ctx context.Context) error {
	return r.step(probe.StepNonce, "", func() error {
		var nonce http.Header
		_, err := r.exchange(ctx, acmehttp.Exchange{Call: probe.CallNewNonce}, func(ctx context.Context, _ *acmehttp.Exchange) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodHead, r.directory.url("newNonce"), nil)
			if err != nil {
				return err
			}
			resp, err := r.client.HTTPClient.Do(req)
			if err != nil {
				return err
			}
			_ = resp.Body.Close() // it is in memory, and of a HEAD empty
			nonce = resp.Header
			// "The server's response MUST include a Replay-Nonce header field
			// containing a fresh nonce and SHOULD have status code 200 (OK)";
			// 204 is for GET.
			if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNoContent {
				return errors.New("not a success")
			}
			if nonce.Get(replayNonce) == "" {
				return errors.New("no nonce")
			}
			return nil
		})
		if err != nil {
			return err
		}
		if !isBase64URL(nonce.Get(replayNonce)) {
			// "Clients MUST ignore invalid Replay-Nonce values" (RFC 8555
			// §6.5.1), which leaves this answer without one.
			return r.broken("", "new-nonce answered with a Replay-Nonce that is not base64url")
		}
		r.nonces.keep(nonce)
		return nil
	})
}

// nonces stands before the session and answers the client's request for a nonce
// from what is at hand: the nonce that was fetched in a step of its own, or the
// one that came with a rejected nonce. It is safe for concurrent use.
type nonces struct {
	next http.RoundTripper

	mu    sync.Mutex // guards spare
	spare string     // empty: none
}

// keep keeps the nonce in h, if there is one that is valid.
func (n *nonces) keep(h http.Header) {
	if v := h.Get(replayNonce); isBase64URL(v) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.spare = v
	}
}

// take returns the nonce at hand, for one request; empty: there is none.
func (n *nonces) take() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	nonce := n.spare
	n.spare = ""
	return nonce
}

// RoundTrip implements http.RoundTripper. Only requests for a nonce are HEAD.
func (n *nonces) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodHead {
		return n.next.RoundTrip(req)
	}
	nonce := n.take()
	if nonce == "" {
		return n.next.RoundTrip(req)
	}
	return &http.Response{
		Status:     "200 OK",
		StatusCode: http.StatusOK,
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     http.Header{replayNonce: {nonce}},
		Body:       http.NoBody,
		Request:    req,
	}, nil
}

// isBase64URL reports whether s is a non-empty string of base64url without
// padding (RFC 4648 §5).
func isBase64URL(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return s != ""
}
