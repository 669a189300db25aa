package prober

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// The objects that a failure can be about.
const (
	objectDirectory     = "directory"
	objectURL           = "url" // that may not be requested
	objectOrder         = "order"
	objectAuthorization = "authorization"
	objectChallenge     = "challenge"
	objectCertificate   = "certificate"
)

// maxQuoted bounds what a detail quotes of somebody else's words, in bytes.
const maxQuoted = 200

// errStatus is of an answer whose status is not that of the call's success.
var errStatus = errors.New("not the call's status for a success")

// failure is what ends a run, on its way up.
type failure struct {
	probe.Failure
	// problem is the type of the failed exchange's problem document; empty: none.
	problem string
	// unheard says that the CA did not take the request: it was never sent, or
	// refused by a problem document.
	unheard bool
	// dead says that the authorization can never be valid again.
	dead bool
	// limit is what our own budget or pace denies the run by; nil: nothing.
	limit *probe.RateLimit
}

// Error returns "kind: detail".
func (f *failure) Error() string { return string(f.Kind) + ": " + f.Detail }

// of returns f as one that is about the name.
func (f *failure) of(name string) *failure {
	f.Identifier = name
	return f
}

// fail returns a failure without an exchange as its evidence.
func fail(kind probe.FailureKind, object, detail string) *failure {
	return &failure{Failure: probe.Failure{Kind: kind, Call: -1, Object: object, Detail: detail}}
}

// broken returns a failure of the CA's to follow RFC 8555, shown by the answer
// that the line has read last.
func (l *line) broken(object, format string, args ...any) *failure {
	f := fail(probe.FailureProtocol, object, fmt.Sprintf(format, args...))
	f.Call = l.lastCall()
	return f
}

// unusable returns the failure of a CA that hands out a URL, which is the object's
// what, that is not an absolute https one. One that leads elsewhere is refused; what
// leads nowhere breaks RFC 8555.
func (l *line) unusable(object, what, raw string) *failure {
	if u, err := url.Parse(raw); err == nil && u.Scheme != "" && u.Hostname() != "" {
		return l.broken(objectURL, "%s is not https, but %s", what, quoted(u.Scheme))
	}
	return l.broken(object, "%s is not an absolute https URL", what)
}

// lastCall returns the index of the call that the line has made last, or -1.
func (l *line) lastCall() int { return l.last }

// over returns the failure of a run whose ctx is over while nothing was in
// flight: timeout, or canceled where the exporter stops.
func (l *line) over(ctx context.Context, object, waitingFor string) *failure {
	kind := probe.FailureTimeout
	if errors.Is(ctx.Err(), context.Canceled) {
		kind = probe.FailureCanceled
	}
	f := fail(kind, object, waitingFor)
	f.Call = l.lastCall()
	return f
}

// unsent returns the failure of a run whose ctx is over before a request.
func (l *line) unsent(ctx context.Context) *failure {
	f := l.over(ctx, "", "the time was over before the next request")
	f.unheard = true
	return f
}

// unanswered explains why the exchange ex ended with err. The evidence is what
// the transport recorded: the client's error may be a bare ctx.Err(), and its
// status is overwritten by what the problem document claims.
func (l *line) unanswered(ctx context.Context, ex *acmehttp.Exchange, err error) *failure {
	if held, ok := errors.AsType[*probe.HeldError](err); ok {
		f := fail(probe.FailureBudget, "", held.Error())
		f.unheard = true
		f.limit = &probe.RateLimit{Limit: probe.LimitRequests, Until: held.Until}
		return f
	}
	if errors.Is(err, acmehttp.ErrPace) {
		f := fail(probe.FailureClient, "",
			"the requests of the target's probes are kept below half of what the CA publishes, which leaves this run too little time: give it a longer timeout, or fewer names")
		f.unheard = true
		return f
	}
	i := ex.CallIndex
	if i < 0 {
		// Perhaps it came no further than the nonce that it needed.
		i = ex.NonceIndex
	}
	call, ok := l.http.Call(i)
	if !ok || ex.CallIndex < 0 && (call.Name != probe.CallNewNonce || gaveNonce(&call)) {
		if ctx.Err() != nil {
			return l.unsent(ctx)
		}
		return fail(probe.FailureLocal, "", "cannot send a request: "+quoted(err.Error()))
	}
	f := fail(probe.FailureCall, "", "")
	f.Call = i
	f.unheard = ex.CallIndex < 0 || call.Ready == 0 ||
		call.Problem != nil && call.Status >= 400 && call.Status <= 499
	switch {
	case call.Error != nil:
		if errors.Is(ctx.Err(), context.Canceled) {
			f.Kind = probe.FailureCanceled
		}
		f.Detail = string(call.Name) + ": " + call.Error.Error()
	case call.Status < 200 || call.Status > 299:
		f.Detail = fmt.Sprintf("%s answered HTTP %d", call.Name, call.Status)
		if call.Problem != nil {
			f.problem = call.Problem.Type
			f.Detail += " " + call.Problem.Type
		}
	case call.Name == probe.CallNewNonce:
		f.Kind, f.Detail = probe.FailureProtocol, "new-nonce answered without a Replay-Nonce"
	default:
		f.Kind = probe.FailureProtocol
		f.Detail = fmt.Sprintf("the answer of %s cannot be read: %s", call.Name, quoted(err.Error()))
		if _, ok := errors.AsType[*acme.Error](err); ok || errors.Is(err, errStatus) {
			f.Kind = probe.FailureCall
			f.Detail = fmt.Sprintf("%s answered HTTP %d, which is not its status for a success", call.Name, call.Status)
		}
	}
	return f
}

// gaveNonce reports whether the call is an answer that brought a nonce.
func gaveNonce(c *probe.Call) bool {
	return c.Answered() && c.Nonce && c.Status >= 200 && c.Status <= 299
}

// quoted returns somebody else's words in a form that may be shown.
func quoted(s string) string {
	return acmehttp.Scrub(strings.TrimPrefix(s, "acme: "), maxQuoted)
}

// bounded returns s with at most maxQuoted bytes: a name or a URL that is kept
// as it is.
func bounded(s string) string {
	if len(s) > maxQuoted {
		s = s[:maxQuoted]
	}
	return strings.ToValidUTF8(s, "?")
}
