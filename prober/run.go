package prober

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// run is one run in progress. It belongs to one goroutine, its owner, who alone
// begins steps and records facts. Work on several authorizations at a time goes
// through [line.parallel] and returns values.
type run struct {
	Request
	line  // the owner's
	facts probe.Facts

	// directory is what was last read, with the URLs that facts leave out.
	directory directory
	// account is what useAccount has found.
	account Account
	// pooled says that the directory's answer brought a nonce, which the client keeps.
	pooled   bool
	spending spending
	// located says that the directory was read to learn where it lives.
	located bool
}

// newRun returns a run that has not begun.
func newRun(req Request) *run {
	r := &run{Request: req, line: line{http: req.HTTP, current: probe.StepSetup, last: -1}}
	r.facts.Steps = make([]probe.Step, 0, len(probe.Steps()))
	r.nonces = &nonces{next: req.HTTP}
	// A copy of the session's client, with the nonces at hand put before it.
	client := *req.HTTP.Client()
	client.Transport = r.nonces
	r.client = &acme.Client{
		HTTPClient:   &client,
		DirectoryURL: req.Pair.Target.DirectoryURL,
		// The client would retry by itself until ctx ends; every retry is ours.
		RetryBackoff: func(int, *http.Request, *http.Response) time.Duration { return -1 },
	}
	return r
}

// run does the run and keeps its failure.
func (r *run) run(ctx context.Context, do prober) {
	defer r.closeBudget()
	defer func() {
		if v := recover(); v != nil {
			// The value may quote what must not be shown: its type has to do.
			r.fail(fail(probe.FailureLocal, "", fmt.Sprintf("internal error: panic with a value of type %T at %s", v, panicSite())))
		}
	}()
	if err := do(ctx, r); err != nil {
		r.fail(err)
		r.explain()
	}
}

// panicSite names the function and line that panicked: all that a report needs
// and nothing that a CA could have put there.
func panicSite() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	panicked := false
	for {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			panicked = true
		case panicked && !strings.HasPrefix(frame.Function, "runtime."):
			return fmt.Sprintf("%s, line %d", frame.Function, frame.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}

// fail keeps err as what ended the run.
func (r *run) fail(err error) {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		f = fail(probe.FailureLocal, "", fmt.Sprintf("internal error: unexpected error of type %T", err))
	}
	if f.Step == "" {
		f.Step = r.current
	}
	r.facts.Failure, r.facts.RateLimit = &f.Failure, f.limit
}

// step does a part of the run and records it, failed or not. The identifier is
// the name that it is about; empty: the run as a whole.
func (r *run) step(name probe.StepName, identifier string, do func() error) (err error) {
	if r.Progress != nil {
		r.Progress(name)
	}
	r.current = name
	start, paused, ok := time.Since(r.Start), r.http.Paused(), false
	defer func() {
		paced := r.http.Paused() - paused
		r.facts.Steps = append(r.facts.Steps, probe.Step{
			Name:       name,
			Identifier: identifier,
			Start:      start,
			Duration:   max(0, time.Since(r.Start)-start-paced),
			Paced:      paced,
			OK:         ok,
		})
	}()
	err = do()
	ok = err == nil
	if f, is := errors.AsType[*failure](err); is && f.Step == "" {
		f.Step = name
	}
	return err
}

// connect does what every run begins with: the directory, and the first nonce.
func (r *run) connect(ctx context.Context, required []string) error {
	if err := r.readDirectory(ctx, required); err != nil {
		return err
	}
	if r.pooled {
		return nil // the directory's answer brought one
	}
	return r.fetchNonce(ctx)
}

// begin does what every run that signs begins with: the directory, the first
// nonce, and the account.
func (r *run) begin(ctx context.Context) error {
	if err := r.connect(ctx, signingFields); err != nil {
		return err
	}
	return r.useAccount(ctx)
}
