package prober

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// events is what happened in a run, in order.
type events struct {
	mu  sync.Mutex // guards all
	all []string
}

func (e *events) add(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, fmt.Sprintf(format, args...))
}

func (e *events) list() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// bench is a CA and what a run on it needs.
type bench struct {
	*events
	t       *testing.T
	ca      *fakeca.CA
	target  *config.Target
	account *accounts
	seen    int // requests that calls has told of
	// presentErr and addErr are what the solver and the follow-ups fail with.
	presentErr, addErr error
	noted              []probe.Revocation
}

func newBench(t *testing.T, o fakeca.Options) *bench {
	t.Helper()
	b := &bench{events: &events{}, t: t}
	validate := o.Validate
	o.Validate = func(ctx context.Context, c probe.Challenge) error {
		b.add("validate")
		if validate == nil {
			return nil
		}
		return validate(ctx, c)
	}
	b.ca = fakeca.New(t, o)
	b.account = &accounts{}
	b.target = &config.Target{DirectoryURL: b.ca.URL(), Account: config.Account{AgreeToTerms: true}}
	return b
}

// known makes the account known, so that a run does not create it.
func (b *bench) known() *bench {
	b.t.Helper()
	if facts := b.run(probe.ProberAccount); facts.Failure != nil {
		b.t.Fatalf("account: %+v", facts.Failure)
	}
	return b
}

// request returns what a run of the prober gets; edit, if not nil, changes it.
func (b *bench) request(p probe.Prober) Request {
	b.t.Helper()
	transport, err := acmehttp.NewTransport(acmehttp.Options{DirectoryURL: b.target.DirectoryURL, TLSConfig: b.ca.TLSConfig()})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(transport.Close)
	names := config.Names{Zone: "probe.example", Count: 1, Mode: "random"}
	start := time.Now()
	session := transport.Session(start)
	b.t.Cleanup(session.Close)
	return Request{
		ID:    probe.NewID(start),
		Start: start,
		Pair: config.Pair{
			Pair:   probe.Pair{Target: "fake", Module: string(p)},
			Target: b.target,
			Module: &config.Module{
				Prober:   p,
				Order:    &config.Order{Names: names},
				Validate: &config.Validate{Challenge: probe.HTTP01, Names: names},
				Issue: &config.Issue{
					Challenge: probe.HTTP01, Names: names,
					Authorization: config.AuthorizationFresh, KeyType: "ecdsa-p256",
				},
			},
		},
		HTTP:      session,
		Accounts:  b.account,
		Solver:    b,
		FollowUps: b,
	}
}

// run does a run of the prober with 5 s of time.
func (b *bench) run(p probe.Prober) probe.Facts {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Second)
	defer cancel()
	return Run(ctx, b.request(p))
}

// Present implements Solver.
func (b *bench) Present(_ context.Context, c probe.Challenge) (func() []probe.Visit, error) {
	if b.presentErr != nil {
		return nil, b.presentErr
	}
	b.add("present %s", c.Type)
	return func() []probe.Visit {
		b.add("withdraw")
		return []probe.Visit{{Challenge: c.Type, OK: true}}
	}, nil
}

// Add implements FollowUps.
func (b *bench) Add(f probe.FollowUp) error {
	if b.addErr != nil {
		return b.addErr
	}
	b.add("add %s", f.Kind)
	return nil
}

// Drop implements FollowUps.
func (b *bench) Drop(string) error {
	b.add("drop")
	return nil
}

// Note implements FollowUps.
func (b *bench) Note(v probe.Revocation) error {
	if b.addErr != nil {
		return b.addErr
	}
	b.noted = append(b.noted, v)
	return nil
}

// names returns the names of the calls, in order.
func names(calls []probe.Call) []probe.CallName {
	list := make([]probe.CallName, len(calls))
	for i, c := range calls {
		list[i] = c.Name
	}
	return list
}

