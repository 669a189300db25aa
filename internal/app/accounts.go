package app

import (
	"context"
	"crypto"

	"github.com/acme-exporter/acme_exporter/internal/state"
	"github.com/acme-exporter/acme_exporter/prober"
)

// targetAccounts is the account of one target.
type targetAccounts struct {
	accounts      *state.Accounts
	name, keyType string
}

// Read implements prober.Accounts.
func (a targetAccounts) Read() (prober.Account, error) {
	var record prober.AccountRecord
	keys, err := a.accounts.Read(a.name, &record)
	if err != nil {
		return prober.Account{}, err
	}
	return account(keys, record), nil
}

// Change implements prober.Accounts.
func (a targetAccounts) Change(ctx context.Context, change func(context.Context, prober.Account, prober.AccountWriter) error) error {
	held, err := a.accounts.Hold(ctx, a.name)
	if err != nil {
		return err
	}
	defer held.Release()
	var record prober.AccountRecord
	keys, err := held.Read(&record)
	if err != nil {
		return err
	}
	kept := account(keys, record)
	if kept.Key == nil {
		if kept.Key, err = held.CreateKey(a.keyType); err != nil {
			return err
		}
		kept.Made = true
	}
	return change(ctx, kept, accountWriter{held, a.keyType})
}

func account(keys state.Keys, record prober.AccountRecord) prober.Account {
	return prober.Account{Key: keys.Current, Staged: keys.Next, StagedAt: keys.Since, Record: record}
}

// accountWriter changes an account that is held.
type accountWriter struct {
	held    *state.Held
	keyType string
}

// Save implements prober.AccountWriter.
func (w accountWriter) Save(record prober.AccountRecord) error { return w.held.Save(record) }

// StageKey implements prober.AccountWriter.
func (w accountWriter) StageKey() (crypto.Signer, error) { return w.held.StageKey(w.keyType) }

// SettleKey implements prober.AccountWriter.
func (w accountWriter) SettleKey(taken bool) error {
	if taken {
		return w.held.TakeStaged()
	}
	return w.held.DropStaged()
}
