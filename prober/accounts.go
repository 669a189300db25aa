package prober

import (
	"context"
	"crypto"
	"errors"
	"time"
)

// Accounts keeps the account of the run's target.
type Accounts interface {
	// Read returns what is kept now. It waits for nobody.
	Read() (Account, error)
	// Change calls change for one caller at a time, in this process and in
	// others, waiting for its turn no longer than ctx. The account that change
	// gets has a durable key, made just now if need be. An error of change comes
	// back as it is.
	Change(ctx context.Context, change func(context.Context, Account, AccountWriter) error) error
}

// AccountWriter changes what is kept. What it has done is durable when it returns.
type AccountWriter interface {
	Save(AccountRecord) error
	// StageKey makes the key that is to replace the account's; one that was
	// staged before is put aside.
	StageKey() (crypto.Signer, error)
	// SettleKey puts the staged key in the place of the account's if the CA has
	// taken it, and aside if not.
	SettleKey(taken bool) error
}

// Account is what is kept of an account.
type Account struct {
	Key crypto.Signer // nil: there is none yet
	// Made reports whether Key was made just now: no CA can know it.
	Made bool
	// Staged is the key of a rotation whose outcome is not known; nil: none.
	// It was made at StagedAt.
	Staged   crypto.Signer
	StagedAt time.Time
	Record   AccountRecord
}

// AccountRecord is what is known of an account beside its key. Its JSON is the
// stored form.
type AccountRecord struct {
	// DirectoryURL is that of the CA which everything here is about.
	DirectoryURL string `json:"directory_url"`
	// AccountURL is the key identifier (RFC 8555 §6.2); empty: the CA is not
	// known to have an account.
	AccountURL string `json:"account_url,omitempty"`
	// Status is empty for an account that is in use.
	Status AccountStatus `json:"status,omitempty"`
	// Contact is what the CA was last sent, and took.
	Contact []string `json:"contact,omitempty"`
	// Created is when the account was made, Rotated when its key was last
	// replaced, Deactivated when it was given up; zero: not known, or never.
	Created     time.Time `json:"created,omitzero"`
	Rotated     time.Time `json:"rotated,omitzero"`
	Deactivated time.Time `json:"deactivated,omitzero"`
	// Binding is the key identifier of the external account that it is bound to.
	Binding string `json:"external_account,omitempty"`
	// Creation is the last attempt to make an account, stored before it was made;
	// nil: there is an account, or there was no attempt.
	Creation *AccountAttempt `json:"creation,omitempty"`
	// Update is the last attempt to change the contacts that the CA refused; nil:
	// there was none.
	Update *AccountAttempt `json:"update,omitempty"`
}

// AccountStatus says what became of an account.
type AccountStatus string

// The statuses, beside the empty one.
const (
	// AccountDeactivating: it is not known whether the CA has been told.
	AccountDeactivating AccountStatus = "deactivating"
	AccountDeactivated  AccountStatus = "deactivated"
)

// AccountAttempt is one attempt at something that is not tried again at once.
type AccountAttempt struct {
	At time.Time `json:"at"`
	// Contact and Binding are what was sent. The binding's key is not kept.
	Contact []string `json:"contact,omitempty"`
	Binding string   `json:"external_account,omitempty"`
	// Result is in what it ended, in a word; empty: that is not known.
	Result string `json:"result,omitempty"`
}

// Validate reports what can have been written by nobody here.
func (r *AccountRecord) Validate() error {
	switch {
	case r.DirectoryURL == "":
		return errors.New("directory_url is missing")
	case r.Status != "" && r.Status != AccountDeactivating && r.Status != AccountDeactivated:
		return errors.New("status must be deactivating, deactivated or absent")
	}
	return nil
}
