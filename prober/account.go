package prober

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// probeAccount looks the account up by a signed request, and creates it before
// the first time.
func probeAccount(ctx context.Context, r *run) error {
	if err := r.begin(ctx); err != nil {
		return err
	}
	return r.step(probe.StepAccount, "", func() error {
		ex, err := r.post(ctx, acmehttp.Exchange{Call: probe.CallAccount}, string(r.client.KID), nil)
		if err != nil {
			return err
		}
		return r.checkAccount(ex.Response)
	})
}

// useAccount signs the requests that follow with the target's account. That is
// a step only where something has to be done about the account first.
func (r *run) useAccount(ctx context.Context) error {
	account, err := r.Accounts.Read()
	if err == nil && !r.ready(&account) {
		err = r.changeAccount(ctx, func(ctx context.Context, c *accountChange) error {
			defer func() { account = c.Account }()
			if r.ready(&c.Account) {
				return nil // by somebody else, while we waited
			}
			return r.step(probe.StepAccount, "", func() error { return c.prepare(ctx) })
		})
	}
	if err != nil {
		return r.accountError(ctx, err)
	}
	r.account, r.facts.Account = account, account.Record.AccountURL
	r.sign(account.Key, account.Record.AccountURL)
	return nil
}

// ready reports whether requests can be signed with the account as it is.
func (r *run) ready(a *Account) bool {
	return a.Key != nil && a.Staged == nil && a.Record.DirectoryURL == r.Pair.Target.DirectoryURL &&
		a.Record.AccountURL != "" && a.Record.Status == "" && slices.Equal(a.Record.Contact, r.Pair.Target.Account.Contact)
}

// sign has the requests that follow signed by the key of the account at url.
// With the key identifier set the client does not look for it by a request of
// its own, whose error it would swallow.
func (r *run) sign(key crypto.Signer, url string) {
	r.client.Key, r.client.KID = key, acme.KeyID(url)
}

// accountError returns the failure that err is, or stands for.
func (r *run) accountError(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*failure](err); ok {
		return err
	}
	r.current = probe.StepSetup
	if ctx.Err() != nil {
		return r.over(ctx, "", "the time was over while somebody else worked on the account")
	}
	return fail(probe.FailureLocal, "", "the account's files: "+quoted(err.Error()))
}

// checkAccount reports an account that can order nothing (RFC 8555 §7.1.6).
func (r *run) checkAccount(resp *acmehttp.Response) error {
	status, err := r.readAccount(resp)
	if err != nil {
		return err
	}
	switch status {
	case acme.StatusValid:
		return nil
	case acme.StatusDeactivated, acme.StatusRevoked:
		f := r.broken("", "the account is %s", status)
		f.Kind, f.Advice = probe.FailureClient, r.command("register", "--new-key")+" makes a new one"
		return f
	}
	return r.broken("", "the account has an unknown status %q", quoted(status))
}

// readAccount returns the status of an account.
func (r *run) readAccount(resp *acmehttp.Response) (status string, err error) {
	var account struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(resp.Body, &account); err != nil {
		return "", r.broken("", "the account cannot be read: %s", quoted(err.Error()))
	}
	return account.Status, nil
}

// command returns what to type for an account command on the run's target.
func (r *run) command(name string, flags ...string) string {
	words := append([]string{"acme_exporter", "account", name, r.Pair.Pair.Target}, flags...)
	return "`" + strings.Join(words, " ") + "`"
}

// explain says more of a refused request that a run has failed with: an account
// that the CA does not know, or a cause that has nothing to do with the CA, when
// the account has been given another key, or given up, since the run took it.
func (r *run) explain() {
	f := r.facts.Failure
	call, ok := r.HTTP.Call(f.Call)
	if f.Kind != probe.FailureCall || !ok || call.Problem == nil || call.Status >= 500 || r.client.KID == "" {
		return
	}
	if r.replaced() {
		f.Kind, f.Detail = probe.FailureLocal, "the account's key was replaced during the run"
		return
	}
	if call.Problem.Type == "accountDoesNotExist" && f.Advice == "" {
		f.Advice = r.reregister()
	}
}

// replaced reports whether the account is not the one any more that useAccount
// has found.
func (r *run) replaced() bool {
	if r.account.Key == nil {
		return false
	}
	now, err := r.Accounts.Read()
	if err != nil || now.Key == nil {
		return false
	}
	return now.Record.Status != "" || !same(now.Key, r.account.Key) || !same(now.Staged, r.account.Staged)
}

// same reports whether two keys are one, or none.
func same(a, b crypto.Signer) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	key, ok := a.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b.Public())
}
