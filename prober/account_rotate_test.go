package prober

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestRotate(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{}).known()
	before, _ := b.account.Read()
	facts, report := b.operate(AccountRotate)
	wantSuccess(t, facts)
	after, _ := b.account.Read()
	if same(before.Key, after.Key) || after.Staged != nil || after.Record.Rotated.IsZero() || after.Record.AccountURL != before.Record.AccountURL {
		t.Errorf("kept %+v", after)
	}
	if report.Did != "the CA has taken the new key" || !same(report.Key, after.Key) {
		t.Errorf("report %+v", report)
	}
	wantKey(t, b, after)
	wantSuccess(t, b.run(probe.ProberAccount))
}

// wantKey holds that the CA has one account, with the key of a.
func wantKey(t *testing.T, b *bench, a Account) {
	t.Helper()
	thumbprint, err := acme.JWKThumbprint(a.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if got := b.ca.Accounts(); len(got) != 1 || got[0].Thumbprint != thumbprint {
		t.Errorf("the CA has %+v, we %s", got, thumbprint)
	}
}

// The process dies with the new key on disk: before it was sent, after it was
// sent and before the CA answered, after the answer. Whatever is done next works.
func TestRotateCrash(t *testing.T) {
	t.Parallel()
	crashes := map[string]func(*bench){
		"before it was sent": func(b *bench) {
			if _, err := b.account.StageKey(); err != nil {
				b.t.Fatal(err)
			}
		},
		"before it was heard": func(b *bench) {
			b.ca.Fault(probe.CallKeyChange, fakeca.Fault{HangUp: fakeca.BeforeHeaders}, 1)
			facts, _ := b.operate(AccountRotate)
			wantFailure(b.t, facts, probe.StepAccount, probe.FailureCall, "", "key-change: ")
			wantAdvice(b.t, facts, "both are kept")
		},
		"after it was heard": func(b *bench) {
			b.ca.Fault(probe.CallKeyChange, fakeca.Fault{HangUp: fakeca.AfterHeaders}, 1)
			facts, _ := b.operate(AccountRotate)
			wantFailure(b.t, facts, probe.StepAccount, probe.FailureCall, "", "key-change: ")
		},
		"after it was answered": func(b *bench) {
			b.account.brokenSettle = errors.New("killed")
			facts, _ := b.operate(AccountRotate)
			wantFailure(b.t, facts, probe.StepAccount, probe.FailureLocal, "", "killed")
			b.account.brokenSettle = nil
		},
	}
	taken := map[string]bool{"after it was heard": true, "after it was answered": true}
	for name, crash := range crashes {
		for _, next := range []string{"run", "late run", "rotate", "register", "deactivate", "show"} {
			t.Run(name+"/"+next, func(t *testing.T) {
				b := newBench(t, fakeca.Options{}).known()
				b.t = t
				crash(b)
				before, _ := b.account.Read()
				if before.Staged == nil {
					t.Fatal("no staged key is left")
				}
				switch next {
				case "run":
					wantSuccess(t, b.run(probe.ProberOrder))
					after, _ := b.account.Read()
					if (after.Staged == nil) != taken[name] {
						t.Errorf("staged key kept: %v", after.Staged != nil)
					}
				case "late run":
					b.age(rotationPatience)
					wantSuccess(t, b.run(probe.ProberOrder))
					after, _ := b.account.Read()
					if after.Staged != nil || same(after.Key, before.Staged) != taken[name] {
						t.Errorf("kept %+v", after)
					}
				case "show":
					facts, report := b.operate(AccountShow)
					wantSuccess(t, facts)
					if after, _ := b.account.Read(); report.Status != "valid" || after.Staged == nil {
						t.Errorf("status %q, staged %v", report.Status, after.Staged)
					}
					return
				default:
					facts, _ := b.operate(AccountOperation(next))
					wantSuccess(t, facts)
				}
				after, _ := b.account.Read()
				if next == "rotate" && (after.Staged != nil || !same(after.Key, before.Staged)) {
					t.Errorf("the rotation was not finished: %+v", after)
				}
				wantKey(t, b, after)
			})
		}
	}
}

func TestRotateRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{}).known()
	before, _ := b.account.Read()
	b.ca.Fault(probe.CallKeyChange, fakeca.Fault{Problem: &fakeca.Problem{Type: "badPublicKey"}}, 1)
	facts, _ := b.operate(AccountRotate)
	wantFailure(t, facts, probe.StepAccount, probe.FailureCall, "", "badPublicKey")
	if after, _ := b.account.Read(); after.Staged != nil || !same(after.Key, before.Key) {
		t.Errorf("kept %+v", after)
	}
	wantSuccess(t, b.run(probe.ProberAccount))

	b.ca.Fault(probe.CallKeyChange, fakeca.Fault{Problem: &fakeca.Problem{Type: "notImplemented", Status: 501}}, 1)
	facts, _ = b.operate(AccountRotate)
	wantFailure(t, facts, probe.StepAccount, probe.FailureUnsupported, "", "the CA does not replace keys")
	if after, _ := b.account.Read(); after.Staged != nil || !same(after.Key, before.Key) {
		t.Errorf("kept %+v", after)
	}

	b.ca.Fault(probe.CallDirectory, fakeca.Fault{Edit: fakeca.Without("keyChange")}, 1)
	facts, _ = b.operate(AccountRotate)
	wantFailure(t, facts, probe.StepDirectory, probe.FailureProtocol, objectDirectory, "lacks keyChange")

	b = newBench(t, fakeca.Options{})
	facts, _ = b.operate(AccountRotate)
	wantFailure(t, facts, probe.StepAccount, probe.FailureClient, "", "there is no account at this CA")
	wantAdvice(t, facts, "account register fake")
}

