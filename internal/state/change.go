package state

import (
	"encoding/json"
	"fmt"
	"runtime/debug"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// Change is one write among those of a [Store.Commit].
type Change struct {
	Bucket, Key string
	Value       any // stored as JSON; nil: Key is removed
}

// Commit makes all changes durable in one transaction, or none of them. When it
// returns, they are.
func (s *Store) Commit(changes ...Change) error {
	if len(changes) == 0 {
		return nil
	}
	writes := make([]write, len(changes))
	for i, c := range changes {
		writes[i] = write{bucket: c.Bucket, key: c.Key}
		if c.Value == nil {
			continue
		}
		b, err := json.Marshal(c.Value)
		if err != nil {
			return fmt.Errorf("store %q in %q: %w", c.Key, c.Bucket, err)
		}
		writes[i].value = b
	}
	if err := s.write(writes...); err != nil {
		return fmt.Errorf("store %d changes, %q in %q among them: %w", len(changes), changes[0].Key, changes[0].Bucket, err)
	}
	return nil
}

// view is bbolt's View. That panics on some damaged files, and in a file that
// somebody has cut short it faults, since the file is mapped into memory; either
// becomes an error.
func (s *Store) view(read func(*bolt.Tx) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%s is damaged (%w: %v): restore it, or move it away to start without history", storeFile, bolterrors.ErrInvalid, v)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return s.db.View(read)
}
