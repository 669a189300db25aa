// Package challenge answers the validators of CAs: an HTTP listener for http-01
// (RFC 8555 §8.3), a TLS listener for tls-alpn-01 (RFC 8737) and an authoritative
// DNS server for the probe zones, which serves the records of dns-01 (RFC 8555
// §8.4), dns-account-01 and dns-persist-01, and every name that is probed. It
// reports who came and what they were told.
//
// It owns the listeners and the live challenges. It knows nothing of orders,
// accounts or CAs, resolves nothing, and keeps nothing on disk. Everything that
// arrives is foreign: it is bounded in size, number and time, and what is not a
// live challenge or a name of a zone gets a constant answer.
package challenge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// ErrClosed is returned by a Set that was closed.
var ErrClosed = errors.New("the responders are closed")

// Set is the responders as configured, and the challenges that they answer now.
// It is safe for concurrent use.
type Set struct {
	log    *slog.Logger
	limits dnsLimits
	board  *board

	mu        sync.Mutex // guards what follows
	http      *httpResponder
	alpn      *alpnResponder
	dns       *dnsResponder
	preparing bool        // a Change is neither committed nor aborted
	retired   []responder // no longer accepting, connections still ending
	closed    bool
}

// responder is one listener in its life after opening.
type responder interface {
	configured() string // the address as configured
	addr() net.Addr     // where it listens
	// start begins to serve; release closes one that never was started.
	start()
	release()
	// halt, called once, stops accepting and frees the port before it returns;
	// what has been accepted is still answered. ended is closed when that is over.
	halt()
	ended() <-chan struct{}
	// force cuts what is still open.
	force()
}

// NewSet returns a Set without listeners; Prepare and Commit open them.
func NewSet(logger *slog.Logger) *Set {
	return &Set{log: logger, limits: defaultDNSLimits(), board: newBoard()}
}

// Present publishes the answer to c, or watches who wants it where it is withheld,
// until withdraw is called. Several
// challenges for one name may be live at once, of tls-alpn-01 one: there Present
// waits until the other is withdrawn, or ctx ends.
//
// withdraw returns the visits of validators, in the order of time. It must be
// called; another call returns the same and does nothing else.
//
// Present fails when no responder for the type is open, when the record of a DNS
// challenge lies in none of the zones, wherever its identifier does, and when the
// token or the key authorization are not what RFC 8555 §8.1 allows. Its errors hold
// neither.
func (s *Set) Present(ctx context.Context, c probe.Challenge) (withdraw func() []probe.Visit, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("present %s for %q: %w", c.Type, c.Identifier, err)
		}
	}()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := newPresentation(c)
	if err != nil {
		return nil, err
	}
	for {
		err := s.publish(p)
		if err == nil {
			return func() []probe.Visit { return s.board.remove(p) }, nil
		}
		busy, is := errors.AsType[*errBusy](err)
		if !is {
			return nil, err
		}
		select {
		case <-busy.gone:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
	}
}

// publish puts p on the board, if there is a responder that answers from it.
func (s *Set) publish(p *presentation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	var served *zones
	p.names = nil
	if s.dns != nil {
		served = s.dns.zones.Load()
		p.names = served.lineage(p.identifier) // whose queries are visits of this challenge
		if p.forbidden && len(p.names) > 1 {
			p.names = p.names[:1] // who asks for it can see the CAA record
		}
	}
	switch {
	case p.kind == probe.HTTP01 && s.http == nil:
		return errors.New("no HTTP responder is open: set responders.http")
	case p.kind == probe.TLSALPN01 && s.alpn == nil:
		return errors.New("no TLS-ALPN responder is open: set responders.tls_alpn")
	case p.kind.DNS() && served == nil:
		return errors.New("no DNS responder is open: set responders.dns")
	case p.forbidden && len(p.names) == 0:
		return errors.New("no DNS responder of ours has the name, to forbid it by a CAA record: set responders.dns")
	case p.kind.DNS() && !p.ahead && served.find(p.owner) == nil:
		return errors.New("the name lies in none of responders.dns.zones")
	}
	return s.board.add(p)
}

// Addresses returns where the Set listens now, by responder: "http", "tls_alpn",
// "dns" (UDP; TCP has the same port). A responder that is not configured is
// absent.
func (s *Set) Addresses() map[string]net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	addresses := make(map[string]net.Addr)
	if s.http != nil {
		addresses["http"] = s.http.addr()
	}
	if s.alpn != nil {
		addresses["tls_alpn"] = s.alpn.addr()
	}
	if s.dns != nil {
		addresses["dns"] = s.dns.addr()
	}
	return addresses
}

// Close stops every listener, lets what was accepted be answered until ctx ends,
// cuts the rest, and returns when nothing of the Set runs any more. It returns
// the cause of ctx if something had to be cut. Further calls do nothing.
func (s *Set) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	ending := s.retired
	for _, r := range s.serving() {
		r.halt()
		ending = append(ending, r)
	}
	s.http, s.alpn, s.dns, s.retired = nil, nil, nil, nil
	s.mu.Unlock()

	var err error
	for _, r := range ending {
		if isOver(r) {
			continue // even where ctx has ended as well
		}
		select {
		case <-r.ended():
		case <-ctx.Done():
			err = fmt.Errorf("close responders: %w", context.Cause(ctx))
			r.force()
			<-r.ended()
		}
	}
	return err
}

// serving returns the responders in service. It is called with mu held.
func (s *Set) serving() []responder {
	var all []responder
	if s.http != nil {
		all = append(all, s.http)
	}
	if s.alpn != nil {
		all = append(all, s.alpn)
	}
	if s.dns != nil {
		all = append(all, s.dns)
	}
	return all
}

// retire halts r and remembers it until its connections have ended. It is called
// with mu held.
func (s *Set) retire(r responder) {
	r.halt()
	s.retired = append(slices.DeleteFunc(s.retired, isOver), r)
}

// isOver reports whether nothing of r runs any more.
func isOver(r responder) bool {
	select {
	case <-r.ended():
		return true
	default:
		return false
	}
}
