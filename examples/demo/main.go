// Command demo shows acme_exporter at work on one machine, without root and
// without a CA of one's own: it starts an ACME CA (Pebble, in this process) and
// acme_exporter beside it, which probes that CA with every module it has and
// has a certificate issued every 20 seconds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/acme-exporter/acme_exporter/examples/demo/ca"
	"github.com/acme-exporter/acme_exporter/examples/demo/process"
)

// stopTimeout bounds the CA's stop, and that of the outage switch.
const stopTimeout = 5 * time.Second

func main() {
	var o options
	flag.StringVar(&o.exporter, "exporter", "", "the acme_exporter binary to start (empty: build it from -source)")
	flag.StringVar(&o.source, "source", filepath.Join("..", ".."), "where acme_exporter's source is, to be built")
	flag.BoolVar(&o.caLog, "ca.log", false, "show what the CA does")
	flag.Parse()
	o.out, o.log = os.Stdout, os.Stderr

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	exporter, source string
	caLog            bool
	out, log         io.Writer
}

// run is the demonstration, until ctx ends.
func run(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "acme_exporter-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	if o.exporter == "" {
		o.exporter = filepath.Join(dir, "acme_exporter")
		fmt.Fprintln(o.out, "Building acme_exporter …")
		if err := build(ctx, o.source, o.exporter); err != nil {
			return ignoreCanceled(ctx, err)
		}
	}
	ports, err := freePorts()
	if err != nil {
		return err
	}
	authority, err := ca.Start(caOptions(o, ports))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeWithin(stopTimeout, authority.Close)) }()

	control, err := serveOutage(authority.Outage)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeWithin(stopTimeout, control.Shutdown)) }()

	exporter := exporter{binary: o.exporter, dir: dir, ports: ports, log: o.log}
	if err := exporter.configure(authority); err != nil {
		return err
	}
	return exporter.run(ctx, func() {
		banner(o.out, exporter.baseURL(), authority, control.Addr)
	})
}

// caOptions ask for a CA that is rough enough to be worth watching: some nonces
// refused, some authorizations reused, validations that take their time.
func caOptions(o options, p ports) ca.Options {
	c := ca.Options{
		HTTPPort: p.http,
		TLSPort:  p.tls,
		Resolver: process.Loopback(p.dns),
		Roughness: ca.Roughness{
			NonceReject: 5, AuthzReuse: 50, ValidationSleep: 3, PollAuthz: 1, PollOrder: 1,
		},
	}
	if o.caLog {
		c.Log = o.log
	}
	return c
}

// serveOutage serves the outage switch on a free port of 127.0.0.1.
func serveOutage(outage *ca.Outage) (*http.Server, error) {
	listener, err := net.Listen("tcp", process.Loopback(0))
	if err != nil {
		return nil, fmt.Errorf("listen for the outage switch: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/outage", outage)
	server := &http.Server{
		Addr:              listener.Addr().String(),
		Handler:           mux,
		ReadHeaderTimeout: stopTimeout,
	}
	go func() { _ = server.Serve(listener) }() // ends with Shutdown
	return server, nil
}

// banner says where to look.
func banner(w io.Writer, exporter string, authority *ca.CA, control string) {
	fmt.Fprintf(w, `
acme_exporter is watching an ACME CA of its own. Open

  %-32[1]s  targets, pairs, and each run's waterfall
  %-32[2]s  what Prometheus scrapes
  %-32[3]s  the CA's directory (its certificate is home-made)

Make the CA fail, and watch:

  curl '%[4]s?mode=errors'   POSTs get 500, the directory is fine: a dead database
  curl '%[4]s?mode=down'     nobody answers
  curl '%[4]s?mode=slow'     every answer is %[5]s late
  curl '%[4]s?mode=off'      well again

Stop with Ctrl-C.

`, exporter+"/", exporter+"/metrics", authority.DirectoryURL(), "http://"+control+"/outage", ca.SlowDelay)
}

// closeWithin calls stop with a context that ends after d.
func closeWithin(d time.Duration, stop func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return stop(ctx)
}

// ignoreCanceled forgets err if ctx has ended: being stopped is no failure.
func ignoreCanceled(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
