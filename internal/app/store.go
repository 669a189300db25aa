package app

import (
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

// ensure opens the store if cfg signs, or if its directory is there already. It
// reports whether it has opened it now.
func (s *store) ensure(cfg *config.Config) (opened bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open != nil || !signs(cfg) && !state.Ours(s.dir) {
		return false, nil
	}
	s.open, err = state.Open(s.dir)
	return err == nil, err
}

func signs(cfg *config.Config) bool {
	for _, pair := range cfg.Pairs() {
		if pair.Module.Prober.Signs() {
			return true
		}
	}
	return false
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
