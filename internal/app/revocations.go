package app

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// bucketRevocations has when each pair last began to revoke a certificate.
const bucketRevocations = "revocations"

// revocations remember when each pair last began to revoke a certificate, over
// restarts. A pair that is removed and comes back has not had its turn meanwhile.
type revocations struct {
	store *store

	mu    sync.Mutex               // guards the field below
	begun map[probe.Pair]time.Time // what was read or written; zero: never
}

// lastRevocation is the stored form.
type lastRevocation struct {
	Begun time.Time `json:"begun"`
}

func newRevocations(s *store) *revocations {
	return &revocations{store: s, begun: map[probe.Pair]time.Time{}}
}

// of returns those of one pair, as a run needs them.
func (r *revocations) of(p probe.Pair) pairRevocations { return pairRevocations{r, p} }

// pairRevocations implements prober.Revocations.
type pairRevocations struct {
	all  *revocations
	pair probe.Pair
}

// Due implements prober.Revocations. What cannot be read may have been a moment ago:
// there are none until that is mended. A time that is yet to come is of a clock that
// was wrong.
func (p pairRevocations) Due(every time.Duration) bool {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	last, err := p.read()
	if err != nil {
		return false
	}
	ago := time.Since(last)
	return ago < 0 || ago >= every
}

// Begin implements prober.Revocations.
func (p pairRevocations) Begin() error {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	now := time.Now()
	if err := p.all.store.Commit(state.Change{Bucket: bucketRevocations, Key: p.pair.String(), Value: lastRevocation{now}}); err != nil {
		return err
	}
	p.all.begun[p.pair] = now
	return nil
}

// read returns when the pair last began; zero: never. It needs mu.
func (p pairRevocations) read() (time.Time, error) {
	if last, ok := p.all.begun[p.pair]; ok {
		return last, nil
	}
	data, err := p.all.store.Get(bucketRevocations, p.pair.String())
	if err != nil {
		return time.Time{}, err
	}
	var last lastRevocation
	if data != nil {
		if err := json.Unmarshal(data, &last); err != nil {
			return time.Time{}, fmt.Errorf("the last revocation of %s cannot be read: %w", p.pair, err)
		}
	}
	p.all.begun[p.pair] = last.Begun
	return last.Begun, nil
}
