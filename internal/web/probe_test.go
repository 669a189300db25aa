package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// configured are three pairs of which one has run.
func configured() []probe.Status {
	ran := probe.Pair{Target: "corp", Module: "nonce"}
	return []probe.Status{
		{Pair: probe.Pair{Target: "corp", Module: "directory"}, Prober: probe.ProberDirectory},
		{Pair: ran, Prober: probe.ProberNonce, Recent: []*probe.Result{
			result(ran, "20261123T061703Z-aaaaaaaaaa", time.Date(2026, 11, 23, 6, 17, 3, 0, time.UTC), probe.OutcomeFailure),
		}},
		{Pair: probe.Pair{Target: "letsencrypt", Module: "directory"}, Prober: probe.ProberDirectory},
	}
}

const listing = "\nconfigured (target/module):\n  corp/directory\n  corp/nonce\n  letsencrypt/directory\n"

func TestProbeRefuses(t *testing.T) {
	const timeout = "X-Prometheus-Scrape-Timeout-Seconds"
	for name, c := range map[string]struct {
		query  string
		header []string
		status int
		body   string
	}{
		"no parameters":   {"", nil, 400, "parameter \"target\" is missing\n"},
		"no target":       {"module=nonce", nil, 400, "parameter \"target\" is missing\n"},
		"no module":       {"target=corp", nil, 400, "parameter \"module\" is missing\n"},
		"empty module":    {"target=corp&module=", nil, 400, "parameter \"module\" is missing\n"},
		"two targets":     {"target=corp&target=corp&module=nonce", nil, 400, "parameter \"target\" is given 2 times\n"},
		"three modules":   {"target=corp&module=a&module=b&module=", nil, 400, "parameter \"module\" is given 3 times\n"},
		"two debugs":      {"target=corp&module=nonce&debug=true&debug=false", nil, 400, "parameter \"debug\" is given 2 times\n"},
		"odd debug":       {"target=corp&module=nonce&debug=perhaps", nil, 400, "parameter \"debug\" is \"perhaps\": want true or false\n"},
		"broken query":    {"target=corp&module=%zz", nil, 400, "query: invalid URL escape \"%zz\"\n"},
		"unknown target":  {"target=%3Cscript%3E%0a&module=nonce", nil, 404, "unknown target \"<script>\\n\"" + listing},
		"unknown module":  {"target=corp&module=issue", nil, 404, "unknown module \"issue\"" + listing},
		"unknown pair":    {"target=letsencrypt&module=nonce", nil, 404, "module \"nonce\" is not configured for target \"letsencrypt\"" + listing},
		"unknown, debug":  {"target=corp&module=issue&debug=true", nil, 404, "unknown module \"issue\"" + listing},
		"NaN":             {"target=corp&module=nonce", []string{timeout, "NaN"}, 400, "header " + timeout + " is \"NaN\": want a positive number of seconds\n"},
		"infinite":        {"target=corp&module=nonce", []string{timeout, "+Inf"}, 400, "header " + timeout + " is \"+Inf\": want a positive number of seconds\n"},
		"too large":       {"target=corp&module=nonce", []string{timeout, "1e999"}, 400, "header " + timeout + " is \"1e999\": want a positive number of seconds\n"},
		"negative":        {"target=corp&module=nonce", []string{timeout, "-1"}, 400, "header " + timeout + " is \"-1\": want a positive number of seconds\n"},
		"zero":            {"target=corp&module=nonce", []string{timeout, "0"}, 400, "header " + timeout + " is \"0\": want a positive number of seconds\n"},
		"garbage":         {"target=corp&module=nonce", []string{timeout, "10s"}, 400, "header " + timeout + " is \"10s\": want a positive number of seconds\n"},
		"empty header":    {"target=corp&module=nonce", []string{timeout, ""}, 400, "header " + timeout + " is \"\": want a positive number of seconds\n"},
		"repeated header": {"target=corp&module=nonce", []string{timeout, "1", timeout, "2"}, 400, "header " + timeout + " is given 2 times\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &fakeRunner{statuses: configured()}
			w := get(t, New(options(r)), "/probe?"+c.query, c.header...)
			if w.Code != c.status || w.Body.String() != c.body {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, c.status, c.body)
			}
			if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
				t.Errorf("Content-Type %q", got)
			}
			if len(r.triggered) != 0 {
				t.Errorf("triggered %v", r.triggered)
			}
		})
	}
}

