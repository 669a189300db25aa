package state

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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

func TestAccountKeyFilePutBack(t *testing.T) {
	dir := t.TempDir()
	a := NewAccounts(dir)
	h, release := holdAccount(t, a, "ca")
	if _, err := h.CreateKey("ecdsa-p256"); err != nil {
		t.Fatal(err)
	}
	release()
	// No lock, and a type that nobody makes any more.
	backup, err := rsa.GenerateKey(rand.Reader, 3072)
	if err != nil {
		t.Fatal(err)
	}
	writeKey(t, filepath.Join(dir, "accounts", "ca.pem"), backup)
	keys, err := a.Read("ca", new(record))
	if err != nil || !equal(keys.Current, backup) || KeyType(keys.Current.Public()) != "rsa-3072" {
		t.Errorf("the key that was put back is not used: %v", err)
	}
}

func TestAccountDamagedFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	a := NewAccounts("data")
	h, release := holdAccount(t, a, "good")
	if _, err := h.CreateKey("ecdsa-p256"); err != nil {
		t.Fatal(err)
	}
	release()
	good, err := os.ReadFile("data/accounts/good.pem")
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	writeKey(t, "data/accounts/ed.pem", ed)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	writeKey(t, "data/accounts/p521.pem", p521)

	const (
		pemAdvice  = ": restore it from a backup, or move it away to have a new account made"
		jsonAdvice = ": restore it, or remove it to have the account looked up by its key"
		wrongKey   = "not an ECDSA key on P-256 or P-384, nor an RSA key of 2048 to 8192 bits"
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
		{"ed.pem", "", wrongKey + pemAdvice},
		{"p521.pem", "", wrongKey + pemAdvice},
		{"half.new.pem", string(good[:len(good)/2]), `no PEM block "PRIVATE KEY"` + pemAdvice},
		{"null.json", "null", `url is missing` + jsonAdvice},
		{"broken.json", `{"url": `, `unexpected end of JSON input` + jsonAdvice},
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
		if strings.HasSuffix(kind, "pem") {
			want = fmt.Sprintf("read account key %q: ", path) + test.want
		}
		h, release := holdAccount(t, a, name)
		for how, read := range map[string]func() (Keys, error){
			"Accounts": func() (Keys, error) { return a.Read(name, new(record)) },
			"Held":     func() (Keys, error) { return h.Read(new(record)) },
		} {
			if _, err := read(); err == nil || err.Error() != want {
				t.Errorf("%s, %s: %v\nwant %s", how, test.file, err, want)
			}
		}
		release()
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s was overwritten", test.file)
		}
	}
}
