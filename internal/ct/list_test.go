package ct

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestParseBad has lists that cannot be read.
func TestParseBad(t *testing.T) {
	t.Parallel()
	logs := testLogs()
	good := string(listOf(t, published, logs[0]))
	id, key := logs[0].entry(t)["log_id"].(string), logs[0].entry(t)["key"].(string)
	for _, tt := range []struct{ name, data, want string }{
		{"nothing", "", "not a list of logs: unexpected end of JSON input"},
		{"a page", "<html>", "not a list of logs: invalid character '<' looking for beginning of value"},
		{"a list", "[]", "not a list of logs: json: cannot unmarshal array"},
		{"no timestamp", `{"operators": []}`, "log_list_timestamp is missing"},
		{"no logs", `{"log_list_timestamp": "2026-10-03T13:35:24Z"}`, "there is no log in it"},
		{"another time", strings.Replace(good, "2026-10-22T", "22 October", 1), "not a list of logs: parsing time"},
		{"another id", strings.Replace(good, id, logs[1].entry(t)["log_id"].(string), 1), `the log "Alpha 2027": log_id is not the SHA-256 of the key`},
		{"no base64", strings.Replace(good, key, "!", 1), `the log "Alpha 2027": the key is not base64`},
		{"no key", strings.Replace(good, key, "", 1), `the log "Alpha 2027": the key is not base64`},
		{"bytes that are no key", strings.NewReplacer(key, "AAAA", id, "cJ6AyIjs+Y7hV19H4AmTIpeafpYDtI81ZhNVlwPHdho=").Replace(good), `the log "Alpha 2027":`},
		{"twice", string(listOf(t, published, logs[0], logs[0])), `the log "Alpha 2027": it is there twice`},
	} {
		if _, err := Parse([]byte(tt.data)); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}

// TestParse holds what is taken from a list, and what is passed over.
func TestParse(t *testing.T) {
	t.Parallel()
	odd, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	logs := append(testLogs(), &testLog{name: "P-384", operator: "E", key: odd})
	logs[0].name = "two\nlines " + strings.Repeat("x", 200)
	logs[1].state, logs[1].since = probe.LogRetired, now
	list, err := Parse(listOf(t, published, logs...))
	if err != nil {
		t.Fatal(err)
	}
	if len(list.logs) != 4 || !list.Timestamp.Equal(published) {
		t.Errorf("%d logs of %s: those with P-384 are not verified", len(list.logs), list.Timestamp)
	}
	found := map[string]*log{}
	for _, l := range list.logs {
		found[l.operator] = l
	}
	if d := found["A"].description; !strings.HasPrefix(d, "two lines xx") || len(d) != maxWords {
		t.Errorf("description %q", d)
	}
	if b := found["B"]; b.state != probe.LogRetired || !b.since.Equal(now) {
		t.Errorf("%+v", b)
	}
	// Some lists tell the whole life of a log, and a log may have been another's.
	whole := strings.Replace(string(listOf(t, published, logs[2])), `"state":{`,
		`"previous_operators":[{"name":"Z","end_time":"2026-01-01T00:00:00Z"}],"state":{"retired":{"timestamp":"2026-02-01T00:00:00Z"},"qualified":{},`, 1)
	list, err = Parse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list.logs {
		if l.state != probe.LogRetired || len(l.previous) != 1 || l.operatorAt(now.AddDate(-1, 0, 0)) != "Z" || l.operatorAt(now) != "C" {
			t.Errorf("%+v", l)
		}
	}
}

// load loads a configuration with the file's content as its list.
func load(t *testing.T, file, content string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "logs.json"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(filepath.Join(dir, "acme.yml"), []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// issuing are a public CA and a private one that issue.
const (
	issuing = `
targets:
  le: {preset: letsencrypt, account: {agree_to_terms: true}, probes: {issue: 24h}}
responders: {http: {listen_address: ":80"}, dns: {zones: [p.example.com], nameserver: ns.example.com}}
modules: {issue: {issue: {names: {mode: fixed, list: [a.p.example.com]}}}}
`
	private = `
targets:
  corp: {directory_url: "https://ca.corp.example/", rate_limits: none, probes: {issue: 24h}}
responders: {http: {listen_address: ":80"}, dns: {zones: [p.example.com], nameserver: ns.example.com}}
`
	looking = `
targets:
  le: {preset: letsencrypt, probes: {directory: 1m}}
`
	staging = `
targets:
  le: {preset: letsencrypt-staging, account: {agree_to_terms: true}, probes: {issue: 24h}}
responders: {http: {listen_address: ":80"}, dns: {zones: [p.example.com], nameserver: ns.example.com}}
`
	listed = "log_list_file: logs.json\n"
)

// TestLoad reads the shipped list, and one of the configuration's own.
func TestLoad(t *testing.T) {
	t.Parallel()
	l, err := Load(load(t, issuing, ""))
	if err != nil || !l.shipped || !l.Timestamp().Equal(logsFrom(t, shipped).list.Timestamp) {
		t.Errorf("%+v, %v", l, err)
	}
	l, err = Load(load(t, issuing+listed, string(listOf(t, published, testLogs()...))))
	if err != nil || l.shipped || !l.Timestamp().Equal(published) {
		t.Errorf("%+v, %v", l, err)
	}
	for _, content := range []string{"", "no list"} {
		_, err = Load(load(t, issuing+listed, content))
		if err == nil || !strings.Contains(err.Error(), "acme.yml:6:16: log_list_file: not a list of logs") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// TestWarnings holds who is told that a list is too old.
func TestWarnings(t *testing.T) {
	t.Parallel()
	list := string(listOf(t, published, testLogs()...))
	late := logsFrom(t, shipped).list.Timestamp.Add(70*day + time.Second)
	for _, tt := range []struct {
		name, file string
		at         time.Time
		want       string
	}{
		{"fresh", issuing, late.Add(-time.Second), ""},
		{"shipped", issuing, late, "log_list_file: is not given, and the list of CT logs that is shipped is of 2026-10-05, more than 70 days ago"},
		{"own", issuing + listed, published.Add(71 * day), "acme.yml:6:16: log_list_file: is of 2026-10-22, more than 70 days ago"},
		{"nothing is issued", looking, late, ""},
		{"staging", staging, late, ""},
		{"private", private, late, ""},
		{"private, own", private + listed, late.Add(30 * day), "log_list_file: is of 2026-10-22"},
	} {
		cfg := load(t, tt.file, list)
		l, err := Load(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range l.Warnings(cfg, tt.at) {
			got = append(got, w.Error())
		}
		if text := strings.Join(got, "\n"); len(got) > 1 || !strings.Contains(text, tt.want) || tt.want == "" && text != "" {
			t.Errorf("%s: %q, want %q", tt.name, text, tt.want)
		}
	}
}
