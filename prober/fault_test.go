package prober_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
	"github.com/acme-exporter/acme_exporter/prober"
)

// fault is a CA that misbehaves, and what a run on it has to come to.
type fault struct {
	prober probe.Prober // default issue
	ca     fakeca.Options
	arm    func(*fakeca.CA) // after nothing, before the run
	play   *fakeca.Fault    // for every call on
	on     probe.CallName
	edit   func(*testing.T, *prober.Request) // of what the run gets
	url    func(*testing.T) string           // another directory than the CA's
	hangs  bool                              // the run is to end by its time-out

	// The verdict. An empty reason is a success.
	stage  probe.StepName
	reason probe.Reason
	fault  probe.Fault // empty with a reason: skipped
	calls  map[probe.CallName]int
}

func (f *fault) outcome() probe.Outcome {
	switch {
	case f.reason == "":
		return probe.OutcomeSuccess
	case f.fault == "":
		return probe.OutcomeSkipped
	}
	return probe.OutcomeFailure
}

// The time that a run gets: little where it is to be used up.
const (
	shortTime = time.Second
	longTime  = 20 * time.Second
	// overtime is by how much a run may exceed it.
	overtime = time.Second
)

// check plays a table of faults, each on a CA of its own.
func check(t *testing.T, table map[string]fault) {
	t.Helper()
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for name, f := range table {
		if f.hangs { // all at once: they only wait
			waiting.Go(func() { t.Run(name, f.check) })
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.check(t)
		})
	}
}

func (f *fault) check(t *testing.T) {
	ca := fakeca.New(t, f.ca)
	if f.arm != nil {
		f.arm(ca)
	}
	if f.play != nil {
		ca.Fault(f.on, *f.play, 0)
	}
	url := ca.URL()
	if f.url != nil {
		url = f.url(t)
	}
	if f.prober == "" {
		f.prober = probe.ProberIssue
	}
	timeout := longTime
	if f.hangs {
		timeout = shortTime
	}
	req := request(t, ca, url, f.prober)
	if f.edit != nil {
		f.edit(t, &req)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	start := time.Now()
	facts := prober.Run(ctx, req)
	took := time.Since(start)
	req.HTTP.Close()

	v := verdict.Judge(&facts, verdict.Context{Prober: f.prober})
	if v.Outcome != f.outcome() || v.Reason != f.reason || v.Fault != f.fault || v.Stage != f.stage {
		t.Errorf("got %s: stage %q, reason %q, fault %q\nwant %s: stage %q, reason %q, fault %q\n%s\n%+v",
			v.Outcome, v.Stage, v.Reason, v.Fault, f.outcome(), f.stage, f.reason, f.fault, v.Summary, facts.Failure)
	}
	if took > timeout+overtime {
		t.Errorf("the run took %v with %v of time", took, timeout)
	}
	if f.hangs && took < timeout/2 {
		t.Errorf("the run took only %v of %v: the fault did not make it wait", took, timeout)
	}
	for call, want := range f.calls {
		got := 0
		for _, c := range facts.Calls {
			if c.Name == call {
				got++
			}
		}
		if got != want {
			t.Errorf("%d calls of %s, want %d", got, call, want)
		}
	}
	sound(t, ca, facts, v)
}

// sound checks what holds for every run.
func sound(t *testing.T, ca *fakeca.CA, facts probe.Facts, v probe.Verdict) {
	t.Helper()
	for _, c := range facts.Calls {
		if c.Name == probe.CallUnknown {
			t.Errorf("call without a name: %s %s", c.Method, c.URL)
		}
		if c.Status == 0 && c.Error == nil {
			t.Errorf("%s has neither a status nor an error", c.Name)
		}
	}
	for i, s := range facts.Steps {
		failed := facts.Failure != nil && i == len(facts.Steps)-1
		if !s.OK && !failed {
			t.Errorf("step %s failed, and the run went on", s.Name)
		}
	}
	text, err := json.Marshal(struct {
		probe.Facts
		probe.Verdict
	}{facts, v})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range ca.Secrets() {
		if strings.Contains(string(text), secret) {
			t.Errorf("a nonce or a token is in %s", text)
		}
	}
}

func request(t *testing.T, ca *fakeca.CA, url string, p probe.Prober) prober.Request {
	t.Helper()
	transport, err := acmehttp.NewTransport(acmehttp.Options{DirectoryURL: url, UserAgent: "test", TLSConfig: ca.TLSConfig()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.Close)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	names := config.Names{Zone: "probe.example", Count: 1, Mode: "random"}
	start := time.Now()
	return prober.Request{
		ID:    probe.NewID(start),
		Start: start,
		Pair: config.Pair{
			Pair:   probe.Pair{Target: "fake", Module: string(p)},
			Target: &config.Target{DirectoryURL: url, Account: config.Account{AgreeToTerms: true}},
			Module: &config.Module{
				Prober:   p,
				Order:    &config.Order{Names: names},
				Validate: &config.Validate{Challenge: probe.HTTP01, Names: names},
				Issue:    &config.Issue{Challenge: probe.HTTP01, Names: names, Authorization: config.AuthorizationFresh, KeyType: "ecdsa-p256"},
			},
		},
		HTTP:      transport.Session(start),
		Accounts:  account{key},
		Solver:    solver{},
		FollowUps: followUps{},
	}
}

// account is created in each run.
type account struct{ key crypto.Signer }

func (account) Read() (prober.Account, error) { return prober.Account{}, nil }

func (a account) Change(ctx context.Context, change func(context.Context, prober.Account, prober.AccountWriter) error) error {
	return change(ctx, prober.Account{Key: a.key, Made: true}, a)
}

func (account) Save(prober.AccountRecord) error { return nil }

func (account) StageKey() (crypto.Signer, error) { return nil, errors.ErrUnsupported }

func (account) SettleKey(bool) error { return errors.ErrUnsupported }

// solver publishes nothing, or fails.
type solver struct{ err error }

func (s solver) Present(context.Context, probe.Challenge) (func() []probe.Visit, error) {
	if s.err != nil {
		return nil, s.err
	}
	return func() []probe.Visit { return nil }, nil
}

// followUps keeps nothing, or fails.
type followUps struct{ err error }

func (f followUps) Add(probe.FollowUp) error { return f.err }
func (f followUps) Drop(string) error        { return f.err }

func (f followUps) Note(probe.Revocation) error { return f.err }

var errTest = errors.New("disk full")

func problem(kind string, status int) *fakeca.Fault {
	return &fakeca.Fault{Problem: &fakeca.Problem{Type: kind, Status: status, Detail: "in words"}}
}

func invalid(kind string, status int) *fakeca.Fault {
	return &fakeca.Fault{Invalid: &fakeca.Problem{Type: kind, Status: status, Detail: "in words"}}
}

func edit(e func(map[string]any)) *fakeca.Fault { return &fakeca.Fault{Edit: e} }

// after arms f for every call but the first n.
func after(n int, call probe.CallName, f fakeca.Fault) func(*fakeca.CA) {
	return func(ca *fakeca.CA) {
		ca.Fault(call, fakeca.Fault{}, n)
		ca.Fault(call, f, 0)
	}
}

func once(call probe.CallName, f fakeca.Fault) func(*fakeca.CA) {
	return func(ca *fakeca.CA) { ca.Fault(call, f, 1) }
}

func retryAfter(value string) http.Header { return http.Header{"Retry-After": {value}} }
