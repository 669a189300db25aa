package prober

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// operate does an account operation with 5 s of time.
func (b *bench) operate(op AccountOperation) (probe.Facts, AccountReport) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Second)
	defer cancel()
	return OperateAccount(ctx, b.request(probe.ProberAccount), op)
}

// calls returns the calls at the CA that are about accounts, since the last time.
func (b *bench) calls() []probe.CallName {
	var list []probe.CallName
	all := b.ca.Calls()
	for _, c := range all[b.seen:] {
		if c == probe.CallNewAccount || c == probe.CallAccount || c == probe.CallKeyChange {
			list = append(list, c)
		}
	}
	b.seen = len(all)
	return list
}

// age makes the last attempts so much older.
func (b *bench) age(by time.Duration) {
	b.account.edit(func(a *Account) {
		if a.Record.Creation != nil {
			a.Record.Creation.At = a.Record.Creation.At.Add(-by)
		}
		if a.Record.Update != nil {
			a.Record.Update.At = a.Record.Update.At.Add(-by)
		}
		a.StagedAt = a.StagedAt.Add(-by)
	})
}

func wantAdvice(t *testing.T, facts probe.Facts, want string) {
	t.Helper()
	if got := facts.Failure.Advice; !strings.Contains(got, want) {
		t.Errorf("advice %q, want %q", got, want)
	}
}

var binding = fakeca.Options{EAB: map[string][]byte{"kid-1": []byte("0123456789abcdef")}}

func bound(b *bench) *bench {
	b.target.Account.ExternalAccountBinding = &config.ExternalAccountBinding{KeyID: "kid-1", HMACKey: "MDEyMzQ1Njc4OWFiY2RlZg"}
	return b
}

// The attempt is on disk before the binding is used, and says nothing of its key.
func TestBindingIsStoredBeforeUse(t *testing.T) {
	b := bound(newBench(t, binding))
	facts := b.run(probe.ProberAccount)
	wantSuccess(t, facts)
	saved := b.account.saved
	kept, err := json.Marshal(map[string]any{"facts": facts, "saved": saved})
	if err != nil || bytes.Contains(kept, []byte("MDEyMzQ1Njc4")) || bytes.Contains(kept, []byte("0123456789abcdef")) {
		t.Errorf("the key of the binding is kept: %s, %v", kept, err)
	}
	if len(saved) != 2 || saved[0].Creation == nil || saved[0].Creation.Binding != "kid-1" || saved[0].AccountURL != "" {
		t.Fatalf("saved %+v", saved)
	}
	if r := saved[1]; r.Creation != nil || r.Binding != "kid-1" || r.AccountURL != b.ca.Accounts()[0].URL || time.Since(r.Created) > time.Minute {
		t.Errorf("in the end %+v", r)
	}
}

// The process dies after the CA has bound the external account and before that is
// stored, or before it was sent: the next one asks first, and uses the binding
// only where that was not done.
func TestBindingAfterCrash(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault fakeca.Fault
		want  []probe.CallName // of the next run
		used  int              // how often the binding was sent
	}{
		{"after it was sent", fakeca.Fault{HangUp: fakeca.AfterHeaders}, []probe.CallName{"new-account", "account"}, 1},
		{"before it was heard", fakeca.Fault{HangUp: fakeca.BeforeHeaders}, []probe.CallName{"new-account", "new-account", "account"}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := bound(newBench(t, binding))
			b.ca.Fault(probe.CallNewAccount, tt.fault, 1)
			if facts := b.run(probe.ProberAccount); facts.Failure == nil {
				t.Fatal("no failure")
			}
			if r := b.account.record(t); r.Creation == nil || r.Creation.Result != "" {
				t.Errorf("stored %+v", r)
			}
			b.calls()
			b.age(2 * time.Hour)
			wantSuccess(t, b.run(probe.ProberAccount))
			wantList(t, "calls", b.calls(), tt.want)
			if r := b.account.record(t); r.Creation != nil || r.AccountURL == "" || r.Binding != "kid-1" {
				t.Errorf("stored %+v", r)
			}
			used := 0
			for _, r := range b.ca.Requests() {
				if r.Call == probe.CallNewAccount && strings.Contains(string(r.Payload), "externalAccountBinding") {
					used++
				}
			}
			if used != tt.used {
				t.Errorf("the binding was sent %d times, want %d", used, tt.used)
			}
		})
	}
}

