package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestBad holds the exact text of every mistake: testdata/bad has pairs of a
// configuration and what is said of it.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(files) < 5 {
		t.Fatalf("glob: %v, %d files", err, len(files))
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(archive.Files)%2 != 0 {
			t.Fatalf("%s: want pairs of .yml and .err", file)
		}
		for i := 0; i < len(archive.Files); i += 2 {
			in, want := archive.Files[i], &archive.Files[i+1]
			name := strings.TrimSuffix(in.Name, ".yml")
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar")+"/"+name, func(t *testing.T) {
				if want.Name != name+".err" {
					t.Fatalf("%s is followed by %s", in.Name, want.Name)
				}
				_, err := Parse("testdata/bad/"+in.Name, in.Data)
				if err == nil {
					t.Fatal("no error")
				}
				got := strings.ReplaceAll(err.Error(), "testdata/bad/", "") + "\n"
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
		if *update {
			if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkErrors checks that err joins nothing but errors with a position, each
// told once and in one line.
func checkErrors(t *testing.T, err error) {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%T joins nothing", err)
	}
	seen := map[string]bool{}
	last := &Error{}
	for _, one := range joined.Unwrap() {
		e, ok := errors.AsType[*Error](one)
		if !ok {
			t.Fatalf("%T is not an *Error", one)
		}
		text := e.Error()
		switch {
		case e.Line < 1 || e.Problem == "":
			t.Errorf("%q: no line or no problem", text)
		case seen[text]:
			t.Errorf("%q is told twice", text)
		case strings.ContainsAny(text, "\n\r"):
			t.Errorf("%q has several lines", text)
		case e.Line < last.Line || e.Line == last.Line && e.Column < last.Column:
			t.Errorf("%q comes after %q", text, last)
		}
		seen[text] = true
		last = e
	}
}

// TestAliasBomb holds that a few lines cannot cost minutes or gigabytes.
func TestAliasBomb(t *testing.T) {
	var merges, lists, mistakes strings.Builder
	merges.WriteString("targets:\n  t0: &m0 {preset: letsencrypt, probes: {directory: 1m}}\n")
	lists.WriteString("targets:\n  t0:\n    preset: letsencrypt\n    probes: {directory: 1m}\n    account: {contact: &l [x")
	lists.WriteString(strings.Repeat(", x", 999) + "]}\n")
	mistakes.WriteString("targets:\n  t0: &t {own_ca: [], account: {contact: {}}, probes: []}\n")
	for i := 1; i <= 30; i++ {
		fmt.Fprintf(&merges, "  t%d: &m%d {<<: [*m%d, *m%d]}\n", i, i, i-1, i-1)
	}
	for i := range 1000 {
		fmt.Fprintf(&lists, "  u%d: {preset: letsencrypt, probes: {directory: 1m}, account: {contact: *l}}\n", i)
		fmt.Fprintf(&mistakes, "  u%d: *t\n", i)
	}
	const values = "more than 200000 values once aliases are followed: write less, or fewer aliases"
	for name, test := range map[string]struct{ file, want string }{
		"merges":   {merges.String(), values},
		"lists":    {lists.String(), values},
		"mistakes": {mistakes.String(), "more than 2000 mistakes: what is found after them is not shown"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("bomb.yml", []byte(test.file))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %.500v", err)
			}
			if n := strings.Count(err.Error(), "\n"); n > 2001 {
				t.Errorf("%d lines", n)
			}
		})
	}
}

func TestLoadUnreadable(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, "long.yml")
	if err := os.WriteFile(long, bytes.Repeat([]byte("#"), maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ file, want string }{
		{filepath.Join(dir, "none.yml"), "none.yml: cannot open it: no such file or directory"},
		{dir, ": cannot read it: not a regular file"},
		{long, "long.yml: cannot read it: longer than 8388608 bytes"},
	} {
		_, err := Load(test.file)
		if _, ok := errors.AsType[*Error](err); !ok || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("Load(%q) = %v, want %q", test.file, err, test.want)
		}
	}
}

func TestPathString(t *testing.T) {
	for _, test := range []struct {
		path path
		want string
	}{
		{"", ""},
		{path("targets").keys("corp", "probes", "issue_dns"), "targets.corp.probes.issue_dns"},
		{path("responders").keys("dns", "zones").index(3), "responders.dns.zones[3]"},
		{path("targets").key("a.b").key("preset"), `targets["a.b"].preset`},
		{path("targets").key(""), `targets[""]`},
		{path("targets").key("a\x00b"), "targets[\"a\uFFFDb\"]"},
	} {
		if got := test.path.String(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}
