package dashboards

import (
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// scraping has one exporter scraped by three jobs, as if it had only classic, only
// native, or both kinds of histograms. The last one has no location, as a single
// exporter may.
const scraping = `
global: {scrape_interval: 3s, scrape_timeout: 3s}
scrape_configs:
  - job_name: classic
    static_configs: [{targets: [%[1]q], labels: {location: fra}}]
  - job_name: native
    scrape_native_histograms: true
    always_scrape_classic_histograms: false
    static_configs: [{targets: [%[1]q], labels: {location: iad}}]
  - job_name: both
    scrape_native_histograms: true
    always_scrape_classic_histograms: true
    static_configs: [{targets: [%[1]q]}]
`

// schedule has every kind of prober that a panel is about.
const schedule = `      directory: 1s
      crl: 2s
      ocsp: 2s
      renewal_info: 2s
      issue_revoked: 0s
      refused: 0s
      status: 1s
`

var jobs = []string{"classic", "native", "both"}

// TestPanels has a real Prometheus scrape an exporter that issues, validates, fails
// and recovers, and holds that every query of every dashboard has an answer, that it
// has the same series for classic and native histograms, and that locations with different
// ones do not hide each other.
func TestPanels(t *testing.T) {
	t.Parallel()
	prometheus := watched(t)
	alike(t, prometheus, func(q Query) bool { return !strings.HasPrefix(q.Panel, "annotation") })
}

// alike holds that the chosen queries have answers, alike in all modes.
func alike(t *testing.T, prometheus *parts.Prometheus, chosen func(Query) bool) {
	t.Helper()
	queries := slices.DeleteFunc(Queries(t), func(q Query) bool { return !chosen(q) })
	if len(queries) == 0 {
		t.Fatal("no queries")
	}
	// A series that was just born is not in all three jobs yet.
	late := time.After(parts.Timeout)
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		var differences []string
		queries = slices.DeleteFunc(queries, func(q Query) bool {
			difference := modes(t, q, prometheus.URL)
			if difference != "" {
				differences = append(differences, fmt.Sprintf("%s: %s\n%s", q, difference, q.With()))
			}
			return difference == ""
		})
		if len(queries) == 0 {
			return
		}
		select {
		case <-again.C:
		case <-late:
			t.Fatal(strings.Join(differences, "\n\n"))
		}
	}
}

// watched is a Prometheus that has seen an exporter through good and bad times.
func watched(t *testing.T) *parts.Prometheus {
	t.Helper()
	files, flags := parts.Signing(t)
	ports := parts.NewPorts(t)
	// A revocation shows at the responder, and not on the list.
	pebble := parts.StartPebble(t, ports, append(flags, "-smooth", "-crl-delay=1h")...)
	exporter := parts.NewExporter(t, ports, pebble.CA)
	exporter.Reconfigure("\ntargets:\n", "\nlog_list_file: "+files.LogList+"\ntargets:\n")
	exporter.Reconfigure("rate_limits: none\n", "rate_limits: {new_orders: {count: 100000, period: 1h}}\n    issuer_roots: "+files.Root+"\n")
	exporter.Reconfigure("      directory: 0s\n", schedule)
	exporter.Reconfigure("timeout: 60s, issue: {challenge: http-01}", "timeout: 60s, issue: {challenge: http-01, lint: true}")
	said, tell := statusPage(t, pebble.RootFile)
	exporter.Reconfigure(pebble.RootFile, said.bundle)
	exporter.Reconfigure("modules:\n", fmt.Sprintf(`modules:
  issue_revoked: {prober: issue, issue: {challenge: http-01, revoke: {every: 1h}}}
  refused: {prober: issue, issue: {challenge: http-01, expect: {problem: unauthorized}}}
  status: {prober: status_page, status_page: {url: %q, components: [ACME]}}
`, said.url))
	exporter.Serve()

	config := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, scraping, strings.TrimPrefix(exporter.URL, "http://")), 0o600); err != nil {
		t.Fatal(err)
	}
	prometheus := parts.NewPrometheus(t, config)
	prometheus.Serve()
	parts.Until(t, "all jobs have scraped", func() bool {
		return len(prometheus.Query(`acme_target_state{state="unknown"}`)) == len(jobs)
	})
	// One that has to be refused is not tried again soon.
	if r := exporter.RunNow("refused"); !r.Verdict.Success() {
		t.Fatalf("refused: %+v", r.Verdict)
	}
	// What is born with its first event grows with the second.
	for run := range 2 {
		for _, module := range []string{"issue_http", "issue_revoked", "validate", "crl", "ocsp", "renewal_info"} {
			if r := exporter.RunNow(module); !r.Verdict.Success() {
				t.Fatalf("%s: %+v", module, r.Verdict)
			}
		}
		parts.Until(t, "the runs are scraped", func() bool {
			return len(prometheus.Query(fmt.Sprintf(`acme_probes_total{module="validate", outcome="success"} > %d`, run))) == len(jobs)
		})
	}
	parts.Until(t, "a revocation shows at the responder, and not on the list", func() bool {
		return len(prometheus.Query(`acme_revocation_oldest_pending_timestamp_seconds{via="crl"}`)) == len(jobs) &&
			len(prometheus.Query(`histogram_count(acme_revocation_propagation_seconds{via="ocsp"}) == 1`)) == len(jobs)-1
	})
	pebble.Outage("va-down")
	parts.Until(t, "there is an incident", func() bool {
		exporter.RunNow("validate")
		return len(prometheus.Query(`acme_incident_start_timestamp_seconds`)) == len(jobs)
	})
	alike(t, prometheus, func(q Query) bool { return strings.HasPrefix(q.Panel, "annotation") })
	tell()
	parts.Until(t, "it is published", func() bool {
		return len(prometheus.Query(`acme_incident_official_start_timestamp_seconds`)) == len(jobs)
	})
	pebble.Outage("off")
	parts.Until(t, "it is over", func() bool {
		exporter.RunNow("validate")
		return len(prometheus.Query(`acme_incident_end_timestamp_seconds`)) == len(jobs)
	})
	return prometheus
}