func TestAccountIsTriedOnceAnHour(t *testing.T) {
	refuse := fakeca.Fault{Problem: &fakeca.Problem{Type: "unsupportedContact"}}
	b := newBench(t, fakeca.Options{})
	b.target.Account.Contact = []string{"mailto:a@b.example"}
	b.ca.Fault(probe.CallNewAccount, refuse, 1)
	facts := b.run(probe.ProberAccount)
	wantFailure(t, facts, probe.StepAccount, probe.FailureCall, "", "unsupportedContact")
	wantAdvice(t, facts, "or with `acme_exporter account register fake`")
	wantList(t, "calls", b.calls(), []probe.CallName{"new-account"})

	for range 2 {
		next := b.account.record(t).Creation.At.Add(time.Hour).Format(time.RFC3339)
		facts = b.run(probe.ProberAccount)
		wantFailure(t, facts, probe.StepAccount, probe.FailureClient, "", "(unsupportedContact)")
		wantAdvice(t, facts, "the next try is at "+next)
		wantList(t, "calls", b.calls(), nil)
	}
	b.age(59 * time.Minute)
	wantFailure(t, b.run(probe.ProberAccount), probe.StepAccount, probe.FailureClient, "", "could not be created")

	// After the hour, and sooner for a person.
	b.age(time.Minute)
	b.ca.Fault(probe.CallNewAccount, fakeca.Fault{}, 1) // the look-up
	b.ca.Fault(probe.CallNewAccount, refuse, 1)
	wantFailure(t, b.run(probe.ProberAccount), probe.StepAccount, probe.FailureCall, "", "unsupportedContact")
	b.calls()
	facts, report := b.operate(AccountRegister)
	wantSuccess(t, facts)
	if report.Did != "the CA has made an account" || report.Record.AccountURL == "" {
		t.Errorf("%+v", report)
	}
	wantList(t, "calls", b.calls(), []probe.CallName{"new-account", "new-account"})
}

// What the CA did not answer is asked once, and not again within the hour.
func TestAccountOfUnknownOutcome(t *testing.T) {
	b := newBench(t, fakeca.Options{})
	b.ca.Fault(probe.CallNewAccount, fakeca.Fault{Status: 500}, 1)
	wantFailure(t, b.run(probe.ProberAccount), probe.StepAccount, probe.FailureCall, "", "HTTP 500")
	b.calls()
	wantFailure(t, b.run(probe.ProberAccount), probe.StepAccount, probe.FailureClient, "", "the CA knows of no account")
	wantList(t, "calls", b.calls(), []probe.CallName{"new-account"})
	wantFailure(t, b.run(probe.ProberAccount), probe.StepAccount, probe.FailureClient, "", "the CA knows of no account")
	wantList(t, "calls", b.calls(), nil)

	// Neither does a run that never got to send it count as an attempt, nor does
	// the clock that was set back forbid one.
	b.age(-3 * time.Hour)
	wantSuccess(t, b.run(probe.ProberAccount))
}

func TestAccountUnsentIsNoAttempt(t *testing.T) {
	b := newBench(t, fakeca.Options{})
	req := b.request(probe.ProberAccount)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.account.onSave = cancel // the time is over just before the request
	facts := Run(ctx, req)
	wantFailure(t, facts, probe.StepAccount, probe.FailureCanceled, "", "before the next request")
	b.account.onSave = nil
	if r := b.account.record(t); r.Creation != nil {
		t.Errorf("stored %+v", r.Creation)
	}
	wantSuccess(t, b.run(probe.ProberAccount))
}

