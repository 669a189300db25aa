// Package prober holds the probers: one file for each kind of probe. A prober
// does one run and returns what it saw; it touches no metric, no page and no
// file, and judges nothing.
package prober

import (
	"context"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/ct"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Request is everything that one run gets.
type Request struct {
	ID    string    // probe.Result.ID
	Start time.Time // every offset counts from here
	Pair  config.Pair
	// FollowUp is what to do instead of the module's own probe; nil: the probe.
	FollowUp *probe.FollowUp
	// HTTP records every exchange of this run.
	HTTP      *acmehttp.Session
	Accounts  Accounts  // used by probers that sign
	Solver    Solver    // used by probers that solve
	FollowUps FollowUps // used by probers that leave something to be undone
	// Responders are the configuration's, for who has the records of a name.
	Responders config.Responders
	Records    Records // used where a record is elsewhere; nil: nowhere
	Budget     Budget  // of what the CA limits; nil: it limits nothing
	Issued     Issued  // what the target has issued; nil: nobody remembers
	// Revocations say when a certificate's turn is to be revoked; nil: none's ever is.
	Revocations Revocations
	Lists       Lists // what revocation lists there were before; nil: nobody remembers
	// Lookup asks the world for what validators have to find, after they have not;
	// nil: nobody is asked.
	Lookup func(ctx context.Context, c probe.Challenge) []probe.Lookup
	// Progress, if not nil, is told of each step as it begins. It must not block.
	Progress func(probe.StepName)
	// Logs are what the SCTs in a certificate are verified with; nil: nobody looks at them.
	Logs *ct.Logs
}

// probers are the code behind each kind of probe.
var probers = map[probe.Prober]prober{
	probe.ProberDirectory: probeDirectory,
	probe.ProberNonce:     probeNonce,
	probe.ProberAccount:   probeAccount,
	probe.ProberOrder:     probeOrder,
	probe.ProberValidate:  probeValidate,
	probe.ProberIssue:     probeIssue,
	probe.ProberCRL:       probeCRL,
	probe.ProberOCSP:      probeOCSP,
	probe.ProberAIA:       probeAIA,
	probe.ProberSite:      probeSite,

	probe.ProberRenewalInfo: probeRenewalInfo,
	probe.ProberStatusPage:  probeStatusPage,
}

// followUps are the code behind each kind of follow-up.
var followUps = map[probe.FollowUpKind]prober{
	probe.FollowUpDeactivateAuthz: followDeactivateAuthz,
	probe.FollowUpWithdrawRecords: followWithdrawRecords,
	probe.FollowUpRevoke:          followRevoke,
	probe.FollowUpWatchRevocation: followWatchRevocation,
}

// A prober does one run. Every error it returns is a *failure.
type prober func(ctx context.Context, r *run) error

// Run does one run: the module's probe, or the follow-up if there is one. It
// returns when the run is over or, with a failure that says so, soon after ctx
// is. What was published for the CA's validators is withdrawn by then. A panic
// becomes a failure of the kind local. The session stays open.
func Run(ctx context.Context, req Request) probe.Facts {
	do, ok := probers[req.Pair.Module.Prober]
	if req.FollowUp != nil {
		do, ok = followUps[req.FollowUp.Kind]
	}
	r := newRun(req)
	if ok {
		r.run(ctx, do)
	} else {
		r.fail(fail(probe.FailureLocal, "", "no code for this kind of probe"))
	}
	r.facts.Calls = req.HTTP.Calls()
	r.facts.API = req.HTTP.APICertificate()
	return r.facts
}

// Solver publishes answers to challenges.
type Solver interface {
	// Present publishes the answer until withdraw is called, which returns the
	// validators' visits. withdraw must be called; a second call returns the
	// same and does nothing else.
	Present(ctx context.Context, c probe.Challenge) (withdraw func() []probe.Visit, err error)
}

// FollowUps keeps what must be undone or watched after a run.
type FollowUps interface {
	// Add stores f durably; when it returns nil the side effect may happen.
	Add(f probe.FollowUp) error
	// Drop forgets it: nothing is left to be done.
	Drop(id string) error
	// Note stores, durably, what else is known of the revocation that the follow-up which
	// the run does is about.
	Note(v probe.Revocation) error
}

// Budget keeps the run within the CA's rate limits. It belongs to the run, and is
// used by one goroutine at a time.
type Budget interface {
	// Reserve takes, durably, all that the run may spend, before the first request
	// that spends. Names are those to be ordered; nil, where the module takes its
	// names from a pool: the pool's, whose turn it is. They are returned. What denies
	// is not nil if there is too little; nothing has been taken then, and nothing
	// must be spent. So it is after an error.
	Reserve(what probe.Spending, names []string) (ordered []string, denied *probe.RateLimit, err error)
	// Refused is told of an answer that says that we come too often, and says what
	// to make of it.
	Refused(call *probe.Call) *probe.RateLimit
	// Settle ends what was reserved. It is called once, at the run's end.
	Settle(spent probe.Spent) error
}
