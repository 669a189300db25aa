package prober

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
	b := newBench(t, fakeca.Options{}).known()
	facts, report := b.operate(AccountRegister)
	wantSuccess(t, facts)
	if report.Did != "the CA knows the account" || len(b.ca.Accounts()) != 1 {
		t.Errorf("did %q, accounts %v", report.Did, b.ca.Accounts())
	}
}
