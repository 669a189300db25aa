package web

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const ms = time.Millisecond

// fakeRunner answers triggers from a function and remembers them.
type fakeRunner struct {
	statuses []probe.Status
	trigger  func(context.Context) (probe.Answer, error) // nil: the last result
	by       probe.Trigger                               // that is wanted; empty: a scrape
	before   []probe.RunSummary                          // what the history of each pair has behind the last runs
	stored   []*probe.Result                             // runs that are no longer among the last ones

	mu        sync.Mutex // guards what is below
	triggered []probe.Pair
}

func (f *fakeRunner) Trigger(ctx context.Context, p probe.Pair, by probe.Trigger) (probe.Answer, error) {
	if by != f.by && (f.by != "" || by != probe.TriggerScrape) {
		return probe.Answer{}, errors.New("another trigger")
	}
	f.mu.Lock()
	f.triggered = append(f.triggered, p)
	f.mu.Unlock()
	if f.trigger != nil {
		return f.trigger(ctx)
	}
	status, ok := find(f.statuses, p)
	if !ok {
		return probe.Answer{}, errors.New("unknown pair")
	}
	return probe.Answer{Result: status.Last()}, nil
}

func (f *fakeRunner) Status() []probe.Status { return f.statuses }

func (f *fakeRunner) History(p probe.Pair) []probe.RunSummary {
	status, ok := find(f.statuses, p)
	if !ok {
		return nil
	}
	return append(summaries(status.Recent), f.before...)
}

// summaries returns the runs in a few words, without follow-ups.
func summaries(runs []*probe.Result) []probe.RunSummary {
	list := make([]probe.RunSummary, 0, len(runs))
	for _, r := range runs {
		if r.FollowUp == "" {
			list = append(list, probe.Summarize(r))
		}
	}
	return list
}

func (f *fakeRunner) Result(id string) (*probe.Result, bool) {
	for _, s := range f.statuses {
		if i := slices.IndexFunc(s.Recent, func(r *probe.Result) bool { return r.ID == id }); i >= 0 {
			return s.Recent[i], true
		}
	}
	if i := slices.IndexFunc(f.stored, func(r *probe.Result) bool { return r.ID == id }); i >= 0 {
		return f.stored[i], true
	}
	return nil, false
}

// answer is the metrics of a fake answer.
func answer(a probe.Answer, _ time.Time) prometheus.Gatherer {
	reg := prometheus.NewRegistry()
	pending := prometheus.NewGauge(prometheus.GaugeOpts{Name: "probe_pending", Help: "None yet."})
	reg.MustRegister(pending)
	if a.Result == nil {
		pending.Set(1)
	}
	return reg
}

// options are those of an exporter that is well.
func options(r Runner) Options {
	return Options{
		Runner: r,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("acme_probes_total 1\n"))
		}),
		Probe:   answer,
		Config:  func() []byte { return []byte("targets: <secret>\n") },
		Ready:   func() bool { return true },
		Reload:  func(context.Context) error { return nil },
		Version: "1.2.3",
	}
}

// result is a short run of a pair.
func result(p probe.Pair, id string, at time.Time, outcome probe.Outcome) *probe.Result {
	r := &probe.Result{
		Version: probe.Version, ID: id, Pair: p, Prober: probe.ProberNonce, Trigger: probe.TriggerTick, Start: at, Duration: 120 * ms,
		Facts: probe.Facts{
			Steps: []probe.Step{{Name: probe.StepNonce, Duration: 100 * ms, OK: outcome == probe.OutcomeSuccess}},
			Calls: []probe.Call{{Name: probe.CallNewNonce, Step: probe.StepNonce, Method: "HEAD", Status: 200, Ready: 10 * ms, FirstByte: 80 * ms, End: 90 * ms}},
		},
		Verdict: probe.Verdict{Outcome: outcome, Summary: "The nonce came in time."},
	}
	if outcome != probe.OutcomeSuccess {
		r.Verdict.Stage, r.Verdict.Reason, r.Verdict.Summary = probe.StepNonce, "http_5xx", "The CA answered 503."
		r.Calls[0].Status = 503
	}
	if outcome == probe.OutcomeFailure {
		r.Verdict.Fault = probe.FaultCA
	}
	return r
}

