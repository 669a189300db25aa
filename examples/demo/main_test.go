package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// The addresses in what the demo prints.
var (
	metricsURL = regexp.MustCompile(`http://\S+/metrics`)
	controlURL = regexp.MustCompile(`http://(\S+)/ +the CA's outage switch`)
)

// TestDemo runs the demo as "make run" does, until every module has succeeded
// and outages have been seen, and stops it.
func TestDemo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, log := new(buffer), new(buffer)
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, options{source: filepath.Join("..", ".."), out: out, log: log})
	}()
	// until polls the demo until done says so.
	until := func(what string, done func() bool) {
		t.Helper()
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		late := time.After(2 * time.Minute)
		for !done() {
			select {
			case <-tick.C:
			case err := <-ended:
				t.Fatalf("the demo ended before %s: %v\n%s", what, err, log.String())
			case <-late:
				t.Fatalf("wait until %s: too late\n%s%s", what, out.String(), log.String())
			}
		}
	}

	until("it has said where to look", func() bool { return strings.Contains(out.String(), "Ctrl-C") })
	metrics := metricsURL.FindString(out.String())
	for _, module := range []string{"directory", "nonce", "account", "order", "validate", "issue_http", "issue_dns"} {
		success := regexp.MustCompile(`acme_probes_total\{.*module="` + module + `",outcome="success".*\} [1-9]`)
		until(module+" has succeeded", func() bool { return success.MatchString(get(metrics)) })
	}
	control := controlURL.FindStringSubmatch(out.String())[1]
	for _, outage := range []struct{ mode, module, reason, stage string }{
		{"db-down", "account", "server_internal", "account"},
		{"va-down", "validate", "server_internal", "validation"},
		{"signing-down", "issue_dns", "server_internal", "finalization"},
		{"cdn-error", "directory", "edge_5xx", "directory"},
	} {
		said := new(buffer)
		if err := setOutage(ctx, said, control, outage.mode); err != nil || said.String() != "outage: "+outage.mode+"\n" {
			t.Errorf("the outage switch says %q, %v", said.String(), err)
		}
		failure := regexp.MustCompile(`acme_probe_failures_total\{.*module="` + outage.module + `",reason="` + outage.reason + `",stage="` + outage.stage + `".*\} [1-9]`)
		until(outage.mode+" is seen", func() bool { return failure.MatchString(get(metrics)) })
	}

	// The switch is a control: where it answers, it is not our line.
	if err := setOutage(ctx, io.Discard, control, "down"); err != nil {
		t.Error(err)
	}
	unreachable := regexp.MustCompile(`acme_probes_total\{.*fault="unreachable",module="directory".*\} [1-9]`)
	until("that the CA is gone is seen", func() bool { return unreachable.MatchString(get(metrics)) })

	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("stop: %v\n%s", err, log.String())
		}
	case <-time.After(graceTimeout):
		t.Error("the demo did not stop")
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) != 0 {
		t.Errorf("files left behind: %v, %v", left, err)
	}
}

// get returns a page; empty: there is none.
func get(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(body)
}

// buffer is written to by the demo while the test reads.
type buffer struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
