package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/report"
)

// TestReportOfNothing holds that a report which knows nothing is not mailed, and not taken
// for sent: when there is something to know, the next run has to send it.
func TestReportOfNothing(t *testing.T) {
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data := `{"resultType":"matrix","result":[]}`
		if strings.HasSuffix(r.URL.Path, "/series") {
			data = "[]"
		}
		fmt.Fprintf(w, `{"status":"success","data":%s}`, data)
	}))
	defer prometheus.Close()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	dir := t.TempDir()
	email := filepath.Join(dir, "email.yml")
	content := fmt.Sprintf("smtp: {server: 127.0.0.1, port: %d, tls: none}\nfrom: acme@example.org\nrecipients: [pki@example.org]\n", server.Addr().(*net.TCPAddr).Port)
	if err := os.WriteFile(email, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { // whoever connects ends the test
		if conn, err := server.Accept(); err == nil {
			conn.Close()
			cancel()
		}
	}()
	common := Common{StateDir: filepath.Join(dir, "state"), Stdout: io.Discard, Stderr: io.Discard}
	o := ReportOptions{Prometheus: prometheus.URL, Timezone: "UTC", EmailConfig: email}
	err = Report(ctx, common, o)
	if !errors.Is(err, ErrNothingKnown) || !strings.HasSuffix(err.Error(), "no mail was sent: There is nothing of any target in the whole period: are the exporters scraped into this Prometheus?") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(common.StateDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a state directory: %v", err)
	}
	// Who asks for the mail itself gets it.
	var eml bytes.Buffer
	common.Stdout, o.DryRun = &eml, true
	if err := Report(ctx, common, o); !errors.Is(err, ErrNothingKnown) || !strings.Contains(eml.String(), "Message-ID: ") {
		t.Errorf("--dry-run: %v, %d bytes", err, eml.Len())
	}
}

// TestMailKey holds which reports of a week are another mail.
func TestMailKey(t *testing.T) {
	since := time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)
	week := report.Period{Since: since, Until: since.AddDate(0, 0, 7), Timezone: "UTC", Week: "2026-W47"}
	key := func(o ReportOptions, change func(*report.Report)) []string {
		t.Helper()
		r := &report.Report{Version: report.Version, Created: week.Until.Add(6 * time.Hour), Period: week, Before: week, Sources: report.Sources{Prometheus: "http://localhost:9090"}}
		change(r)
		m, err := mailOf(r, o)
		if err != nil {
			t.Fatal(err)
		}
		return m.Key
	}
	same := func(*report.Report) {}
	usual := key(ReportOptions{}, same)
	if later := key(ReportOptions{}, func(r *report.Report) { r.Created = r.Created.AddDate(0, 0, 1) }); !slices.Equal(later, usual) {
		t.Errorf("a day later it is %q, not %q", later, usual)
	}
	if slash := key(ReportOptions{}, func(r *report.Report) { r.Sources.Prometheus += "/" }); !slices.Equal(slash, usual) {
		t.Errorf("with a slash it is %q, not %q", slash, usual)
	}
	seen := [][]string{usual}
	for name, got := range map[string][]string{
		"within the week":   key(ReportOptions{}, func(r *report.Report) { r.Created = since.AddDate(0, 0, 2) }),
		"another time zone": key(ReportOptions{}, func(r *report.Report) { r.Period.Timezone = "Europe/Berlin" }),
		"another server":    key(ReportOptions{}, func(r *report.Report) { r.Sources.Prometheus = "http://localhost:9091" }),
		"some targets":      key(ReportOptions{Targets: []string{"a, b"}}, same),
	} {
		if slices.ContainsFunc(seen, func(one []string) bool { return slices.Equal(one, got) }) {
			t.Errorf("%s: the same mail: %q", name, got)
		}
		seen = append(seen, got)
	}
	if one, other := key(ReportOptions{Targets: []string{"a, b"}}, same), key(ReportOptions{Targets: []string{"b", "a,b"}}, same); !slices.Equal(one, other) {
		t.Errorf("the same targets: %q and %q", one, other)
	}
}
