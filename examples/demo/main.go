// Command demo shows acme_exporter at work on one machine, without root and
// without a CA of one's own: it starts an ACME CA (Pebble, in this process) and
// acme_exporter beside it, which probes that CA with every module it has and
// has a certificate issued every 20 seconds. The CA has an outage switch, which
// is a page, and the command "demo outage MODE" beside it.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
	flag.StringVar(&o.control, "control", "", "host:port of the outage switch (empty: "+process.Loopback(defaultControl)+" if it is free)")
	flag.BoolVar(&o.caLog, "ca.log", false, "show what the CA does")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Usage: %[1]s [FLAG]...\n       %[1]s [-control HOST:PORT] outage [MODE]\n\n", os.Args[0])
		flag.PrintDefaults()
	}
	flag.Parse()
	o.self, o.out, o.log = os.Args[0], os.Stdout, os.Stderr

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case flag.NArg() == 0:
		err = run(ctx, o)
	case flag.Arg(0) == "outage" && flag.NArg() <= 2:
		err = setOutage(ctx, o.out, cmp.Or(o.control, process.Loopback(defaultControl)), flag.Arg(1))
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	exporter, source string
	control          string // empty: where there is room
	caLog            bool
	self             string // how this program was called
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

	exporter := exporter{binary: o.exporter, dir: dir, ports: ports, log: o.log}
	listener, err := listenControl(o.control)
	if err != nil {
		return fmt.Errorf("listen for the outage switch: %w", err)
	}
	control := serveControl(listener, authority.Outage, exporter.baseURL())
	defer func() { err = errors.Join(err, closeWithin(stopTimeout, control.Shutdown)) }()

	if err := exporter.configure(authority, control.Addr); err != nil {
		return err
	}
	return exporter.run(ctx, func() { banner(o, exporter.baseURL(), authority, control.Addr) })
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

// banner says where to look, and how to make the CA fail.
func banner(o options, exporter string, authority *ca.CA, control string) {
	command := o.self + " outage "
	if control != process.Loopback(defaultControl) {
		command = o.self + " -control " + control + " outage "
	}
	fmt.Fprintf(o.out, `
acme_exporter is watching an ACME CA of its own. Open

  %-32[1]s  targets, pairs, and each run's waterfall
  %-32[2]s  what Prometheus scrapes
  %-32[3]s  the CA's outage switch
  %-32[4]s  the CA's directory (its certificate is home-made)

Make the CA fail, on that page or from another terminal, and watch:

`, exporter+"/", exporter+"/metrics", "http://"+control+"/", authority.DirectoryURL())
	listModes(o.out, command)
	fmt.Fprint(o.out, "\nStop with Ctrl-C.\n\n")
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
