package prober

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestAccount(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{Terms: "https://ca.example/terms"})
	b.target.Account.Contact = []string{"mailto:pki@example.org"}
	first := b.run(probe.ProberAccount)
	wantSuccess(t, first)
	wantList(t, "calls", names(first.Calls), []probe.CallName{"directory", "new-nonce", "new-account", "account"})
	wantList(t, "steps", steps(first), []string{"directory", "nonce", "account", "account"})
	second := b.run(probe.ProberAccount)
	wantSuccess(t, second)
	wantList(t, "calls", names(second.Calls), []probe.CallName{"directory", "new-nonce", "account"})
	wantList(t, "steps", steps(second), []string{"directory", "nonce", "account"})

	// A CA that has an account for the key already gives its URL.
	url := b.account.record(t).AccountURL
	b.account.edit(func(a *Account) { a.Record = AccountRecord{} })
	third := b.run(probe.ProberAccount)
	wantSuccess(t, third)
	if got := b.account.record(t).AccountURL; got != url {
		t.Errorf("account %q, want %q", got, url)
	}
}

func TestAccountIsCreatedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{})
	var runs sync.WaitGroup
	facts := make([]probe.Facts, 4)
	for i := range facts {
		req := b.request(probe.ProberAccount)
		runs.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			facts[i] = Run(ctx, req)
		})
	}
	runs.Wait()
	for _, f := range facts {
		wantSuccess(t, f)
	}
	created := 0
	for _, call := range b.ca.Calls() {
		if call == probe.CallNewAccount {
			created++
		}
	}
	if created != 1 {
		t.Errorf("%d accounts were asked for, want 1", created)
	}
}

func TestAccountExternalBinding(t *testing.T) {
	t.Parallel()
	b := newBench(t, fakeca.Options{EAB: map[string][]byte{"kid-1": []byte("0123456789abcdef")}})
	facts := b.run(probe.ProberAccount)
	wantFailure(t, facts, probe.StepAccount, probe.FailureClient, "", "external_account_binding")
	wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce"})

	file := filepath.Join(t.TempDir(), "hmac")
	if err := os.WriteFile(file, []byte("MDEyMzQ1Njc4OWFiY2RlZg\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.target.Account.ExternalAccountBinding = &config.ExternalAccountBinding{KeyID: "kid-1", HMACKeyFile: file}
	wantSuccess(t, b.run(probe.ProberAccount))
}

func TestAccountFails(t *testing.T) {
	t.Parallel()
	gone := errors.New("disk: no such file")
	for _, tt := range []struct {
		name     string
		known    bool // the account is there before the fault
		call     probe.CallName
		fault    fakeca.Fault
		prepare  func(*bench)
		accounts Accounts
		step     probe.StepName
		kind     probe.FailureKind
		detail   string
	}{
		{name: "terms", prepare: func(b *bench) { b.target.Account.AgreeToTerms = false }, step: probe.StepAccount, kind: probe.FailureClient, detail: "agree_to_terms"},
		{name: "refused", call: probe.CallNewAccount, fault: fakeca.Fault{Problem: &fakeca.Problem{Type: "unsupportedContact"}}, step: probe.StepAccount, kind: probe.FailureCall, detail: "new-account answered HTTP 400 unsupportedContact"},
		{name: "no Location", call: probe.CallNewAccount, fault: fakeca.Fault{Header: http.Header{"Location": {""}}}, step: probe.StepAccount, kind: probe.FailureProtocol, detail: "Location"},
		{name: "born deactivated", call: probe.CallNewAccount, fault: fakeca.Fault{Edit: fakeca.Set("status", "deactivated")}, step: probe.StepAccount, kind: probe.FailureClient, detail: "the account is deactivated"},
		{name: "revoked", known: true, call: probe.CallAccount, fault: fakeca.Fault{Edit: fakeca.Set("status", "revoked")}, step: probe.StepAccount, kind: probe.FailureClient, detail: "the account is revoked"},
		{name: "odd", known: true, call: probe.CallAccount, fault: fakeca.Fault{Edit: fakeca.Set("status", "odd")}, step: probe.StepAccount, kind: probe.FailureProtocol, detail: `unknown status "odd"`},
		{name: "HTML", known: true, call: probe.CallAccount, fault: fakeca.Fault{HTML: true}, step: probe.StepAccount, kind: probe.FailureProtocol, detail: "the account cannot be read"},
		{name: "forgotten", known: true, prepare: func(b *bench) { b.ca.ForgetAccounts() }, step: probe.StepAccount, kind: probe.FailureCall, detail: "accountDoesNotExist"},
		{name: "no key", accounts: failing{gone}, step: probe.StepSetup, kind: probe.FailureLocal, detail: "the account's files: disk: no such file"},
		{name: "waiting", accounts: waiting{}, step: probe.StepSetup, kind: probe.FailureTimeout, detail: "somebody else worked on the account"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, fakeca.Options{Terms: "https://ca.example/terms"})
			if tt.known {
				b.known()
			}
			if tt.prepare != nil {
				tt.prepare(b)
			}
			if tt.call != "" {
				b.ca.Fault(tt.call, tt.fault, 0)
			}
			req := b.request(probe.ProberAccount)
			timeout := 5 * time.Second
			if tt.accounts != nil {
				req.Accounts = tt.accounts
				timeout = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			wantFailure(t, Run(ctx, req), tt.step, tt.kind, "", tt.detail)
		})
	}
}
