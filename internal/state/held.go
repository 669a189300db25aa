package state

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// lockPoll is how often another process's lock is looked at.
const lockPoll = 20 * time.Millisecond

// Held is an account that its holder alone changes: whoever else calls
// [Accounts.Hold], in this process or another, waits. It belongs to one
// goroutine.
type Held struct {
	accounts *Accounts
	name     string
	root     *os.Root
	lock     *os.File
	turn     chan struct{}
}

// Hold waits, no longer than ctx, until nobody else holds the account name, and
// holds it. Release must be called.
func (a *Accounts) Hold(ctx context.Context, name string) (*Held, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	turn := a.turn(name)
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for account %q: %w", name, context.Cause(ctx))
	}
	h := &Held{accounts: a, name: name, turn: turn}
	if err := h.open(ctx); err != nil {
		h.Release()
		return nil, err
	}
	return h, nil
}

func (h *Held) open(ctx context.Context) (err error) {
	dir := h.accounts.dir
	if h.root, err = openDir(dir); err != nil {
		return fmt.Errorf("open state directory %q: %w", dir, err)
	}
	file := accountFile(h.name, ".lock")
	if err = makeAccountsDir(h.root); err == nil {
		h.lock, err = h.root.OpenFile(file, os.O_RDWR|os.O_CREATE, fileMode)
	}
	for held := false; err == nil && !held; {
		if held, err = tryLock(h.lock); held || err != nil {
			break
		}
		timer := time.NewTimer(lockPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("wait for account %q, which another process works on: %w", h.name, context.Cause(ctx))
		}
	}
	if err != nil {
		return fmt.Errorf("lock account %q: %w", filepath.Join(dir, file), plain(err))
	}
	return nil
}

// Release lets the next one hold the account.
func (h *Held) Release() {
	if h.lock != nil {
		h.lock.Close() // which unlocks it
	}
	if h.root != nil {
		h.root.Close()
	}
	<-h.turn
}

// Read is [Accounts.Read], of files that nobody else of us changes.
func (h *Held) Read(record any) (Keys, error) {
	return h.accounts.read(h.root, h.name, record)
}

// CreateKey makes the account's key, of a type as [KeyType] returns it, and
// returns when it is durable. There must be none.
func (h *Held) CreateKey(keyType string) (crypto.Signer, error) {
	return h.createKey(accountFile(h.name, ".pem"), keyType)
}

// StageKey makes a second key, which is to take the first one's place, and
// returns when it is durable. A second key that is there already is put aside.
func (h *Held) StageKey(keyType string) (crypto.Signer, error) {
	if err := h.DropStaged(); err != nil {
		return nil, err
	}
	return h.createKey(accountFile(h.name, newSuffix), keyType)
}

// TakeStaged puts the second key in place of the first, durably: after a crash
// there are both, or the second one in the first one's place.
func (h *Held) TakeStaged() error {
	from, to := accountFile(h.name, newSuffix), accountFile(h.name, ".pem")
	err := h.root.Rename(from, to)
	if err == nil {
		err = syncDir(h.root, accountsDir)
	}
	return h.explain("rename account key", from, err)
}

// DropStaged puts the second key aside, if there is one: a key that a CA has
// perhaps been sent is never destroyed.
func (h *Held) DropStaged() error {
	return h.putAside(newSuffix, "unused")
}

// PutAside renames the account's files, so that there is no account.
func (h *Held) PutAside() error {
	return errors.Join(h.DropStaged(), h.putAside(".json", "old"), h.putAside(".pem", "old"))
}

// putAside renames the file with the suffix to NAME.WHY-TIME and its extension.
func (h *Held) putAside(suffix, why string) error {
	from := accountFile(h.name, suffix)
	to := accountFile(h.name, "."+why+"-"+time.Now().UTC().Format("20060102T150405.000Z")+filepath.Ext(suffix))
	err := h.root.Rename(from, to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncDir(h.root, accountsDir)
	}
	return h.explain("put aside", from, err)
}

// Save stores record as JSON beside the key, durably when it returns.
func (h *Held) Save(record any) error {
	file := accountFile(h.name, ".json")
	data, err := json.MarshalIndent(record, "", "  ")
	if err == nil {
		err = replaceFile(h.root, file, append(data, '\n'))
	}
	return h.explain("write account", file, err)
}

func (h *Held) createKey(file, keyType string) (crypto.Signer, error) {
	data, err := newKey(keyType)
	if err == nil {
		err = createFile(h.root, file, data)
	}
	if err != nil {
		return nil, h.explain("create account key", file, err)
	}
	return h.accounts.parse(file, data)
}

// explain returns err with what was being done to which file; nil stays nil.
func (h *Held) explain(doing, file string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", doing, filepath.Join(h.accounts.dir, file), plain(err))
}
