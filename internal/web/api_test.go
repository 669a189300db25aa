package web

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestAPIErrors(t *testing.T) {
	h := New(hostileOptions(time.Now()))
	for _, c := range []struct {
		method, path string
		status       int
		text         string
	}{
		{http.MethodPost, "/api/v1/targets", 405, "method POST is not allowed"},
		{http.MethodDelete, "/api/v1/incidents/i1", 405, "method DELETE is not allowed"},
		{http.MethodGet, "/api/v2/targets", 404, `there is no "/api/v2/targets"`},
		{http.MethodPost, "/api/", 404, `there is no "/api/"`},
		{http.MethodGet, "/api/v1/incidents/x", 404, `no incident "x": those of the last 90 days are kept`},
		{http.MethodGet, "/api/v1/runs/x", 404, `no run "x": only the last runs of each configured pair and those that incidents rest on are kept`},
		{http.MethodGet, "/api/v1/incidents?kind=host", 400, `parameter "kind" is "host": want target, pair or all`},
		{http.MethodGet, "/api/v1/incidents?condition=up", 400, `parameter "condition" is "up": want down or degraded`},
		{http.MethodGet, "/api/v1/incidents?limit=0", 400, `parameter "limit" is "0": want a number from 1 to 10000`},
		{http.MethodGet, "/api/v1/incidents?open=maybe", 400, `parameter "open" is "maybe": want true or false`},
		{http.MethodGet, "/api/v1/incidents?open=1&open=1", 400, `parameter "open" is given 2 times`},
		{http.MethodGet, "/api/v1/incidents?tagret=corp", 400, `unknown parameter "tagret"`},
		{http.MethodGet, "/api/v1/incidents?a=%", 400, `query: invalid URL escape "%"`},
	} {
		w := request(t, h, c.method, c.path)
		var got apiError
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Errorf("%s %s: %v in %q", c.method, c.path, err, w.Body)
			continue
		}
		if w.Code != c.status || got.Status != c.status || got.Text != c.text || got.Advice == "" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %+v, %s, want %d %s", c.method, c.path, w.Code, got, w.Header().Get("Content-Type"), c.status, c.text)
		}
		if allow := w.Header().Get("Allow"); (c.status == 405) != (allow == "GET, HEAD") {
			t.Errorf("%s %s: Allow %q", c.method, c.path, allow)
		}
	}
}

// Nothing that a GET or HEAD asks for starts a run, and there is nothing to POST to.
func TestPagesOnlyRead(t *testing.T) {
	o := hostileOptions(time.Now())
	h := New(o)
	paths := append([]string{"/", "/runs/r4", "/runs/r4.json", "/incidents.csv", "/incidents.atom", "/api/v1/targets", "/api/v1/incidents", "/api/v1/incidents/i1", "/api/v1/runs/e1"}, hostilePages...)
	for _, path := range paths {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if w := request(t, h, method, path); w.Code != 200 {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
		if w := request(t, h, http.MethodPost, path); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
	}
	if triggered := o.Runner.(*fakeRunner).triggered; len(triggered) != 0 {
		t.Errorf("triggered %v", triggered)
	}
}

// A run that is kept as evidence alone is as it was, wherever it is asked for.
func TestEvidenceRun(t *testing.T) {
	o := hostileOptions(time.Now())
	h := New(o)
	want := fetch(t, h, "/runs/e1.json")
	if got := fetch(t, h, "/api/v1/runs/e1"); got != want {
		t.Errorf("the API has another run: %s", got)
	}
	var r probe.Result
	if err := json.Unmarshal([]byte(want), &r); err != nil || r.ID != "e1" || len(r.Controls) != 2 {
		t.Errorf("run %+v, %v", r, err)
	}
	o.Incidents = nil
	for _, path := range []string{"/runs/e1", "/api/v1/runs/e1", "/api/v1/targets", "/api/v1/incidents", "/incidents.csv"} {
		if w := get(t, New(o), path); w.Code != 404 {
			t.Errorf("%s without incidents: %d", path, w.Code)
		}
	}
}

func TestFeedLinks(t *testing.T) {
	o := hostileOptions(time.Now())
	for _, c := range []struct {
		external, host string
		tls            bool
		want           string
	}{
		{"", "acme.example:9800", false, "http://acme.example:9800"},
		{"", "[2001:db8::1]:9800", true, "https://[2001:db8::1]:9800"},
		{"https://acme.example/exporter/", "10.0.0.1:9800", false, "https://acme.example/exporter"},
		{"", `a"><script>`, false, "http://a&#34;&gt;&lt;script&gt;"},
	} {
		o.ExternalURL = c.external
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/incidents.atom?kind=all&target=", nil)
		r.Host = c.host
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		New(o).ServeHTTP(w, r)
		for _, want := range []string{
			"<id>" + c.want + "/incidents.atom?kind=all</id>", `rel="self" type="application/atom+xml" href="` + c.want + `/incidents.atom?kind=all"`,
			`href="` + c.want + `/?kind=all#incidents"`, `href="` + c.want + `/incidents/i1"`,
		} {
			if !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: no %s in %s", c.host, want, w.Body)
			}
		}
		if w.Header().Get("Content-Type") != "application/atom+xml; charset=utf-8" {
			t.Errorf("Content-Type %q", w.Header().Get("Content-Type"))
		}
	}
}

