package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// askedServer is a server with Prometheus's API below a path, which knows nothing, and all that it was
// asked.
func askedServer(t *testing.T, more string) (url string, asked func() []*http.Request) {
	t.Helper()
	var mu sync.Mutex
	var all []*http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, r)
		data := `{"resultType":"matrix","result":[]}`
		if strings.HasSuffix(r.URL.Path, "/series") {
			data = "[]"
		}
		fmt.Fprintf(w, `{"status":"success","data":%s%s}`, data, more)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []*http.Request {
		mu.Lock()
		defer mu.Unlock()
		return append([]*http.Request(nil), all...)
	}
}

// TestReportWithCredentials holds that each question goes where the URL says, below its path, with what
// the file of --prometheus.config has: what Mimir, Thanos and proxies before them want.
func TestReportWithCredentials(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"token": "a-token\n", "password": "a-password\n", "tenant": "from-a-file\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, config, header, want string }{
		{"a header", "http_headers: {X-Scope-OrgID: {values: [team-pki]}}", "X-Scope-OrgID", "team-pki"},
		{"a header from a file", "http_headers: {X-Scope-OrgID: {files: [tenant]}}", "X-Scope-OrgID", "from-a-file"},
		{"a secret header", "http_headers: {X-Key: {secrets: [hush]}}", "X-Key", "hush"},
		{"user and password", "basic_auth: {username: acme, password_file: password}", "Authorization", "Basic YWNtZTphLXBhc3N3b3Jk"},
		{"a token", "authorization: {credentials_file: token}", "Authorization", "Bearer a-token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(dir, strings.ReplaceAll(c.name, " ", "-")+".yml")
			if err := os.WriteFile(file, []byte(c.config+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			url, asked := askedServer(t, "")
			o := ReportOptions{Prometheus: url + "/prometheus/?dedup=true", PrometheusConfig: file, Timezone: "UTC"}
			if err := Report(t.Context(), Common{Stdout: io.Discard, Stderr: io.Discard}, o); !errors.Is(err, ErrNothingKnown) {
				t.Fatal(err)
			}
			kinds := map[string]bool{}
			for _, r := range asked() {
				kind, ok := strings.CutPrefix(r.URL.Path, "/prometheus/api/v1/")
				if !ok || r.Header.Get(c.header) != c.want || r.URL.Query().Get("dedup") != "true" {
					t.Errorf("%s with %s %q", r.URL, c.header, r.Header.Get(c.header))
				}
				kinds[kind] = true
			}
			if !kinds["series"] || !kinds["query_range"] {
				t.Errorf("asked for %v, want series and query_range", kinds)
			}
		})
	}
}

// TestReportWarnings holds that what the server warns of, such as that a part of it did not answer, is on
// standard error and in the report, and harms no terminal.
func TestReportWarnings(t *testing.T) {
	url, _ := askedServer(t, `,"warnings":["No StoreAPIs \u001b[2J matched for iad"]`)
	var stdout, stderr bytes.Buffer
	err := Report(t.Context(), Common{Stdout: &stdout, Stderr: &stderr}, ReportOptions{Prometheus: url, Timezone: "UTC"})
	if !errors.Is(err, ErrNothingKnown) {
		t.Fatal(err)
	}
	const want = "The server warns, so that data may be missing: No StoreAPIs \ufffd[2J matched for iad"
	if strings.Count(stderr.String(), want+"\n") != 1 {
		t.Errorf("standard error:\n%s", stderr.String())
	}
	if text := strings.Join(strings.Fields(stdout.String()), " "); !strings.Contains(text, want) {
		t.Errorf("the report:\n%s", stdout.String())
	}
}
