package prober

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	// attemptPause is the least time between two attempts to create an account,
	// or to send contacts that the CA has refused. It is the CA that it spares.
	attemptPause = time.Hour
	// rotationPatience is how long after its sending a key change may still be
	// carried out by the CA.
	rotationPatience = 10 * time.Minute
)

// accountChange is a run that alone may change the account.
type accountChange struct {
	*run
	Account
	writer AccountWriter
	// did is what was done, for people.
	did string
}

// changeAccount calls change when it is this run's turn to change the account.
func (r *run) changeAccount(ctx context.Context, change func(context.Context, *accountChange) error) error {
	return r.Accounts.Change(ctx, func(ctx context.Context, a Account, w AccountWriter) error {
		return change(ctx, &accountChange{run: r, Account: a, writer: w})
	})
}

// save stores the record.
func (c *accountChange) save() error {
	if err := c.writer.Save(c.Record); err != nil {
		return fail(probe.FailureLocal, "", "the account's files: "+quoted(err.Error()))
	}
	return nil
}

// prepare does what has to be done before the account can be used: finish a
// rotation, create it, tell the CA of new contacts.
func (c *accountChange) prepare(ctx context.Context) error {
	c.forgetOthers()
	if err := c.checkStatus(); err != nil {
		return err
	}
	if err := c.settleRotation(ctx); err != nil {
		return err
	}
	if c.Record.AccountURL == "" {
		if err := c.register(ctx, false); err != nil {
			return err
		}
	}
	return c.updateContacts(ctx)
}

// forgetOthers begins a new record if the one there is about another CA.
func (c *accountChange) forgetOthers() {
	if url := c.Pair.Target.DirectoryURL; c.Record.DirectoryURL != url {
		c.Record = AccountRecord{DirectoryURL: url}
	}
}

// checkStatus reports an account that was given up by our own command.
func (c *accountChange) checkStatus() error {
	var f *failure
	switch c.Record.Status {
	case AccountDeactivated:
		f = fail(probe.FailureClient, "", "the account was deactivated "+at(c.Record.Deactivated))
		f.Advice = c.command("register", "--new-key") + " makes a new one"
	case AccountDeactivating:
		f = fail(probe.FailureClient, "", "the account is to be deactivated, and it is not known whether the CA has been told")
		f.Advice = "finish it with " + c.command("deactivate", "--yes") + ", or keep it with " + c.command("register")
	default:
		return nil
	}
	return f
}

// settleRotation finds out what became of a rotation that was interrupted. A key
// that the CA knows is in use from then on; one that it does not know is put
// aside, but not before the CA can have lost sight of the request.
func (c *accountChange) settleRotation(ctx context.Context) error {
	if c.Staged == nil {
		return nil
	}
	url, err := c.lookup(ctx, c.Staged)
	if err != nil {
		return err
	}
	if url != "" {
		c.Record.AccountURL = url
		return c.takeStaged("the interrupted rotation is finished: the CA knows the new key")
	}
	if c.Record.AccountURL != "" {
		if url, err = c.lookup(ctx, c.Key); err != nil {
			return err
		}
		if url == "" {
			return c.unknown()
		}
	}
	if time.Since(c.StagedAt) < rotationPatience {
		return nil
	}
	return c.dropStaged()
}

// takeStaged puts the staged key in the place of the account's.
func (c *accountChange) takeStaged(did string) error {
	if err := c.writer.SettleKey(true); err != nil {
		return fail(probe.FailureLocal, "", "the account's files: "+quoted(err.Error()))
	}
	c.Key, c.Staged, c.did = c.Staged, nil, did
	c.Record.Rotated = now()
	return c.save()
}

// dropStaged puts the staged key aside.
func (c *accountChange) dropStaged() error {
	if err := c.writer.SettleKey(false); err != nil {
		return fail(probe.FailureLocal, "", "the account's files: "+quoted(err.Error()))
	}
	c.Staged = nil
	return nil
}

// unknown is the failure of a known account that the CA does not know (any
// more), as its last answer says. It is not registered again without a word: the
// key, the state directory or the CA may be the wrong one.
func (c *accountChange) unknown() error {
	f := fail(probe.FailureCall, "", "the CA knows neither of the account's keys")
	f.Call, f.Advice = c.lastCall(), c.reregister()
	return f
}

// reregister says what to do about an account that the CA does not know.
func (r *run) reregister() string {
	return r.command("register") + " has it registered again, if the key and the CA are the right ones"
}

// updateContacts tells the CA of contacts that it was not sent yet (RFC 8555
// §7.3.2). Those that it has refused are not sent again within the hour.
func (c *accountChange) updateContacts(ctx context.Context) error {
	contact := c.Pair.Target.Account.Contact
	if slices.Equal(contact, c.Record.Contact) {
		return nil
	}
	if u := c.Record.Update; u != nil && slices.Equal(u.Contact, contact) && recent(u.At) {
		f := fail(probe.FailureClient, "", "the CA refused the contacts "+at(u.At)+" ("+u.Result+")")
		f.Advice = "correct the target's account.contact; they are sent again " + at(u.At.Add(attemptPause))
		return f
	}
	payload, err := json.Marshal(map[string][]string{"contact": append([]string{}, contact...)})
	if err != nil {
		return fail(probe.FailureLocal, "", quoted(err.Error()))
	}
	c.sign(c.Key, c.Record.AccountURL)
	ex, err := c.post(ctx, acmehttp.Exchange{Call: probe.CallAccount}, c.Record.AccountURL, payload)
	if f, ok := errors.AsType[*failure](err); ok && f.refused() {
		c.Record.Update = &AccountAttempt{At: now(), Contact: contact, Result: f.problem}
		if f.Advice == "" {
			f.Advice = "correct the target's account.contact"
		}
		return errors.Join(err, c.save())
	}
	if err == nil {
		err = c.checkAccount(ex.Response)
	}
	if err != nil {
		return err
	}
	c.Record.Contact, c.Record.Update = slices.Clone(contact), nil
	return c.save()
}

// refused reports whether the CA read the request and said no to it, rather than
// not now.
func (f *failure) refused() bool {
	return f.problem != "" && f.problem != "rateLimited" && f.problem != "badNonce" && f.unheard
}

// unsent reports whether the request never left.
func (f *failure) unsent() bool { return f.unheard && f.problem == "" }

// now is the time as it is stored.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// recent reports whether t is less than attemptPause ago. A clock that was set
// back forbids nothing.
func recent(t time.Time) bool {
	age := time.Since(t)
	return age >= 0 && age < attemptPause
}

// at returns "at" and a time for people.
func at(t time.Time) string { return "at " + t.UTC().Format(time.RFC3339) }
