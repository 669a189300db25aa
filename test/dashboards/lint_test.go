package dashboards

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// kinds are the panels that Grafana has had since 9.4, and has today.
var kinds = []string{"row", "timeseries", "stat", "gauge", "table", "heatmap", "state-timeline", "barchart"}

// TestDashboards holds what every dashboard has: the rules of Grafana's
// dashboard-linter that matter here, and what import into 9.4 and into today's
// Grafana needs.
func TestDashboards(t *testing.T) {
	t.Parallel()
	dashboards := Load(t)
	var uids []string
	for file, d := range dashboards {
		uids = append(uids, d.UID)
		if file != d.UID+".json" {
			t.Errorf("%s has the uid %q", file, d.UID)
		}
		// An id would overwrite whatever has it; a newer schema would not be migrated.
		if d.ID != nil || d.SchemaVersion < 36 || d.SchemaVersion > 39 {
			t.Errorf("%s: id %v, schema %d; want none, and the classic one of 36 to 39", file, d.ID, d.SchemaVersion)
		}
		if d.Title == "" || d.Description == "" {
			t.Errorf("%s: title %q, description %q", file, d.Title, d.Description)
		}
		if !slices.ContainsFunc(d.Links, func(l Link) bool {
			return l.Type == "dashboards" && slices.Equal(l.Tags, d.Tags) && len(d.Tags) == 1 && l.IncludeVars && l.KeepTime && l.Placement == ""
		}) {
			t.Errorf("%s does not link to the others: %+v, tags %q", file, d.Links, d.Tags)
		}
		variables(t, file, d)
		annotations(t, file, d)
		grid(t, file, d)
		for _, p := range d.Panels {
			panel(t, file+": "+p.Title, p)
		}
	}
	slices.Sort(uids)
	if want := []string{"acme-ca", "acme-exporter", "acme-incidents", "acme-locations", "acme-overview"}; !slices.Equal(uids, want) {
		t.Errorf("dashboards %q; want %q", uids, want)
	}
}

// templated is the data source that the variable chooses.
var templated = Datasource{Type: "prometheus", UID: "${datasource}"}

func variables(t *testing.T, file string, d Dashboard) {
	t.Helper()
	all := map[string]string{"job": ".+", "location": ".*", "target": ".+", "module": ".+"}
	for i, v := range d.Templating.List {
		if v.Label == "" {
			t.Errorf("%s: the variable %s has no label", file, v.Name)
		}
		switch v.Type {
		case "datasource":
			// Grafana picks the default one, and lets people choose another.
			if i != 0 || v.Name != "datasource" || string(v.Query) != `"prometheus"` {
				t.Errorf("%s: data source %+v", file, v)
			}
		case "query":
			var query struct{ Query string }
			if err := json.Unmarshal(v.Query, &query); err != nil || query.Query != v.Definition || !strings.HasSuffix(v.Definition, ", "+v.Name+")") {
				t.Errorf("%s: variable %s: %v, query %s", file, v.Name, err, v.Query)
			}
			// Without a choice it is all, also what has come since the dashboard was opened.
			if !v.Multi || !v.IncludeAll || v.AllValue == "" || v.Refresh != 2 || v.Datasource != templated {
				t.Errorf("%s: variable %+v", file, v)
			}
			if want, ok := all[v.Name]; ok && v.AllValue != want {
				t.Errorf("%s: all of %s is %q; want %q", file, v.Name, v.AllValue, want)
			}
			delete(all, v.Name)
		case "custom":
		default:
			t.Errorf("%s: variable %s of type %q", file, v.Name, v.Type)
		}
	}
	if len(all) > 0 {
		t.Errorf("%s lacks the variables %v", file, all)
	}
}

func annotations(t *testing.T, file string, d Dashboard) {
	t.Helper()
	found := false
	for _, a := range d.Annotations.List {
		found = found || strings.Contains(a.Expr, "acme_incident_start_timestamp_seconds")
		if a.Datasource != templated {
			t.Errorf("%s: annotation %s: data source %+v", file, a.Name, a.Datasource)
		}
	}
	if !found {
		t.Errorf("%s has no annotations of incidents", file)
	}
}

