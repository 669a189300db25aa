package alerts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// file is a file of rules, as far as it is looked at here.
type file struct {
	Groups []struct {
		Name     string
		Interval string
		Rules    []rule
	}
}

type rule struct {
	Record, Alert, Expr string
	For                 string
	Labels, Annotations map[string]string
}

// rules returns the recording rules and the alerts of the repository.
func rules(t *testing.T) (records, alerts []rule) {
	t.Helper()
	for _, name := range []string{"acme_exporter.rules.yml", "acme_exporter.alerts.yml"} {
		text, err := os.ReadFile(filepath.Join(root, "alerts", name))
		if err != nil {
			t.Fatal(err)
		}
		var f file
		if err := yaml.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		for _, group := range f.Groups {
			if !strings.Contains(header, "- "+group.Name+"\n") {
				t.Errorf("promtool's tests leave out the group %q", group.Name)
			}
			for _, r := range group.Rules {
				if r.Alert != "" {
					alerts = append(alerts, r)
				} else {
					records = append(records, r)
				}
			}
		}
	}
	if len(records) == 0 || len(alerts) == 0 {
		t.Fatalf("%d recording rules, %d alerts", len(records), len(alerts))
	}
	return records, alerts
}

// read returns the text of a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRecordsAreNamedLevelMetricOperation(t *testing.T) {
	t.Parallel()
	records, _ := rules(t)
	name := regexp.MustCompile(`^(environment(_target)?(_module|_location|_instance|_step|_le)*|location):acme_[a-z_]+:[a-z0-9_]+$`)
	for _, r := range records {
		if !name.MatchString(r.Record) {
			t.Errorf("%s is not level:metric:operation", r.Record)
		}
	}
}

func TestAlerts(t *testing.T) {
	t.Parallel()
	_, alerts := rules(t)
	dashboards := []string{"acme-overview", "acme-ca", "acme-locations", "acme-incidents", "acme-exporter"}
	url := regexp.MustCompile(`^` + dashboard + `([a-z-]+)\?var-`)
	for _, r := range alerts {
		if got := r.Labels["severity"]; len(r.Labels) != 1 || !slices.Contains([]string{"page", "warning", "ticket"}, got) {
			t.Errorf("%s: labels %v; want severity alone, page, warning or ticket", r.Alert, r.Labels)
		}
		if r.Labels["severity"] == "page" && !strings.Contains(r.Expr, `environment="production"`) {
			t.Errorf("%s pages for more than production", r.Alert)
		}
		for _, name := range []string{"summary", "description"} {
			if r.Annotations[name] == "" {
				t.Errorf("%s has no %s", r.Alert, name)
			}
		}
		if len(r.Annotations) != 4 {
			t.Errorf("%s has %d annotations; want 4", r.Alert, len(r.Annotations))
		}
		if got := r.Annotations["runbook_url"]; got != runbook+r.Alert+".md" {
			t.Errorf("%s: runbook_url %q", r.Alert, got)
		}
		if uid := url.FindStringSubmatch(r.Annotations["dashboard_url"]); uid == nil || !slices.Contains(dashboards, uid[1]) {
			t.Errorf("%s: dashboard_url %q", r.Alert, r.Annotations["dashboard_url"])
		}
		// What varies while an alert fires must not be in its labels, that is in
		// what it is grouped by.
		for _, by := range regexp.MustCompile(`^\s*(?:[a-z]+ )by \(([^)]*)\)`).FindAllStringSubmatch(r.Expr, -1) {
			for label := range strings.SplitSeq(by[1], ", ") {
				if !slices.Contains([]string{"environment", "target", "location", "job", "instance"}, label) {
					t.Errorf("%s has the label %s", r.Alert, label)
				}
			}
		}
	}
}

// TestRunbooks: each alert has one, each has its four parts, none is left over,
// and docs/alerts.md has a row for each.
func TestRunbooks(t *testing.T) {
	t.Parallel()
	_, alerts := rules(t)
	table := read(t, "docs/alerts.md")
	wanted := map[string]bool{}
	for _, r := range alerts {
		wanted[r.Alert+".md"] = true
		if row := fmt.Sprintf("| [%s](runbooks/%s.md) |", r.Alert, r.Alert); !strings.Contains(table, row) {
			t.Errorf("docs/alerts.md lacks %q", row)
		}
	}
	for name := range wanted {
		text := read(t, "docs/runbooks/"+name)
		var headings []string
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "#") {
				headings = append(headings, strings.TrimSpace(line))
			}
		}
		if want := []string{"# " + strings.TrimSuffix(name, ".md"), "## Meaning", "## Impact", "## Look", "## Do"}; !slices.Equal(headings, want) {
			t.Errorf("%s: headings %q; want %q", name, headings, want)
		}
	}
	files, err := os.ReadDir(filepath.Join(root, "docs/runbooks"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !wanted[f.Name()] {
			t.Errorf("docs/runbooks/%s is of no alert", f.Name())
		}
	}
}

