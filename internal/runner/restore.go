package runner

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Restore reads what the store has kept: the last Result of each pair goes to
// the observers and answers triggers until there is a newer one, if it was made
// under the pair's present configuration; under the same condition the pair has its
// history again, the Results of which are read when somebody asks for them;
// follow-ups will be done by Run, and those of pairs that are not configured stay
// until they expire. It may be called before or after the first Apply.
func (r *Runner) Restore() error {
	if r.store == nil {
		return nil
	}
	results := make(map[string]kept)
	err := r.store.All(bucketResults, func(key string, value []byte) error {
		results[key] = decodeKept(key, value)
		return nil
	})
	if err != nil {
		return err
	}
	runs, unreadable, err := r.readHistory()
	if err != nil {
		return err
	}
	var items []*item
	err = r.store.All(bucketFollowUps, func(key string, value []byte) error {
		it := new(item)
		if err := json.Unmarshal(value, &it.FollowUp); err != nil || it.ID != key || it.Kind == "" {
			r.log.Error("stored follow-up is not readable, and left alone", "key", key, "err", err)
			return nil
		}
		items = append(items, it)
		return nil
	})
	if err != nil {
		return err
	}

	r.deliver.Lock()
	r.mu.Lock()
	r.restored, r.restoredRuns = results, runs
	r.giveBack(unreadable)
	now := time.Now()
	for _, it := range items {
		it.rebase(now)
		r.lane(it.Pair).items[it.ID] = it
	}
	restored, unused := r.adopt()
	r.mu.Unlock()
	r.tellRestored(restored)
	r.deliver.Unlock()

	r.wakeUp()
	r.reportUnconfigured()
	r.clean(unused...)
	return nil
}

// decodeKept returns what is stored of a pair, without what is no Result of this
// version.
func decodeKept(key string, value []byte) (k kept) {
	usable := func(r *probe.Result) bool {
		return r != nil && r.Version == probe.Version && r.Pair.String() == key
	}
	if bytes.HasPrefix(value, []byte(`"`)) { // else it is of a version that did not compress
		value, _ = unpack(value) // what is damaged is no JSON
	}
	if json.Unmarshal(value, &k) != nil || !usable(k.Last) {
		return kept{}
	}
	if !usable(k.Success) || k.Success.ConfigHash != k.Last.ConfigHash {
		k.Success = nil
	}
	return k
}

// rebase moves the stored times onto this process's monotonic clock, and bounds
// what a wrong clock may have written.
func (it *item) rebase(now time.Time) {
	if !it.NotBefore.IsZero() {
		it.NotBefore = now.Add(min(it.NotBefore.Sub(now), backOffMax))
	}
	it.Created = now.Add(min(it.Created.Sub(now), 0))
	if it.Expires.IsZero() {
		it.Expires = it.Created.Add(followUpExpiry)
	}
	it.Expires = now.Add(it.Expires.Sub(now))
}

// adopt gives the restored Results to their pairs. It returns those that
// observers have to be told of, and the keys of those that no pair wants.
func (r *Runner) adopt() (restored []*probe.Result, unused []string) {
	if !r.applied || r.restored == nil {
		return nil, nil
	}
	now := time.Now()
	for p, l := range r.lanes {
		k := r.restored[p.String()]
		res := k.Last
		if l.gen == nil {
			continue
		}
		delete(r.restored, p.String())
		if res == nil || res.Start.After(now) {
			continue
		}
		if l.floor.Before(res.Start) {
			l.floor, l.asked = res.Start, res.Start
			if res.Trigger == probe.TriggerTick {
				l.floor = res.Start.Add(-jitter) // as late as it may have been
			}
		}
		if res.ConfigHash == l.gen.pair.Hash && l.gen.last == nil {
			if k.Success != nil {
				l.gen.success = k.Success
				restored = append(restored, k.Success)
			}
			l.gen.add(res)
			l.gen.worked = time.Time{} // by another binary, for all we know
			restored = append(restored, res)
		}
	}
	for key := range r.restored {
		unused = append(unused, key)
	}
	r.restored = nil
	r.adoptHistory(now)
	return restored, unused
}

// tellRestored tells the observers; the caller holds deliver, and not mu.
func (r *Runner) tellRestored(all []*probe.Result) {
	for _, res := range all {
		for _, o := range r.observers {
			o.Restore(res)
		}
	}
}

// reportUnconfigured logs, once each, the restored follow-ups that no
// configured pair can do.
func (r *Runner) reportUnconfigured() {
	r.mu.Lock()
	count := make(map[probe.Pair]int)
	for p, l := range r.lanes {
		for _, it := range l.items {
			if r.applied && !it.reported && l.configuration(it) == nil {
				it.reported = true
				count[p]++
			}
		}
	}
	r.mu.Unlock()
	for p, n := range count {
		r.log.Warn("follow-ups of a pair that is not configured are kept until they expire", "target", p.Target, "module", p.Module, "count", n)
	}
}
