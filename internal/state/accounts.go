package state

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

const (
	accountsDir = "accounts"
	pemType     = "PRIVATE KEY" // PKCS #8, RFC 7468 §10
)

// Accounts keeps ACME accounts: for each name the key in accounts/NAME.pem and
// what it is registered as in accounts/NAME.json. Both can be read, copied and
// put back while the program runs; no lock is involved. It is safe for
// concurrent use.
type Accounts struct {
	dir string

	mu      sync.Mutex // guards entries
	entries map[string]*account
}

// account is what is known of one name. Who has received from turn owns the
// other fields.
type account struct {
	turn chan struct{} // capacity 1: one caller at a time, waiting under its own ctx
	pem  []byte        // the file that key was parsed from
	key  *ecdsa.PrivateKey
}

// registration is the content of accounts/NAME.json.
type registration struct {
	DirectoryURL string `json:"directory_url"`
	AccountURL   string `json:"account_url"`
}

// NewAccounts returns the accounts in the state directory dir. It touches
// nothing; the directory is created when the first key is.
func NewAccounts(dir string) *Accounts {
	return &Accounts{dir: dir, entries: make(map[string]*account)}
}

// Account returns the key and the account URL of name at the CA whose directory
// is directoryURL. Name consists of a-z, 0-9, '.', '_' and '-', and does not
// begin with a dot.
//
// A missing key is made and durable before anything is done with it. If name is
// not registered with that directory yet, Account calls register with the key,
// keeps the URL that it returns, and returns its error as it is; for each name
// one call of register is in progress at a time, and who waits for it waits no
// longer than ctx. A file that cannot be read or understood is an error that
// names it, and is never overwritten.
func (a *Accounts) Account(ctx context.Context, name, directoryURL string, register func(context.Context, crypto.Signer) (string, error)) (crypto.Signer, string, error) {
	if err := checkName(name); err != nil {
		return nil, "", err
	}
	e := a.entry(name)
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return nil, "", fmt.Errorf("wait for the registration of account %q: %w", name, context.Cause(ctx))
	}

	root, err := openDir(a.dir)
	if err != nil {
		return nil, "", fmt.Errorf("open state directory %q: %w", a.dir, err)
	}
	defer root.Close()
	if err := a.loadKey(root, name, e); err != nil {
		return nil, "", err
	}
	r, err := a.loadRegistration(root, name)
	if err != nil {
		return nil, "", err
	}
	if r.DirectoryURL == directoryURL && r.AccountURL != "" {
		return e.key, r.AccountURL, nil
	}

	url, err := register(ctx, e.key)
	if err != nil {
		return nil, "", err
	}
	if url == "" {
		return nil, "", fmt.Errorf("register account %q: the CA named no account URL", name)
	}
	if err := a.saveRegistration(root, name, registration{directoryURL, url}); err != nil {
		return nil, "", err
	}
	return e.key, url, nil
}

func (a *Accounts) entry(name string) *account {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.entries[name]
	if e == nil {
		e = &account{turn: make(chan struct{}, 1)}
		a.entries[name] = e
	}
	return e
}

// loadKey fills in e.key from the key file, which it makes if there is none. An
// unchanged file is not parsed again.
func (a *Accounts) loadKey(root *os.Root, name string, e *account) error {
	file := filepath.Join(accountsDir, name+".pem")
	path := filepath.Join(a.dir, file)
	data, err := readFile(root, file)
	if err != nil {
		return fmt.Errorf("read account key %q: %w", path, err)
	}
	if data == nil {
		if data, err = createKey(root, file); err != nil {
			return fmt.Errorf("create account key %q: %w", path, plain(err))
		}
	}
	if e.key != nil && bytes.Equal(data, e.pem) {
		return nil
	}
	key, err := parseKey(data)
	if err != nil {
		return fmt.Errorf("read account key %q: %w: restore it from a backup, or move it away to have a new account made", path, err)
	}
	e.pem, e.key = data, key
	return nil
}

// createKey makes a key file and returns its content, or that of the file which
// another process made in the same moment.
func createKey(root *os.Root, file string) ([]byte, error) {
	if err := makeAccountsDir(root); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	data := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	err = createFile(root, file, data)
	if errors.Is(err, fs.ErrExist) {
		return root.ReadFile(file)
	}
	return data, err
}

// makeAccountsDir creates the directory of the accounts, durably.
func makeAccountsDir(root *os.Root) error {
	err := root.Mkdir(accountsDir, dirMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(root, ".")
}

// parseKey says nothing of the content in its errors: it is a secret.
func parseKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, rest := pem.Decode(data)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("no PEM block %q", pemType)
	}
	if len(bytes.TrimSpace(rest)) != 0 {
		return nil, errors.New("more than one PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("not a PKCS #8 key")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("not an ECDSA P-256 key")
	}
	return key, nil
}

func (a *Accounts) loadRegistration(root *os.Root, name string) (registration, error) {
	file := filepath.Join(accountsDir, name+".json")
	data, err := readFile(root, file)
	if err == nil && data == nil {
		return registration{}, nil
	}
	var r registration
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err == nil && (r.DirectoryURL == "" || r.AccountURL == "") {
		err = errors.New("directory_url or account_url is missing")
	}
	if err != nil {
		return registration{}, fmt.Errorf("read account %q: %w: restore it, or remove it to have the account looked up by its key", filepath.Join(a.dir, file), err)
	}
	return r, nil
}

func (a *Accounts) saveRegistration(root *os.Root, name string, r registration) error {
	file := filepath.Join(accountsDir, name+".json")
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = replaceFile(root, file, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write account %q: %w", filepath.Join(a.dir, file), plain(err))
	}
	return nil
}

// checkName refuses names that are not fit for a file name anywhere.
func checkName(name string) error {
	ok := name != "" && name[0] != '.' && len(name) <= 200
	for i := range len(name) {
		c := name[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
	}
	if !ok {
		return fmt.Errorf("account name %q: must be 1 to 200 of a-z, 0-9, '.', '_' and '-', not beginning with a dot", name)
	}
	return nil
}
