package parts

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/examples/demo/process"
)

// Timeout bounds every wait for a part: long beside what it takes, for slow
// machines.
const Timeout = 60 * time.Second

// Start starts cmd; what it writes is shown if the test fails. It is killed
// when the test ends, if it is still there.
func Start(tb testing.TB, cmd *exec.Cmd) *process.Process {
	tb.Helper()
	log := new(lockedBuffer)
	cmd.Stderr = log
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	p, err := process.Start(cmd)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Signal(os.Kill); err != nil {
			tb.Error(err)
		}
		_ = p.Err() // it was killed
		if tb.Failed() {
			tb.Logf("%s:\n%s", cmd.Path, log.String())
		}
	})
	return p
}

// awaitReady waits until GET url answers 200.
func (n *Namespace) awaitReady(tb testing.TB, p *process.Process, url string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), Timeout)
	defer cancel()
	if err := p.WaitReady(ctx, n.Client(), url); err != nil {
		tb.Fatal(err)
	}
}

// Until polls another process until done says so, and fails the test if that
// takes longer than [Timeout].
func Until(tb testing.TB, what string, done func() bool) {
	tb.Helper()
	poll(tb, what, 20*time.Millisecond, Timeout, done)
}

// Within is [Until] for what takes minutes, and not longer than d.
func Within(tb testing.TB, what string, d time.Duration, done func() bool) {
	tb.Helper()
	poll(tb, what, time.Second, d, done)
}

func poll(tb testing.TB, what string, every, most time.Duration, done func() bool) {
	tb.Helper()
	tick := time.NewTicker(every)
	defer tick.Stop()
	late := time.After(most)
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			tb.Fatalf("wait until %s: not within %s", what, most)
		}
	}
}

// Do makes a request and returns the answer's body; any status but 200 fails
// the test.
func Do(tb testing.TB, method, url string) []byte {
	tb.Helper()
	return (*Namespace)(nil).Do(tb, method, url)
}

// Do is [Do] in the namespace.
func (n *Namespace) Do(tb testing.TB, method, url string) []byte {
	tb.Helper()
	body, err := n.do(tb.Context(), method, url)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

func (n *Namespace) do(ctx context.Context, method, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := n.Client().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = &statusError{method, url, resp.Status, body}
	}
	return body, err
}

// statusError is an answer that is not 200.
type statusError struct {
	method, url, status string
	body                []byte
}

func (e *statusError) Error() string {
	return e.method + " " + e.url + ": " + e.status + "\n" + string(e.body)
}

// lockedBuffer is what a process writes to while a test reads.
type lockedBuffer struct {
	mu     sync.Mutex // guards buffer
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
