package prober

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// AccountOperation is what a person wants to be done about an account.
type AccountOperation string

// The operations.
const (
	// AccountShow asks the CA for the account and changes nothing.
	AccountShow AccountOperation = "show"
	// AccountRegister makes sure that the CA has an account for the key. Nobody
	// has to wait for the hour that runs wait.
	AccountRegister AccountOperation = "register"
	// AccountRotate replaces the account's key (RFC 8555 §7.3.5).
	AccountRotate AccountOperation = "rotate"
	// AccountDeactivate gives the account up for good (RFC 8555 §7.3.6).
	AccountDeactivate AccountOperation = "deactivate"
)

// AccountReport is an account as an operation has left it.
type AccountReport struct {
	Account
	// Status is the CA's word (RFC 8555 §7.1.6); empty: it was not asked.
	Status string
	// Did says in a sentence what was done; empty: nothing had to be.
	Did string
}

var operations = map[AccountOperation]func(context.Context, *accountChange) error{
	AccountRegister:   registerAccount,
	AccountRotate:     rotateAccount,
	AccountDeactivate: deactivateAccount,
}

// OperateAccount does op with the account of req's target, as Run does a probe.
// The module of req, its solver and its follow-ups are not used.
func OperateAccount(ctx context.Context, req Request, op AccountOperation) (probe.Facts, AccountReport) {
	r := newRun(req)
	var report AccountReport
	r.run(ctx, func(ctx context.Context, r *run) error {
		if op == AccountShow {
			return r.showAccount(ctx, &report)
		}
		do, ok := operations[op]
		if !ok {
			return fail(probe.FailureLocal, "", "no code for this operation")
		}
		fields := signingFields
		if op == AccountRotate {
			fields = append([]string{"keyChange"}, fields...)
		}
		if err := r.connect(ctx, fields); err != nil {
			return err
		}
		err := r.changeAccount(ctx, func(ctx context.Context, c *accountChange) error {
			defer func() { report = AccountReport{Account: c.Account, Did: c.did} }()
			c.forgetOthers()
			return r.step(probe.StepAccount, "", func() error { return do(ctx, c) })
		})
		if err != nil {
			return r.accountError(ctx, err)
		}
		return nil
	})
	r.facts.Calls = req.HTTP.Calls()
	return r.facts, report
}

// showAccount asks the CA, if there is something to ask about.
func (r *run) showAccount(ctx context.Context, report *AccountReport) (err error) {
	if report.Account, err = r.Accounts.Read(); err != nil {
		return r.accountError(ctx, err)
	}
	a := &report.Account
	if a.Key == nil || a.Record.AccountURL == "" || a.Record.Status == AccountDeactivated ||
		a.Record.DirectoryURL != r.Pair.Target.DirectoryURL {
		return nil
	}
	if err := r.connect(ctx, signingFields); err != nil {
		return err
	}
	return r.step(probe.StepAccount, "", func() error {
		r.sign(a.Key, a.Record.AccountURL)
		if a.Staged != nil {
			// Which of the two keys it is that signs is not known.
			url, err := r.lookup(ctx, a.Staged)
			if err != nil {
				return err
			}
			r.sign(a.Key, a.Record.AccountURL)
			if url != "" {
				r.sign(a.Staged, url)
			}
		}
		ex, err := r.post(ctx, acmehttp.Exchange{Call: probe.CallAccount}, string(r.client.KID), nil)
		if err != nil {
			return err
		}
		report.Status, err = r.readAccount(ex.Response)
		report.Status = quoted(report.Status)
		return err
	})
}

// registerAccount makes sure that the CA has an account for the key.
func registerAccount(ctx context.Context, c *accountChange) error {
	if c.Record.Status == AccountDeactivated {
		return c.checkStatus()
	}
	if err := c.settleRotation(ctx); err != nil {
		return err
	}
	if c.Record.AccountURL != "" {
		url, err := c.lookup(ctx, c.Key)
		if err != nil {
			return err
		}
		if url != "" {
			c.did = "the CA knows the account"
			c.Record.AccountURL, c.Record.Status = url, ""
			if err := c.save(); err != nil {
				return err
			}
			return c.updateContacts(ctx)
		}
		c.Record = AccountRecord{DirectoryURL: c.Record.DirectoryURL}
		c.Made = true // as far as this CA is concerned
	}
	if err := c.register(ctx, true); err != nil {
		return err
	}
	return c.updateContacts(ctx)
}