// A key that was sent before is kept when it is refused the second time: the first
// request may yet be carried out.
func TestRotateAgainRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{}).known()
	b.ca.Fault(probe.CallKeyChange, fakeca.Fault{HangUp: fakeca.BeforeHeaders}, 1)
	facts, _ := b.operate(AccountRotate)
	wantFailure(t, facts, probe.StepAccount, probe.FailureCall, "", "key-change: ")
	before, _ := b.account.Read()
	b.ca.Fault(probe.CallKeyChange, fakeca.Fault{Problem: &fakeca.Problem{Type: "malformed"}}, 1)
	facts, _ = b.operate(AccountRotate)
	wantFailure(t, facts, probe.StepAccount, probe.FailureCall, "", "malformed")
	wantAdvice(t, facts, "both are kept")
	if after, _ := b.account.Read(); before.Staged == nil || !same(after.Staged, before.Staged) {
		t.Error("the staged key is gone")
	}
}

// Neither key is known: nothing is thrown away.
func TestRotateForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{}).known()
	if _, err := b.account.StageKey(); err != nil {
		t.Fatal(err)
	}
	b.ca.ForgetAccounts()
	b.age(time.Hour)
	facts := b.run(probe.ProberAccount)
	wantFailure(t, facts, probe.StepAccount, probe.FailureCall, "", "neither of the account's keys")
	wantAdvice(t, facts, "account register fake")
	if after, _ := b.account.Read(); after.Staged == nil {
		t.Error("the staged key is gone")
	}
}

// A run that is under way while the key is replaced does not blame the CA.
func TestRotateDuringRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{}).known()
	req := b.request(probe.ProberIssue)
	var once sync.Once
	req.Progress = func(s probe.StepName) {
		if s == probe.StepFinalization {
			once.Do(func() {
				facts, _ := b.operate(AccountRotate)
				wantSuccess(t, facts)
			})
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	facts := Run(ctx, req)
	wantFailure(t, facts, probe.StepFinalization, probe.FailureLocal, "", "the account's key was replaced during the run")
	wantSuccess(t, b.run(probe.ProberIssue))
}

func TestDeactivate(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{}).known()
	facts, report := b.operate(AccountDeactivate)
	wantSuccess(t, facts)
	if got := b.ca.Accounts(); got[0].Status != "deactivated" || report.Record.Status != AccountDeactivated || report.Record.Deactivated.IsZero() {
		t.Errorf("the CA has %+v, we %+v", got, report.Record)
	}
	b.calls()
	for _, p := range []probe.Prober{probe.ProberAccount, probe.ProberIssue} {
		facts := b.run(p)
		wantFailure(t, facts, probe.StepAccount, probe.FailureClient, "", "the account was deactivated at ")
		wantAdvice(t, facts, "`acme_exporter account register fake --new-key` makes a new one")
	}
	facts, _ = b.operate(AccountRegister)
	wantFailure(t, facts, probe.StepAccount, probe.FailureClient, "", "the account was deactivated at ")
	facts, _ = b.operate(AccountRotate)
	wantFailure(t, facts, probe.StepAccount, probe.FailureClient, "", "the account was deactivated at ")
	facts, report = b.operate(AccountDeactivate)
	wantSuccess(t, facts)
	if !strings.HasPrefix(report.Did, "the account was deactivated at ") {
		t.Errorf("did %q", report.Did)
	}
	facts, report = b.operate(AccountShow)
	wantSuccess(t, facts)
	wantList(t, "calls", b.calls(), nil)
}

