package budget

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

const (
	// poolBucket is where the store has the pools' sets.
	poolBucket = "pool"
	// seeding is how many sets without a certificate a pool has at most when it makes
	// another one: while issuance fails, new names are of no use.
	seeding = 3
)

// Pool keeps sets of names that are ordered again and again in turn: a set that had
// a certificate lately is exempt from the limits that would soon be spent by new
// names. Each pair has sets of its own, for of two that shared one the second would
// find the names validated, and of names that nobody else can know. Its sets
// survive restarts; when each had its last certificate, the ledger knows. It is
// safe for concurrent use.
type Pool struct {
	store  Store
	ledger *Ledger

	writing sync.Mutex               // held from a decision until it is durable: they take turns; guards the sets
	sets    map[partition][]*nameSet // those taken longest ago first
	last    int64                    // the highest nameSet.Turn

	mu     sync.Mutex // guards the field below; never held while something is read or written
	broken error      // why the sets are not known; nil: they are
}

// partition is whose sets they are, and what they are like: a pair whose zone
// or count changes begins anew.
type partition struct {
	pair     probe.Pair
	zone     string
	count    int
	wildcard bool
}

// nameSet is one set; its JSON is the stored form.
type nameSet struct {
	Target   string   `json:"target"`
	Module   string   `json:"module"`
	Zone     string   `json:"zone"`
	Wildcard bool     `json:"wildcard,omitempty"`
	Names    []string `json:"names"`
	// Turn orders the sets of all pools by when they were last taken.
	Turn int64 `json:"turn"`

	digest string // setOf(Names)
}

// NewPool returns the pools that store keeps. They have no sets before Load.
func NewPool(store Store, ledger *Ledger) *Pool {
	return &Pool{store: store, ledger: ledger, broken: errors.New("the pools of names have not been loaded")}
}

