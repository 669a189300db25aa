package parts

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/acme-exporter/acme_exporter/examples/demo/process"
)

// The paths of Pebble's that are about accounts.
const (
	PebbleNewAccount = "/sign-me-up"
	PebbleKeyChange  = "/rollover-account-key"
)

// Run runs acme_exporter to its end, and returns what it wrote and its exit
// status.
func (e *Exporter) Run(args ...string) (stdout, stderr string, status int) {
	e.tb.Helper()
	var out, errs bytes.Buffer
	cmd := e.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			e.tb.Fatal(err)
		}
		status = exit.ExitCode()
	}
	return out.String(), errs.String(), status
}

// Begin starts acme_exporter and does not wait for it.
func (e *Exporter) Begin(args ...string) *process.Process {
	e.tb.Helper()
	return Start(e.tb, e.command(args...))
}

// State is the path of a file in its state directory.
func (e *Exporter) State(name string) string { return filepath.Join(e.dir, "state", name) }

// HoldAnswers makes the answers to requests wait whose path begins with path.
func (p *Pebble) HoldAnswers(path string) {
	p.tb.Helper()
	query := url.Values{"path": {path}, "skip": {"0"}, "answers": {"true"}}
	p.namespace.Do(p.tb, http.MethodPost, p.control+"/hold?"+query.Encode())
}

// Statuses are those of the answers to requests below path, in order.
func (p *Pebble) Statuses(path string) []int {
	p.tb.Helper()
	var requests []struct {
		Path   string
		Status int
	}
	p.decode("/requests", &requests)
	var list []int
	for _, r := range requests {
		if strings.HasPrefix(r.Path, path) {
			list = append(list, r.Status)
		}
	}
	return list
}
