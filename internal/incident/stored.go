package incident

import (
	"errors"
	"maps"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// The buckets: incidents by ID, records of pairs by target and module, records of
// targets by name.
const (
	bucketIncidents = "incidents"
	bucketPairs     = "incident_pairs"
	bucketTargets   = "incident_targets"
)

// stored returns the change as it is to be written.
func (c *change) stored() []state.Change {
	var all []state.Change
	for p, r := range c.pairs {
		all = append(all, stored(bucketPairs, p.String(), r))
	}
	for name, r := range c.targets {
		all = append(all, stored(bucketTargets, name, r))
	}
	for id, i := range c.incidents {
		all = append(all, stored(bucketIncidents, id, i))
	}
	return all
}

func stored[V any](bucket, key string, v *V) state.Change {
	if v == nil {
		return state.Change{Bucket: bucket, Key: key}
	}
	return state.Change{Bucket: bucket, Key: key, Value: v}
}

// Restore reads what the store has. Incidents that were open go on; Apply decides
// which of them are still wanted. What cannot be read is logged, left alone, and
// counts as not there. Restore may be called again when the store has come to be
// only now: what is known already stays as it is, and is written.
func (t *Tracker) Restore() error {
	if t.store == nil {
		return nil
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	m, err := t.read()
	if err != nil {
		return err
	}
	known, changed := t.model, m.repair()
	for name := range known.targets {
		if m.targets[name] != nil { // what is known of this process's runs is newer
			m.abandon(name)
			m.forget(name)
			changed = true
		}
	}
	c := m.change(t.rules)
	maps.Copy(c.pairs, known.pairs)
	maps.Copy(c.targets, known.targets)
	maps.Copy(c.incidents, known.incidents)
	m.apply(c)
	if changed || len(known.targets) > 0 {
		everything := newModel().change(t.rules)
		everything.pairs, everything.targets, everything.incidents = m.pairs, m.targets, m.incidents
		t.save(everything.stored())
	}
	t.mu.Lock()
	t.model = m
	t.mu.Unlock()
	return nil
}

// forget removes the records of a target and its pairs; incidents stay.
func (m *model) forget(target string) {
	delete(m.targets, target)
	maps.DeleteFunc(m.pairs, func(p probe.Pair, _ *pairRecord) bool { return p.Target == target })
}

// read returns what the store has.
func (t *Tracker) read() (*model, error) {
	m := newModel()
	unreadable := func(bucket, key string, err error) {
		t.log.Error("stored incident data is not readable, and left alone", "bucket", bucket, "key", key, "err", err)
	}
	err := errors.Join(
		t.store.All(bucketIncidents, func(key string, value []byte) error {
			i, err := decodeIncident(key, value)
			if err != nil {
				unreadable(bucketIncidents, key, err)
				return nil
			}
			m.incidents[key] = i
			return nil
		}),
		t.store.All(bucketPairs, func(key string, value []byte) error {
			r, err := decodePair(key, value)
			if err != nil {
				unreadable(bucketPairs, key, err)
				return nil
			}
			m.pairs[r.Pair.Pair] = r
			return nil
		}),
		t.store.All(bucketTargets, func(key string, value []byte) error {
			r, err := decodeTarget(key, value)
			if err != nil {
				unreadable(bucketTargets, key, err)
				return nil
			}
			m.targets[key] = r
			return nil
		}),
	)
	return m, err
}
