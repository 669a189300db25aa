package prober

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
)

// maxRetries is how often a request is sent again because of its nonce (RFC
// 8555 §6.5). Nothing else is ever retried.
const maxRetries = 3

// Why a request was made again: the values of probe.Call.RetryCause.
const (
	causeBadNonce      = "bad_nonce"
	causeOrderNotReady = "order_not_ready"
)

// request makes one request by a single-request method of the client, under a
// ctx that belongs to ex.
type request func(ctx context.Context, ex *acmehttp.Exchange) error

// exchange makes a request, and makes it again with a fresh nonce when the CA
// rejects the one it had. What the request is for (Call, Attempt, RetryCause)
// is taken from ex, and the last exchange is returned, with its answer. An
// error is a *failure.
func (l *line) exchange(ctx context.Context, ex acmehttp.Exchange, send request) (*acmehttp.Exchange, error) {
	for retry := 0; ; retry++ {
		try := acmehttp.NewExchange(l.current, ex.Call)
		try.Attempt, try.RetryCause = ex.Attempt, ex.RetryCause
		if ctx.Err() != nil {
			return try, l.unsent(ctx)
		}
		err := send(acmehttp.WithExchange(ctx, try), try)
		l.last = max(l.last, try.CallIndex, try.NonceIndex)
		if err == nil {
			return try, nil
		}
		f := l.unanswered(ctx, try, err)
		if f.problem != "badNonce" || retry == maxRetries || try.Response == nil {
			return try, f
		}
		// "On receiving such a response, a client SHOULD retry the request
		// using the new nonce" (RFC 8555 §6.5): the rejection brings one, and
		// the client has just thrown it away.
		l.nonces.keep(try.Response.Header)
		ex.Attempt++
		ex.RetryCause = causeBadNonce
	}
}

// post sends a signed payload to any URL; a nil payload is a POST-as-GET (RFC
// 8555 §6.3). The body of the answer is the caller's to read: the client takes
// it for a challenge, which it need not be, and its opinion is dropped.
func (l *line) post(ctx context.Context, ex acmehttp.Exchange, url string, payload json.RawMessage) (*acmehttp.Exchange, error) {
	return l.exchange(ctx, ex, func(ctx context.Context, ex *acmehttp.Exchange) error {
		var err error
		if payload == nil {
			_, err = l.client.GetChallenge(ctx, url)
		} else {
			_, err = l.client.Accept(ctx, &acme.Challenge{URI: url, Payload: payload})
		}
		if ex.Response != nil && ex.Response.Status == http.StatusOK {
			return nil
		}
		return err
	})
}

// retryAfter returns what the answer of ex asked for; 0: nothing that is
// readable and in the future.
func (l *line) retryAfter(ex *acmehttp.Exchange) time.Duration {
	call, ok := l.http.Call(ex.CallIndex)
	if !ok || call.RetryAfter == nil {
		return 0
	}
	return *call.RetryAfter
}
