package examples_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// exposure is what systemd-analyze may give the unit at most, in tenths of its scale:
// 0 is a service that can do nothing, 100 one that can do everything.
const exposure = "20"

// TestSystemd holds that systemd reads every line of the unit, and that the unit
// stays hardened.
func TestSystemd(t *testing.T) {
	t.Parallel()
	units, err := filepath.Glob(root + "/examples/systemd/*")
	must(t, err)
	// Timers name their services: all of them have to be in one directory.
	dir := t.TempDir()
	program := regexp.MustCompile(`(?m)^ExecStart=\S+`)
	services := 0
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		must(t, err)
		if strings.HasSuffix(unit, ".service") {
			services++
			if !program.Match(text) {
				t.Errorf("%s: no ExecStart", unit)
			}
			// systemd-analyze wants the program to be there.
			text = program.ReplaceAll(text, []byte("ExecStart="+parts.PlainBinary(t)))
		}
		must(t, os.WriteFile(filepath.Join(dir, filepath.Base(unit)), text, 0o600))
	}
	if services == 0 {
		t.Fatal("no unit")
	}
	for _, unit := range units {
		file := filepath.Join(dir, filepath.Base(unit))
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", file).CombinedOutput()
		// What it does not know it only mentions.
		if err != nil || len(bytes.TrimSpace(out)) > 0 {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
		if !strings.HasSuffix(unit, ".service") {
			continue
		}
		out, err = exec.CommandContext(t.Context(), "systemd-analyze", "security", "--no-pager", "--offline=true",
			"--threshold="+exposure, file).CombinedOutput()
		if err != nil {
			t.Errorf("%s is more exposed than %s tenths: %v\n%s", unit, exposure, err, out)
		}
	}
}

// TestCapabilities holds that the exporter's unit can open the ports of the responders,
// and do nothing else that needs a privilege.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(root + "/examples/systemd/acme_exporter.service")
	must(t, err)
	for _, key := range []string{"AmbientCapabilities", "CapabilityBoundingSet"} {
		found := regexp.MustCompile(`(?m)^`+key+`=(.*)$`).FindAllStringSubmatch(string(text), -1)
		if len(found) != 1 || found[0][1] != "CAP_NET_BIND_SERVICE" {
			t.Errorf("%s is %q, want CAP_NET_BIND_SERVICE alone", key, found)
		}
	}
	for _, line := range []string{"DynamicUser=yes", "StateDirectory=acme_exporter", "NoNewPrivileges=yes"} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).Match(text) {
			t.Errorf("no %s", line)
		}
	}
}
