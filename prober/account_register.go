package prober

import (
	"context"
	"crypto"
	"errors"
	"slices"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// register creates the account (RFC 8555 §7.3), or finds the one that the CA has
// for its key. The attempt is stored before it is made, and none is made sooner
// than an hour after the last one, unless somebody insists.
//
// An external account binding can be used once (RFC 8555 §7.3.4). What became of
// an attempt whose answer was not stored is therefore asked first, as it is for
// every key that may have been used before.
func (c *accountChange) register(ctx context.Context, insist bool) error {
	missing := c.missing()
	last := c.Record.Creation
	if missing != nil && last == nil {
		return missing
	}
	if last != nil && last.Result != "" && recent(last.At) && !insist {
		return c.tooSoon(last)
	}
	if !c.Made {
		found, err := c.find(ctx)
		if found || err != nil {
			return err
		}
	}
	switch {
	case missing != nil:
		return missing
	case last != nil && recent(last.At) && !insist:
		// So much is known now.
		last.Result = "the CA knows of no account"
		return errors.Join(c.tooSoon(last), c.save())
	}
	return c.create(ctx)
}

// missing reports what the configuration lacks for an account to be created.
func (c *accountChange) missing() error {
	cfg := &c.Pair.Target.Account
	switch {
	case c.directory.Meta.Terms != "" && !cfg.AgreeToTerms:
		return fail(probe.FailureClient, "",
			"the CA has terms of service: an account is created only with agree_to_terms: true in the target's account section")
	case c.directory.Meta.ExternalAccount && cfg.ExternalAccountBinding == nil:
		return fail(probe.FailureClient, "",
			"the CA requires an external account binding and the target's account section has no external_account_binding")
	}
	return nil
}

// tooSoon is the failure of an attempt that is not made yet.
func (c *accountChange) tooSoon(last *AccountAttempt) error {
	f := fail(probe.FailureClient, "", "the account could not be created "+at(last.At)+" ("+last.Result+")")
	f.Advice = c.nextTry(last)
	return f
}

func (c *accountChange) nextTry(last *AccountAttempt) string {
	return "the next try is " + at(last.At.Add(attemptPause)) + ", or with " + c.command("register")
}

// find looks for an account that the CA has for the key.
func (c *accountChange) find(ctx context.Context) (found bool, err error) {
	url, err := c.lookup(ctx, c.Key)
	if err != nil || url == "" {
		return false, err
	}
	c.did = "the CA has an account for the key already"
	found = true
	record := AccountRecord{DirectoryURL: c.Record.DirectoryURL, AccountURL: url}
	if last := c.Record.Creation; last != nil {
		record.Created, record.Contact, record.Binding = last.At, last.Contact, last.Binding
	}
	c.Record = record
	return found, c.save()
}

// lookup returns the URL of the account that the CA has for a key (RFC 8555
// §7.3.1); empty: it has none.
func (r *run) lookup(ctx context.Context, key crypto.Signer) (url string, err error) {
	r.sign(key, "")
	ex, err := r.exchange(ctx, acmehttp.Exchange{}, func(ctx context.Context, _ *acmehttp.Exchange) error {
		_, err := r.client.GetReg(ctx, "")
		return err
	})
	if f, ok := errors.AsType[*failure](err); ok {
		switch f.problem {
		case "accountDoesNotExist":
			return "", nil
		case "unauthorized":
			// "If a server receives a POST or POST-as-GET from a deactivated
			// account, it MUST return an error response with status code 401
			// (Unauthorized) and type unauthorized" (RFC 8555 §7.3.6).
			f.Advice = "if the account was deactivated, " + r.command("register", "--new-key") + " makes a new one"
		}
	}
	if err != nil {
		return "", err
	}
	return r.location(ex.Response)
}

// location returns the URL of the account that new-account has answered with.
func (r *run) location(resp *acmehttp.Response) (string, error) {
	url := resp.Header.Get("Location")
	if !isHTTPS(url) {
		return "", r.unusable("", "the Location of new-account's answer", url)
	}
	return url, r.checkAccount(resp)
}

// create creates the account.
func (c *accountChange) create(ctx context.Context) error {
	cfg := &c.Pair.Target.Account
	account := &acme.Account{Contact: cfg.Contact}
	attempt := &AccountAttempt{At: now(), Contact: slices.Clone(cfg.Contact)}
	if b := cfg.ExternalAccountBinding; b != nil {
		mac, err := b.Key()
		if err != nil {
			return fail(probe.FailureClient, "", "the key of the external account binding cannot be read")
		}
		account.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: b.KeyID, Key: mac}
		attempt.Binding = b.KeyID
	}
	if _, err := c.take(probe.SpendAccount, nil); err != nil {
		return err
	}
	before := c.Record.Creation
	c.Record.Creation = attempt
	if err := c.save(); err != nil {
		return err
	}
	c.sign(c.Key, "")
	ex, err := c.exchange(ctx, acmehttp.Exchange{}, func(ctx context.Context, _ *acmehttp.Exchange) error {
		_, err := c.client.Register(ctx, account, acme.AcceptTOS)
		if errors.Is(err, acme.ErrAccountAlreadyExists) {
			// "the server MUST return a response with status code 200 (OK) and
			// provide the URL of that account" (RFC 8555 §7.3.1).
			return nil
		}
		return err
	})
	if f, ok := errors.AsType[*failure](err); !ok || !f.unsent() {
		c.spending.account = true
	}
	if err != nil {
		return c.notCreated(err, before)
	}
	url, err := c.location(ex.Response)
	if err != nil {
		return err
	}
	c.did = "the CA has made an account"
	c.Record = AccountRecord{
		DirectoryURL: c.Record.DirectoryURL, AccountURL: url,
		Contact: attempt.Contact, Created: attempt.At, Binding: attempt.Binding,
	}
	return c.save()
}

// notCreated notes what is known of an attempt that failed with err.
func (c *accountChange) notCreated(err error, before *AccountAttempt) error {
	f, ok := errors.AsType[*failure](err)
	switch {
	case !ok:
		return err
	case f.unsent():
		c.Record.Creation = before // it was none
	case f.problem != "" && f.unheard:
		c.Record.Creation.Result = f.problem
	}
	if f.Advice == "" && !f.unsent() {
		f.Advice = c.nextTry(c.Record.Creation)
	}
	return errors.Join(err, c.save())
}
