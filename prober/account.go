package prober

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"

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
// a step only where the account has to be created.
func (r *run) useAccount(ctx context.Context) error {
	account, err := r.Accounts.Account(ctx, func(ctx context.Context, key crypto.Signer) (url string, err error) {
		err = r.step(probe.StepAccount, "", func() error {
			url, err = r.register(ctx, key)
			return err
		})
		return url, err
	})
	if err != nil {
		if _, ok := errors.AsType[*failure](err); ok {
			return err
		}
		r.current = probe.StepSetup
		if ctx.Err() != nil {
			return r.over(ctx, "", "the time was over while another run created the account")
		}
		return fail(probe.FailureLocal, "", "the account's key: "+quoted(err.Error()))
	}
	// With the key identifier set the client does not look for it by a request
	// of its own, whose error it would swallow.
	r.client.Key, r.client.KID = account.Key, acme.KeyID(account.URL)
	return nil
}

// register creates the account of the key (RFC 8555 §7.3), or finds the one
// that the CA has for it already. It returns the account's URL.
func (r *run) register(ctx context.Context, key crypto.Signer) (string, error) {
	cfg := &r.Pair.Target.Account
	if r.directory.Meta.Terms != "" && !cfg.AgreeToTerms {
		return "", fail(probe.FailureClient, "",
			"the CA has terms of service: an account is created only with agree_to_terms: true in the target's account section")
	}
	account := &acme.Account{Contact: cfg.Contact}
	switch binding := cfg.ExternalAccountBinding; {
	case binding != nil:
		mac, err := binding.Key()
		if err != nil {
			return "", fail(probe.FailureClient, "", "the key of the external account binding cannot be read")
		}
		account.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: binding.KeyID, Key: mac}
	case r.directory.Meta.ExternalAccount:
		return "", fail(probe.FailureClient, "",
			"the CA requires an external account binding and the target's account section has no external_account_binding")
	}
	r.client.Key = key
	ex, err := r.exchange(ctx, acmehttp.Exchange{}, func(ctx context.Context, _ *acmehttp.Exchange) error {
		_, err := r.client.Register(ctx, account, acme.AcceptTOS)
		if errors.Is(err, acme.ErrAccountAlreadyExists) {
			// "the server MUST return a response with status code 200 (OK) and
			// provide the URL of that account" (RFC 8555 §7.3.1).
			return nil
		}
		return err
	})
	if err != nil {
		return "", err
	}
	url := string(r.client.KID)
	if !isHTTPS(url) {
		return "", r.broken("", "the Location of new-account's answer is not an absolute https URL")
	}
	return url, r.checkAccount(ex.Response)
}

// checkAccount reports an account that can order nothing (RFC 8555 §7.1.6).
func (r *run) checkAccount(resp *acmehttp.Response) error {
	var account struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(resp.Body, &account); err != nil {
		return r.broken("", "the account cannot be read: %s", quoted(err.Error()))
	}
	switch account.Status {
	case acme.StatusValid:
		return nil
	case acme.StatusDeactivated, acme.StatusRevoked:
		f := r.broken("", "the account is %s", account.Status)
		f.Kind = probe.FailureClient
		return f
	}
	return r.broken("", "the account has an unknown status %q", quoted(account.Status))
}