// grid holds that panels have numbers of their own, and that none is upon another or
// beside the grid.
func grid(t *testing.T, file string, d Dashboard) {
	t.Helper()
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if p.ID < 1 || ids[p.ID] {
			t.Errorf("%s: %s: id %d", file, p.Title, p.ID)
		}
		ids[p.ID] = true
		at := p.GridPos
		if at.W < 1 || at.H < 1 || at.X < 0 || at.X+at.W > 24 {
			t.Errorf("%s: %s is at %+v", file, p.Title, at)
			continue
		}
		for x := at.X; x < at.X+at.W; x++ {
			for y := at.Y; y < at.Y+at.H; y++ {
				if under := cells[[2]int{x, y}]; under != "" {
					t.Fatalf("%s: %s is upon %s", file, p.Title, under)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
	}
}

func panel(t *testing.T, where string, p Panel) {
	t.Helper()
	if !slices.Contains(kinds, p.Type) {
		t.Errorf("%s is a %s", where, p.Type)
	}
	if p.Type == "row" {
		if p.Title == "" || len(p.Panels) > 0 {
			t.Errorf("%s: a row without a title, or with panels that nobody looks at here", where)
		}
		return
	}
	var thresholds struct{ Steps []struct{ Color string } }
	_ = json.Unmarshal(p.FieldConfig.Defaults.Thresholds, &thresholds) // then there are none
	if p.Title == "" || len(p.Description) < 20 || len(p.FieldConfig.Defaults.Unit) < 3 || len(thresholds.Steps) == 0 {
		t.Errorf("%s: description %q, unit %s, thresholds %s", where, p.Description, p.FieldConfig.Defaults.Unit, p.FieldConfig.Defaults.Thresholds)
	}
	if p.Datasource != templated || len(p.Targets) == 0 {
		t.Errorf("%s: data source %+v, %d queries", where, p.Datasource, len(p.Targets))
	}
	refs := map[string]bool{}
	for _, q := range p.Targets {
		if q.Datasource != templated || refs[q.RefID] || q.Instant == q.Range {
			t.Errorf("%s: query %s: data source %+v, instant %t, range %t", where, q.RefID, q.Datasource, q.Instant, q.Range)
		}
		refs[q.RefID] = true
		format := map[string]string{"table": "table", "barchart": "table", "heatmap": "heatmap"}[p.Type]
		if format == "" {
			format = "time_series"
		}
		if q.Format != format {
			t.Errorf("%s: query %s: format %q; want %q", where, q.RefID, q.Format, format)
		}
		// A window that is written down is too short or too long somewhere.
		for _, window := range regexp.MustCompile(`\[([^]]*)\]|offset ([$\w]+)`).FindAllStringSubmatch(q.Expr, -1) {
			if got := window[1] + window[2]; strings.Contains(window[0], ".") {
				continue // a character class of a regular expression
			} else if got != "$__rate_interval" && (got != "$__range" || !q.Instant) {
				t.Errorf("%s: query %s: %s; want $__rate_interval, or $__range in a query of one value", where, q.RefID, window[0])
			}
		}
	}
}

// others are the series that are not the exporter's own: of its process, and
// Prometheus's about it.
var others = []string{
	"up", "scrape_samples_scraped", "scrape_duration_seconds", "go_goroutines",
	"process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds",
}

// TestQueries holds that promtool can parse the queries, of variables too; that
// each series is one that there is, and that it is of the jobs and locations that
// were chosen.
func TestQueries(t *testing.T) {
	t.Parallel()
	known := slices.Concat(parts.ExportedSeries(t), others)
	parsed := map[string][]string{}
	check := func(where, expr string, matchers ...string) {
		t.Helper()
		// The labels of by, on and the like are no series, and a pattern of names is none.
		for _, list := range regexp.MustCompile(`\b(?:by|on) \(([^)]*)\)`).FindAllStringSubmatch(expr, -1) {
			// Agents beside their exporters write localhost as the instance of each location.
			if labels := strings.Split(list[1], ", "); slices.Contains(labels, "instance") && !slices.Contains(labels, "location") {
				t.Errorf("%s: %s tells exporters apart by the instance alone", where, list[0])
			}
		}
		bare := regexp.MustCompile(`\b(by|on|group_left) \([^)]*\)|__name__=~"[^"]*"`).ReplaceAllString(expr, "")
		names := regexp.MustCompile(`\b([a-z_]+)\b(\{[^}]*\})?`)
		for _, name := range names.FindAllStringSubmatch(withoutStrings(bare), -1) {
			series, selected := name[1], name[2]
			if selected == "" && !strings.HasPrefix(series, "acme_") && !slices.Contains(others, series) {
				continue
			}
			if !slices.Contains(known, series) {
				t.Errorf("%s: %s is no series of docs/metrics.md", where, series)
			}
			// All jobs may be chosen, and every process has a series of that name.
			if slices.Contains(others, series) && !strings.Contains(expr, "acme_exporter_build_info") {
				t.Errorf("%s: %s is not only that of exporters", where, series)
			}
		}
		for _, selector := range regexp.MustCompile(`[a-z_]+(\{[^}]*\})?`).FindAllStringSubmatch(bare, -1) {
			name, _, _ := strings.Cut(selector[0], "{")
			for _, matcher := range matchers {
				if slices.Contains(known, name) && !strings.Contains(selector[1], matcher) {
					t.Errorf("%s: %s lacks %s", where, selector[0], matcher)
				}
			}
		}
	}
	for _, q := range Queries(t) {
		parsed[q.String()] = append(parsed[q.String()], q.With())
		check(q.String(), q.Expr, `job=~"$job"`, `location=~"$location"`)
	}
	for file, d := range Load(t) {
		for _, v := range d.Templating.List {
			inner := regexp.MustCompile(`^label_values\((.*), [a-z]+\)$`).FindStringSubmatch(v.Definition)
			if v.Type == "query" && inner == nil {
				t.Errorf("%s: variable %s: %q", file, v.Name, v.Definition)
				continue
			}
			if v.Type == "query" {
				where := file + ", variable " + v.Name
				parsed[where] = []string{Query{Expr: inner[1]}.With()}
				if v.Name == "job" {
					check(where, inner[1])
				} else {
					check(where, inner[1], `job=~"$job"`)
				}
			}
		}
	}
	parts.ParseQueries(t, parsed)
}

// withoutStrings leaves out what is between quotes.
func withoutStrings(expr string) string {
	return regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, `""`)
}

// TestLinks holds that what alerts, documents and the dashboards themselves link to
// is a dashboard, and that it has the variables that they set.
func TestLinks(t *testing.T) {
	t.Parallel()
	has := map[string][]string{}
	for _, d := range Load(t) {
		for _, v := range d.Templating.List {
			has[d.UID] = append(has[d.UID], v.Name)
		}
	}
	files := map[string]int{ // and how many links there are at least
		"alerts/acme_exporter.alerts.yml": 20,
		"dashboards/acme-overview.json":   4,
		"dashboards/acme-locations.json":  1,
		"dashboards/acme-incidents.json":  2,
	}
	link := regexp.MustCompile(`/d/([a-z-]+)\?([^"\n]*)`)
	for file, least := range files {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		links := link.FindAllStringSubmatch(string(text), -1)
		if len(links) < least {
			t.Errorf("%s: %d links; want %d", file, len(links), least)
		}
		for _, l := range links {
			if has[l[1]] == nil {
				t.Errorf("%s links to %s, which is no dashboard", file, l[1])
			}
			for _, v := range regexp.MustCompile(`var-([a-z]+)=|\$\{([a-z]+):queryparam\}`).FindAllStringSubmatch(l[2], -1) {
				if !slices.Contains(has[l[1]], v[1]+v[2]) {
					t.Errorf("%s sets %s of %s, which it has not", file, v[1]+v[2], l[1])
				}
			}
		}
	}
}

// TestGenerated holds that the dashboards are what make dashboards writes.
func TestGenerated(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	parts.Make(t, "dashboards", "DASHBOARDS="+dir)
	want, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := Load(t); len(got) != len(want) {
		t.Errorf("dashboards/ has %d dashboards; make dashboards makes %d", len(got), len(want))
	}
	for _, f := range want {
		made, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		committed, err := os.ReadFile(filepath.Join(root, "dashboards", f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if string(made) != string(committed) {
			t.Errorf("dashboards/%s is another: type make dashboards", f.Name())
		}
	}
}
