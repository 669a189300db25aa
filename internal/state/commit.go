package state

import (
	"errors"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// write is one Put, or a Delete when value is nil.
type write struct {
	bucket, key string
	value       []byte
}

// commit is a group of writes that become durable together.
type commit struct {
	writes []write
	done   chan struct{} // closed when err is final
	err    error
}

// write makes all of ws durable, or none, together with whatever else waits for
// the commit in progress to end. The first to wait does the work for all. bbolt's
// own Batch waits for company instead, and so makes a lone write slower.
func (s *Store) write(ws ...write) error {
	for _, w := range ws {
		if err := w.check(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	c := s.next
	first := c == nil
	if first {
		c = &commit{done: make(chan struct{})}
		s.next = c
	}
	c.writes = append(c.writes, ws...)
	s.mu.Unlock()
	if !first {
		<-c.done
		return c.err
	}

	s.committing.Lock()
	s.mu.Lock()
	s.next = nil // who comes now is too late for this one
	s.mu.Unlock()
	// Deferred, so that a panic in bbolt does not leave the others waiting.
	defer s.committing.Unlock()
	defer close(c.done)
	c.err = errors.New("commit did not finish")
	c.err = s.db.Update(func(tx *bolt.Tx) error {
		for _, w := range c.writes {
			if err := w.apply(tx); err != nil {
				return err
			}
		}
		return nil
	})
	return c.err
}

// check refuses what apply would: one write must not fail the others' commit.
func (w write) check() error {
	switch {
	case w.bucket == "":
		return bolterrors.ErrBucketNameRequired
	case w.key == "":
		return bolterrors.ErrKeyRequired
	case len(w.key) > bolt.MaxKeySize:
		return bolterrors.ErrKeyTooLarge
	case len(w.value) > bolt.MaxValueSize:
		return bolterrors.ErrValueTooLarge
	}
	return nil
}

func (w write) apply(tx *bolt.Tx) error {
	if w.value == nil {
		if b := tx.Bucket([]byte(w.bucket)); b != nil {
			return b.Delete([]byte(w.key))
		}
		return nil
	}
	b, err := tx.CreateBucketIfNotExists([]byte(w.bucket))
	if err != nil {
		return err
	}
	return b.Put([]byte(w.key), w.value)
}
