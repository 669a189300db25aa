package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// unpack writes the files of an archive into a directory of the test's own, in which
// it is from then on.
func unpack(t *testing.T, archive *txtar.Archive) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, f := range archive.Files {
		if err := os.WriteFile(f.Name, f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBadEmail holds the exact text of every mistake, as TestBad does.
func TestBadEmail(t *testing.T) {
	const file = "testdata/email.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	home, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	unpack(t, archive)
	seen := 0
	for i := range archive.Files {
		want := &archive.Files[i]
		name, ok := strings.CutSuffix(want.Name, ".err")
		if !ok {
			continue
		}
		seen++
		t.Run(name, func(t *testing.T) {
			_, err := LoadEmail(name + ".yml")
			if err == nil {
				t.Fatal("no error")
			}
			got := err.Error() + "\n"
			if *update {
				want.Data = []byte(got)
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if strings.Contains(got, "hunter") {
				t.Error("a secret is quoted")
			}
			checkErrors(t, err)
		})
	}
	if seen < 5 {
		t.Errorf("%d files of mistakes, want 5 and more", seen)
	}
	if *update {
		if err := os.WriteFile(home, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEmail holds the defaults, and what is read from other files.
func TestEmail(t *testing.T) {
	ca, err := os.ReadFile("testdata/chain.pem")
	if err != nil {
		t.Fatal(err)
	}
	unpack(t, &txtar.Archive{Files: []txtar.File{
		{Name: "password", Data: []byte(" hunter2 \r\n")},
		{Name: "ca.pem", Data: ca},
		{Name: "all.yml", Data: []byte(`
smtp: {server: smtp.example.org, username: acme, password_file: password, ca_file: ca.pem}
from: "ACME-Bericht <acme@example.org>"
recipients: ["Jörg <joerg@Example.org>", pki@example.org]
`)},
		{Name: "implicit.yml", Data: []byte(`{smtp: {server: "192.0.2.1", tls: implicit}, from: a@b.example, recipients: [c@d.example]}`)},
		{Name: "none.yml", Data: []byte(`{smtp: {server: localhost, tls: none}, from: a@b.example, recipients: [c@d.example]}`)},
		{Name: "port.yml", Data: []byte(`{smtp: {server: "2001:db8::1", port: 2525}, from: a@b.example, recipients: [c@d.example]}`)},
	}})
	all, err := LoadEmail("all.yml")
	if err != nil {
		t.Fatal(err)
	}
	if all.SMTP.Port != 587 || all.SMTP.TLS != TLSStart || all.SMTP.Password() != " hunter2 " || all.SMTP.Roots() == nil {
		t.Errorf("%+v", all.SMTP)
	}
	if got := Mailbox(all.Recipients[0]); got.Name != "Jörg" || got.Address != "joerg@Example.org" {
		t.Errorf("recipient %v", got)
	}
	for name, port := range map[string]int{"implicit.yml": 465, "none.yml": 25, "port.yml": 2525} {
		e, err := LoadEmail(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if e.SMTP.Port != port || e.SMTP.Roots() != nil {
			t.Errorf("%s: port %d, want %d, and the system's roots", name, e.SMTP.Port, port)
		}
	}
}

// TestEmailExample loads the example as it is, beside a password.
func TestEmailExample(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(examples, "report", "email.yml"))
	if err != nil {
		t.Fatal(err)
	}
	unpack(t, &txtar.Archive{Files: []txtar.File{{Name: "email.yml", Data: data}, {Name: "smtp-password", Data: []byte("hunter2\n")}}})
	e, err := LoadEmail("email.yml")
	if err != nil {
		t.Fatal(err)
	}
	if e.SMTP.TLS != TLSStart || e.SMTP.Port != 587 || e.SMTP.Username == "" || len(e.Recipients) != 2 {
		t.Errorf("%+v", e)
	}
}
