package app

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

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
	said   rate.Sometimes // has its own lock

	writing sync.Mutex // held from when something is read until it is stored anew: they take turns

	mu    sync.Mutex                    // guards the fields below; never held while something is read or stored
	last  map[probe.Pair]lastRevocation // what was read or written
	ended []*probe.Result               // told by the runner, and not stored yet, oldest first
}

// lastRevocation is what is known of a pair. It is also the stored form.
type lastRevocation struct {
	Begun time.Time `json:"begun,omitzero"` // the last one that was sampled; zero: none was
	// Last is the last one that the CA has taken, sampled or not; nil: none.
	Last *probe.LastRevocation `json:"last,omitempty"`
}

func newRevocations(s *store, logger *slog.Logger) *revocations {
	return &revocations{store: s, logger: logger, said: rate.Sometimes{First: 1, Interval: time.Minute}, last: map[probe.Pair]lastRevocation{}}
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
	if v := res.Revocation; v == nil || v.At.IsZero() || !begins(res) && !ends(res) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, res)
}

// begins reports whether the CA has revoked a certificate in the run.
func begins(res *probe.Result) bool {
	return res.FollowUp == probe.FollowUpRevoke && res.Verdict.Success()
}

// ends reports whether the run is the last look at a revocation.
func ends(res *probe.Result) bool {
	return res.FollowUp == probe.FollowUpWatchRevocation && (res.Revocation.GivenUp || !res.Revocation.Shown.IsZero())
}

// Keep implements runner.Keeper: what has come of revocations is known once it is
// stored. What cannot be stored is tried again by the next one, and what came after it
// of the same pair too: one is about the other.
func (r *revocations) Keep() {
	r.writing.Lock()
	defer r.writing.Unlock()
	r.mu.Lock()
	ended := r.ended
	r.ended = nil
	r.mu.Unlock()
	var failed []*probe.Result
	for _, res := range ended {
		if slices.ContainsFunc(failed, func(f *probe.Result) bool { return f.Pair == res.Pair }) {
			failed = append(failed, res)
		} else if err := r.keep(res); err != nil {
			failed = append(failed, res)
			r.said.Do(func() {
				r.logger.Error("What came of a revocation is not stored; it is tried again later", "target", res.Target, "module", res.Module, "err", err)
			})
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(failed, r.ended...)
}

// keep stores what has come of one. It needs writing.
func (r *revocations) keep(res *probe.Result) error {
	v := res.Revocation
	last, err := r.read(res.Pair)
	if err != nil {
		return err
	}
	switch {
	case begins(res):
		last.Last = &probe.LastRevocation{Serial: v.Serial, Reason: v.Reason, At: v.At}
		for _, f := range res.FollowUps {
			last.Last.Watched = append(last.Last.Watched, probe.WatchedRevocation{Via: f.Revocation.Via})
		}
	case last.Last != nil && last.Last.Serial == v.Serial:
		seen := *last.Last // others may be reading it
		seen.Watched = slices.Clone(seen.Watched)
		for i := range seen.Watched {
			if w := &seen.Watched[i]; w.Via == v.Via {
				w.Shown, w.GivenUp = v.Shown, res.Verdict.Reason
			}
		}
		last.Last = &seen
	default:
		return nil
	}
	return r.write(res.Pair, last)
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
