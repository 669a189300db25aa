package state

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// record is what these tests keep of an account.
type record struct {
	URL string `json:"url"`
}

func (r *record) Validate() error {
	if r.URL == "" {
		return errors.New("url is missing")
	}
	return nil
}

// hold holds an account until the test ends or release is called.
func holdAccount(t *testing.T, a *Accounts, name string) (h *Held, release func()) {
	t.Helper()
	h, err := a.Hold(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(h.Release)
	t.Cleanup(release)
	return h, release
}

// files are the names in the directory of the accounts, with their modes. What
// is put aside has TIME in its name.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, accountsDir))
	if err != nil {
		t.Fatal(err)
	}
	moment := regexp.MustCompile(`\d{8}T\d{6}\.\d{3}Z`)
	var list []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%o %s", info.Mode().Perm(), moment.ReplaceAllString(e.Name(), "TIME")))
	}
	return list
}

func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, files(t, dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func equal(a, b crypto.Signer) bool {
	return a != nil && b != nil && a.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(b.Public())
}

func TestAccountLife(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	a := NewAccounts(dir)
	var r record
	if keys, err := a.Read("ca", &r); err != nil || keys.Current != nil {
		t.Errorf("before: %v, %v", keys, err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("reading made the directory: %v", err)
	}

	h, release := holdAccount(t, a, "ca")
	first, err := h.CreateKey("ecdsa-p256")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.CreateKey("ecdsa-p256"); err == nil {
		t.Error("a second key overwrote the first")
	}
	if err := h.Save(record{URL: "https://ca.example/1"}); err != nil {
		t.Fatal(err)
	}
	second, err := h.StageKey("ecdsa-p384")
	if err != nil {
		t.Fatal(err)
	}
	release()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != dirMode {
		t.Errorf("the directory: %v, %v", info, err)
	}
	wantFiles(t, dir, "600 ca.json", "600 ca.lock", "600 ca.new.pem", "600 ca.pem")
	b, _ := os.ReadFile(filepath.Join(dir, "accounts", "ca.json"))
	if want := "{\n  \"url\": \"https://ca.example/1\"\n}\n"; string(b) != want {
		t.Errorf("ca.json is %q, want %q", b, want)
	}

	for who, a := range map[string]*Accounts{"the same": a, "another": NewAccounts(dir)} {
		r = record{}
		keys, err := a.Read("ca", &r)
		if err != nil || !equal(keys.Current, first) || !equal(keys.Next, second) || time.Since(keys.Since) > time.Minute || r.URL != "https://ca.example/1" {
			t.Errorf("%s: %+v, %+v, %v", who, keys, r, err)
		}
	}

	h, release = holdAccount(t, NewAccounts(dir), "ca")
	if err := h.TakeStaged(); err != nil {
		t.Fatal(err)
	}
	release()
	keys, err := a.Read("ca", &r)
	if err != nil || !equal(keys.Current, second) || keys.Next != nil {
		t.Errorf("after the rotation: %+v, %v", keys, err)
	}
	wantFiles(t, dir, "600 ca.json", "600 ca.lock", "600 ca.pem")

	h, release = holdAccount(t, a, "ca")
	if err := h.DropStaged(); err != nil {
		t.Errorf("nothing to drop: %v", err)
	}
	if _, err := h.StageKey("ecdsa-p256"); err != nil {
		t.Error(err)
	}
	if _, err := h.StageKey("ecdsa-p256"); err != nil {
		t.Error(err)
	}
	if err := h.PutAside(); err != nil {
		t.Error(err)
	}
	release()
	r = record{}
	if keys, err := a.Read("ca", &r); err != nil || keys.Current != nil || keys.Next != nil || r.URL != "" {
		t.Errorf("put aside: %+v, %+v, %v", keys, r, err)
	}
	wantFiles(t, dir, "600 ca.lock", "600 ca.old-TIME.json", "600 ca.old-TIME.pem", "600 ca.unused-TIME.pem", "600 ca.unused-TIME.pem")
}

func TestKeyTypes(t *testing.T) {
	for _, keyType := range []string{"ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-4096"} {
		data, err := newKey(keyType)
		if err != nil {
			t.Fatal(err)
		}
		key, err := parseKey(data)
		if err != nil || KeyType(key.Public()) != keyType {
			t.Errorf("%s: %v, %v", keyType, KeyType(key.Public()), err)
		}
		if !strings.HasPrefix(string(data), "-----BEGIN PRIVATE KEY-----\n") {
			t.Errorf("%s is not PKCS #8 in PEM", keyType)
		}
	}
	if _, err := newKey("dsa"); err == nil || err.Error() != `there is no key type "dsa"` {
		t.Errorf("dsa: %v", err)
	}
	if got := KeyType(ed25519.PublicKey{}); got != "" {
		t.Errorf("Ed25519 is %q", got)
	}
}

// TestHoldIsExclusive has holders that share a process, and holders that share
// nothing but the files, take turns.
func TestHoldIsExclusive(t *testing.T) {
	dir := t.TempDir()
	shared := NewAccounts(dir)
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		holders int
	)
	keys := make([]crypto.Signer, 8)
	for i := range keys {
		a := shared
		if i%2 == 1 {
			a = NewAccounts(dir)
		}
		wg.Go(func() {
			h, err := a.Hold(t.Context(), "ca")
			if err != nil {
				t.Error(err)
				return
			}
			defer h.Release()
			mu.Lock()
			if holders++; holders != 1 {
				t.Errorf("%d holders", holders)
			}
			mu.Unlock()
			found, err := h.Read(new(record))
			if err == nil && found.Current == nil {
				found.Current, err = h.CreateKey("ecdsa-p256")
			}
			if err != nil {
				t.Error(err)
			}
			keys[i] = found.Current
			mu.Lock()
			holders--
			mu.Unlock()
		})
	}
	wg.Wait()
	for i, k := range keys {
		if !equal(keys[0], k) {
			t.Errorf("key %d is another one", i)
		}
	}
	wantFiles(t, dir, "600 ca.lock", "600 ca.pem")
}

func TestHoldRespectsContext(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		a := NewAccounts(dir)
		h, err := a.Hold(t.Context(), "ca")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for who, other := range map[string]*Accounts{"this process": a, "another": NewAccounts(dir)} {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			_, err := other.Hold(ctx, "ca")
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), `wait for account "ca"`) {
				t.Errorf("%s: %v", who, err)
			}
		}
		if waited := time.Since(start); waited != 6*time.Second {
			t.Errorf("waited %v, want 6s", waited)
		}
		other, err := a.Hold(t.Context(), "other")
		if err != nil || time.Since(start) != 6*time.Second {
			t.Errorf("another name: %v after %v", err, time.Since(start))
		}
		other.Release()
		time.AfterFunc(time.Second, h.Release)
		again, err := NewAccounts(dir).Hold(t.Context(), "ca")
		if waited := time.Since(start); err != nil || waited < 7*time.Second || waited > 7*time.Second+lockPoll {
			t.Errorf("after the release: %v after %v", err, waited)
		}
		again.Release()
		a.Hold(t.Context(), "ca") // those who have failed left nothing behind
	})
}

