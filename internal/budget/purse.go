package budget

import (
	"errors"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Purse is what one run may spend. It belongs to the run.
type Purse struct {
	book     *Book
	pair     config.Pair
	request  Request        // what the run's requests have in common, with the names that it ordered last
	what     probe.Spending // all that was reserved
	reserved []*Reservation // not settled yet
}

// Purse returns the purse of one run of the pair. A run that is to confirm a
// failure may take the tokens that others leave.
func (b *Book) Purse(pair config.Pair, confirmation bool) *Purse {
	return &Purse{book: b, pair: pair, request: Request{
		CA: pair.Target.DirectoryURL, Account: pair.Pair.Target,
		Limits: pair.Limits(), Share: pair.Target.Share(), Confirmation: confirmation,
	}}
}

// Reserve takes, durably, what the run is about to spend, and returns the names to
// be ordered: those given, or, where there are none and the pair has a pool, those
// of the set whose turn it is; the run keeps that set. When it is denied, or after
// an error, such as [ErrUnreadable], nothing was taken.
func (p *Purse) Reserve(what probe.Spending, names []string) (ordered []string, denied *probe.RateLimit, err error) {
	now := time.Now()
	r := p.request
	r.What = what
	if names != nil {
		r.Names = names
	}
	mode := ""
	n := p.pair.Names()
	if n != nil {
		mode = n.Mode
	}
	r.Repeats = mode == config.NamesFixed || mode == config.NamesPool
	if mode == config.NamesPool && len(r.Names) == 0 && what&probe.SpendOrder != 0 {
		var d *Denied
		if r, d, err = p.book.pool.Next(now, p.pair.Pair, *n, r); err != nil || d != nil {
			return nil, d.rateLimit(), err
		}
	}
	res, d, err := p.book.ledger.Reserve(now, r)
	if err != nil || d != nil {
		return nil, d.rateLimit(), err
	}
	p.request.Names, p.what = slices.Clone(r.Names), p.what|what
	p.reserved = append(p.reserved, res)
	return r.Names, nil, nil
}

// Settle ends all that was reserved. A second Settle does nothing.
func (p *Purse) Settle(spent probe.Spent) error {
	now := time.Now()
	var errs []error
	for _, res := range p.reserved {
		errs = append(errs, p.book.ledger.Settle(now, res, spent))
	}
	p.reserved = nil
	return errors.Join(errs...)
}

// rateLimit says it to the prober; nil: nothing was denied.
func (d *Denied) rateLimit() *probe.RateLimit {
	if d == nil {
		return nil
	}
	return &probe.RateLimit{
		Limit: string(d.Key.Limit), What: d.Key.what(), Until: d.At, Detail: d.String(),
		Paused: d.Cause == CausePaused && d.At.IsZero(),
	}
}
