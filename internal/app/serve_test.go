package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/acme-exporter/acme_exporter/internal/metrics"
)

// TestNoGracePeriod holds that a grace period of 0 is none: a run in flight is
// cut at once, and not after the runner's default.
func TestNoGracePeriod(t *testing.T) {
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

	dir := t.TempDir()
	file := filepath.Join(dir, "acme.yml")
	text := fmt.Sprintf("targets: {ca: {directory_url: 'https://%s/dir', environment: staging, probes: {slow: 1s}}}\n"+
		"modules: {slow: {prober: directory, timeout: 1m}}\n", ca.Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	addresses, systemd, webConfig := []string{"127.0.0.1:0"}, false, ""
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, Common{
			ConfigFile: file, StateDir: filepath.Join(dir, "state"),
			Logger: slog.New(slog.DiscardHandler), Stdout: io.Discard, Stderr: io.Discard,
		}, ServeOptions{
			Web:         &toolkit.FlagConfig{WebListenAddresses: &addresses, WebSystemdSocket: &systemd, WebConfigFile: &webConfig},
			GracePeriod: 0, Histograms: metrics.Both,
		})
	}()
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
