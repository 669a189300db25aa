package acmehttp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxMessage is the length of an error's text that is kept.
const maxMessage = 500

// exchangeError is a *probe.CallError together with the error that it was made
// from.
type exchangeError struct {
	call  *probe.CallError
	cause error // nil: it is one of ours
}

// Error returns the text of the CallError, which is scrubbed.
func (e *exchangeError) Error() string { return e.call.Error() }

// Unwrap returns both errors.
func (e *exchangeError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.call}
	}
	return []error{e.call, e.cause}
}

// refuse returns the error of a request that is not sent.
func refuse(cause probe.Cause, message string) error {
	return &exchangeError{call: &probe.CallError{Phase: probe.PhaseRequest, Cause: cause, Message: message}}
}

// callError returns the CallError in err; nil: there is none.
func callError(err error) *probe.CallError {
	if e, ok := errors.AsType[*exchangeError](err); ok {
		return e.call
	}
	return nil
}

// classify says at which phase and for which cause an exchange failed with err,
// given the last phase that it had reached.
func classify(ctx context.Context, err error, reached probe.Phase) error {
	if callError(err) != nil {
		return err
	}
	phase, cause := phaseCause(ctx, err, reached)
	return &exchangeError{
		call:  &probe.CallError{Phase: phase, Cause: cause, Message: Scrub(err.Error(), maxMessage)},
		cause: err,
	}
}

func phaseCause(ctx context.Context, err error, reached probe.Phase) (probe.Phase, probe.Cause) {
	if _, ok := errors.AsType[*addressError](err); ok {
		return probe.PhaseRequest, probe.CauseAddress
	}
	if errors.Is(err, errTooLarge) {
		return reached, probe.CauseTooLarge
	}
	if cause := definite(err); cause != "" {
		return definitePhase(err, reached), cause
	}
	// Whatever else went wrong when the time was over went wrong because of that.
	// The error may be the context's own cause, or whatever the end of it broke.
	switch ctx.Err() {
	case context.DeadlineExceeded:
		return reached, probe.CauseTimeout
	case context.Canceled:
		return reached, probe.CauseCanceled
	}
	return definitePhase(err, reached), indefinite(err)
}

// definite returns the cause of an error that says itself what happened;
// empty: err may be a consequence.
func definite(err error) probe.Cause {
	if d, ok := errors.AsType[*net.DNSError](err); ok && d.IsNotFound {
		return probe.CauseNotFound
	}
	if a, ok := errors.AsType[*net.AddrError](err); ok && a.Err == "no suitable address found" {
		return probe.CauseNotFound
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return probe.CauseRefused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return probe.CauseUnreachable
	}
	if c, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		if i, ok := errors.AsType[x509.CertificateInvalidError](c.Err); ok && i.Reason == x509.Expired {
			return probe.CauseExpired
		}
		return probe.CauseCertificate
	}
	return ""
}

// definitePhase returns the phase that err itself tells of, else the one that
// was reached.
func definitePhase(err error, reached probe.Phase) probe.Phase {
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return probe.PhaseDNS
	}
	if _, ok := errors.AsType[*net.AddrError](err); ok {
		return probe.PhaseDNS // no address of the family that is wanted
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return probe.PhaseTLS
	}
	return reached
}

// indefinite returns the cause of an error that no end of a context explains.
func indefinite(err error) probe.Cause {
	text := err.Error()
	if strings.Contains(text, "server response headers exceeded") || strings.Contains(text, "response header list larger") {
		return probe.CauseTooLarge // net/http exports neither
	}
	if n, ok := errors.AsType[net.Error](err); ok && n.Timeout() {
		return probe.CauseTimeout
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return probe.CauseTimeout
	case errors.Is(err, context.Canceled):
		return probe.CauseCanceled
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return probe.CauseClosed
	}
	// net/http's HTTP/2 does not export its errors.
	for _, closed := range []string{
		"http2: server sent GOAWAY", "http2: client conn", "stream error: ",
		"server closed idle connection", "tls: user canceled",
	} {
		if strings.Contains(text, closed) {
			return probe.CauseClosed
		}
	}
	if o, ok := errors.AsType[*net.OpError](err); ok && o.Op == "remote error" && strings.Contains(text, "close notify") {
		return probe.CauseClosed
	}
	return probe.CauseOther
}
