package challenge

import (
	"log/slog"
	"net"
	"sync"
	"time"
)

// acceptPause is how long nothing is accepted after an error.
const acceptPause = 50 * time.Millisecond

// acceptor accepts the connections of a listener, and has each of them served in
// a goroutine of its own.
type acceptor struct {
	listener net.Listener
	log      *slog.Logger
	name     string // whose it is, for the log

	halting   chan struct{}  // closed by halt, with mu
	accepting sync.WaitGroup // the goroutine that accepts connections
	serving   sync.WaitGroup // one for each connection

	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

func newAcceptor(l net.Listener, name string, log *slog.Logger) *acceptor {
	return &acceptor{
		listener: l, log: log, name: name,
		halting: make(chan struct{}), conns: make(map[net.Conn]struct{}),
	}
}

// start begins to accept. A connection is closed when serve returns.
func (a *acceptor) start(serve func(net.Conn)) {
	a.accepting.Go(func() {
		for a.acceptOne(serve) {
		}
	})
}

// acceptOne waits for a connection; false: the acceptor halts.
func (a *acceptor) acceptOne(serve func(net.Conn)) bool {
	c, err := a.listener.Accept()
	switch {
	case err == nil && a.track(c):
		a.serving.Go(func() {
			defer a.untrack(c)
			serve(c)
		})
	case err == nil:
		_ = c.Close()
		return false
	case a.halted():
		return false
	default:
		a.log.Warn("responder cannot accept a connection", "responder", a.name, "err", err)
		a.pause()
	}
	return true
}

// halt stops accepting and frees the port before it returns. What has been
// accepted is still served.
func (a *acceptor) halt() {
	// With mu, no connection is tracked after it.
	a.mu.Lock()
	close(a.halting)
	a.mu.Unlock()
	_ = a.listener.Close()
}

// halted reports whether halt was called.
func (a *acceptor) halted() bool {
	select {
	case <-a.halting:
		return true
	default:
		return false
	}
}

// wait returns when nothing runs any more.
func (a *acceptor) wait() {
	a.accepting.Wait()
	a.serving.Wait()
}

// pause waits a moment after an error that may repeat itself at once, such as
// too many open files.
func (a *acceptor) pause() {
	t := time.NewTimer(acceptPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-a.halting:
	}
}

// each does something to every connection that is being served.
func (a *acceptor) each(do func(net.Conn)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.conns {
		do(c)
	}
}

// force cuts the connections.
func (a *acceptor) force() { a.each(func(c net.Conn) { _ = c.Close() }) }

// extend gives a connection time until its deadline; false: the acceptor halts.
// With mu it cannot undo a deadline that was set because of that.
func (a *acceptor) extend(c net.Conn, deadline time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.halted() && c.SetDeadline(deadline) == nil
}

// track remembers c for each; false: it came too late.
func (a *acceptor) track(c net.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.halted() {
		return false
	}
	a.conns[c] = struct{}{}
	return true
}

func (a *acceptor) untrack(c net.Conn) {
	_ = c.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.conns, c)
}