// steps returns the names of the steps, those that failed with a "!".
func steps(facts probe.Facts) []string {
	var list []string
	for _, s := range facts.Steps {
		name := string(s.Name)
		if !s.OK {
			name += "!"
		}
		list = append(list, name)
	}
	return list
}

func wantSuccess(t *testing.T, facts probe.Facts) {
	t.Helper()
	if facts.Failure != nil {
		t.Fatalf("failure %+v, steps %v, calls %v", *facts.Failure, steps(facts), names(facts.Calls))
	}
}

// wantFailure holds the failure's step, kind and object, and a part of its detail.
func wantFailure(t *testing.T, facts probe.Facts, step probe.StepName, kind probe.FailureKind, object, detail string) *probe.Failure {
	t.Helper()
	f := facts.Failure
	if f == nil {
		t.Fatalf("no failure, want %s in %s", kind, step)
	}
	if f.Step != step || f.Kind != kind || f.Object != object || !strings.Contains(f.Detail, detail) {
		t.Errorf("failure %+v, want step %q, kind %q, object %q, detail with %q", *f, step, kind, object, detail)
	}
	if f.Call >= len(facts.Calls) {
		t.Errorf("failure of call %d of %d", f.Call, len(facts.Calls))
	}
	return f
}

// cutInFlight reports whether the end of the run's time met a poll in flight,
// which then is the failure, and not the waiting. Which of the two it is, only
// the machine's load decides.
func cutInFlight(facts probe.Facts) bool {
	f := facts.Failure
	if f == nil || f.Kind != probe.FailureCall || f.Call < 0 {
		return false
	}
	cut := facts.Calls[f.Call].Error
	return cut != nil && cut.Cause == probe.CauseTimeout
}

func wantList[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func TestNineCalls(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options fakeca.Options
		want    []probe.CallName
	}{
		{"asynchronous", fakeca.Options{AsyncFinalize: true, RetryAfter: "0"}, []probe.CallName{
			"directory", "new-nonce", "new-order", "authz", "challenge", "authz", "finalize", "order", "certificate",
		}},
		{"synchronous", fakeca.Options{SyncValidation: true}, []probe.CallName{
			"directory", "new-nonce", "new-order", "authz", "challenge", "authz", "finalize", "certificate",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.options).known()
			facts := b.run(probe.ProberIssue)
			wantSuccess(t, facts)
			wantList(t, "calls", names(facts.Calls), tt.want)
			wantList(t, "steps", steps(facts), []string{
				"setup", "directory", "nonce", "order", "authorization", "setup", "validation", "finalization", "download", "certificate",
			})
			for _, c := range facts.Calls {
				if c.Step == "" || c.Attempt != 0 {
					t.Errorf("call %s: step %q, attempt %d", c.Name, c.Step, c.Attempt)
				}
			}
			for _, c := range facts.Certificate.Checks {
				if !c.Passed {
					t.Errorf("check %s: %s", c.Check, c.Detail)
				}
			}
			if len(facts.Certificate.Checks) != len(issuing(b.target).Checks()) || facts.Certificate.Chain != 2 {
				t.Errorf("certificate %+v", facts.Certificate)
			}
			if facts.API == nil || len(facts.Visits) != 1 || len(facts.FollowUps) != 1 {
				t.Errorf("api %v, visits %v, follow-ups %v", facts.API, facts.Visits, facts.FollowUps)
			}
		})
	}
}