func TestProbeWithNothingConfigured(t *testing.T) {
	w := get(t, New(options(&fakeRunner{})), "/probe?target=a&module=b")
	if w.Code != 404 || w.Body.String() != "unknown target \"a\"; nothing is configured\n" {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestProbeAnswers(t *testing.T) {
	for path, c := range map[string]struct {
		pair probe.Pair
		want string
	}{
		"/probe?target=corp&module=nonce":                        {probe.Pair{Target: "corp", Module: "nonce"}, "probe_pending 0\n"},
		"/probe?module=directory&target=letsencrypt&debug=false": {probe.Pair{Target: "letsencrypt", Module: "directory"}, "probe_pending 1\n"},
	} {
		r := &fakeRunner{statuses: configured()}
		w := get(t, New(options(r)), path)
		if w.Code != 200 || !strings.HasSuffix(w.Body.String(), c.want) {
			t.Errorf("%s: %d %q, want 200 and %q", path, w.Code, w.Body, c.want)
		}
		if diff := cmp.Diff([]probe.Pair{c.pair}, r.triggered); diff != "" {
			t.Errorf("%s: triggered (-want +got):\n%s", path, diff)
		}
		if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
			t.Errorf("%s: Content-Type %q", path, got)
		}
	}
}

func TestProbeDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		header []string
		offset time.Duration
		want   time.Duration
	}{
		"no header":              {nil, 500 * ms, 10 * time.Second},
		"ten seconds":            {[]string{timeoutHeader, "10"}, 500 * ms, 9500 * ms},
		"a fraction":             {[]string{timeoutHeader, "2.5"}, 500 * ms, 2 * time.Second},
		"no offset":              {[]string{timeoutHeader, "3"}, 0, 3 * time.Second},
		"offset larger":          {[]string{timeoutHeader, "3"}, 5 * time.Second, 100 * ms},
		"offset nearly as large": {[]string{timeoutHeader, "3"}, 2950 * ms, 100 * ms},
		"tiny":                   {[]string{timeoutHeader, "1e-300"}, 0, 100 * ms},
		"huge":                   {[]string{timeoutHeader, "1e300"}, time.Minute, 59 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				arrived := time.Now()
				var waited time.Duration
				r := &fakeRunner{statuses: configured(), trigger: func(ctx context.Context) (probe.Answer, error) {
					<-ctx.Done() // a run that takes longer than anybody waits
					waited = time.Since(arrived)
					return probe.Answer{}, nil
				}}
				o := options(r)
				o.TimeoutOffset = c.offset
				w := get(t, New(o), "/probe?target=corp&module=nonce", c.header...)
				if waited != c.want {
					t.Errorf("waited %v, want %v", waited, c.want)
				}
				if w.Code != 200 || !strings.Contains(w.Body.String(), "probe_pending 1\n") {
					t.Errorf("%d %q", w.Code, w.Body)
				}
			})
		})
	}
}

func TestProbeWhenTriggeringFails(t *testing.T) {
	r := &fakeRunner{statuses: configured()}
	r.trigger = func(context.Context) (probe.Answer, error) { return probe.Answer{}, errors.New("the exporter stops") }
	if w := get(t, New(options(r)), "/probe?target=corp&module=nonce"); w.Code != 503 || w.Body.String() != "the exporter stops\n" {
		t.Errorf("stopping: %d %q", w.Code, w.Body)
	}
	// A reload removes the pair between the look and the trigger.
	r.trigger = func(context.Context) (probe.Answer, error) {
		r.statuses = r.statuses[:1]
		return probe.Answer{}, errors.New("unknown pair")
	}
	if w := get(t, New(options(r)), "/probe?target=corp&module=nonce"); w.Code != 404 || !strings.HasPrefix(w.Body.String(), "unknown module \"nonce\"\n") {
		t.Errorf("removed: %d %q", w.Code, w.Body)
	}
}

func TestProbeRefusesOtherMethods(t *testing.T) {
	r := &fakeRunner{statuses: configured()}
	h := New(options(r))
	w := request(t, h, http.MethodPost, "/probe?target=corp&module=nonce")
	if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" || len(r.triggered) != 0 {
		t.Errorf("%d, Allow %q, triggered %v", w.Code, w.Header().Get("Allow"), r.triggered)
	}
}

// TestDebugNeverTriggers holds that a look causes no run, whether there has
// been one or not.
func TestDebugNeverTriggers(t *testing.T) {
	for module, name := range map[string]string{"nonce": "debug.txt", "directory": "debug_none.txt"} {
		r := &fakeRunner{statuses: configured()}
		w := get(t, New(options(r)), "/probe?target=corp&debug=true&module="+module)
		if w.Code != 200 || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%d, Content-Type %q", w.Code, w.Header().Get("Content-Type"))
		}
		if len(r.triggered) != 0 {
			t.Errorf("triggered %v", r.triggered)
		}
		golden(t, name, w.Body.String())
	}
}
