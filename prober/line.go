package prober

import (
	"sync"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxParallel is how many authorizations of an order are worked on at a time.
const maxParallel = 16

// line is how one goroutine talks to the CA: it makes requests, reads answers
// and says what is wrong with them. It changes nothing of the run: what it finds
// out it returns, and the run's owner records it. Lines of one run share the
// session, the client and the nonces, which are safe for concurrent use; what a
// line remembers of its own belongs to its goroutine.
type line struct {
	http    *acmehttp.Session
	client  *acme.Client
	nonces  *nonces
	current probe.StepName // the step that was begun last
	last    int            // index of the call that was made last; -1: none
}

// fork returns a line for another goroutine, in the same step.
func (l *line) fork() *line {
	return &line{http: l.http, client: l.client, nonces: l.nonces, current: l.current, last: -1}
}

// parallel does n pieces of work, each on a line of its own, and no more than
// maxParallel at a time. After one has failed none is begun any more, and those
// under way come to their ends. It returns the failure of the first piece, in
// the order of the pieces, that has one. A panic goes on in the caller.
func (l *line) parallel(n int, do func(l *line, i int) error) error {
	if n == 1 {
		return do(l, 0)
	}
	var (
		group sync.WaitGroup
		mu    sync.Mutex // guards the variables below
		next  int
		last  = l.last
		first = n // the piece that has failed, of several the first
		err   error
		panic any
	)
	take := func() (i int, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == n || err != nil || panic != nil {
			return 0, false
		}
		next++
		return next - 1, true
	}
	work := func() {
		own := l.fork()
		defer func() {
			v := recover()
			mu.Lock()
			defer mu.Unlock()
			last = max(last, own.last)
			if v != nil {
				panic = v
			}
		}()
		for i, ok := take(); ok; i, ok = take() {
			if failed := do(own, i); failed != nil {
				mu.Lock()
				if i < first {
					first, err = i, failed
				}
				mu.Unlock()
			}
		}
	}
	for range min(n, maxParallel) {
		group.Go(work)
	}
	group.Wait()
	l.last = last
	if panic != nil {
		rethrow(panic)
	}
	return err
}

// rethrow goes on with a panic of another goroutine.
func rethrow(v any) { panic(v) }