// statusAddress is where a status page is, and the roots that it and the CA need.
type statusAddress struct{ url, bundle string }

// statusPage is that of a CA that says all is well until it is to tell of an incident.
func statusPage(t *testing.T, rootFile string) (statusAddress, func()) {
	t.Helper()
	var published atomic.Pointer[time.Time]
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		state, incidents := "operational", ""
		if at := published.Load(); at != nil {
			state, incidents = "major_outage", fmt.Sprintf(`{"name": "ACME fails", "created_at": %q, "components": [{"name": "ACME"}]}`, at.Format(time.RFC3339))
		}
		fmt.Fprintf(w, `{"page": {}, "status": {"indicator": "none"}, "components": [{"name": "ACME", "status": %q}], "incidents": [%s]}`, state, incidents)
	}))
	t.Cleanup(server.Close)
	root, err := os.ReadFile(rootFile)
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(bundle, append(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})...), 0o600); err != nil {
		t.Fatal(err)
	}
	return statusAddress{server.URL + "/api/v2/summary.json", bundle}, func() {
		now := time.Now()
		published.Store(&now)
	}
}

// modes says in what the answers for the three jobs are not alike, or that there is
// none; empty: they are.
func modes(t *testing.T, q Query, prometheus string) string {
	t.Helper()
	answers := map[string]map[string]float64{}
	for _, job := range jobs {
		answers[job] = map[string]float64{}
		for _, s := range q.Ask(t, prometheus, "job", job) {
			answers[job][labels(s)] = s.Value
		}
		if len(answers[job]) == 0 {
			return "no data of the job " + job
		}
	}
	for _, job := range jobs[1:] {
		of, with := slices.Sorted(maps.Keys(answers["classic"])), slices.Sorted(maps.Keys(answers[job]))
		if !slices.Equal(of, with) {
			return fmt.Sprintf("classic has\n%q\n%s has\n%q", of, job, with)
		}
	}
	if !strings.Contains(q.Expr, "histogram_quantile") || strings.Contains(q.Expr, "max by") {
		return ""
	}
	// All three together: each location, one of which has no name, has its own.
	locations := map[string]bool{}
	for _, s := range q.Ask(t, prometheus) {
		locations[s.Labels["location"]] = true
	}
	if len(locations) != len(jobs) {
		return fmt.Sprintf("of all jobs only the locations %v", slices.Sorted(maps.Keys(locations)))
	}
	return ""
}

// labels are those of a sample that are not about who scraped it.
func labels(s Sample) string {
	kept := maps.Clone(s.Labels)
	delete(kept, "job")
	delete(kept, "location")
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		pairs = append(pairs, name+"="+kept[name])
	}
	return strings.Join(pairs, " ")
}
