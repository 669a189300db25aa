package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/acme-exporter/acme_exporter/internal/metrics"
)

// TestNoGracePeriod holds that a grace period of 0 is none: a run in flight is
// cut at once, and not after the runner's default.
func TestNoGracePeriod(t *testing.T) {
	t.Parallel()
	ca, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ca.Close()
	connected := make(chan net.Conn, 1)
	go func() {
		if c, err := ca.Accept(); err == nil {
			connected <- c // and say nothing
		}
	}()

	file := write(t, fmt.Sprintf("targets: {ca: {directory_url: 'https://%s/dir', environment: staging, probes: {slow: 1s}}}\n"+
		"modules: {slow: {prober: directory, timeout: 1m}}\n", ca.Addr()))
	ended, stop := serve(t, file, "127.0.0.1:0", 0)
	select {
	case c := <-connected:
		defer c.Close()
	case err := <-ended:
		t.Fatalf("ended before the first run: %v", err)
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the run was not cut")
	}
}

// TestHangupWhileStopping holds that SIGHUP does not end the process while runs
// have their grace period.
func TestHangupWhileStopping(t *testing.T) {
	ca, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ca.Close()
	file := write(t, fmt.Sprintf("targets: {ca: {directory_url: 'https://%s/dir', environment: staging, probes: {slow: 1s}}}\n"+
		"modules: {slow: {prober: directory, timeout: 1s}}\n", ca.Addr()))
	ended, stop := serve(t, file, "127.0.0.1:0", time.Minute)
	c, err := ca.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stop()
	<-time.After(100 * time.Millisecond)
	// Were it not caught, this would end the test.
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestStuckReader holds that a client that does not read its answers is cut at
// the end, and that this is a good end.
func TestStuckReader(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	file := write(t, "targets: {ca: {directory_url: 'https://ca.invalid/dir', environment: staging, probes: {directory: 0s}}}\n")
	ended, stop := serve(t, file, free.Addr().String(), 0)

	var c net.Conn
	for range 100 {
		if c, err = net.Dial("tcp", free.Addr().String()); err == nil {
			break
		}
		<-time.After(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for err == nil { // until neither side's buffers have room
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, err = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("did not end")
	}
}

// write writes a configuration file and returns its name.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "acme.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// serve runs an exporter until stop is called; ended has its error then.
func serve(t *testing.T, file, address string, grace time.Duration) (ended <-chan error, stop context.CancelFunc) {
	t.Helper()
	addresses, systemd, webConfig := []string{address}, false, ""
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	over := make(chan error, 1)
	go func() {
		over <- Serve(ctx, Common{
			ConfigFile: file, StateDir: filepath.Join(filepath.Dir(file), "state"),
			Logger: slog.New(slog.DiscardHandler), Stdout: io.Discard, Stderr: io.Discard,
		}, ServeOptions{
			Web:         &toolkit.FlagConfig{WebListenAddresses: &addresses, WebSystemdSocket: &systemd, WebConfigFile: &webConfig},
			GracePeriod: grace, Histograms: metrics.Both,
		})
	}()
	return over, stop
}