// Load reads what the store has. After an error no pool gives any names.
func (p *Pool) Load() error {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.sets, p.last = map[partition][]*nameSet{}, 0
	err := p.store.All(poolBucket, func(key string, value []byte) error {
		set := new(nameSet)
		if err := json.Unmarshal(value, set); err != nil {
			return fmt.Errorf("set %q: %w", key, err)
		}
		if set.digest = setOf(set.Names); key != set.key() {
			return fmt.Errorf("set %q holds other names", key)
		}
		p.sets[set.partition()] = append(p.sets[set.partition()], set)
		p.last = max(p.last, set.Turn)
		return nil
	})
	for _, sets := range p.sets {
		slices.SortFunc(sets, func(a, b *nameSet) int { return cmp.Compare(a.Turn, b.Turn) })
	}
	if err != nil {
		err = fmt.Errorf("the pools of names cannot be read: %w: restore store.db, or move it away to start without history", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = err
	return err
}

// Problem says why no pool gives any names; nil: they do. It waits for no disk.
func (p *Pool) Problem() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken
}

// key is what the set is stored beneath.
func (s *nameSet) key() string { return s.Target + " " + s.Module + " " + s.digest }

// in is where the ledger remembers the set's last certificate at a CA.
func (s *nameSet) in(ca string) Key { return Key{ca, config.LimitCertificatesPerSet, s.digest} }

func (s *nameSet) partition() partition {
	count := len(s.Names)
	if s.Wildcard {
		count /= 2
	}
	return partition{probe.Pair{Target: s.Target, Module: s.Module}, s.Zone, count, s.Wildcard}
}

// newNameSet makes a set of names that nobody has used before.
func (pt partition) newNameSet() *nameSet {
	set := &nameSet{Target: pt.pair.Target, Module: pt.pair.Module, Zone: pt.zone, Wildcard: pt.wildcard}
	for range pt.count {
		// 20 characters of base32 are 100 random bits.
		name := strings.ToLower(rand.Text()[:20] + "." + pt.zone)
		if set.Names = append(set.Names, name); pt.wildcard {
			set.Names = append(set.Names, wildcardPrefix+name)
		}
	}
	slices.Sort(set.Names)
	set.digest = setOf(set.Names)
	return set
}

// Next returns r for the set of the pair's pool whose turn it is, ready to be
// reserved: one that still needs its first certificate if the limits allow that,
// else the one that had its turn longest ago of those that they allow. A run that
// confirms a failure takes new names only if no other set will do. When nothing is
// allowed, it says what will be first.
//
// The turn is durable when Next returns, so that the next one is for another set
// even if the run comes to nothing.
func (p *Pool) Next(now time.Time, pair probe.Pair, names config.Names, r Request) (Request, *Denied, error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := p.Problem(); err != nil {
		return Request{}, nil, err
	}
	pt, size := partition{pair, names.Zone, max(names.Count, 1), names.Wildcard}, max(names.Sets, 1)
	if err := p.write(pt, nil, append(p.surplus(now, pt, size, r.CA), p.abandoned(now, pt, r.CA)...)); err != nil {
		return Request{}, nil, err
	}
	for {
		chosen, gone, denied, err := p.choose(now, pt, size, r)
		if err != nil {
			return Request{}, nil, err
		}
		if err := p.write(pt, chosen, gone); err != nil {
			return Request{}, nil, err
		}
		switch {
		case chosen != nil:
			r.Names, r.Repeats = slices.Clone(chosen.Names), true
			return r, nil, nil
		case len(gone) == 0:
			return Request{}, denied, nil
		}
		// There is room now for others.
	}
}

// choose returns the set whose turn it is, perhaps a new one, and those that can be
// used no more; without one, what denies the set that will be allowed first.
func (p *Pool) choose(now time.Time, pt partition, size int, r Request) (chosen *nameSet, gone []*nameSet, soonest *Denied, err error) {
	allowed := func(set *nameSet) (bool, error) {
		r.Names, r.Repeats = set.Names, true
		d, err := p.ledger.Check(now, r)
		switch {
		case err != nil || d == nil:
			return err == nil, err
		case d.retires():
			gone = append(gone, set)
		case soonest == nil || soonest.longer(d):
			soonest = d
		}
		return false, nil
	}
	uncertified, certified := p.split(now, p.sets[pt], r.CA)
	// The first that is allowed of those that are looked at.
	firstOf := func(sets []*nameSet) (*nameSet, error) {
		for _, set := range sets {
			if ok, err := allowed(set); ok || err != nil {
				return set, err
			}
		}
		return nil, nil
	}
	made := func([]*nameSet) (*nameSet, error) {
		if len(uncertified) >= seeding || len(p.sets[pt])-len(gone) >= size {
			return nil, nil
		}
		return firstOf([]*nameSet{pt.newNameSet()})
	}
	type choice struct {
		from func([]*nameSet) (*nameSet, error)
		sets []*nameSet
	}
	choices := []choice{{firstOf, uncertified}, {made, nil}, {firstOf, certified}}
	if r.Confirmation {
		choices = []choice{{firstOf, certified}, {firstOf, uncertified}, {made, nil}}
	}
	for _, c := range choices {
		if chosen, err = c.from(c.sets); chosen != nil || err != nil {
			break
		}
	}
	return chosen, gone, soonest, err
}

// split tells the sets that had a certificate lately from the others, in the order in
// which they are.
func (p *Pool) split(now time.Time, sets []*nameSet, ca string) (uncertified, certified []*nameSet) {
	for _, set := range sets {
		if p.ledger.issuedAt(now, set.in(ca)).IsZero() {
			uncertified = append(uncertified, set)
		} else {
			certified = append(certified, set)
		}
	}
	return uncertified, certified
}

// retires reports whether the names cannot be used until somebody lifts a pause.
func (d *Denied) retires() bool {
	return d.Cause == CausePaused && d.At.IsZero() &&
		(d.Key.Limit == config.LimitFailedValidations || d.Key.Limit == config.LimitConsecutiveFailures)
}

// surplus returns the sets that are too many since the pool was made smaller: first
// those that are worth no more than new ones, and of either kind those taken longest
// ago. What a run has reserved is not among them. It needs p.writing.
func (p *Pool) surplus(now time.Time, pt partition, size int, ca string) []*nameSet {
	more := len(p.sets[pt]) - size
	if more <= 0 || !p.ledger.readable() {
		return nil
	}
	uncertified, certified := p.split(now, p.sets[pt], ca)
	gone := slices.DeleteFunc(slices.Concat(uncertified, certified), func(set *nameSet) bool {
		return p.ledger.reserved(set.in(ca))
	})
	return gone[:min(more, len(gone))]
}

// abandoned returns the sets that the pair had with another zone or count, once
// they are worth no more than new ones. It needs p.writing.
func (p *Pool) abandoned(now time.Time, pt partition, ca string) (gone []*nameSet) {
	if !p.ledger.readable() {
		return nil // what they are worth is not known
	}
	for other, sets := range p.sets {
		if other.pair != pt.pair || other == pt {
			continue
		}
		uncertified, _ := p.split(now, sets, ca)
		gone = append(gone, uncertified...)
	}
	return gone
}

// retain drops the sets of pairs that have no pool any more, unless they had a
// certificate lately at whatever CA: the pair may come back.
func (p *Pool) retain(now time.Time, pooled map[probe.Pair]bool) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if p.Problem() != nil || !p.ledger.readable() {
		return nil // what they are worth is not known
	}
	issued := p.ledger.issuedSets(now)
	var gone []*nameSet
	for pt, sets := range p.sets {
		if pooled[pt.pair] {
			continue
		}
		for _, set := range sets {
			if !issued[set.digest] {
				gone = append(gone, set)
			}
		}
	}
	return p.write(partition{}, nil, gone)
}

