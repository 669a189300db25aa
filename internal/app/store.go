package app

import (
	"errors"
	"sync"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// store is the state directory's store, once there is a reason to open it: a
// configuration that only reads directories and nonces leaves no trace on disk.
// Until then it takes everything and keeps nothing. One that is damaged takes and
// has nothing.
type store struct {
	dir string

	mu   sync.RWMutex // guards the field below, and is held while something is read or written
	open *state.Store // nil: not yet, or not any more

	said   sync.Mutex // guards the fields below; never held while something is read or written
	broken error      // why it cannot be opened; nil: it can
	locked error      // who has it instead; nil: nobody
}

// ensure opens the store if cfg signs, or if its directory is there already. It
// reports whether it has opened it now, or found it damaged: then what needs no
// store goes on, and everything else fails for that reason.
func (s *store) ensure(cfg *config.Config) (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open != nil || s.damaged() != nil || !signs(cfg) && !state.Ours(s.dir) {
		return false, nil
	}
	s.open, err = state.Open(s.dir)
	if errors.Is(err, state.ErrDamaged) {
		s.say(err, nil)
		err = nil
	}
	return err == nil, err
}

// take opens the store for a command that runs pair; what has to be kept of that
// goes with it. One that places no order goes on beside an exporter that holds the
// store: of it nothing is kept but an account, and that is elsewhere.
func (s *store) take(p probe.Prober) error {
	if !p.Signs() && !(p.LooksAtIssued() && state.Ours(s.dir)) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	open, err := state.Open(s.dir)
	if err == nil {
		s.open = open
	}
	if !p.Orders() && errors.Is(err, state.ErrLocked) {
		s.say(nil, err)
		return nil
	}
	return err
}

// elsewhere says who else has the store, so that nothing is known of it; nil: nobody.
func (s *store) elsewhere() error {
	s.said.Lock()
	defer s.said.Unlock()
	return s.locked
}

// damaged says why the store cannot be opened; nil: it can. It waits for no disk.
func (s *store) damaged() error {
	s.said.Lock()
	defer s.said.Unlock()
	return s.broken
}

// say sets what damaged and elsewhere say.
func (s *store) say(broken, locked error) {
	s.said.Lock()
	defer s.said.Unlock()
	s.broken, s.locked = broken, locked
}

func signs(cfg *config.Config) bool {
	for _, pair := range cfg.Pairs() {
		if pair.Module.Prober.Signs() {
			return true
		}
	}
	return false
}

// Get implements runner.Store.
func (s *store) Get(bucket, key string) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.open == nil {
		return nil, s.damaged()
	}
	return s.open.Get(bucket, key)
}

// All implements runner.Store.
func (s *store) All(bucket string, each func(key string, value []byte) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.open == nil {
		return s.damaged()
	}
	return s.open.All(bucket, each)
}

// Commit implements runner.Store, budget.Store and incident.Store.
func (s *store) Commit(changes ...state.Change) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.open == nil {
		return s.damaged()
	}
	return s.open.Commit(changes...)
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
