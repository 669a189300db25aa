package report

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestAskExporters asks one exporter that answers, and some that do not.
func TestAskExporters(t *testing.T) {
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/targets" {
			_, _ = w.Write([]byte(`{"targets": [{"target": "ca", "environment": "staging", "directory_changes": [
				{"at": "2026-11-10T09:00:00.5Z", "fields": [{"field": "profiles", "to": "short"}, {"field": "terms_of_service", "from": "a", "to": "b"}]},
				{"at": "2026-11-01T09:00:00Z", "fields": [{"field": "endpoints", "from": "newAuthz"}]}]}], "new": 1}`))
			return
		}
		if q := r.URL.Query(); q.Get("kind") != "target" || q.Get("since") != "2026-11-08T23:00:00Z" || q.Get("until") != "2026-11-15T23:00:00Z" {
			t.Errorf("asked for %s", r.URL)
		}
		_, _ = w.Write([]byte(`{"incidents": [{"target": "ca", "environment": "staging", "condition": "down", "start": "2026-11-10T06:52:11Z",
			"end": "2026-11-10T08:00:00Z", "last_success": "2026-11-10T06:51:11Z", "stage": "order", "failures": 7,
			"official": {"name": "Down", "url": "https://status.example/1", "start": "2026-11-10T07:04:00Z", "lead_ns": 1}}]}`))
	}))
	defer good.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer page.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	m := &maker{now: at(7, 6, 0), Options: Options{
		Period:    Period{Since: monday, Until: monday.AddDate(0, 0, 7)},
		Exporters: []string{good.URL, page.URL, gone.URL, "http://me:secret@127.0.0.1:1"},
	}}
	m.lives = []life{{of: exporter{"acme", strings.TrimPrefix(good.URL, "http://"), "fra"}}}
	m.askExporters(t.Context())

	if a := m.asked[0]; a.Error != "" || a.Location != "fra" || !a.has(key{"staging", "ca"}) {
		t.Errorf("the first answered %+v", a)
	}
	of := key{"staging", "ca"}
	told := m.told(of, nil, nil)
	changes := m.changes(of, nil, told)
	if len(changes) != 1 || !changes[0].At.Equal(time.Date(2026, 11, 10, 9, 0, 0, 0, time.UTC)) || !changes[0].Terms() || changes[0].Locations[0] != "fra" ||
		fmt.Sprint(changes[0].Fields) != "[{profiles  short} {terms_of_service a b}]" {
		t.Errorf("changes %+v, want that of the period", changes)
	}
	got := merge(fromExporters(of, nil, told), nil)
	if len(got) != 1 || got[0].Uncertainty == nil || *got[0].Uncertainty != time.Minute || got[0].From != FromExporters || got[0].Locations[0] != "fra" {
		t.Fatalf("incidents %+v", got)
	}
	if o := got[0].Official; o == nil || o.Lead != 11*time.Minute+49*time.Second || o.Name != "Down" || o.URL != "https://status.example/1" {
		t.Errorf("official %+v, want a lead of 11 min 49 s", o)
	}
	for i, want := range []string{"", "its answer is not that of an exporter: ", "HTTP status 404", "dial tcp 127.0.0.1:1: "} {
		if got := m.asked[i].Error; !strings.HasPrefix(got, want) || strings.Contains(got+m.asked[i].URL, "secret") {
			t.Errorf("%s: error %q, want %q", m.asked[i].URL, got, want)
		}
	}
	if len(m.missing) != 3 {
		t.Errorf("missing %+v, want what three exporters did not tell", m.missing)
	}
}
