// Command ca is the demo's ACME CA as a process of its own, for tests: it is
// as rough as it is told, limits its clients as Let's Encrypt does if it is
// told to, and can be held up and made to fail while it runs. If it is told to, what
// it issues is signed by a CA that has what Pebble has not, and can have defects.
//
// When it is ready it writes one line of JSON to standard output: the URLs of
// its directory and of its control. It ends when its standard input does, so
// that it never outlives the test that started it.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/letsencrypt/pebble/v2/db"

	"github.com/acme-exporter/acme_exporter/examples/demo/ca"
	"github.com/acme-exporter/acme_exporter/test/fault"
)

func main() {
	rough := ca.PebbleDefaults()
	o := ca.Options{ExternalAccounts: map[string]string{}}
	var smooth, valid, quiet bool
	var root, issuer string
	flag.StringVar(&o.Address, "address", "", "where to listen (empty: a free port of 127.0.0.1)")
	flag.IntVar(&o.HTTPPort, "http-port", 80, "where http-01 is validated")
	flag.IntVar(&o.TLSPort, "tls-port", 443, "where tls-alpn-01 is validated")
	flag.StringVar(&o.Resolver, "resolver", "", "DNS server, host:port (empty: the system's)")
	flag.StringVar(&root, "root", "", "file to write the API's root certificate to")
	flag.StringVar(&issuer, "issuer", "", "file to write the issuing root certificate to")
	flag.BoolVar(&smooth, "smooth", false, "no roughness, whatever the other flags say")
	flag.BoolVar(&valid, "always-valid", false, "take every challenge for solved, unseen")
	flag.BoolVar(&quiet, "quiet", false, "keep no journal, which grows with each request")
	flag.IntVar(&rough.NonceReject, "nonce-reject", rough.NonceReject, "percentage of good nonces to refuse")
	flag.IntVar(&rough.AuthzReuse, "authz-reuse", rough.AuthzReuse, "percentage of valid authorizations to reuse")
	flag.IntVar(&rough.ValidationSleep, "validation-sleep", rough.ValidationSleep, "bound of the random wait before a validation, seconds")
	flag.IntVar(&rough.PollAuthz, "poll-authz", rough.PollAuthz, "Retry-After of authorizations, seconds")
	flag.IntVar(&rough.PollOrder, "poll-order", rough.PollOrder, "Retry-After of orders, seconds")
	flag.Func("external-account", "KEYID=HMAC in base64url; accounts must be bound to one", func(s string) error {
		id, key, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("want KEYID=HMAC")
		}
		o.ExternalAccounts[id] = key
		return nil
	})
	var limits, edgeLimits map[string]limit
	limitsVar(&limits, "limits", "rate limits", limitNames)
	limitsVar(&edgeLimits, "edge-limits", "limits of the calls of one address, before the CA", edgeKinds)
	var signing signingOptions
	signingFlags(&signing)
	var rules policy
	policyFlags(&rules)
	flag.Parse()
	if !smooth {
		o.Roughness = rough
	}
	if valid {
		// Pebble looks for it when it starts.
		_ = os.Setenv("PEBBLE_VA_ALWAYS_VALID", "1") // a valid name: it cannot fail
	}
	log := new(journal)
	if !quiet {
		o.Log = log
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := parts{gate: newGate(), limiter: newLimiter(limits), edge: newEdge(edgeLimits), faults: &fault.Injector{Nonce: noncePath}, renewals: new(renewals), policy: &rules, resolver: o.Resolver, log: log, root: root, issuer: issuer}
	err := p.sign(signing)
	if err == nil {
		err = run(ctx, stop, o, p)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ca:", err)
		os.Exit(1)
	}
}

// limitsVar defines a flag for limits with any of names.
func limitsVar(p *map[string]limit, name, what string, names []string) {
	usage := fmt.Sprintf(`%s, as [{"name": %q, "count": 3, "period": "10s"}], "burst" if it is not the count; names: %s`,
		what, names[0], strings.Join(names, ", "))
	flag.Func(name, usage, func(text string) (err error) {
		*p, err = readLimits(text, names)
		return err
	})
}

// parts are what is around the CA.
type parts struct {
	gate     *gate
	limiter  *limiter
	edge     *edge
	faults   *fault.Injector
	renewals *renewals
	policy   *policy
	resolver string  // that it asks, host:port
	signer   *signer // nil: Pebble signs
	log      http.Handler
	// root and issuer are files to write roots to; empty: none.
	root, issuer string
}

// sign makes the signer that o wants.
func (p *parts) sign(o signingOptions) (err error) {
	if o.on {
		p.signer, err = newSigner(o)
	}
	return err
}

// within puts p's parts around Pebble's handler, the limiter outermost.
func (p parts) within(next http.Handler, store *db.MemoryStore) http.Handler {
	next = p.policy.wrap(p.renewals.wrap(next, store), store, p.resolver)
	if p.signer != nil {
		next = p.signer.wrap(next, store)
	}
	if len(p.limiter.ledger.limits) > 0 {
		next = p.limiter.wrap(next, store)
	}
	return next
}

// run serves the CA until ctx ends; stop ends it.
func run(ctx context.Context, stop func(), o ca.Options, p parts) (err error) {
	o.Wrap = func(next http.Handler) http.Handler { return p.faults.Wrap(p.gate.wrap(p.edge.wrap(withDelay(next)))) }
	var settling sync.WaitGroup
	defer settling.Wait()
	defer stop()
	if len(p.limiter.ledger.limits) > 0 {
		settling.Go(func() { p.limiter.run(ctx) })
	}
	o.Within = p.within
	if p.signer != nil {
		defer func() { err = errors.Join(err, closeSoon(p.signer.close)) }()
		if err := p.signer.start(); err != nil {
			return err
		}
	}
	authority, err := ca.Start(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSoon(authority.Close)) }()
	issuer := authority.IssuerRoot()
	if p.signer != nil {
		issuer = p.signer.rootPEM()
	}
	for file, content := range map[string][]byte{p.root: authority.APIRoot(), p.issuer: issuer} {
		if file == "" {
			continue
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return err
		}
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the control: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/outage", authority.Outage)
	mux.HandleFunc("/hold", p.gate.hold)
	mux.HandleFunc("POST /release", p.gate.release)
	mux.HandleFunc("GET /requests", p.gate.list)
	mux.HandleFunc("GET /limits", p.limiter.show(p.edge))
	mux.HandleFunc("POST /unpause", p.limiter.unpause)
	mux.Handle("POST /faults", p.faults)
	mux.HandleFunc("POST /renewal-info", p.renewals.set)
	mux.Handle("GET /log", p.log)
	if p.signer != nil {
		mux.HandleFunc("GET /signing", p.signer.show)
		mux.HandleFunc("POST /defects", p.signer.defects.serve)
	}
	control := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = control.Serve(listener) }() // ends with Shutdown
	defer func() { err = errors.Join(err, closeSoon(control.Shutdown)) }()

	err = json.NewEncoder(os.Stdout).Encode(map[string]string{
		"directory": authority.DirectoryURL(),
		"control":   "http://" + listener.Addr().String(),
	})
	if err != nil {
		return err
	}
	go func() {
		defer stop()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	<-ctx.Done()
	return nil
}

// closeSoon calls stop, with a second to spare for requests in flight.
func closeSoon(stop func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// journal keeps what the CA says of itself, and serves it.
type journal struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = w.Write(j.text.Bytes())
}
