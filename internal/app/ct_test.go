package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/ct"
)

// logList is a list of one log, published at that day.
func logList(day string) string {
	return `{"log_list_timestamp": "` + day + `T00:00:00Z", "operators": [{"name": "Google", "logs": [{"description": "Argon2026h2",
"log_id": "1219ENGn9XfCx+lf1wC/+YLJM1pl4dCzAXMXwMjFaXc=",
"key": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKjpni/66DIYrSlGK6Rf+e6F2c/28ZUvDJ79N81+gyimAESAyeNZ++TRgjHWg9TVQnKHTSU0T1TtqDupFnSQTIg==",
"state": {"usable": {}}}]}]}`
}

// TestLogList holds that a list that is no list is a mistake, that an old one is a
// warning, and that whoever loads the configuration again has the file anew.
func TestLogList(t *testing.T) {
	dir := t.TempDir()
	file, list := filepath.Join(dir, "acme.yml"), filepath.Join(dir, "logs.json")
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, `targets:
  corp: {directory_url: "https://ca.corp.example/", rate_limits: none, probes: {issue: 24h}}
responders: {http: {listen_address: ":80"}, dns: {zones: [p.example.com], nameserver: ns.example.com}}
controls: {names: [example.org]}
log_list_file: logs.json
`)
	write(list, "[]")
	if _, _, err := loadFile(file); err == nil || !strings.HasPrefix(err.Error(), file+":5:16: log_list_file: not a list of logs") {
		t.Errorf("no list: %v", err)
	}
	for _, day := range []string{"2026-01-02", "2099-01-02"} {
		write(list, logList(day))
		cfg, _, err := loadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		made, err := (&executor{book: budget.NewBook(new(store))}).prepare(cfg)
		if err != nil || made.logs.Timestamp().Format(time.DateOnly) != day {
			t.Errorf("%s: %v, %v", day, made.logs, err)
		}
	}
	write(list, logList("2026-01-02"))
	var out bytes.Buffer
	if err := CheckConfig(t.Context(), Common{Stdout: &out, Stderr: &out}, CheckOptions{Files: []string{file}, Output: "text"}); err != nil {
		t.Fatal(err)
	}
	if want := file + ":5:16: warning: log_list_file: is of 2026-01-02, more than 70 days ago"; !strings.Contains(out.String(), want) {
		t.Errorf("%s\nwant in it: %s", out.String(), want)
	}
	write(list, logList("2099-01-02"))
	out.Reset()
	if err := CheckConfig(t.Context(), Common{Stdout: &out, Stderr: &out}, CheckOptions{Files: []string{file}, Output: "text"}); err != nil || strings.Contains(out.String(), "warning") {
		t.Errorf("%v\n%s", err, out.String())
	}
	// What is in force has a list whether the configuration names one or not.
	cfg, err := (Common{}).load()
	if err != nil {
		t.Fatal(err)
	}
	if logs, err := ct.Load(cfg); err != nil || logs.Timestamp().IsZero() {
		t.Errorf("%v, %v", logs, err)
	}
}
