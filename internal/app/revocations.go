package app

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// bucketRevocations has the last revocation of each pair.
const bucketRevocations = "revocations"

// revocations remember when each pair last began to revoke a certificate, and what has
// come of it, over restarts. A pair that is removed and comes back has not had its turn
// meanwhile. It is an observer.
type revocations struct {
	store  *store
	logger *slog.Logger

	writing sync.Mutex // held from when something is read until it is stored anew: they take turns

	mu    sync.Mutex                    // guards the fields below; never held while something is read or stored
	last  map[probe.Pair]lastRevocation // what was read or written
	ended []*probe.Result               // told by the runner, and not stored yet
}

// lastRevocation is what is known of a pair. It is also the stored form.
type lastRevocation struct {
	Begun time.Time `json:"begun,omitzero"` // the last one that was sampled; zero: none was
	// Last is the last one that the CA has taken, sampled or not; nil: none.
	Last *probe.LastRevocation `json:"last,omitempty"`
}

func newRevocations(s *store, logger *slog.Logger) *revocations {
	return &revocations{store: s, logger: logger, last: map[probe.Pair]lastRevocation{}}
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
	last, err := p.all.read(p.pair)
	if err != nil {
		return false
	}
	ago := time.Since(last.Begun)
	return ago < 0 || ago >= every
}

// Begin implements prober.Revocations.
func (p pairRevocations) Begin() error {
	p.all.writing.Lock()
	defer p.all.writing.Unlock()
	last, err := p.all.read(p.pair)
	if err != nil {
		return err
	}
	last.Begun = time.Now()
	return p.all.write(p.pair, last)
}

// Last returns the pair's last revocation that the CA has taken; nil: none is known.
// It waits for nothing that is being stored.
func (r *revocations) Last(p probe.Pair) *probe.LastRevocation {
	last, err := r.read(p)
	if err != nil {
		return nil
	}
	return last.Last
}

// Observe implements runner.Observer.
func (r *revocations) Observe(res *probe.Result) {
	if v := res.Revocation; v == nil || v.At.IsZero() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, res)
}

// Keep implements runner.Keeper: what has come of revocations is known once it is
// stored.
func (r *revocations) Keep() {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.Lock()
	ended := r.ended
	r.ended = nil
	r.mu.Unlock()
	for _, res := range ended {
		r.keep(res)
	}
}

// keep stores what has come of one. It needs writing.
func (r *revocations) keep(res *probe.Result) {
	v := res.Revocation
	last, err := r.read(res.Pair)
	if err != nil {
		return
	}
	switch {
	case res.FollowUp == probe.FollowUpRevoke && res.Verdict.Success():
		last.Last = &probe.LastRevocation{Serial: v.Serial, Reason: v.Reason, At: v.At}
		for _, f := range res.FollowUps {
			last.Last.Watched = append(last.Last.Watched, probe.WatchedRevocation{Via: f.Revocation.Via})
		}
	case res.FollowUp == probe.FollowUpWatchRevocation && last.Last != nil && last.Last.Serial == v.Serial && (v.GivenUp || !v.Shown.IsZero()):
		seen := *last.Last // others may be reading it
		seen.Watched = slices.Clone(seen.Watched)
		for i := range seen.Watched {
			if w := &seen.Watched[i]; w.Via == v.Via {
				w.Shown, w.GivenUp = v.Shown, res.Verdict.Reason
			}
		}
		last.Last = &seen
	default:
		return
	}
	if err := r.write(res.Pair, last); err != nil {
		r.logger.Error("What came of a revocation is not stored", "target", res.Target, "module", res.Module, "err", err)
	}
}

// Restore implements runner.Observer.
func (r *revocations) Restore(*probe.Result) {}

// Schedule implements runner.Observer.
func (r *revocations) Schedule(probe.Pair, time.Time, bool) {}

// read returns what is known of the pair.
func (r *revocations) read(p probe.Pair) (last lastRevocation, err error) {
	r.mu.Lock()
	last, ok := r.last[p]
	r.mu.Unlock()
	if ok {
		return last, nil
	}
	data, err := r.store.Get(bucketRevocations, p.String())
	if err != nil {
		return last, err
	}
	if data != nil {
		if err := json.Unmarshal(data, &last); err != nil {
			return lastRevocation{}, fmt.Errorf("the last revocation of %s cannot be read: %w", p, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if newer, ok := r.last[p]; ok { // stored meanwhile
		return newer, nil
	}
	r.last[p] = last
	return last, nil
}

// write stores what is known of the pair, and then knows it. It needs writing.
func (r *revocations) write(p probe.Pair, last lastRevocation) error {
	err := r.store.Commit(state.Change{Bucket: bucketRevocations, Key: p.String(), Value: last})
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.last[p] = last
	}
	return err
}
