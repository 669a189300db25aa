// Package alerts tests the recording rules and alerts of the repository with
// promtool. Its unit tests are promtool's own YAML, written as templates.
package alerts

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/acme-exporter/acme_exporter/test/parts"
	"github.com/acme-exporter/acme_exporter/test/series"
)

// root is the repository.
const root = "../.."

// header is the beginning of each of promtool's files. promtool evaluates the
// groups in this order, and in none if nobody says so.
const header = `rule_files:
  - %[1]s/acme_exporter.rules.yml
  - %[1]s/acme_exporter.alerts.yml
group_eval_order:
  - acme_exporter_state
  - acme_exporter_locations
  - acme_exporter_budget
  - acme_exporter_days
  - acme_exporter_latency
  - acme_exporter_week
  - acme_exporter_down
  - acme_exporter_service
  - acme_exporter_certificates
  - acme_exporter_limits
  - acme_exporter_self
`

// runbook and dashboard begin each runbook_url and dashboard_url.
const (
	runbook   = "https://github.com/acme-exporter/acme_exporter/blob/main/docs/runbooks/"
	dashboard = "https://grafana.example/d/"
)

// modesOf returns the modes of histograms that a version can be given: the old one
// has no notation for native ones.
func modesOf(tool parts.Promtool) []series.Mode {
	if tool.Pinned {
		return []series.Mode{series.Classic, series.Native, series.Both}
	}
	return []series.Mode{series.Classic}
}

func TestCheckRules(t *testing.T) {
	t.Parallel()
	for _, tool := range parts.Promtools(t) {
		version, err := exec.CommandContext(t.Context(), tool.Path, "--version").CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(version), "\n")
		t.Log(first)
		out, err := exec.CommandContext(t.Context(), tool.Path, "check", "rules", "--lint=all", "--lint-fatal",
			root+"/alerts/acme_exporter.rules.yml", root+"/alerts/acme_exporter.alerts.yml").CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", tool.Name, err, out)
		}
	}
}

// TestRules runs testdata through each version and mode. Where the mode makes
// no difference to a file, once is enough.
func TestRules(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata: %v, %d files", err, len(files))
	}
	for _, tool := range parts.Promtools(t) {
		for _, file := range files {
			var before string
			for _, m := range modesOf(tool) {
				text := render(t, file, m)
				if text == before {
					continue
				}
				before = text
				t.Run(fmt.Sprintf("%s/%s/%s", tool.Name, strings.TrimSuffix(filepath.Base(file), ".yml"), m), func(t *testing.T) {
					t.Parallel()
					path := filepath.Join(t.TempDir(), "test.yml")
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
					out, err := exec.CommandContext(t.Context(), tool.Path, "test", "rules", path).CombinedOutput()
					if err != nil || !bytes.Contains(out, []byte("SUCCESS")) {
						t.Errorf("%v\n%s", err, out)
					}
				})
			}
		}
	}
}

// runbookQuery returns the first query of a runbook that has the word, asked of a target.
func runbookQuery(text, word, target string) (string, error) {
	for _, block := range queryBlocks.FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[1]) {
			if strings.Contains(line, word) {
				return strings.ReplaceAll(strings.TrimSpace(line), "TARGET", target), nil
			}
		}
	}
	return "", fmt.Errorf("no query has %q", word)
}

// render makes promtool's file of a template of testdata.
func render(t *testing.T, file string, m series.Mode) string {
	t.Helper()
	rules, err := filepath.Abs(root + "/alerts")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := template.New(filepath.Base(file)).Option("missingkey=error").Funcs(template.FuncMap{
		"states":           series.States,
		"exporter":         series.Exporter,
		"v":                series.Values,
		"durations":        m.Durations,
		"classicDurations": series.Classic.Durations,
		"times":            func(n int, words string) string { return strings.Repeat(words+" ", n) },
		"list":             func(words ...string) []string { return words },
		"runbook": func(name, word, target string) (string, error) {
			return runbookQuery(read(t, "docs/runbooks/"+name+".md"), word, target)
		},
	}).Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, header, rules)
	err = parsed.Execute(&out, map[string]any{"Classic": m == series.Classic, "Runbook": runbook, "Dashboard": dashboard})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}
