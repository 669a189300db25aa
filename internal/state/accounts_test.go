package state

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const directory = "https://ca.example/directory"

// registers returns a register that answers url, and counts.
func registers(url string, calls *atomic.Int32) func(context.Context, crypto.Signer) (string, error) {
	return func(context.Context, crypto.Signer) (string, error) {
		calls.Add(1)
		return url, nil
	}
}

// never fails the test if it is called.
func never(t *testing.T) func(context.Context, crypto.Signer) (string, error) {
	return func(context.Context, crypto.Signer) (string, error) {
		t.Error("register was called")
		return "", errors.New("register was called")
	}
}

func TestAccountIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	a := NewAccounts(dir)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("NewAccounts made the directory: %v", err)
	}
	var calls atomic.Int32
	key, url, err := a.Account(t.Context(), "le-staging", directory, func(_ context.Context, s crypto.Signer) (string, error) {
		// The promise: durable before first use.
		b, err := os.ReadFile(filepath.Join(dir, "accounts", "le-staging.pem"))
		if err != nil {
			return "", err
		}
		onDisk, err := parseKey(b)
		if err != nil || !onDisk.Equal(s) {
			return "", errors.Join(errors.New("the file has another key"), err)
		}
		calls.Add(1)
		return "https://ca.example/acct/1", nil
	})
	if err != nil || url != "https://ca.example/acct/1" || calls.Load() != 1 {
		t.Fatalf("Account = %q, %v after %d calls of register", url, err, calls.Load())
	}
	if k, ok := key.(*ecdsa.PrivateKey); !ok || k.Curve != elliptic.P256() {
		t.Errorf("the key is %T", key)
	}

	for name, a := range map[string]*Accounts{"the same": a, "another": NewAccounts(dir)} {
		again, url, err := a.Account(t.Context(), "le-staging", directory, never(t))
		if err != nil || url != "https://ca.example/acct/1" || !again.(*ecdsa.PrivateKey).Equal(key) {
			t.Errorf("%s Accounts: %q, %v, or another key", name, url, err)
		}
	}
	checkFiles(t, dir, "le-staging")
	b, _ := os.ReadFile(filepath.Join(dir, "accounts", "le-staging.json"))
	want := "{\n  \"directory_url\": \"" + directory + "\",\n  \"account_url\": \"https://ca.example/acct/1\"\n}\n"
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
}