func TestDeactivateCrash(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault fakeca.Fault
		keep  bool // it can still be kept
	}{
		{"before it was heard", fakeca.Fault{HangUp: fakeca.BeforeHeaders}, true},
		{"after it was heard", fakeca.Fault{HangUp: fakeca.AfterHeaders}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, finish := range []bool{true, false} {
				b := newBench(t, fakeca.Options{}).known()
				b.ca.Fault(probe.CallAccount, tt.fault, 1)
				facts, _ := b.operate(AccountDeactivate)
				wantFailure(t, facts, probe.StepAccount, probe.FailureCall, "", "account: ")
				wantAdvice(t, facts, "`acme_exporter account deactivate fake --yes` again")
				facts = b.run(probe.ProberAccount)
				wantFailure(t, facts, probe.StepAccount, probe.FailureClient, "", "not known whether the CA has been told")
				wantAdvice(t, facts, "account register fake")
				op := AccountRegister
				if finish {
					op = AccountDeactivate
				}
				facts, _ = b.operate(op)
				if finish || tt.keep {
					wantSuccess(t, facts)
				} else {
					wantFailure(t, facts, probe.StepAccount, probe.FailureCall, "", "unauthorized")
					wantAdvice(t, facts, "--new-key")
				}
				if status := b.account.record(t).Status; finish != (status == AccountDeactivated) {
					t.Errorf("status %q", status)
				}
			}
		})
	}
	b := newBench(t, fakeca.Options{}).known()
	b.ca.Fault(probe.CallAccount, fakeca.Fault{Problem: &fakeca.Problem{Type: "unauthorized", Status: 403}}, 1)
	facts, _ := b.operate(AccountDeactivate)
	wantFailure(t, facts, probe.StepAccount, probe.FailureCall, "", "unauthorized")
	wantSuccess(t, b.run(probe.ProberAccount)) // a refusal changes nothing
}

func TestShow(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{})
	facts, report := b.operate(AccountShow)
	wantSuccess(t, facts)
	if report.Key != nil || report.Status != "" || len(b.ca.Calls()) != 0 {
		t.Errorf("%+v after %v", report, b.ca.Calls())
	}
	b.known()
	facts, report = b.operate(AccountShow)
	wantSuccess(t, facts)
	if report.Status != "valid" || report.Record.AccountURL != b.ca.Accounts()[0].URL {
		t.Errorf("%+v", report)
	}
	b.ca.Fault(probe.CallDirectory, fakeca.Fault{HTML: true, Status: 502}, 1)
	facts, report = b.operate(AccountShow)
	wantFailure(t, facts, probe.StepDirectory, probe.FailureCall, "", "HTTP 502")
	if report.Record.AccountURL == "" || report.Status != "" {
		t.Errorf("%+v", report)
	}
}

// Many runs and commands at a time: one account, one key at the CA and here.
func TestAccountConcurrency(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{})
	var work sync.WaitGroup
	for i := range 12 {
		req := b.request(probe.ProberAccount)
		work.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			switch i % 4 {
			case 0:
				facts, _ := OperateAccount(ctx, req, AccountRegister)
				if facts.Failure != nil {
					t.Errorf("register: %+v", facts.Failure)
				}
			case 1:
				facts, _ := OperateAccount(ctx, req, AccountRotate)
				if f := facts.Failure; f != nil && !strings.Contains(f.Detail, "there is no account") {
					t.Errorf("rotate: %+v", f)
				}
			default:
				facts := Run(ctx, req)
				if f := facts.Failure; f != nil && !strings.Contains(f.Detail, "was replaced during the run") {
					t.Errorf("run: %+v", f)
				}
			}
		})
	}
	work.Wait()
	after, _ := b.account.Read()
	wantKey(t, b, after)
	if after.Staged != nil {
		t.Error("a staged key is left")
	}
	wantSuccess(t, b.run(probe.ProberAccount))
}
