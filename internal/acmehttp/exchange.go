package acmehttp

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Exchange is what the sequencer says about the requests it makes under a
// context, and what it gets back. It belongs to the goroutine that makes the
// requests; several goroutines need one each.
type Exchange struct {
	Step       probe.StepName
	Call       probe.CallName // overrides the name learnt from the URL; empty: do not
	Attempt    int
	RetryCause string
	// Chosen says that the URL is the configuration's own, so that it may lead
	// anywhere but to a metadata service. A CA's word is not enough for that.
	Chosen bool
	// AnyCertificate says that the server's certificate is not to be verified: it is
	// what is to be looked at. Response.TLS has it.
	AnyCertificate bool
	// Read, if not nil, reads the body of an answer with status 200, as it comes, and
	// Response.Body is empty then. It may stop before the end. Limit is how many bytes
	// there may be, after decompression; 0: as many as of any other answer.
	Read  func(body io.Reader)
	Limit int64
	// Response is the last answer that was read whole under this context, nonces
	// fetched on the way excepted; nil: none.
	Response *Response
	// CallIndex is the index in Session.Calls of the last call that is not a
	// nonce fetched on the way, -1 before any. (NewExchange sets it.)
	CallIndex int
	// NonceIndex is the index of the last nonce fetched on the way, -1 before any.
	NonceIndex int
}

// NewExchange returns an Exchange of step, in which no call has been made yet.
// An empty call leaves the naming to the URLs.
func NewExchange(step probe.StepName, call probe.CallName) *Exchange {
	return &Exchange{Step: step, Call: call, CallIndex: -1, NonceIndex: -1}
}

// Response is an answer as it was read. Nothing in it may be changed.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	TLS    *tls.ConnectionState // nil: the URL's scheme is http
}

type exchangeKey struct{}

// WithExchange returns a context under which requests belong to e.
func WithExchange(ctx context.Context, e *Exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, e)
}

// exchangeOf returns the Exchange that a request under ctx belongs to; nil:
// none.
func exchangeOf(ctx context.Context) *Exchange {
	e, _ := ctx.Value(exchangeKey{}).(*Exchange)
	return e
}

// identify names the request method to u, and reports whether it is one that
// the client makes on the way to another: it fetches a nonce that e did not
// ask for.
func (e *Exchange) identify(names *registry, method, key string) (name probe.CallName, onTheWay bool) {
	learnt := names.lookup(key)
	switch {
	case method == http.MethodHead && learnt != probe.CallUnknown,
		method == http.MethodGet && learnt == probe.CallNewNonce:
		// RFC 8555 §7.2: nothing else is asked for by HEAD.
		wanted := e == nil || e.Call == probe.CallNewNonce || e.Call == "" && e.Step == probe.StepNonce
		return probe.CallNewNonce, !wanted
	case method == http.MethodGet && learnt == probe.CallDirectory:
		// The client may discover under the context of a later call.
		return learnt, false
	case e != nil && e.Call != "":
		return e.Call, false
	}
	return learnt, false
}
