package parts

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// Promtool is one version of it.
type Promtool struct {
	Name, Path string
	Pinned     bool // the newest; it knows a notation for native histograms
}

// Promtools returns the oldest version that rules and dashboards are for, Debian's,
// and the newest.
func Promtools(tb testing.TB) []Promtool {
	tb.Helper()
	system, err := exec.LookPath("promtool")
	if err != nil {
		tb.Fatalf("%v: type make deps", err)
	}
	return []Promtool{
		{Name: "system", Path: system},
		{Name: "pinned", Path: filepath.Join(PrometheusDir(tb), "promtool"), Pinned: true},
	}
}

// ParseQueries has each version of promtool parse queries, which are given by where
// they are.
func ParseQueries(tb testing.TB, queries map[string][]string) {
	tb.Helper()
	type rule struct {
		Record string            `json:"record"`
		Labels map[string]string `json:"labels"`
		Expr   string            `json:"expr"`
	}
	var rules []rule
	for where, list := range queries {
		for _, expr := range list {
			rules = append(rules, rule{"query", map[string]string{"of": where}, expr})
		}
	}
	if len(rules) == 0 {
		tb.Fatal("no queries")
	}
	// JSON is YAML.
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "queries", "rules": rules}}})
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(tb.TempDir(), "queries.yml")
	write(tb, path, text)
	for _, tool := range Promtools(tb) {
		if out, err := exec.CommandContext(tb.Context(), tool.Path, "check", "rules", "--lint=none", path).CombinedOutput(); err != nil {
			tb.Errorf("%s: %v\n%s", tool.Name, err, out)
		}
	}
}

// ExportedSeries returns the names of the series on /metrics, as docs/metrics.md has
// the metrics; a histogram has those of its classic form too.
func ExportedSeries(tb testing.TB) []string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs/metrics.md"))
	if err != nil {
		tb.Fatal(err)
	}
	text, _, _ = bytes.Cut(text, []byte("\n## /probe\n"))
	var names []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(acme_[a-z_]+)` \\| ([a-z]+) ").FindAllStringSubmatch(string(text), -1) {
		names = append(names, row[1])
		if row[2] == "histogram" {
			names = append(names, row[1]+"_bucket", row[1]+"_count", row[1]+"_sum")
		}
	}
	slices.Sort(names)
	return names
}