func TestAccountNames(t *testing.T) {
	dir := t.TempDir()
	a := NewAccounts(dir)
	for _, name := range []string{"", ".", "..", ".hidden", "ca.new", "a/b", "../a", "A", "ä", "a b", "a\x00", `a\b`, strings.Repeat("a", 201)} {
		prefix := fmt.Sprintf("account name %q: must be", name)
		if _, err := a.Read(name, new(record)); err == nil || !strings.HasPrefix(err.Error(), prefix) {
			t.Errorf("read %q: %v", name, err)
		}
		if _, err := a.Hold(t.Context(), name); err == nil || !strings.HasPrefix(err.Error(), prefix) {
			t.Errorf("hold %q: %v", name, err)
		}
	}
	var want []string
	for _, name := range []string{"-", "a", strings.Repeat("a", 200), "ca_1", "le-staging"} {
		_, release := holdAccount(t, a, name)
		release()
		want = append(want, "600 "+name+".lock")
	}
	slices.Sort(want)
	got := files(t, dir)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
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
	for _, name := range []string{"outside", "link"} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../outside", "link/accounts"); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string][2]string{
		"file": {`open state directory "file": "file" is not a directory`, `open state directory "file": "file" is not a directory`},
		"busy": {`read account key "busy/accounts/ca.new.pem": openat accounts/ca.new.pem: not a directory`, `lock account "busy/accounts/ca.lock": "accounts" is not a directory`},
		"link": {`read account key "link/accounts/ca.new.pem": openat accounts/ca.new.pem: path escapes from parent`, `lock account "link/accounts/ca.lock": statat accounts: path escapes from parent`},
	} {
		if _, err := NewAccounts(dir).Read("ca", new(record)); err == nil || err.Error() != want[0] {
			t.Errorf("read %s: %v\nwant %s", dir, err, want[0])
		}
		if _, err := NewAccounts(dir).Hold(t.Context(), "ca"); err == nil || err.Error() != want[1] {
			t.Errorf("hold %s: %v\nwant %s", dir, err, want[1])
		}
	}
	if e, _ := os.ReadDir("outside"); len(e) != 0 {
		t.Errorf("something was written outside: %v", e)
	}
}

func BenchmarkAccount(b *testing.B) {
	a := NewAccounts(b.TempDir())
	h, err := a.Hold(b.Context(), "ca")
	if err == nil {
		_, err = h.CreateKey("ecdsa-p256")
	}
	if err == nil {
		err = h.Save(record{"https://ca.example/1"})
		h.Release()
	}
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := a.Read("ca", new(record)); err != nil {
			b.Fatal(err)
		}
	}
}
