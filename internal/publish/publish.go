// Package publish has TXT records at name servers elsewhere: it writes them into
// the zones that take our updates, and looks for them at every authoritative
// server before a CA does. It owns what may be written where, and when a record
// counts as published; how one speaks to a name server is dnsclient's.
package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxText bounds a detail, of which parts are strangers'.
const maxText = 500

// Publisher has records where a configuration says that DNS is elsewhere. It is
// safe for concurrent use.
type Publisher struct {
	responders config.Responders
	client     *dnsclient.Client

	mu    sync.Mutex // guards zones
	zones map[string]*lookup
}

// New returns a Publisher for the zones of r. It opens nothing.
func New(r config.Responders, client *dnsclient.Client) *Publisher {
	return &Publisher{responders: r, client: client, zones: make(map[string]*lookup)}
}

// Publish writes the records that are not Standing, and returns when every
// authoritative server of their zones has all of them; when ctx ends first, the
// error says which server lacks which. A Standing record that no server has is an
// error at once. Nothing is written unless each record that has to be lies in a
// zone that takes updates, and the servers of all zones are known. Errors are
// [*probe.PublicationError].
func (p *Publisher) Publish(ctx context.Context, records []probe.Record) error {
	writes, err := p.writes(records)
	if err != nil {
		return unwritten(err)
	}
	watches, err := p.watches(ctx, records)
	if err != nil {
		return unwritten(err)
	}
	if err := p.update(ctx, writes, insert); err != nil {
		return err
	}
	failures := make([]*probe.PublicationError, len(watches))
	var all sync.WaitGroup
	for i, w := range watches {
		all.Go(func() { failures[i] = w.wait(ctx) })
	}
	all.Wait()
	if i := slices.IndexFunc(failures, func(e *probe.PublicationError) bool { return e != nil }); i >= 0 {
		return failures[i]
	}
	return nil
}

// Withdraw removes records; that one is not there is fine, and Standing ones are
// not ours to remove. It waits for no server but the one that takes updates. Those
// that can be removed are, whatever becomes of the others. Errors are
// [*probe.PublicationError].
func (p *Publisher) Withdraw(ctx context.Context, records []probe.Record) error {
	writes, err := p.writes(records)
	if failed := p.update(ctx, writes, remove); failed != nil {
		return failed
	}
	return err
}

// writes returns the records to be written or removed by their zones. The error is
// of the first that lies in none; the others are returned all the same.
func (p *Publisher) writes(records []probe.Record) (writes map[string][]probe.Record, err error) {
	writes = make(map[string][]probe.Record)
	for _, r := range records {
		place, zone := p.responders.Place(r.Name)
		switch {
		case r.Standing:
		case place == config.PlaceUpdate && ordinary(r.Name):
			writes[zone] = append(writes[zone], r)
		case err == nil:
			err = &probe.PublicationError{
				Kind:   probe.FailureClient,
				Detail: bounded(fmt.Sprintf("%s lies in no zone of responders.dns_updates", r.Name)),
				Advice: fmt.Sprintf("configure its zone again, or remove the TXT record %s with the value %q by hand if it is there", r.Name, bounded(r.Value)),
			}
		}
	}
	return writes, err
}

// watches returns what has to be waited for, zone by zone.
func (p *Publisher) watches(ctx context.Context, records []probe.Record) ([]*watch, error) {
	zones := make([]dnsclient.Zone, len(records))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, r := range records {
		group.Go(func() (err error) {
			zones[i], err = p.zoneOf(groupCtx, r.Name)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var watches []*watch
	for i, r := range records {
		at := slices.IndexFunc(watches, func(w *watch) bool { return w.zone.Name == zones[i].Name })
		if at < 0 {
			at = len(watches)
			watches = append(watches, &watch{publisher: p, zone: zones[i]})
		}
		watches[at].records = append(watches[at].records, r)
	}
	for _, w := range watches {
		if err := w.prepare(); err != nil {
			return nil, err
		}
	}
	return watches, nil
}

// unwritten says of err that it came before anything was sent to be written.
func unwritten(err error) error {
	if e, ok := errors.AsType[*probe.PublicationError](err); ok {
		e.Unwritten = true
	}
	return err
}

// ordinary reports whether a name consists of what it seems to consist of. A label
// may hold a dot, which is written "\.": such a name can seem to lie in our zone.
func ordinary(name string) bool { return !strings.Contains(name, `\`) }

// bounded cuts a text that is partly a stranger's.
func bounded(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + " …"
}
