// Package examples_test tries what examples/ has beside configurations of
// acme_exporter itself: units, compose files, agents.
package examples_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// root is the repository.
const root = "../.."

func TestMain(m *testing.M) { os.Exit(parts.Main(m)) }

// debianPromtool is of a Prometheus that knows no native histograms.
const debianPromtool = "/usr/bin/promtool"

// TestPrometheusFiles holds that Prometheus takes each of its files, with the rules of
// alerts/ beside it and the passwords that it names; an older one too, without the
// lines that docs/alerts.md has one leave out.
func TestPrometheusFiles(t *testing.T) {
	t.Parallel()
	promtool := filepath.Join(parts.PrometheusDir(t), "promtool")
	for _, name := range []string{"prometheus.yml", "compose/prometheus.yml", "agents/receiver.yml", "agents/agent.yml"} {
		text, err := os.ReadFile(filepath.Join(root, "examples", name))
		must(t, err)
		args := []string{"check", "config", place(t, text)}
		if filepath.Base(name) == "agent.yml" {
			args = append(args, "--agent")
		}
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if filepath.Base(name) != "prometheus.yml" {
			continue
		}
		older := regexp.MustCompile(`(?m)^ *(scrape_native|always_scrape_classic)_histograms: true\n`).ReplaceAll(text, nil)
		if out, err := exec.CommandContext(t.Context(), debianPromtool, "check", "config", place(t, older)).CombinedOutput(); err != nil || len(older) == len(text) {
			t.Errorf("%s for an older Prometheus: %v\n%s", name, err, out)
		}
	}
}

// TestAgents has two locations, each an exporter with the example's agent beside it,
// write to the example's receiver: states arrive with their location, histograms of
// both kinds too, and the rules count both locations.
func TestAgents(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports)
	receiver := parts.NewPrometheus(t, place(t, edit(t, "agents/receiver.yml", map[string]any{
		"alerting": nil, "global": map[string]any{"evaluation_interval": "1s"},
	})), "--web.enable-remote-write-receiver")
	receiver.Serve()

	for _, location := range []string{"fra", "nyc"} {
		exporter := parts.NewExporter(t, ports, pebble.CA)
		exporter.Configure(fmt.Sprintf(`
targets:
  ca:
    directory_url: %s
    environment: production
    tls_config: {ca_file: %s}
    rate_limits: none
    probes: {directory: 1s, nonce: 1s}
`, pebble.DirectoryURL, pebble.RootFile))
		exporter.Serve()
		agent := edit(t, "agents/agent.yml", map[string]any{"global": map[string]any{"scrape_interval": "1s"}})
		agent = replace(t, agent, "localhost:18555", strings.TrimPrefix(exporter.URL, "http://"))
		agent = replace(t, agent, "https://prometheus.corp.example", receiver.URL)
		agent = replace(t, agent, "location: fra", "location: "+location)
		parts.NewPrometheus(t, place(t, agent), "--agent").Serve()
	}

	for _, expr := range []string{
		`count(acme_target_state{state="up",target="ca",job="acme",location=~"fra|nyc"} == 1)`,
		`count(histogram_count(acme_request_duration_seconds{call="directory",module="directory"}) > 0)`,
		`count(acme_request_duration_seconds_bucket{call="directory",module="directory",le="+Inf"} > 0)`,
		`environment_target:acme_target_reporting:sum`,
	} {
		parts.Until(t, expr+" is 2", func() bool {
			n, ok := receiver.Value(expr)
			return ok && n == 2
		})
	}
}

// place writes a configuration into a directory that has the files beside it that the
// examples name, and returns its path.
func place(t *testing.T, text []byte) string {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Glob(root + "/alerts/acme_exporter.*.yml")
	must(t, err)
	for _, file := range rules {
		rule, err := os.ReadFile(file)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, filepath.Base(file)), rule, 0o600))
	}
	must(t, os.WriteFile(filepath.Join(dir, "remote-write.password"), []byte("correct horse"), 0o600))
	path := filepath.Join(dir, "prometheus.yml")
	must(t, os.WriteFile(path, text, 0o600))
	return path
}

// edit returns an example with some of its sections replaced; nil removes one.
func edit(t *testing.T, name string, sections map[string]any) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "examples", name))
	must(t, err)
	var document map[string]any
	must(t, yaml.Unmarshal(text, &document))
	for section, value := range sections {
		if _, ok := document[section]; !ok {
			t.Fatalf("%s has no %s", name, section)
		}
		document[section] = value
		if value == nil {
			delete(document, section)
		}
	}
	text, err = yaml.Marshal(document)
	must(t, err)
	return text
}

// replace puts another text in place of one that is there once.
func replace(t *testing.T, text []byte, old, with string) []byte {
	t.Helper()
	if n := strings.Count(string(text), old); n != 1 {
		t.Fatalf("%q is there %d times:\n%s", old, n, text)
	}
	return []byte(strings.Replace(string(text), old, with, 1))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
