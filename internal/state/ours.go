package state

import (
	"os"
	"slices"
)

// Ours reports whether dir is a state directory already, or an empty one that
// was made to become one, as systemd does. Any other directory may be anybody's.
func Ours(dir string) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	return len(entries) == 0 || slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		return e.Name() == storeFile || e.Name() == accountsDir
	})
}
