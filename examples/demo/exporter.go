package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"
	"time"

	"github.com/acme-exporter/acme_exporter/examples/demo/ca"
	"github.com/acme-exporter/acme_exporter/examples/demo/process"
)

const (
	// defaultWebPort is acme_exporter's own, taken if it is free.
	defaultWebPort = 18555
	// readyTimeout is how long acme_exporter may take to be ready.
	readyTimeout = 30 * time.Second
	// graceTimeout is how long it may take to stop: its own grace period and
	// clean-up, and some more.
	graceTimeout = 40 * time.Second
)

//go:embed acme.yml.tmpl
var configuration string

// ports are those of 127.0.0.1 on which acme_exporter listens.
type ports struct{ web, http, tls, dns int }

// freePorts finds ports for acme_exporter.
func freePorts() (p ports, err error) {
	if p.web, err = process.FreePort(defaultWebPort, "tcp"); err != nil {
		if p.web, err = process.FreePort(0, "tcp"); err != nil {
			return p, err
		}
	}
	if p.http, err = process.FreePort(0, "tcp"); err != nil {
		return p, err
	}
	if p.tls, err = process.FreePort(0, "tcp"); err != nil {
		return p, err
	}
	p.dns, err = process.FreePort(0, "tcp", "udp")
	return p, err
}

// build builds acme_exporter from its source.
func build(ctx context.Context, source, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", binary, ".")
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build acme_exporter in %q: %w\n%s", source, err, bytes.TrimSpace(out))
	}
	return nil
}

// exporter is acme_exporter as a process of its own.
type exporter struct {
	binary string
	dir    string // for its files
	ports  ports
	log    io.Writer
}

func (e *exporter) baseURL() string { return "http://" + process.Loopback(e.ports.web) }

func (e *exporter) path(name string) string { return filepath.Join(e.dir, name) }

// configure writes its configuration. control is the address of the outage
// switch, which is there even if the CA is not.
func (e *exporter) configure(authority *ca.CA, control string) error {
	t, err := template.New("configuration").Parse(configuration)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(control)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	err = t.Execute(&text, map[string]string{
		"Directory": authority.DirectoryURL(),
		"Root":      "api-root.pem",
		"HTTP":      process.Loopback(e.ports.http),
		"TLSALPN":   process.Loopback(e.ports.tls),
		"DNS":       process.Loopback(e.ports.dns),
		"Control":   "http://localhost:" + port + "/",
	})
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(e.path("api-root.pem"), authority.APIRoot(), 0o600),
		os.WriteFile(e.path("acme.yml"), text.Bytes(), 0o600),
	)
}

// run starts it, calls ready once it is, and stops it when ctx ends. That it
// ends by itself is an error.
func (e *exporter) run(ctx context.Context, ready func()) error {
	cmd := exec.Command(e.binary, "serve",
		"--config.file="+e.path("acme.yml"),
		"--state.dir="+e.path("state"),
		"--web.listen-address="+process.Loopback(e.ports.web))
	cmd.Stdout, cmd.Stderr = e.log, e.log
	child, err := process.Start(cmd)
	if err != nil {
		return err
	}
	err = e.watch(ctx, child, ready)
	return errors.Join(ignoreCanceled(ctx, err), closeWithin(graceTimeout, child.Stop))
}

// watch waits until child is ready and then until ctx, or child, ends.
func (e *exporter) watch(ctx context.Context, child *process.Process, ready func()) error {
	starting, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := child.WaitReady(starting, http.DefaultClient, e.baseURL()+"/-/ready"); err != nil {
		return err
	}
	ready()
	select {
	case <-child.Done():
		return errors.New("acme_exporter ended by itself")
	case <-ctx.Done():
		return nil
	}
}