// notYet are metrics that rules read and the exporter does not have yet. Take
// out what docs/metrics.md has.
var notYet []string

// TestMetricsExist holds rules, runbooks and docs/alerts.md to docs/metrics.md.
func TestMetricsExist(t *testing.T) {
	t.Parallel()
	exported := parts.ExportedSeries(t)
	for _, name := range notYet {
		if slices.Contains(exported, name) {
			t.Errorf("%s exists now: take it out of notYet", name)
		}
	}
	records, alerts := rules(t)
	known := slices.Clone(notYet)
	for _, r := range records {
		known = append(known, r.Record)
	}
	texts := map[string]string{"docs/alerts.md": read(t, "docs/alerts.md")}
	for _, r := range alerts {
		texts[r.Alert] = r.Expr + r.Annotations["description"]
		name := "docs/runbooks/" + r.Alert + ".md"
		texts[name] = read(t, name)
	}
	for _, r := range records {
		texts[r.Record] = r.Expr
	}
	// Recorded names have colons; a file, a job and a group are no metrics.
	metric := regexp.MustCompile(`[a-z_]*:?acme_[a-z0-9_]+(?::[a-z0-9_]+)?(?:\.[a-z]+)?`)
	words := []string{"acme_exporter", "acme_exporter_state", "acme_exporter_service"}
	for where, text := range texts {
		for _, name := range metric.FindAllString(text, -1) {
			if !slices.Contains(exported, name) && !slices.Contains(known, name) && !slices.Contains(words, name) && !strings.Contains(name, ".") {
				t.Errorf("%s: %s is no metric of docs/metrics.md, and no recording rule", where, name)
			}
		}
	}
}

// queryBlocks are those of a runbook.
var queryBlocks = regexp.MustCompile("(?s)```promql\n(.*?)```")

// TestQueries has promtool parse the queries of runbooks, one on each line.
func TestQueries(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root, "docs/runbooks/*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("docs/runbooks: %v, %d files", err, len(files))
	}
	queries := map[string][]string{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		blocks := queryBlocks.FindAllStringSubmatch(string(text), -1)
		if len(blocks) == 0 {
			t.Errorf("%s has no query", name)
		}
		for _, block := range blocks {
			for line := range strings.Lines(block[1]) {
				queries[filepath.Base(name)] = append(queries[filepath.Base(name)], strings.TrimSpace(line))
			}
		}
	}
	parts.ParseQueries(t, queries)
}

func TestAlertmanager(t *testing.T) {
	t.Parallel()
	config := filepath.Join(root, "alerts/alertmanager.yml")
	amtool := func(args ...string) string {
		t.Helper()
		// Standard error has a warning that the flag --config.file is right.
		cmd := exec.CommandContext(t.Context(), "amtool", args...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("amtool %q: %v\n%s%s", args, err, out, stderr.String())
		}
		return strings.TrimSpace(string(out))
	}
	amtool("check-config", config)
	for _, c := range []struct{ labels, receiver string }{
		{"severity=page environment=production target=corp", "pager"},
		{"severity=page environment=staging target=corp", "tickets"},
		{"severity=warning environment=production target=corp", "chat"},
		{"severity=warning job=acme instance=fra", "chat"},
		{"severity=ticket environment=production target=corp", "tickets"},
	} {
		args := append([]string{"config", "routes", "test", "--config.file=" + config}, strings.Fields(c.labels)...)
		if got := amtool(args...); got != c.receiver {
			t.Errorf("%s goes to %s; want %s", c.labels, got, c.receiver)
		}
	}

	// An alert that is renamed would not be silenced any more.
	_, alerts := rules(t)
	for _, name := range regexp.MustCompile(`Acme[A-Za-z]+`).FindAllString(read(t, "alerts/alertmanager.yml"), -1) {
		if !slices.ContainsFunc(alerts, func(r rule) bool { return r.Alert == name }) {
			t.Errorf("alertmanager.yml names %s, which is no alert", name)
		}
	}
}