// checkFiles holds that the directory has the two files of each name, with the
// right modes, and nothing that a write has left behind.
func checkFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	want := map[string]os.FileMode{".": 0o700}
	for _, n := range names {
		want[n+".pem"], want[n+".json"] = 0o600, 0o600
	}
	got := map[string]os.FileMode{}
	entries, err := os.ReadDir(filepath.Join(dir, "accounts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		got[e.Name()] = info.Mode().Perm()
	}
	info, err := os.Stat(filepath.Join(dir, "accounts"))
	if err != nil {
		t.Fatal(err)
	}
	got["."] = info.Mode().Perm()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAccountOfAnotherDirectory(t *testing.T) {
	dir := t.TempDir()
	a := NewAccounts(dir)
	var first, second, third atomic.Int32
	key, _, err := a.Account(t.Context(), "ca", directory, registers("https://ca.example/acct/1", &first))
	if err != nil {
		t.Fatal(err)
	}
	moved, url, err := a.Account(t.Context(), "ca", directory+"2", registers("https://ca.example/acct/2", &second))
	if err != nil || url != "https://ca.example/acct/2" || moved != key {
		t.Errorf("at another directory: %q, %v, same key %v", url, err, moved == key)
	}
	if _, url, err = a.Account(t.Context(), "ca", directory+"2", never(t)); err != nil || url != "https://ca.example/acct/2" {
		t.Errorf("there again: %q, %v", url, err)
	}
	if _, url, err = a.Account(t.Context(), "other", directory, registers("https://ca.example/acct/3", &third)); err != nil || url != "https://ca.example/acct/3" {
		t.Errorf("another name: %q, %v", url, err)
	}
	if first.Load() != 1 || second.Load() != 1 || third.Load() != 1 {
		t.Errorf("registered %d, %d and %d times, want once each", first.Load(), second.Load(), third.Load())
	}
	checkFiles(t, dir, "ca", "other")
}

func TestAccountRegisterFails(t *testing.T) {
	dir := t.TempDir()
	a := NewAccounts(dir)
	refused := errors.New("refused")
	var failed crypto.Signer
	_, _, err := a.Account(t.Context(), "ca", directory, func(_ context.Context, s crypto.Signer) (string, error) {
		failed = s
		return "", refused
	})
	if !errors.Is(err, refused) || err.Error() != "refused" {
		t.Errorf("Account = %v, want register's error as it is", err)
	}
	if _, _, err = a.Account(t.Context(), "ca", directory, func(context.Context, crypto.Signer) (string, error) { return "", nil }); err == nil {
		t.Error("no error without an account URL")
	}
	var calls atomic.Int32
	key, _, err := a.Account(t.Context(), "ca", directory, registers("https://ca.example/acct/1", &calls))
	if err != nil || key != failed {
		t.Errorf("afterwards: %v, the same key %v", err, key == failed)
	}
}

func TestAccountWaitersRespectContext(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a := NewAccounts(dir)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, url, err := a.Account(t.Context(), "ca", directory, func(context.Context, crypto.Signer) (string, error) {
				time.Sleep(10 * time.Second)
				return "https://ca.example/acct/1", nil
			})
			if err != nil || url != "https://ca.example/acct/1" {
				t.Errorf("the first: %q, %v", url, err)
			}
		})
		synctest.Wait()
		start := time.Now()
		for i := range 5 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
				defer cancel()
				_, _, err := a.Account(ctx, "ca", directory, never(t))
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Duration(i+1)*time.Second {
					t.Errorf("impatient %d: %v after %v", i, err, time.Since(start))
				}
			})
			wg.Go(func() {
				_, url, err := a.Account(t.Context(), "ca", directory, never(t))
				if err != nil || url != "https://ca.example/acct/1" || time.Since(start) != 10*time.Second {
					t.Errorf("patient %d: %q, %v after %v", i, url, err, time.Since(start))
				}
			})
		}
		var calls atomic.Int32
		if _, _, err := a.Account(t.Context(), "other", directory, registers("https://ca.example/acct/2", &calls)); err != nil || time.Since(start) != 0 {
			t.Errorf("another name waited %v: %v", time.Since(start), err)
		}
		wg.Wait()
	})
}

// TestAccountTwoProcesses has two Accounts, which share no lock, make the same
// key at once.
func TestAccountTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	keys := make([]crypto.Signer, 8)
	var wg sync.WaitGroup
	var calls atomic.Int32
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], _, err = NewAccounts(dir).Account(t.Context(), "ca", directory, registers("https://ca.example/acct/1", &calls)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i, k := range keys {
		if !keys[0].(*ecdsa.PrivateKey).Equal(k) {
			t.Errorf("key %d is another one", i)
		}
	}
	checkFiles(t, dir, "ca")
}

func TestAccountKeyFilePutBack(t *testing.T) {
	dir := t.TempDir()
	a := NewAccounts(dir)
	var calls atomic.Int32
	if _, _, err := a.Account(t.Context(), "ca", directory, registers("https://ca.example/acct/1", &calls)); err != nil {
		t.Fatal(err)
	}
	backup, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	writeKey(t, filepath.Join(dir, "accounts", "ca.pem"), backup)
	key, _, err := a.Account(t.Context(), "ca", directory, never(t))
	if err != nil || !backup.Equal(key) {
		t.Errorf("the key that was put back is not used: %v", err)
	}
}

