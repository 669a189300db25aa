package state

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bolterrors "go.etcd.io/bbolt/errors"
)

func TestCommitAllOrNone(t *testing.T) {
	s := open(t, t.TempDir())
	before := txID(t, s)
	if err := s.Commit(); err != nil || txID(t, s) != before {
		t.Errorf("no changes: %v, and %d transactions", err, txID(t, s)-before)
	}
	if err := s.Commit(Change{"a", "one", 1}, Change{"b", "two", 2}, Change{"a", "three", 3}); err != nil {
		t.Fatal(err)
	}
	if got := txID(t, s) - before; got != 1 {
		t.Errorf("three changes took %d transactions, want 1", got)
	}
	for name, bad := range map[string]Change{
		"no bucket": {"", "k", 1},
		"no key":    {"a", "", 1},
		"not JSON":  {"a", "k", func() {}},
	} {
		if err := s.Commit(Change{"a", "four", 4}, Change{"a", "one", nil}, bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := s.Commit(Change{"b", "two", nil}, Change{"b", "absent", nil}, Change{"a", "three", 33}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"one": "1", "three": "33"}, all(t, s, "a")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{}, all(t, s, "b")); diff != "" {
		t.Error(diff)
	}
}

// TestCutShort has somebody cut the store's file short while it is open, and
// before it is: an error, where reading mapped memory would end the process.
func TestCutShort(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 100 {
		if err := s.Put("b", fmt.Sprint(i), strings.Repeat("x", 4096)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(dir, storeFile), 8192); err != nil {
		t.Fatal(err)
	}
	err := s.All("b", func(string, []byte) error { return nil })
	if !errors.Is(err, bolterrors.ErrInvalid) || !strings.HasPrefix(err.Error(), `read "b": store.db is damaged (invalid database: `) {
		t.Errorf("All: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if s, err := Open(dir); err == nil {
		err := s.All("b", func(string, []byte) error { return nil })
		s.Close()
		if !errors.Is(err, bolterrors.ErrInvalid) {
			t.Errorf("All after Open: %v", err)
		}
	} else if !errors.Is(err, bolterrors.ErrInvalid) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("Open: %v", err)
	}
}
