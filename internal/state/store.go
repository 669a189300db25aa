// Package state owns the state directory: the account keys in files of their
// own ([Accounts]) and one store for everything else that must outlive the
// process ([Store]).
//
// It does not know what it keeps: values are JSON of the caller's types, and it
// imports nothing of ours. Every write is durable when it returns, and every
// path goes through an [os.Root].
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The files of the store in the state directory.
const (
	storeFile = "store.db"
	pidFile   = "store.pid"
)

// lockTimeout is how long Open waits for another process to let go: enough for
// one that is just stopping, too short to look like a hang.
const lockTimeout = time.Second

// allocSize is by how much the file grows at least, in bytes: bbolt's own 16 MiB are
// as much as most stores hold.
const allocSize = 1 << 20

// ErrLocked is in the error of [Open] when another process has the store open.
var ErrLocked = errors.New("held by another process")

// ErrDamaged is in the error of [Open] when the store's file is not what was
// written.
var ErrDamaged = errors.New("damaged")

// Store is the one store of a state directory; one process has it open at a
// time. It is safe for concurrent use.
type Store struct {
	dir  string
	root *os.Root
	db   *bolt.DB

	committing sync.Mutex // held during a commit: commits take turns
	mu         sync.Mutex // guards next
	next       *commit    // collects writes while another commit is going on; nil: none yet
}

// Open opens the store in dir, which it creates with mode 0700 if it is
// missing. It waits a second for another process to let go of the store, and
// then fails with [ErrLocked] and that process's pid.
func Open(dir string) (*Store, error) {
	root, err := openDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open state directory %q: %w", dir, err)
	}
	db, err := openBolt(root)
	if err != nil {
		err = explain(root, err)
		root.Close()
		return nil, fmt.Errorf("open state directory %q: %w", dir, err)
	}
	s := &Store{dir: dir, root: root, db: db}
	// The directory's names, the new store's among them, and then whose it is.
	if err := errors.Join(syncDir(root, "."), writePID(root)); err != nil {
		return nil, fmt.Errorf("open state directory %q: %w", dir, errors.Join(plain(err), s.Close()))
	}
	return s, nil
}

// openBolt opens the bbolt file beneath root. bbolt panics on some damaged
// files; that becomes an error.
func openBolt(root *os.Root) (db *bolt.DB, err error) {
	defer func() {
		if v := recover(); v != nil {
			db, err = nil, fmt.Errorf("%w: %v", bolterrors.ErrInvalid, v)
		}
	}()
	// The file is mapped into memory: what it has lost is a fault, not an error.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, err = bolt.Open(storeFile, fileMode, &bolt.Options{
		Timeout:      lockTimeout,
		OpenFile:     root.OpenFile,
		FreelistType: bolt.FreelistArrayType, // the first hole that fits: the other leaves twice as many
		NoStatistics: true,
	})
	if err == nil {
		db.AllocSize = allocSize
	}
	return db, err
}

// explain says what an error of openBolt means and what can be done.
func explain(root *os.Root, err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return &lockedError{pid: readPID(root)}
	case damaged(err):
		return fmt.Errorf("%s is %w (%w): restore it, or move it away to start without history (account keys are other files, and stay)", storeFile, ErrDamaged, err)
	}
	return plain(err)
}

// damaged reports whether err is about what the file holds. Of some of that bbolt
// has no errors of their own; what is about reaching the file is the system's.
func damaged(err error) bool {
	_, path := errors.AsType[*os.PathError](err)
	_, errno := errors.AsType[syscall.Errno](err)
	return !path && !errno
}

// Close waits for the writes in progress and lets go of the store. Writes after
// it fail.
func (s *Store) Close() error {
	s.committing.Lock()
	defer s.committing.Unlock()
	// While the lock is still ours: the next holder writes its own.
	pidErr := removePID(s.root)
	if err := errors.Join(pidErr, s.db.Close(), s.root.Close()); err != nil {
		return fmt.Errorf("close state directory %q: %w", s.dir, err)
	}
	return nil
}

// Put stores value as JSON beneath key in bucket, which it creates if it is
// missing. It is durable when Put returns; Puts and Deletes at the same time
// share one commit.
func (s *Store) Put(bucket, key string, value any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("store %q in %q: %w", key, bucket, err)
	}
	if err := s.write(write{bucket: bucket, key: key, value: b}); err != nil {
		return fmt.Errorf("store %q in %q: %w", key, bucket, err)
	}
	return nil
}

// Delete removes key from bucket, durably when it returns. Neither needs to exist.
func (s *Store) Delete(bucket, key string) error {
	if err := s.write(write{bucket: bucket, key: key}); err != nil {
		return fmt.Errorf("delete %q from %q: %w", key, bucket, err)
	}
	return nil
}

// Get returns the JSON that is stored beneath key in bucket; nil: there is none.
func (s *Store) Get(bucket, key string) (value []byte, err error) {
	err = s.view(func(tx *bolt.Tx) error {
		if b := tx.Bucket([]byte(bucket)); b != nil {
			value = slices.Clone(b.Get([]byte(key)))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %q from %q: %w", key, bucket, err)
	}
	return value, nil
}

// All calls each for every key of bucket in the order of the keys, as they were
// when All was called; each may write to the store. It stops at the first error
// of each and returns it as it is. A bucket that does not exist has no keys.
func (s *Store) All(bucket string, each func(key string, value []byte) error) error {
	type pair struct {
		key   string
		value []byte
	}
	var pairs []pair
	err := s.view(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return nil
		}
		// Copied, because each must not run inside the transaction: a write there
		// would wait for it for ever.
		return b.ForEach(func(k, v []byte) error {
			pairs = append(pairs, pair{string(k), slices.Clone(v)})
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("read %q: %w", bucket, err)
	}
	for _, p := range pairs {
		if err := each(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}