func writeKey(t *testing.T, path string, key any) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAccountDamagedFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	a := NewAccounts("data")
	var calls atomic.Int32
	if _, _, err := a.Account(t.Context(), "good", directory, registers("https://ca.example/acct/1", &calls)); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile("data/accounts/good.pem")
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	writeKey(t, "data/accounts/ed.pem", ed)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	writeKey(t, "data/accounts/p384.pem", p384)

	const (
		pemAdvice  = ": restore it from a backup, or move it away to have a new account made"
		jsonAdvice = ": restore it, or remove it to have the account looked up by its key"
	)
	tests := []struct {
		file, content string // no content: as it is
		want          string
	}{
		{"empty.pem", "\n", `no PEM block "PRIVATE KEY"` + pemAdvice},
		{"cut.pem", string(good[:len(good)/2]), `no PEM block "PRIVATE KEY"` + pemAdvice},
		{"ec.pem", strings.ReplaceAll(string(good), "PRIVATE", "EC PRIVATE"), `no PEM block "PRIVATE KEY"` + pemAdvice},
		{"twice.pem", string(good) + string(good), `more than one PEM block` + pemAdvice},
		{"other.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", `not a PKCS #8 key` + pemAdvice},
		{"ed.pem", "", `not an ECDSA P-256 key` + pemAdvice},
		{"p384.pem", "", `not an ECDSA P-256 key` + pemAdvice},
		{"null.json", "null", `directory_url or account_url is missing` + jsonAdvice},
		{"half.json", `{"directory_url": "https://ca.example/directory"}`, `directory_url or account_url is missing` + jsonAdvice},
		{"broken.json", `{"directory_url": `, `unexpected end of JSON input` + jsonAdvice},
		{"none.json", "\x00", `invalid character '\x00' looking for beginning of value` + jsonAdvice},
	}
	for _, test := range tests {
		path := "data/accounts/" + test.file
		if test.content != "" {
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before, _ := os.ReadFile(path)
		name, kind, _ := strings.Cut(test.file, ".")
		want := fmt.Sprintf("read account %q: ", path) + test.want
		if kind == "pem" {
			want = fmt.Sprintf("read account key %q: ", path) + test.want
		}
		_, _, err := a.Account(t.Context(), name, directory, never(t))
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", test.file, err, want)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s was overwritten", test.file)
		}
	}
}

func TestAccountNames(t *testing.T) {
	dir := t.TempDir()
	a := NewAccounts(dir)
	for _, name := range []string{"", ".", "..", ".hidden", "a/b", "../a", "A", "ä", "a b", "a\x00", `a\b`, strings.Repeat("a", 201)} {
		if _, _, err := a.Account(t.Context(), name, directory, never(t)); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("account name %q: must be", name)) {
			t.Errorf("%q: %v", name, err)
		}
	}
	var calls atomic.Int32
	for _, name := range []string{"a", "le-staging", "ca_1.example", "-", strings.Repeat("a", 200)} {
		if _, _, err := a.Account(t.Context(), name, directory, registers("https://ca.example/acct/1", &calls)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	if calls.Load() != 5 {
		t.Errorf("registered %d accounts, want 5", calls.Load())
	}
}

func TestAccountDirectoryErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"file", "busy/accounts"} {
		os.MkdirAll(filepath.Dir(name), 0o700)
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll("outside", 0o700); err != nil {
		t.Fatal(err)
	}
	os.Mkdir("link", 0o700)
	if err := os.Symlink("../outside", "link/accounts"); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		"file": `open state directory "file": "file" is not a directory`,
		"busy": `read account key "busy/accounts/ca.pem": openat accounts/ca.pem: not a directory`,
		"link": `read account key "link/accounts/ca.pem": openat accounts/ca.pem: path escapes from parent`,
	} {
		_, _, err := NewAccounts(dir).Account(t.Context(), "ca", directory, never(t))
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", dir, err, want)
		}
	}
	if e, _ := os.ReadDir("outside"); len(e) != 0 {
		t.Errorf("something was written outside: %v", e)
	}
}

func BenchmarkAccount(b *testing.B) {
	a := NewAccounts(b.TempDir())
	var calls atomic.Int32
	for b.Loop() {
		if _, _, err := a.Account(b.Context(), "ca", directory, registers("https://ca.example/acct/1", &calls)); err != nil {
			b.Fatal(err)
		}
	}
}