// A disk that fails is found out before the CA hears of anything.
func TestAccountNothingIsSentUnstored(t *testing.T) {
	full := errors.New("no space left on device")
	b := newBench(t, fakeca.Options{})
	b.account.broken = full
	facts := b.run(probe.ProberAccount)
	wantFailure(t, facts, probe.StepAccount, probe.FailureLocal, "", "no space left")
	wantList(t, "calls", b.calls(), nil)
	b.account.broken = nil
	b.known()
	b.calls()
	b.account.broken = full
	for _, op := range []AccountOperation{AccountRotate, AccountDeactivate} {
		facts, _ := b.operate(op)
		wantFailure(t, facts, probe.StepAccount, probe.FailureLocal, "", "no space left")
		wantList(t, "calls of "+string(op), b.calls(), nil)
	}
}

func TestContactsAreSentWhenTheyChange(t *testing.T) {
	b := newBench(t, fakeca.Options{})
	b.target.Account.Contact = []string{"mailto:a@b.example"}
	b.known()
	b.calls()
	for _, contact := range [][]string{{"mailto:a@b.example"}, {"mailto:c@d.example", "mailto:e@f.example"}, {}} {
		b.target.Account.Contact = contact
		want := []probe.CallName{"account"}
		if !slices.Equal(contact, b.account.record(t).Contact) {
			want = append(want, "account")
		}
		wantSuccess(t, b.run(probe.ProberAccount))
		wantList(t, "calls", b.calls(), want)
		if got := b.ca.Accounts()[0].Contact; !slices.Equal(got, contact) {
			t.Errorf("the CA has %v, want %v", got, contact)
		}
		wantSuccess(t, b.run(probe.ProberAccount))
		wantList(t, "calls", b.calls(), []probe.CallName{"account"})
	}

	b.target.Account.Contact = []string{"mailto:no@b.example"}
	b.ca.Fault(probe.CallAccount, fakeca.Fault{Problem: &fakeca.Problem{Type: "invalidContact"}}, 1)
	facts := b.run(probe.ProberOrder)
	wantFailure(t, facts, probe.StepAccount, probe.FailureCall, "", "invalidContact")
	wantAdvice(t, facts, "correct the target's account.contact")
	b.calls()
	facts = b.run(probe.ProberOrder)
	wantFailure(t, facts, probe.StepAccount, probe.FailureClient, "", "the CA refused the contacts at ")
	wantList(t, "calls", b.calls(), nil)
	b.age(time.Hour)
	wantSuccess(t, b.run(probe.ProberAccount))
	if r := b.account.record(t); r.Update != nil || r.Contact[0] != "mailto:no@b.example" {
		t.Errorf("stored %+v", r)
	}
}

// An account that the CA has lost is not made again by a run, but by a person.
func TestAccountForgotten(t *testing.T) {
	b := newBench(t, fakeca.Options{}).known()
	b.ca.ForgetAccounts()
	b.calls()
	for _, p := range []probe.Prober{probe.ProberAccount, probe.ProberOrder} {
		facts := b.run(p)
		wantFailure(t, facts, facts.Failure.Step, probe.FailureCall, "", "accountDoesNotExist")
		wantAdvice(t, facts, "`acme_exporter account register fake` has it registered again")
	}
	if slices.Contains(b.calls(), probe.CallNewAccount) {
		t.Error("it was registered without a word")
	}
	facts, report := b.operate(AccountRegister)
	wantSuccess(t, facts)
	if report.Did != "the CA has made an account" {
		t.Errorf("did %q", report.Did)
	}
	wantSuccess(t, b.run(probe.ProberAccount))
}

func TestRegisterKnown(t *testing.T) {
	b := newBench(t, fakeca.Options{}).known()
	facts, report := b.operate(AccountRegister)
	wantSuccess(t, facts)
	if report.Did != "the CA knows the account" || len(b.ca.Accounts()) != 1 {
		t.Errorf("did %q, accounts %v", report.Did, b.ca.Accounts())
	}
}

func TestRotate(t *testing.T) {
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

// Neither key is known: nothing is thrown away.
func TestRotateForgotten(t *testing.T) {
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
