package budget

import (
	"errors"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Book is all that is known of what CAs allow: the ledger, the pools of names, and
// the pace at each CA. It outlives reloads, and is safe for concurrent use.
type Book struct {
	ledger *Ledger
	pool   *Pool

	mu     sync.Mutex        // guards the field below
	pacers map[string]*Pacer // by what [Book.Pacer] says
}

// NewBook returns what store keeps. It allows nothing that is limited before Load.
func NewBook(store Store) *Book {
	ledger := NewLedger(store)
	return &Book{ledger: ledger, pool: NewPool(store, ledger), pacers: map[string]*Pacer{}}
}

// Load reads what the store has. After an error, which may be [ErrUnreadable],
// nothing that is limited is allowed.
func (b *Book) Load(now time.Time) error {
	return errors.Join(b.ledger.Load(now), b.pool.Load())
}

// Apply takes note of the pairs that a configuration has: what the pools have for
// others is dropped, once it is worth no more than new names. An error changes
// nothing of what the configured pairs may do.
func (b *Book) Apply(now time.Time, pairs []config.Pair) error {
	pooled := map[probe.Pair]bool{}
	for i := range pairs {
		if names := pairs[i].Names(); names != nil && names.Mode == config.NamesPool {
			pooled[pairs[i].Pair] = true
		}
	}
	return b.pool.retain(now, pooled)
}

// OK reports whether the ledger and the pools can be read, and could be written
// the last time.
func (b *Book) OK() bool { return b.Problem() == nil }

// Problem says why it is not OK; nil: it is.
func (b *Book) Problem() error { return errors.Join(b.ledger.Problem(), b.pool.Problem()) }

// Pacer returns what keeps the target's requests to the CA's pace. Preset CAs count
// by our address, and so there is one for all targets of a preset; of other CAs
// there is one for each directory.
func (b *Book) Pacer(t *config.Target) *Pacer {
	rates := t.RequestRates()
	key := t.DirectoryURL
	if rates != nil {
		key = t.Preset
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pacers[key]
	if p == nil {
		p = NewPacer(rates)
		b.pacers[key] = p
	}
	return p
}

// Budgets returns what is left of the limits of the targets at which any of the
// pairs orders, in the order of the pairs; targets without limits are left out.
// What cannot be read is not known.
func (b *Book) Budgets(now time.Time, pairs []config.Pair) []probe.Budget {
	var list []probe.Budget
	limits, targets := map[string][]config.Limit{}, map[string]*config.Target{}
	for i := range pairs {
		p := &pairs[i]
		if !p.Module.Prober.Orders() {
			continue
		}
		name, in := p.Pair.Target, p.Limits()
		known, ok := limits[name]
		switch {
		case len(in) == 0:
		case !ok:
			limits[name], targets[name] = in, p.Target
			list = append(list, probe.Budget{Target: name, Environment: string(p.Target.Environment)})
		default:
			for i := range known { // of one target: they differ in nothing else
				known[i].Shared = known[i].Shared || in[i].Shared
			}
		}
	}
	for i := range list {
		t := targets[list[i].Target]
		levels, err := b.ledger.Remaining(now, t.DirectoryURL, list[i].Target, limits[list[i].Target], t.Share())
		if err == nil {
			list[i].Levels = levels
		}
	}
	return list
}
