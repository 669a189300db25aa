// Package ca is an ACME CA for demonstrations and tests: Pebble as a library,
// with certificates of its own making, an outage switch, and its HTTP handler
// made fit for clients that work in parallel.
//
// It is not a CA to trust: it keeps everything in memory and answers whoever
// can reach it.
package ca

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	pebbleca "github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// maxRequest bounds a request's body in bytes; no ACME request comes near it.
const maxRequest = 1 << 20

// Roughness is how hard the CA makes it for its clients, as Pebble does on
// purpose.
type Roughness struct {
	// NonceReject is the percentage of good nonces that are refused, 0 to 100.
	NonceReject int
	// AuthzReuse is the percentage of orders that get an authorization which is
	// valid already, if there is one, 0 to 100.
	AuthzReuse int
	// ValidationSleep bounds the random wait before a validation: whole seconds
	// from 0 to ValidationSleep-1. 0 means no wait.
	ValidationSleep int
	// PollAuthz and PollOrder are the Retry-After, in seconds, of pending
	// authorizations and processing orders; 0: none.
	PollAuthz, PollOrder int
}

// PebbleDefaults is the roughness that Pebble has when nobody asks for another.
func PebbleDefaults() Roughness {
	return Roughness{NonceReject: 5, AuthzReuse: 50, ValidationSleep: 5, PollAuthz: 3, PollOrder: 5}
}

// Options say what CA to start. The zero value is one without roughness that
// resolves names with the system's resolver.
type Options struct {
	// Address to listen on; empty: a free port of 127.0.0.1.
	Address string
	// HTTPPort is where validations of http-01 go, TLSPort those of
	// tls-alpn-01; 0: as the RFCs say, 80 and 443.
	HTTPPort, TLSPort int
	// Resolver is the DNS server, host:port, that validations ask over TCP;
	// empty: the system's.
	Resolver  string
	Roughness Roughness
	// ExternalAccounts maps key identifiers to HMAC keys in base64url. If there
	// are any, new accounts must be bound to one (RFC 8555 §7.3.4).
	ExternalAccounts map[string]string
	// Log gets Pebble's own account of what it does; nil: nobody.
	Log io.Writer
	// Wrap, if not nil, is put around the CA's handler: faults to inject,
	// requests to record.
	Wrap func(http.Handler) http.Handler
	// Within, if not nil, is put around Pebble's own handler, as a part of the CA:
	// it sees one request at a time, with the store that Pebble keeps all in.
	Within func(http.Handler, *db.MemoryStore) http.Handler
}

// CA is a running CA.
type CA struct {
	// Outage makes it fail.
	Outage *Outage

	address string
	root    []byte
	issuer  []byte
	server  *http.Server
	served  chan error
}

// Start starts a CA. Pebble reads its roughness from the environment, so Start
// sets variables of the whole process and wants to be called for one CA at a
// time. A goroutine of Pebble's outlives Close.
func Start(o Options) (*CA, error) {
	if err := o.Roughness.setenv(); err != nil {
		return nil, err
	}
	outage := NewOutage()
	handler, issuer, err := pebble(o, outage)
	if err != nil {
		return nil, err
	}
	if o.Wrap != nil {
		handler = o.Wrap(handler)
	}
	listener, err := net.Listen("tcp", cmp.Or(o.Address, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("listen for ACME: %w", err)
	}
	root, certificate, err := apiCertificate(listener.Addr())
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}

	c := &CA{
		Outage:  outage,
		address: listener.Addr().String(),
		root:    root,
		issuer:  issuer,
		served:  make(chan error, 1),
	}
	c.server = &http.Server{
		Handler:           outage.before(handler),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	go func() { c.served <- c.server.ServeTLS(outage.listen(listener), "", "") }()
	return c, nil
}

// DirectoryURL is where the CA's clients begin.
func (c *CA) DirectoryURL() string { return "https://" + c.address + wfe.DirectoryPath }

// APIRoot is the root certificate, in PEM, that the API's own certificate is
// verified with.
func (c *CA) APIRoot() []byte { return c.root }

// IssuerRoot is the root, in PEM, of the certificates that the CA issues.
func (c *CA) IssuerRoot() []byte { return c.issuer }

// Close stops the CA. Requests in flight have until ctx ends.
func (c *CA) Close(ctx context.Context) error {
	err := c.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, c.server.Close())
	}
	if served := <-c.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// pebble makes Pebble's parts, of which outage makes some fail, and returns its
// handler and its root.
func pebble(o Options, outage *Outage) (http.Handler, []byte, error) {
	logger := log.New(io.Discard, "", 0)
	if o.Log != nil {
		logger = log.New(o.Log, "", log.LstdFlags|log.Lmicroseconds)
	}
	store := db.NewMemoryStore()
	for id, key := range o.ExternalAccounts {
		if err := store.AddExternalAccountKeyByID(id, key); err != nil {
			return nil, nil, fmt.Errorf("add external account %q: %w", id, err)
		}
	}
	issuer := pebbleca.New(logger, store, "", "ecdsa", 0, 1, map[string]pebbleca.Profile{
		"default": {Description: "The default profile"},
	})
	validator := va.New(logger, cmp.Or(o.HTTPPort, 80), cmp.Or(o.TLSPort, 443), false, o.Resolver, store)
	front := wfe.New(logger, store, validator, issuer, []string{"pebble.invalid"}, false,
		len(o.ExternalAccounts) > 0, o.Roughness.PollAuthz, o.Roughness.PollOrder)
	root := issuer.GetRootCert(0)
	if root == nil {
		return nil, nil, errors.New("read the issuing root: there is none")
	}
	handler := front.Handler()
	if o.Within != nil {
		handler = o.Within(handler, store)
	}
	inside := &interior{pebble: handler, store: store, pollOrder: o.Roughness.PollOrder}
	return outage.within(inside), root.PEM(), nil
}

// setenv puts r where Pebble's constructors look for it.
func (r Roughness) setenv() error {
	noSleep := "0"
	if r.ValidationSleep < 1 {
		noSleep = "1"
	}
	return errors.Join(
		os.Setenv("PEBBLE_WFE_NONCEREJECT", strconv.Itoa(r.NonceReject)),
		os.Setenv("PEBBLE_AUTHZREUSE", strconv.Itoa(r.AuthzReuse)),
		os.Setenv("PEBBLE_VA_NOSLEEP", noSleep),
		os.Setenv("PEBBLE_VA_SLEEPTIME", strconv.Itoa(r.ValidationSleep)),
	)
}