// usable reports an account that there is nothing to do about.
func (c *accountChange) usable() error {
	if c.Record.AccountURL != "" {
		return nil
	}
	f := fail(probe.FailureClient, "", "there is no account at this CA")
	f.Advice = c.command("register") + " makes one"
	return f
}

// rotateAccount replaces the account's key. The new one is durable before it is
// sent, and the old one is kept until the CA has said that it took the new one.
func rotateAccount(ctx context.Context, c *accountChange) error {
	if err := errors.Join(c.checkStatus(), c.usable()); err != nil {
		return err
	}
	if err := c.settleRotation(ctx); err != nil || c.did != "" {
		return err
	}
	again := c.Staged != nil // and the CA may yet take it: an earlier request can be under way
	if !again {
		key, err := c.writer.StageKey()
		if err != nil {
			return fail(probe.FailureLocal, "", "the account's files: "+quoted(err.Error()))
		}
		c.Staged, c.StagedAt = key, now()
	}
	c.sign(c.Key, c.Record.AccountURL)
	_, err := c.exchange(ctx, acmehttp.Exchange{}, func(ctx context.Context, _ *acmehttp.Exchange) error {
		return c.client.AccountKeyRollover(ctx, c.Staged)
	})
	if f, ok := errors.AsType[*failure](err); ok {
		if call, _ := c.HTTP.Call(f.Call); call.Status == http.StatusNotImplemented {
			// step-ca's directory names a URL at which there is nothing.
			f.Kind, f.Detail, f.unheard = probe.FailureUnsupported, "the CA does not replace keys", true
			f.Advice = c.command("register", "--new-key") + " makes a new account instead"
		}
		if f.unheard && !again {
			return errors.Join(err, c.dropStaged())
		}
		f.Advice = "it is not known whether the CA took the new key: both are kept, and " + c.command("rotate") + ", or the next run, finds out"
	}
	if err != nil {
		return err
	}
	return c.takeStaged("the CA has taken the new key")
}

// deactivateAccount gives the account up. That it is to be is stored before.
func deactivateAccount(ctx context.Context, c *accountChange) error {
	again := c.Record.Status == AccountDeactivating
	if err := c.usable(); err != nil {
		return err
	}
	if c.Record.Status == AccountDeactivated {
		c.did = "the account was deactivated " + at(c.Record.Deactivated)
		return nil
	}
	if err := c.settleRotation(ctx); err != nil {
		return err
	}
	c.Record.Status = AccountDeactivating
	if err := c.save(); err != nil {
		return err
	}
	c.sign(c.Key, c.Record.AccountURL)
	ex, err := c.post(ctx, acmehttp.Exchange{Call: probe.CallAccount}, c.Record.AccountURL, json.RawMessage(`{"status":"deactivated"}`))
	f, _ := errors.AsType[*failure](err)
	switch {
	case f != nil && again && f.problem == "unauthorized":
		// The first time was heard (RFC 8555 §7.3.6).
	case f != nil && f.unheard:
		c.Record.Status = ""
		return errors.Join(err, c.save())
	case f != nil:
		f.Advice = "it is not known whether the CA was told: type " + c.command("deactivate", "--yes") + " again"
		return err
	default:
		status, err := c.readAccount(ex.Response)
		if err != nil {
			return err
		}
		if status != acme.StatusDeactivated {
			return c.broken("", "the account is to be deactivated, and its status is %q", quoted(status))
		}
	}
	c.Record.Status, c.Record.Deactivated = AccountDeactivated, now()
	c.did = "the account is deactivated"
	return c.save()
}
