// Package process runs programs as child processes and finds ports for them.
package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Process is a program that was started.
type Process struct {
	cmd  *exec.Cmd
	name string
	done chan struct{} // closed when it has ended
	err  error         // why; to be read after done
}

// Start starts cmd in a process group of its own, so that Ctrl-C does not reach
// it but through us.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, name: filepath.Base(cmd.Path), done: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err waits for the process to end and says how it did: nil is exit status 0.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Signal sends s; to a process that has ended it does nothing.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Stop sends SIGTERM and waits for the process to end. If it is still there
// when ctx ends it is killed, which is an error. So is any exit status but 0.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		kill := p.Signal(os.Kill)
		<-p.done
		return errors.Join(fmt.Errorf("stop %s: it did not end: %w", p.name, ctx.Err()), kill)
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}

// WaitReady waits until GET url answers 200. It fails when ctx ends, and at
// once when the process does.
func (p *Process) WaitReady(ctx context.Context, client *http.Client, url string) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ready(ctx, client, url) {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("%s ended before it was ready: %w", p.name, orExit(p.err))
		case <-ctx.Done():
			return fmt.Errorf("wait for %s to be ready: %w", p.name, ctx.Err())
		}
	}
}

func ready(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// orExit makes an error of a good exit where none was due.
func orExit(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}