// A run that is cut says so wherever it is, withdraws what it published, and
// leaves the follow-up.
func TestCanceled(t *testing.T) {
	for _, tt := range []struct {
		name   string
		call   probe.CallName
		fault  fakeca.Fault
		step   probe.StepName
		events []string
		left   int
	}{
		{"in a call", probe.CallNewOrder, fakeca.Fault{Hang: true}, probe.StepOrder, nil, 0},
		{"between calls", probe.CallChallenge, fakeca.Fault{Stuck: true}, probe.StepValidation, []string{"add deactivate_authz", "present http-01", "withdraw"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, fakeca.Options{}).known()
			b.ca.Fault(tt.call, tt.fault, 0)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req := b.request(probe.ProberIssue)
			req.Progress = func(s probe.StepName) {
				if s == tt.step {
					time.AfterFunc(100*time.Millisecond, cancel)
				}
			}
			facts := Run(ctx, req)
			wantFailure(t, facts, tt.step, probe.FailureCanceled, facts.Failure.Object, "")
			wantList(t, "events", b.list(), tt.events)
			if len(facts.FollowUps) != tt.left {
				t.Errorf("follow-ups %v", facts.FollowUps)
			}
		})
	}
}

// A call that outlives the run's time is the failure, with its cause.
func TestTimeoutInCall(t *testing.T) {
	b := newBench(t, fakeca.Options{}).known()
	b.ca.Fault(probe.CallNewOrder, fakeca.Fault{Hang: true}, 0)
	req := b.request(probe.ProberIssue)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	facts := Run(ctx, req)
	f := wantFailure(t, facts, probe.StepOrder, probe.FailureCall, "", "new-order: response: timeout")
	if e := facts.Calls[f.Call].Error; e == nil || e.Cause != probe.CauseTimeout {
		t.Errorf("call %+v", facts.Calls[f.Call])
	}
}

func TestNoTimeAtAll(t *testing.T) {
	b := newBench(t, fakeca.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	facts := Run(ctx, b.request(probe.ProberDirectory))
	wantFailure(t, facts, probe.StepDirectory, probe.FailureTimeout, "", "before the next request")
	if len(facts.Calls) != 0 {
		t.Errorf("calls %v", names(facts.Calls))
	}
}

func TestPanic(t *testing.T) {
	b := newBench(t, fakeca.Options{}).known()
	req := b.request(probe.ProberIssue)
	req.Progress = func(s probe.StepName) {
		if s == probe.StepValidation {
			panic(errors.New("token s3cret"))
		}
	}
	facts := Run(t.Context(), req)
	f := wantFailure(t, facts, probe.StepSetup, probe.FailureLocal, "", "internal error: panic with a value of type *errors.errorString at github.com/acme-exporter/acme_exporter/prober.")
	if strings.Contains(f.Detail, "s3cret") {
		t.Errorf("detail %q", f.Detail)
	}
	wantList(t, "events", b.list(), []string{"add deactivate_authz", "present http-01", "withdraw"})

	// One within a step leaves the step behind, unfinished.
	req = b.request(probe.ProberIssue)
	req.Solver = nil
	facts = Run(t.Context(), req)
	wantFailure(t, facts, probe.StepSetup, probe.FailureLocal, "", "internal error: panic with a value of type runtime.errorString")
	wantList(t, "steps", steps(facts), []string{"setup", "directory", "nonce", "order", "authorization", "setup!"})
}

func TestProgress(t *testing.T) {
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	req := b.request(probe.ProberIssue)
	var told []string
	req.Progress = func(s probe.StepName) { told = append(told, string(s)) }
	facts := Run(t.Context(), req)
	wantSuccess(t, facts)
	wantList(t, "progress", told, steps(facts))
	end := time.Duration(0)
	for _, s := range facts.Steps {
		if s.Start < end || s.Duration < 0 {
			t.Errorf("step %+v begins before the one before it ended, at %v", s, end)
		}
		end = s.Start + s.Duration
	}
}

func TestUnknownProber(t *testing.T) {
	b := newBench(t, fakeca.Options{})
	wantFailure(t, b.run("other"), probe.StepSetup, probe.FailureLocal, "", "no code")
	req := b.request(probe.ProberIssue)
	req.FollowUp = &probe.FollowUp{Kind: "other"}
	wantFailure(t, Run(t.Context(), req), probe.StepSetup, probe.FailureLocal, "", "no code")
}
