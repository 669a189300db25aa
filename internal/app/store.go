package app

import (
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// store is the state directory's store, once there is a reason to open it: a
// configuration that only reads directories and nonces leaves no trace on disk.
// Until then it takes everything and keeps nothing.
type store struct {
	dir string

	mu   sync.RWMutex // guards open
	open *state.Store // nil: not yet, or not any more
}

// ensure opens the store if cfg signs, or if its directory is there already.
func (s *store) ensure(cfg *config.Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open != nil || !signs(cfg) && !exists(s.dir) {
		return nil
	}
	opened, err := state.Open(s.dir)
	if err != nil {
		return err
	}
	s.open = opened
	return nil
}

func signs(cfg *config.Config) bool {
	for _, pair := range cfg.Pairs() {
		if pair.Module.Prober.Signs() {
			return true
		}
	}
	return false
}

func exists(dir string) bool {
	_, err := os.Stat(dir)
	return !errors.Is(err, fs.ErrNotExist)
}

// Put implements runner.Store.
func (s *store) Put(bucket, key string, value any) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.open == nil {
		return nil
	}
	return s.open.Put(bucket, key, value)
}

// Delete implements runner.Store.
func (s *store) Delete(bucket, key string) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.open == nil {
		return nil
	}
	return s.open.Delete(bucket, key)
}

// All implements runner.Store.
func (s *store) All(bucket string, each func(key string, value []byte) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.open == nil {
		return nil
	}
	return s.open.All(bucket, each)
}

// close closes the store if it is open.
func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return nil
	}
	err := s.open.Close()
	s.open = nil
	return err
}
