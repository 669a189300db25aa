package prober

import (
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"sync"
	"testing"
	"time"
)

// accounts is an Accounts in memory.
type accounts struct {
	turn sync.Mutex // held during a change

	mu   sync.Mutex // guards the fields below
	kept Account
	// saved are all the records that were stored, in order.
	saved []AccountRecord
	// broken, if not nil, is what every write fails with.
	broken error
	// brokenSettle, if not nil, is what SettleKey fails with.
	brokenSettle error
	// onSave, if not nil, is called when something has been saved.
	onSave func()
}

func (a *accounts) Read() (Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept, nil
}

func (a *accounts) Change(ctx context.Context, change func(context.Context, Account, AccountWriter) error) error {
	a.turn.Lock()
	defer a.turn.Unlock()
	a.mu.Lock()
	made := a.kept.Key == nil
	if made {
		a.kept.Key = accountKey()
	}
	kept := a.kept
	a.mu.Unlock()
	kept.Made = made
	return change(ctx, kept, a)
}

func (a *accounts) Save(record AccountRecord) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken != nil {
		return a.broken
	}
	if record.Creation != nil {
		own := *record.Creation
		record.Creation = &own
	}
	a.kept.Record = record
	a.saved = append(a.saved, record)
	if a.onSave != nil {
		a.onSave()
	}
	return nil
}

func (a *accounts) StageKey() (crypto.Signer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken != nil {
		return nil, a.broken
	}
	a.kept.Staged, a.kept.StagedAt = accountKey(), time.Now()
	return a.kept.Staged, nil
}

func (a *accounts) SettleKey(taken bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := cmp.Or(a.brokenSettle, a.broken); err != nil {
		return err
	}
	if taken {
		a.kept.Key = a.kept.Staged
	}
	a.kept.Staged = nil
	return nil
}

// edit changes what is kept, as somebody with an editor would.
func (a *accounts) edit(change func(*Account)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.kept)
}

func (a *accounts) record(t *testing.T) AccountRecord {
	t.Helper()
	kept, err := a.Read()
	if err != nil {
		t.Fatal(err)
	}
	return kept.Record
}

func accountKey() crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // there is no randomness
	}
	return key
}

// failing is an Accounts that cannot read its files.
type failing struct{ err error }

func (f failing) Read() (Account, error) { return Account{}, f.err }

func (f failing) Change(context.Context, func(context.Context, Account, AccountWriter) error) error {
	return f.err
}

// waiting is an Accounts that another run keeps busy.
type waiting struct{}

func (waiting) Read() (Account, error) { return Account{}, nil }

func (waiting) Change(ctx context.Context, _ func(context.Context, Account, AccountWriter) error) error {
	<-ctx.Done()
	return ctx.Err()
}
