package publish

import (
	"context"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"

	"github.com/acme-exporter/acme_exporter/internal/dnsclient"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	parallel   = 4 // questions to one address, and searches for zones, at a time
	firstPause = 250 * time.Millisecond
	maxPause   = 2 * time.Second // between two rounds of questions; it doubles from firstPause
)

// watch waits until every server of a zone has the records.
type watch struct {
	publisher *Publisher
	zone      dnsclient.Zone
	records   []probe.Record

	mu     sync.Mutex // guards what the sights show
	sights []*sight
}

// sight is what one address shows of the records.
type sight struct {
	*witness
	has     []bool   // for each record
	instead []string // of each that is not there; empty: nothing that is worth a word
}

// prepare finds whom to ask.
func (w *watch) prepare() *probe.PublicationError {
	witnesses, err := witnessesOf(w.zone)
	for _, a := range witnesses {
		w.sights = append(w.sights, &sight{witness: a, has: make([]bool, len(w.records)), instead: make([]string, len(w.records))})
	}
	return err
}

// wait asks every address again and again until each server has all records, one
// that has to stand there is nowhere, or ctx ends.
func (w *watch) wait(ctx context.Context) *probe.PublicationError {
	ctx, over := context.WithCancel(ctx)
	defer over()
	var all sync.WaitGroup
	for _, s := range w.sights {
		all.Go(func() { w.follow(ctx, s, over) })
	}
	all.Wait()
	return w.outcome()
}

// follow asks one address until it has nothing more to tell; it calls over when
// nobody has to be asked any more.
func (w *watch) follow(ctx context.Context, s *sight, over func()) {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		w.round(ctx, s)
		if w.settled() {
			over()
		}
		w.mu.Lock()
		last := s.state == routeless || s.state == heard && s.all()
		w.mu.Unlock()
		if last {
			return
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// round asks for each record that was not there yet. The first question is asked
// alone: nothing more is asked of an address that is silent.
func (w *watch) round(ctx context.Context, s *sight) {
	var group errgroup.Group
	group.SetLimit(parallel)
	first := true
	for i := range w.records {
		w.mu.Lock()
		has := s.has[i]
		w.mu.Unlock()
		switch {
		case has:
		case first:
			first = false
			if !w.look(ctx, s, i) {
				return
			}
		default:
			group.Go(func() error {
				w.look(ctx, s, i)
				return nil
			})
		}
	}
	_ = group.Wait() // nothing returns an error
}

// look asks for one record, and reports whether the address said what it has. What
// comes when ctx has ended does not count: it says more of us than of the server.
func (w *watch) look(ctx context.Context, s *sight, i int) bool {
	r, err := w.publisher.ask(ctx, s.address, w.records[i].Name, dns.TypeTXT)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && ctx.Err() != nil {
		return false
	}
	if s.judge(w.zone.Name, r, err); s.state != heard {
		return false
	}
	s.has[i], s.instead[i] = satisfies(w.records[i], r.values, time.Now())
	switch {
	case r.alias != "":
		s.instead[i] = "a CNAME record"
	case r.rcode == dns.RcodeNameError:
		s.instead[i] = "NXDOMAIN"
	}
	return true
}

// all reports whether each record is there.
func (s *sight) all() bool { return s.missing() < 0 }

// missing returns the first record that is not there; negative: none.
func (s *sight) missing() int {
	for i, has := range s.has {
		if !has {
			return i
		}
	}
	return -1
}
