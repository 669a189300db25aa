package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/report"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// TestPairOfExporters has two exporters of one location, scraped by a real Prometheus, watch a CA whose terms
// of service change, and of which the second exporter alone meets an outage. What the report says of
// both is the exporters' own of those that are asked, and otherwise from metrics, and it says which.
func TestPairOfExporters(t *testing.T) {
	t.Parallel()
	const old, new = "https://ca.example/terms-1", "https://ca.example/terms-2?token=hush"
	type side struct {
		ca       *fakeca.CA
		exporter *parts.Exporter
		instance string
	}
	var sides []side
	for range 2 {
		s := side{ca: fakeca.New(t, fakeca.Options{Terms: old})}
		root := filepath.Join(t.TempDir(), "root.pem")
		if err := os.WriteFile(root, s.ca.RootPEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		s.exporter = parts.NewExporter(t, parts.Ports{}, parts.CA{})
		s.exporter.Plain = true
		s.exporter.Configure(fmt.Sprintf("targets: {corp: {directory_url: %q, environment: production, tls_config: {ca_file: %q}, probes: {directory: 1s}}}\n", s.ca.URL(), root))
		s.exporter.Serve()
		s.instance = strings.TrimPrefix(s.exporter.URL, "http://")
		sides = append(sides, s)
	}
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	scrape := fmt.Sprintf("scrape_configs: [{job_name: acme, scrape_interval: 1s, static_configs: [{targets: [%q, %q], labels: {location: fra}}]}]\n", sides[0].instance, sides[1].instance)
	if err := os.WriteFile(file, []byte(scrape), 0o600); err != nil {
		t.Fatal(err)
	}
	prometheus := parts.NewPrometheus(t, file)
	prometheus.Serve()
	counts := func(what, expr string, want float64) {
		t.Helper()
		parts.Until(t, what, func() bool {
			v, ok := prometheus.Value(expr)
			return ok && v == want
		})
	}
	counts("both say that it is up", `count(acme_target_state{state="up"} == 1)`, 2)
	sides[1].ca.Fault(probe.CallDirectory, fakeca.Fault{Status: 503}, 6)
	counts("the outage is over", `count(acme_incident_end_timestamp_seconds) and count(acme_target_state{state="up"} == 1) == 2`, 1)
	for _, s := range sides {
		s.ca.Fault(probe.CallDirectory, fakeca.Fault{Edit: func(directory map[string]any) {
			directory["meta"] = map[string]any{"termsOfService": new, "caaIdentities": []string{"ca.example"}}
		}}, 0)
	}
	counts("both have seen the change", `count(acme_directory_changes_total == 1)`, 2)

	// The report looks once in five minutes, from the period's start, and is of whole seconds that are
	// over: the last look is an hour after the start.
	since := time.Now().UTC().Add(-time.Hour)
	parts.Until(t, "the last look is over", func() bool { return time.Since(since) > time.Hour+2*time.Second })
	terms := "[{terms_of_service " + old + " https://ca.example/terms-2}]"
	for _, c := range []struct {
		asked          []string
		from           report.IncidentSource
		incident       report.IncidentSource
		fields, source string
	}{
		{nil, report.FromMetrics, report.FromMetrics, "[]", "Incidents are from metrics: "},
		{[]string{sides[0].exporter.URL}, report.FromBoth, report.FromMetrics, terms, "Incidents at fra (" + sides[1].instance + ") are from metrics: "},
		{[]string{sides[1].exporter.URL}, report.FromBoth, report.FromExporters, terms, "Incidents at fra (" + sides[0].instance + ") are from metrics: "},
		{[]string{sides[0].exporter.URL, sides[1].exporter.URL}, report.FromExporters, report.FromExporters, terms, ""},
	} {
		r, err := report.Make(t.Context(), report.Options{
			Prometheus: prometheus.URL, Exporters: c.asked, Period: report.Period{Since: since, Until: since.Add(2 * time.Hour), Timezone: "UTC"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Targets) != 1 || len(r.Targets[0].Incidents) != 1 || len(r.Targets[0].Changes) != 1 {
			t.Fatalf("asked %q: targets %+v, want one with an incident and a change", c.asked, r.Targets)
		}
		x := &r.Targets[0]
		i, change := x.Incidents[0], x.Changes[0]
		equal(t, "incidents from", x.IncidentsFrom, c.from)
		equal(t, "the incident from", i.From, c.incident)
		equal(t, "the incident", fmt.Sprint(i.Condition, " ", i.Locations, " ", i.Fault, " ", i.End.After(i.Start)), "down [fra] ca true")
		equal(t, "its sentence", i.Summary != "", c.incident == report.FromExporters)
		equal(t, "the change", fmt.Sprint(change.Locations, " ", change.Fields), "[fra] "+c.fields)
		equal(t, "terms", change.Terms(), c.asked != nil)
		said := ""
		for _, m := range r.Missing {
			if m.Kind == report.MissingIncidents {
				said += m.Text
			}
		}
		if before, _, _ := strings.Cut(said, "one that is shorter"); before != c.source {
			t.Errorf("asked %q: %q, want %q", c.asked, said, c.source)
		}
		var text bytes.Buffer
		if err := report.Text(&text, r); err != nil {
			t.Fatal(err)
		}
		want := "in what, only the exporters tell (--exporter.url)"
		if c.asked != nil {
			want = "terms of service: " + old + " → https://ca.example/terms-2"
		}
		if got := strings.Join(strings.Fields(text.String()), " "); !strings.Contains(got, "seen at fra: "+want) {
			t.Errorf("asked %q: no %q in\n%s", c.asked, want, text.String())
		}
	}
}
