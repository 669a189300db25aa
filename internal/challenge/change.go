package challenge

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/acme-exporter/acme_exporter/config"
)

// Change is a configuration whose listeners are open and do not serve yet.
// Exactly one of Commit and Abort must be called; what follows does nothing.
type Change struct {
	set  *Set
	done bool           // guarded by set.mu
	http *httpResponder // what will serve: the present one, a new one, or nil
	alpn *alpnResponder
	dns  *dnsResponder
	// httpProxies and alpnProxies are whom http and alpn will believe.
	httpProxies, alpnProxies *proxies
	zones                    *zones // what dns will answer; nil without it
}

// Prepare opens the listeners that r has and the Set has not, and touches
// nothing that serves. A listener whose listen_address is the same keeps its
// socket over Commit.
//
// Its error joins everything that is wrong, each with the path in the
// configuration and the address. Only one Change may be under way.
func (s *Set) Prepare(r config.Responders) (*Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, ErrClosed
	case s.preparing:
		return nil, errors.New("prepare responders: another change is under way")
	}
	c := &Change{set: s}
	var errs []error
	if r.HTTP != nil {
		if err := c.prepareHTTP(r.HTTP); err != nil {
			errs = append(errs, err)
		}
	}
	if r.TLSALPN != nil {
		if err := c.prepareALPN(r.TLSALPN); err != nil {
			errs = append(errs, err)
		}
	}
	if r.DNS != nil {
		if err := c.prepareDNS(r.DNS); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		c.releaseNew()
		return nil, errors.Join(errs...)
	}
	s.preparing = true
	return c, nil
}

func (c *Change) prepareHTTP(r *config.HTTPResponder) (err error) {
	s := c.set
	c.httpProxies = &proxies{networks: r.TrustedProxies, key: "responders.http.trusted_proxies"}
	c.http, err = listening(s.http, "responders.http", r.ListenAddress, func() (*httpResponder, error) {
		return openHTTP(r.ListenAddress, s.board, s.log)
	})
	return err
}

func (c *Change) prepareALPN(r *config.TLSALPNResponder) (err error) {
	s := c.set
	c.alpnProxies = &proxies{networks: r.ProxyProtocol, key: "responders.tls_alpn.proxy_protocol"}
	c.alpn, err = listening(s.alpn, "responders.tls_alpn", r.ListenAddress, func() (*alpnResponder, error) {
		return openALPN(r.ListenAddress, s.board, s.log)
	})
	return err
}

func (c *Change) prepareDNS(r *config.DNSResponder) (err error) {
	s := c.set
	if c.zones, err = newZones(r); err != nil {
		return err
	}
	c.dns, err = listening(s.dns, "responders.dns", r.ListenAddress, func() (*dnsResponder, error) {
		return openDNS(r.ListenAddress, s.board, s.limits, s.log)
	})
	return err
}

// listening returns present where it listens on address, and else what open has
// opened there. The zero R stands for none.
func listening[R interface {
	comparable
	responder
}](present R, path, address string, open func() (R, error)) (R, error) {
	var none R
	if present != none && present.configured() == address {
		return present, nil
	}
	opened, err := open()
	if err == nil {
		return opened, nil
	}
	var current net.Addr
	if present != none {
		current = present.addr()
	}
	return none, listenError(path+".listen_address", address, err, current)
}

// Commit makes the change: new listeners serve, those that stay answer from the
// new zones and believe the new proxies, and the sockets of those that are gone
// are closed. Live challenges stay live.
func (c *Change) Commit() {
	s := c.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.done {
		return
	}
	c.done = true
	s.preparing = false
	if s.closed {
		c.releaseNew()
		return
	}
	before := s.serving()
	kept := c.kept()
	if c.dns != nil {
		c.dns.zones.Store(c.zones) // of a new one, before anybody can ask
	}
	if c.http != nil {
		c.http.proxies.Store(c.httpProxies)
	}
	if c.alpn != nil {
		c.alpn.proxies.Store(c.alpnProxies)
	}
	s.http, s.alpn, s.dns = c.http, c.alpn, c.dns
	for _, r := range s.serving() {
		if !kept[r] {
			r.start()
		}
	}
	for _, r := range before {
		if !kept[r] {
			s.retire(r)
		}
	}
}

// Abort closes what Prepare opened.
func (c *Change) Abort() {
	s := c.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.done {
		return
	}
	c.done = true
	s.preparing = false
	c.releaseNew()
}

// kept returns the responders that serve before and after. It is called with
// set.mu held.
func (c *Change) kept() map[responder]bool {
	kept := make(map[responder]bool)
	if c.http != nil && c.http == c.set.http {
		kept[c.http] = true
	}
	if c.alpn != nil && c.alpn == c.set.alpn {
		kept[c.alpn] = true
	}
	if c.dns != nil && c.dns == c.set.dns {
		kept[c.dns] = true
	}
	return kept
}

// releaseNew closes the listeners that were opened for this change and never
// served. It is called with set.mu held.
func (c *Change) releaseNew() {
	if c.http != nil && c.http != c.set.http {
		c.http.release()
	}
	if c.alpn != nil && c.alpn != c.set.alpn {
		c.alpn.release()
	}
	if c.dns != nil && c.dns != c.set.dns {
		c.dns.release()
	}
}

// listenError says which address could not be opened and what to do about it.
// current is where our own responder of this kind listens; nil: nowhere.
func listenError(path, address string, err error, current net.Addr) error {
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && current != nil && samePort(address, current):
		hint = ": this exporter itself listens there: restart it to change the address but not the port"
	case errors.Is(err, syscall.EADDRINUSE):
		hint = ": stop what listens there, or choose another address"
	case errors.Is(err, syscall.EACCES):
		hint = ": grant CAP_NET_BIND_SERVICE, or choose a port above 1023"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = ": choose an address of this host"
	}
	return fmt.Errorf("%s: %w%s", path, err, hint)
}

// samePort reports whether the port of address is the one of current.
func samePort(address string, current net.Addr) bool {
	_, want, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, have, err := net.SplitHostPort(current.String())
	return err == nil && want == have
}
