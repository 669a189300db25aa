package state

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOurs(t *testing.T) {
	dir := t.TempDir()
	if !Ours(dir) {
		t.Error("an empty directory is not ours")
	}
	if Ours(filepath.Join(dir, "missing")) {
		t.Error("a directory that is not there is ours")
	}
	if err := os.WriteFile(filepath.Join(dir, "report.csv"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if Ours(dir) || Ours(filepath.Join(dir, "report.csv")) {
		t.Error("somebody else's directory or file is ours")
	}
	store, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if !Ours(dir) {
		t.Error("a directory with a store is not ours")
	}
}
