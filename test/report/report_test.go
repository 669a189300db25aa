package report

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/acme-exporter/acme_exporter/internal/report"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(parts.Main(m))
}

// fill writes the truth to a Prometheus.
func fill(tb testing.TB, url, mode string) {
	tb.Helper()
	exporters := map[string]*exporter{}
	for _, l := range locations {
		exporters[l] = newExporter(l, begin.Add(-time.Hour))
	}
	b := newBatch()
	for at := begin.Add(-interval); !at.After(end); at = at.Add(stateInterval) {
		for _, l := range locations {
			when := at.Add(offset(l))
			if l == "syd" && !when.Before(death) {
				continue
			}
			if l == "iad" && when.After(restart) && exporters[l].born.Before(restart) {
				exporters[l] = newExporter(l, restart)
			}
			full := at.Sub(begin)%interval == 0
			if full {
				exporters[l].observe(runAt(l, at.Add(-20*time.Second)))
			}
			if !scraped(l, when) {
				continue
			}
			states(b, l, when)
			if full {
				exporters[l].scrape(b, mode, when)
			}
		}
		if at.Sub(begin)%(30*time.Minute) == 0 {
			b.write(tb.Context(), tb, url)
		}
	}
	b.write(tb.Context(), tb, url)
}

// TestReport makes the report of the truth from classic, native and both histograms, and
// compares each number with the truth; the first with the oldest Prometheus, which refuses
// a day of some series at once, the last also with the recording rules, and with an exporter's own incidents.
func TestReport(t *testing.T) {
	for _, mode := range []string{"classic", "native", "both"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			p := startPrometheus(t, dir, mode == "classic")
			fill(t, p.url, mode)
			via := new(refusals)
			r := made(t, report.Options{Prometheus: p.url, Via: &http.Client{Transport: via}})
			compare(t, r, mode)
			if n := via.n.Load(); (n > 0) != (mode == "classic") {
				t.Errorf("%d queries were refused", n)
			}
			golden(t, r, "testdata/"+mode+".txt", p.url)
			if mode == "native" {
				compareChosen(t, made(t, report.Options{Prometheus: p.url, Targets: []string{target, "nobody"}}), &r.Targets[1])
			}
			if mode != "both" {
				return
			}
			// The first rule, and then those that read what it has recorded.
			for turn := range 2 {
				record(t, p, turn)
				if err := p.run.Stop(t.Context()); err != nil {
					t.Fatal(err)
				}
				p = startPrometheus(t, dir, false)
			}
			exporter, stranger := serveIncidents(t, change.Add(offset("fra"))), serveIncidents(t, change)
			// It is scraped as fra:18555; of the other one nobody knows whose it is.
			dial := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if address == "fra:18555" {
					address = strings.TrimPrefix(exporter, "http://")
				}
				return new(net.Dialer).DialContext(ctx, network, address)
			}}
			t.Cleanup(dial.CloseIdleConnections)
			compareRules(t, made(t, report.Options{Prometheus: p.url, Exporters: []string{"http://fra:18555", "http://127.0.0.1:1", stranger}, ExporterVia: &http.Client{Transport: dial}}), r)
		})
	}
}

// refusals counts the answers with status 422.
type refusals struct{ n atomic.Int64 }

// RoundTrip implements http.RoundTripper.
func (r *refusals) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err == nil && answer.StatusCode == http.StatusUnprocessableEntity {
		r.n.Add(1)
	}
	return answer, err
}

// made makes the report of the second week.
func made(t *testing.T, o report.Options) *report.Report {
	t.Helper()
	var err error
	if o.Period, err = report.NewPeriod("2026-06-08", "", "Europe/Berlin", time.Now()); err != nil {
		t.Fatal(err)
	}
	o.Generator = "acme_exporter test"
	begun := time.Now()
	r, err := report.Make(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("made in %s", time.Since(begun).Round(time.Millisecond))
	return r
}

// golden compares the report's text with a file. What is not the same each time is
// taken out.
func golden(t *testing.T, r *report.Report, file, url string) {
	t.Helper()
	var out bytes.Buffer
	fixed := *r
	fixed.Created = end.Add(6 * time.Hour)
	if err := report.Text(&out, &fixed); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(out.String(), url, "http://prometheus.example")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		got := filepath.Join(t.ArtifactDir(), filepath.Base(file))
		if err := os.WriteFile(got, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s is not the text any more (-update writes it anew); it is in %s", file, got)
	}
}

// record has promtool evaluate the recording rules of who sees what, into the directory
// of a Prometheus's blocks: in the first turn the first one, then the others, for promtool
// shows no rule what another one records. The last hours are without: a Prometheus that is started with
// blocks forgets of its log what is as old as they are.
func record(t *testing.T, p *prometheus, turn int) {
	t.Helper()
	text, err := os.ReadFile("../../alerts/acme_exporter.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []map[string]any `yaml:"groups"`
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	rules.Groups = rules.Groups[:1]
	group := rules.Groups[0]
	group["interval"] = "30s" // 5 s would take six times as long
	if all := group["rules"].([]any); turn == 0 {
		group["rules"] = all[:1]
	} else {
		group["rules"] = all[1:]
	}
	if text, err = yaml.Marshal(rules); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(p.bin, "promtool"), "tsdb", "create-blocks-from", "rules", "--url="+p.url,
		"--start="+monday.Format(time.RFC3339), "--end="+end.Add(-6*time.Hour).Format(time.RFC3339), "--output-dir="+p.dir, file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v\n%s", err, out)
	}
}

// serveIncidents is the API of the exporter at fra. It has seen the outage a minute before
// what was scraped, and knows in what the directory has changed, and when.
func serveIncidents(t *testing.T, changed time.Time) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		of := map[string]any{"target": target, "environment": "staging"}
		switch r.URL.Path {
		case "/api/v1/targets":
			of["directory_changes"] = []any{map[string]any{
				"at": changed, "fields": []any{map[string]any{"field": "terms_of_service", "from": "https://ca.example/1", "to": hostile}},
			}}
			_ = json.NewEncoder(w).Encode(map[string]any{"targets": []any{of, map[string]any{"target": hostile, "environment": hostile}}})
		case "/api/v1/incidents":
			_ = json.NewEncoder(w).Encode(map[string]any{"incidents": []any{map[string]any{
				"target": target, "environment": "staging", "module": "issue_dns", "condition": "down",
				"start": outage.start.Add(-time.Minute), "end": outage.end, "last_success": outage.start.Add(-2 * time.Minute), "last_failure": outage.end,
				"stage": "order", "reason": "serverInternal", "fault": "ca", "summary": "The CA failed.", "failures": 35,
			}}})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestCommand runs the program against a Prometheus that knows nothing.
func TestCommand(t *testing.T) {
	t.Parallel()
	p := startPrometheus(t, t.TempDir(), false)
	file := filepath.Join(t.TempDir(), "week.json")
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), parts.PlainBinary(t), "report", "--prometheus.url="+p.url, "--output="+file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("%v, want exit code 1: nothing is known", err)
	}
	if !strings.Contains(stderr.String(), "looking for targets …\n") || !strings.Contains(stderr.String(), "acme_exporter: report: nothing is known of any target") {
		t.Errorf("standard error:\n%s", stderr.String())
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := report.Decode(io.Reader(f))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Missing) == 0 || r.Missing[0].Kind != report.MissingAll || r.Period.Week == "" {
		t.Errorf("week %q, missing %+v", r.Period.Week, r.Missing)
	}
}