// write gives chosen, which may be nil or new, its turn, and drops those that are
// gone. It needs p.writing.
func (p *Pool) write(pt partition, chosen *nameSet, gone []*nameSet) error {
	var changes []state.Change
	for _, set := range gone {
		changes = append(changes, state.Change{Bucket: poolBucket, Key: set.key()})
	}
	if chosen != nil {
		taken := *chosen
		taken.Turn = p.last + 1
		changes = append(changes, state.Change{Bucket: poolBucket, Key: taken.key(), Value: taken})
	}
	if len(changes) == 0 {
		return nil
	}
	if err := p.store.Commit(changes...); err != nil {
		return fmt.Errorf("write the pool of names: %w", err)
	}
	p.remove(gone)
	if chosen != nil {
		p.remove([]*nameSet{chosen})
		p.last++
		chosen.Turn = p.last
		p.sets[pt] = append(p.sets[pt], chosen)
	}
	return nil
}

// remove needs p.writing.
func (p *Pool) remove(gone []*nameSet) {
	of := map[partition]map[*nameSet]bool{}
	for _, set := range gone {
		pt := set.partition()
		if of[pt] == nil {
			of[pt] = map[*nameSet]bool{}
		}
		of[pt][set] = true
	}
	for pt, these := range of {
		p.sets[pt] = slices.DeleteFunc(p.sets[pt], func(s *nameSet) bool { return these[s] })
	}
}

// Filled returns how many sets the pair's pool has, and how many of them had a
// certificate lately.
func (p *Pool) Filled(now time.Time, pair probe.Pair, names config.Names, ca string) (sets, issued int) {
	p.writing.Lock()
	defer p.writing.Unlock()
	for _, set := range p.sets[partition{pair, names.Zone, max(names.Count, 1), names.Wildcard}] {
		if sets++; !p.ledger.issuedAt(now, set.in(ca)).IsZero() {
			issued++
		}
	}
	return sets, issued
}
