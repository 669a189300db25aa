package app

import (
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/acme-exporter/acme_exporter/internal/state"
)

// behind has what an observer wants to be stored until Keep stores it: every timeline
// waits for an observer, and a disk may hang. It is embedded in one, and needs
// newBehind.
type behind struct {
	store  *store
	logger *slog.Logger
	what   string         // is stored, for the log
	said   rate.Sometimes // has its own lock

	writing sync.Mutex // held while something is stored: what is newer comes later

	waiting sync.Mutex // guards the field below; never held while something is stored
	// unsaved are the changes that are not stored, by bucket and key.
	unsaved map[[2]string]state.Change
}

func newBehind(s *store, logger *slog.Logger, what string) *behind {
	return &behind{store: s, logger: logger, what: what, said: rate.Sometimes{First: 1, Interval: time.Minute}, unsaved: make(map[[2]string]state.Change)}
}

// later has the changes stored by the next Keep, in the place of earlier ones of the
// same keys. It takes the values as they are now, and waits for no disk.
func (b *behind) later(changes ...state.Change) {
	b.waiting.Lock()
	defer b.waiting.Unlock()
	for _, c := range changes {
		if c.Value != nil {
			value, err := json.Marshal(c.Value)
			if err != nil {
				b.say(err)
				continue
			}
			c.Value = json.RawMessage(value)
		}
		b.unsaved[[2]string{c.Bucket, c.Key}] = c
	}
}

// Keep implements runner.Keeper: when it returns, what was changed before the call is
// durable. What cannot be stored is tried again by the next one.
func (b *behind) Keep() {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.waiting.Lock()
	taken := b.unsaved
	b.unsaved = make(map[[2]string]state.Change)
	b.waiting.Unlock()
	if len(taken) == 0 {
		return
	}
	changes := make([]state.Change, 0, len(taken))
	for _, c := range taken {
		changes = append(changes, c)
	}
	err := b.store.Commit(changes...)
	if err == nil {
		return
	}
	b.say(err)
	b.waiting.Lock()
	defer b.waiting.Unlock()
	for key, c := range taken {
		if _, newer := b.unsaved[key]; !newer {
			b.unsaved[key] = c
		}
	}
}

// say logs an error, once a minute at most.
func (b *behind) say(err error) {
	b.said.Do(func() {
		b.logger.Error("Cannot write to the state directory; it is tried again later", "what", b.what, "err", err)
	})
}