// get asks h for path.
func get(t *testing.T, h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

// golden compares got with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wanted, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(wanted), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestPlainEndpoints(t *testing.T) {
	o := options(&fakeRunner{})
	notReady := o
	notReady.Ready = func() bool { return false }
	for _, c := range []struct {
		path   string
		o      Options
		status int
		body   string
	}{
		{"/metrics", o, 200, "acme_probes_total 1\n"},
		{"/config", o, 200, "targets: <secret>\n"},
		{"/-/healthy", o, 200, "healthy\n"},
		{"/-/healthy", notReady, 200, "healthy\n"},
		{"/-/ready", o, 200, "ready\n"},
		{"/-/ready", notReady, 503, "not ready\n"},
		{"/nothing", o, 404, "404 page not found\n"},
		{"/runs/", o, 404, "404 page not found\n"},
		{"/runs/x/y", o, 404, "404 page not found\n"},
		{"/runs/x", o, 404, "no run \"x\": only the last runs of each configured pair and those that incidents rest on are kept\n"},
		{"/runs/x.json", o, 404, "no run \"x\": only the last runs of each configured pair and those that incidents rest on are kept\n"},
		{"/runs", o, 400, "parameter \"target\" is missing\n"},
		{"/runs?target=a&module=b", o, 404, "unknown target \"a\"; nothing is configured\n"},
		{"/incidents/x", o, 404, "404 page not found\n"}, // they are not kept
		{"/incidents.csv", o, 404, "404 page not found\n"},
		{"/?since=yesterday", o, 400, "parameter \"since\" is \"yesterday\": want a date, such as 2026-11-23, or a time, such as 2026-11-23T06:30:00Z\n"},
		{"/?refresh=1", o, 400, "parameter \"refresh\" is \"1\": want a number of seconds from 30 to 3600\n"},
		{"/?a=%", o, 400, "query: invalid URL escape \"%\"\n"},
		{"/runs/x?format=yaml", o, 400, "parameter \"format\" is \"yaml\": want json\n"},
	} {
		w := get(t, New(c.o), c.path)
		if w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s: %d %q, want %d %q", c.path, w.Code, w.Body, c.status, c.body)
		}
		if c.path != "/metrics" && w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: Content-Type %q", c.path, w.Header().Get("Content-Type"))
		}
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	pair := probe.Pair{Target: "corp", Module: "nonce"}
	h := New(options(&fakeRunner{statuses: []probe.Status{{Pair: pair, Recent: []*probe.Result{result(pair, "r1", time.Now(), probe.OutcomeSuccess)}}}}))
	for _, path := range []string{"/", "/runs", "/api/v1/runs/r1", "/api/", "/runs/r1", "/runs/r1.json", "/probe?target=corp&module=nonce", "/config", "/metrics", "/-/ready", "/nothing"} {
		w := get(t, h, path)
		for name, wanted := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		} {
			if got := w.Header().Get(name); got != wanted {
				t.Errorf("%s: %s is %q, want %q", path, name, got, wanted)
			}
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; ") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
}

func TestReload(t *testing.T) {
	var reloaded int
	o := options(&fakeRunner{})
	fail := errors.New("a.yml:1:2: targets: wrong\na.yml:3:4: modules: wrong too")
	o.Reload = func(context.Context) error {
		reloaded++
		if reloaded > 1 {
			return fail
		}
		return nil
	}
	h := New(o)
	do := func(method string, header ...string) *httptest.ResponseRecorder {
		req := httptest.NewRequestWithContext(t.Context(), method, "/-/reload", nil)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w
	}
	if w := do(http.MethodGet); w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	if w := do(http.MethodPost, "Sec-Fetch-Site", "cross-site"); w.Code != 403 {
		t.Errorf("from another site's page: %d", w.Code)
	}
	if reloaded != 0 {
		t.Fatalf("reloaded %d times by requests that must not", reloaded)
	}
	if w := do(http.MethodPost); w.Code != 200 || w.Body.String() != "reloaded\n" {
		t.Errorf("POST: %d %q", w.Code, w.Body)
	}
	if w := do(http.MethodPost); w.Code != 500 ||
		w.Body.String() != "reload failed; the configuration before stays in force:\n"+fail.Error()+"\n" {
		t.Errorf("POST with mistakes: %d %q", w.Code, w.Body)
	}
}
