package app

import (
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/state"
)

// TestProbeKeepsResults holds that a failed probe by hand does not take the place
// of what the exporter has kept, its last success above all.
func TestProbeKeepsResults(t *testing.T) {
	file := write(t, "targets: {ca: {directory_url: 'https://127.0.0.1:1/dir', environment: staging, probes: {order: 0s}}}\n"+
		"modules: {order: {order: {names: {zone: probe.test}}}}\n")
	dir := filepath.Join(filepath.Dir(file), "state")
	before, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(before.Put("results", "ca/order", "kept"), before.Close()); err != nil {
		t.Fatal(err)
	}

	err = Probe(t.Context(), Common{
		ConfigFile: file, StateDir: dir, Logger: slog.New(slog.DiscardHandler), Stdout: io.Discard, Stderr: io.Discard,
	}, ProbeOptions{Target: "ca", Module: "order", Output: "json"})
	if !errors.Is(err, ErrProbeFailed) {
		t.Fatalf("got %v, want a failed probe", err)
	}

	after, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	err = after.All("results", func(key string, value []byte) error {
		if key != "ca/order" || string(value) != `"kept"` {
			t.Errorf("%s is %s", key, value)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