// A feed without entries is as old as the exporter's start, so that reading it twice
// is no news.
func TestEmptyFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := hostileOptions(time.Now())
		o.Incidents = &fakeIncidents{}
		h := New(o)
		time.Sleep(time.Hour)
		if got := fetch(t, h, "/incidents.atom"); !strings.Contains(got, "<updated>2000-01-01T00:00:00Z</updated>") {
			t.Error(got)
		}
		if got := fetch(t, h, "/api/v1/incidents"); got != "{\n  \"incidents\": [],\n  \"total\": 0\n}\n" {
			t.Error(got)
		}
		if got := fetch(t, h, "/api/v1/targets"); !strings.Contains(got, `"targets": []`) {
			t.Error(got)
		}
		if got := fetch(t, h, "/incidents.csv"); got != strings.Join(csvHeader, ",")+"\r\n" {
			t.Errorf("%q", got)
		}
	})
}

func TestChanged(t *testing.T) {
	start := time.Now()
	open := &probe.Incident{Start: start, LastFailure: start.Add(time.Hour)}
	if got := changed(open); got != start {
		t.Errorf("a further failure is news: %v", got.Sub(start))
	}
	open.Phases = []probe.IncidentPhase{{Start: start, End: start.Add(time.Minute)}, {Start: start.Add(time.Minute)}}
	if got := changed(open); got != start.Add(time.Minute) {
		t.Errorf("that it became worse is no news: %v", got.Sub(start))
	}
	open.End = start.Add(2 * time.Hour)
	if got := changed(open); got != open.End {
		t.Errorf("that it ended is no news: %v", got.Sub(start))
	}
}

func TestInert(t *testing.T) {
	for cell, want := range map[string]string{
		"": "", "letsencrypt": "letsencrypt", "1.5": "1.5", "=1+1": "'=1+1", "+1": "'+1", "-1": "-1", "-1.5": "-1.5", "-1+1": "'-1+1", "-": "'-", "@SUM(1)": "'@SUM(1)",
		"\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1", "a=1": "a=1", "|calc": "'|calc",
	} {
		if got := inert(cell); got != want {
			t.Errorf("%q is %q, want %q", cell, got, want)
		}
	}
}

func TestWordsOfShares(t *testing.T) {
	for _, c := range []struct {
		up, degraded, down, unknown time.Duration
		percent, spent              string
	}{
		{percent: "not known", spent: "up all the time"},
		{unknown: day, percent: "not known", spent: "not known 1 d"},
		{up: day, percent: "100 %", spent: "up all the time"},
		{up: day, unknown: ms, percent: "100 %", spent: "up all the time"},
		{up: day, unknown: 90 * time.Minute, percent: "100 %", spent: "otherwise up, not known 1 h 30 min"},
		{up: 90 * day, down: ms, percent: "99.99 %", spent: "down less than 1 s"},
		{up: 9999 * time.Second, down: time.Second, percent: "99.99 %", spent: "down 1 s"},
		{up: 1, down: day, percent: "0.00 %", spent: "down 1 d"},
		{degraded: day, percent: "100 %", spent: "degraded 1 d"},
		{up: day, degraded: time.Hour, down: time.Minute, unknown: time.Second, percent: "99.93 %", spent: "down 1 min, degraded 1 h, not known 1 s"},
	} {
		s := incident.Share{Up: c.up, Degraded: c.degraded, Down: c.down, Unknown: c.unknown}
		if got, said := percent(s), spent(s); got != c.percent || said != c.spent {
			t.Errorf("%+v is %q, %q, want %q, %q", c, got, said, c.percent, c.spent)
		}
	}
}

func TestLasted(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 0: "0 s", ms: "less than 1 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min 1 s", time.Hour + time.Second: "1 h",
		26 * time.Hour: "1 d 2 h", 90*day + time.Minute: "90 d",
	} {
		if got := lasted(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
