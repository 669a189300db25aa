package state

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	accountsDir = "accounts"
	newSuffix   = ".new.pem"
)

// Accounts keeps ACME accounts: for each name the key in accounts/NAME.pem, a
// second key in accounts/NAME.new.pem while one is to take its place, and what
// is known of the account in accounts/NAME.json. The files can be read, copied
// and put back while the program runs; only those who change them hold a lock,
// accounts/NAME.lock. It is safe for concurrent use.
type Accounts struct {
	dir string

	mu     sync.Mutex               // guards the fields below
	turns  map[string]chan struct{} // by name; capacity 1: one holder at a time
	parsed map[string]parsedKey     // by file
}

// parsedKey is a key and the content of the file that it was parsed from.
type parsedKey struct {
	pem []byte
	key crypto.Signer
}

// Keys are an account's keys.
type Keys struct {
	// Current is the account's; nil: none has been made.
	Current crypto.Signer
	// Next is to take its place; nil: none. It was made at Since.
	Next  crypto.Signer
	Since time.Time
}

// NewAccounts returns the accounts in the state directory dir. It touches
// nothing; the directory is created when an account is first held.
func NewAccounts(dir string) *Accounts {
	return &Accounts{dir: dir, turns: make(map[string]chan struct{}), parsed: make(map[string]parsedKey)}
}

// Read returns the keys of the account name as they are now, and decodes what
// was stored with [Held.Save] into record, which must be a pointer and may have a
// method Validate() error; without a record it is left alone. It takes no lock and
// changes nothing. Name consists of a-z, 0-9, '_' and '-'.
//
// A file that cannot be read or understood is an error that names it.
func (a *Accounts) Read(name string, record any) (Keys, error) {
	if err := checkName(name); err != nil {
		return Keys{}, err
	}
	root, err := os.OpenRoot(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return Keys{}, nil
	}
	if err != nil {
		if info, statErr := os.Stat(a.dir); statErr == nil && !info.IsDir() {
			err = fmt.Errorf("%q is not a directory", a.dir)
		}
		return Keys{}, fmt.Errorf("open state directory %q: %w", a.dir, plain(err))
	}
	defer root.Close()
	return a.read(root, name, record)
}

// read reads the second key first: who does not see it sees the first one as it
// is before a rotation or after it.
func (a *Accounts) read(root *os.Root, name string, record any) (keys Keys, err error) {
	file := accountFile(name, newSuffix)
	if keys.Next, err = a.readKey(root, file); err != nil {
		return Keys{}, err
	}
	if keys.Next != nil {
		if info, err := root.Stat(file); err == nil {
			keys.Since = info.ModTime()
		}
	}
	if keys.Current, err = a.readKey(root, accountFile(name, ".pem")); err != nil {
		return Keys{}, err
	}
	return keys, a.readRecord(root, accountFile(name, ".json"), record)
}

// readKey returns nil and no error if there is no such file.
func (a *Accounts) readKey(root *os.Root, file string) (crypto.Signer, error) {
	data, err := readFile(root, file)
	if err != nil {
		return nil, fmt.Errorf("read account key %q: %w", filepath.Join(a.dir, file), err)
	}
	if data == nil {
		return nil, nil
	}
	return a.parse(file, data)
}

// parse returns the key that is the content of file. An unchanged one is not
// parsed again.
func (a *Accounts) parse(file string, data []byte) (crypto.Signer, error) {
	a.mu.Lock()
	known := a.parsed[file]
	a.mu.Unlock()
	if known.key != nil && bytes.Equal(known.pem, data) {
		return known.key, nil
	}
	key, err := parseKey(data)
	if err != nil {
		return nil, fmt.Errorf("read account key %q: %w: restore it from a backup, or move it away to have a new account made", filepath.Join(a.dir, file), err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.parsed[file] = parsedKey{data, key}
	return key, nil
}

func (a *Accounts) readRecord(root *os.Root, file string, record any) error {
	data, err := readFile(root, file)
	if err == nil && data == nil {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, record)
	}
	if v, ok := record.(interface{ Validate() error }); ok && err == nil {
		err = v.Validate()
	}
	if err != nil {
		return fmt.Errorf("read account %q: %w: restore it, or remove it to have the account looked up by its key", filepath.Join(a.dir, file), err)
	}
	return nil
}

// turn returns where those who want to hold name queue.
func (a *Accounts) turn(name string) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.turns[name]
	if t == nil {
		t = make(chan struct{}, 1)
		a.turns[name] = t
	}
	return t
}

// makeAccountsDir creates the directory of the accounts, durably.
func makeAccountsDir(root *os.Root) error {
	err := root.Mkdir(accountsDir, dirMode)
	if errors.Is(err, fs.ErrExist) {
		info, err := root.Stat(accountsDir)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%q is not a directory", accountsDir)
		}
		return err
	}
	if err != nil {
		return err
	}
	return syncDir(root, ".")
}

func accountFile(name, suffix string) string { return filepath.Join(accountsDir, name+suffix) }

// checkName refuses names that are not fit for a file name anywhere, and those
// with a dot, whose files could be another account's.
func checkName(name string) error {
	ok := name != "" && len(name) <= 200
	for i := range len(name) {
		c := name[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-')
	}
	if !ok {
		return fmt.Errorf("account name %q: must be 1 to 200 of a-z, 0-9, '_' and '-'", name)
	}
	return nil
}
