package alerts

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// TestCommands runs the commands of runbooks beside a configuration: each has to be
// understood, whatever comes of it where nothing listens.
func TestCommands(t *testing.T) {
	t.Parallel()
	program, dir := parts.PlainBinary(t), t.TempDir()
	configuration := "targets:\n  ca: {directory_url: \"https://127.0.0.1:1/dir\", environment: production, rate_limits: none, probes: {directory: 1m}}\n"
	if err := os.WriteFile(filepath.Join(dir, "acme_exporter.yml"), []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "docs/runbooks/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
			for line := range strings.Lines(block[1]) {
				line, _, _ = strings.Cut(strings.TrimSpace(line), " | ")
				arguments, ours := strings.CutPrefix(line, "acme_exporter ")
				if !ours {
					continue
				}
				ran++
				cmd := exec.CommandContext(t.Context(), program, strings.Fields(strings.ReplaceAll(arguments, "TARGET", "ca"))...)
				cmd.Dir = dir
				output, err := cmd.CombinedOutput()
				failed, exited := errors.AsType[*exec.ExitError](err)
				// 2 is what cannot be meant, and a store is had by the exporter that runs.
				if err != nil && !exited || exited && failed.ExitCode() != 1 {
					t.Errorf("%s: %s: %v\n%s", filepath.Base(name), line, err, output)
				}
				if _, err := os.Stat(filepath.Join(dir, "data")); err == nil || strings.Contains(string(output), "store.db") {
					t.Errorf("%s: %s needs the state of the exporter that runs:\n%s", filepath.Base(name), line, output)
				}
			}
		}
	}
	if ran < 4 {
		t.Errorf("%d commands", ran)
	}
}
