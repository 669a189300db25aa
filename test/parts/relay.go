package parts

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Relay passes connections on within a namespace, until it is closed.
type Relay struct {
	listener net.Listener
	done     sync.WaitGroup

	mu   sync.Mutex        // guards open
	open map[net.Conn]bool // nil: closed
}

// StartRelay listens at the address and passes what comes on to another.
func (n *Namespace) StartRelay(tb testing.TB, address, to string) *Relay {
	tb.Helper()
	listener, err := n.Listen(tb.Context(), "tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	r := &Relay{listener: listener, open: map[net.Conn]bool{}}
	ctx := tb.Context()
	r.done.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return // closed
			}
			far, err := n.Dial(ctx, "tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			r.pass(near, far)
			r.pass(far, near)
		}
	})
	tb.Cleanup(r.Close)
	return r
}

// pass copies until either side has enough, then closes both.
func (r *Relay) pass(from, to net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		_ = from.Close()
		return
	}
	r.open[from] = true
	r.done.Go(func() {
		_, _ = io.Copy(to, from)
		_, _ = from.Close(), to.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.open, from)
	})
}

// Close ends what is open, and has the next connection refused.
func (r *Relay) Close() {
	_ = r.listener.Close()
	r.mu.Lock()
	for conn := range r.open {
		_ = conn.Close()
	}
	r.open = nil
	r.mu.Unlock()
	r.done.Wait()
}
