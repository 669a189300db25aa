package report

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fakeSeries is one of a fake Prometheus: its labels, and its value at a time; not ok: it has none.
type fakeSeries struct {
	labels map[string]string
	at     func(t time.Time) (v float64, ok bool)
}

// always is a series with one value.
func always(v float64, labels ...string) fakeSeries {
	s := fakeSeries{labels: map[string]string{}, at: func(time.Time) (float64, bool) { return v, true }}
	for i := 0; i < len(labels); i += 2 {
		s.labels[labels[i]] = labels[i+1]
	}
	return s
}

// fakePrometheus answers each range query with the series of the first name that is in it.
func fakePrometheus(t *testing.T, named map[string][]fakeSeries) *client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		number := func(name string) float64 {
			v, err := strconv.ParseFloat(r.FormValue(name), 64)
			if err != nil {
				t.Errorf("%s=%s", name, r.FormValue(name))
			}
			return v
		}
		result := []any{}
		for name, list := range named {
			if !strings.Contains(r.FormValue("query"), name) {
				continue
			}
			for _, s := range list {
				values := [][2]any{}
				for at := number("start"); at <= number("end"); at += number("step") {
					if v, ok := s.at(seconds(at)); ok {
						values = append(values, [2]any{at, fmt.Sprint(v)})
					}
				}
				if len(values) > 0 {
					result = append(result, map[string]any{"metric": s.labels, "values": values})
				}
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": result}})
	}))
	t.Cleanup(server.Close)
	c, err := newClient(server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRulesOfOneLocation holds that the votes of locations whose Prometheus has no rules are
// counted beside those that are recorded.
func TestRulesOfOneLocation(t *testing.T) {
	of, p := key{"production", "ca"}, Period{Since: monday, Until: monday.Add(time.Hour)}
	m := &maker{places: map[key][]string{of: {"fra", "iad", "sin"}}, client: fakePrometheus(t, map[string][]fakeSeries{
		ruleReporting: {always(1, "location", "fra")},
		"acme_target_state{": {
			always(1, "location", "fra", "state", "down"), always(1, "location", "iad", "state", "down"), always(1, "location", "sin", "state", "down"),
		},
	})}
	line, err := m.readTimeline(context.Background(), of, p)
	if err != nil {
		t.Fatal(err)
	}
	if namesSaid(line.names()) != "fra, iad, sin" || !line.rules {
		t.Errorf("locations %v, rules %v; want all three, and rules", line.names(), line.rules)
	}
	if a := line.availability(line.overall(), 0, line.all()); a.Down != time.Hour {
		t.Errorf("%+v: want it down all the time, as two of three locations say", a)
	}
	if a := line.availability(line.locations["fra"], 0, line.all()); a.Up != time.Hour {
		t.Errorf("%+v: want fra up, as is recorded", a)
	}
}

// TestChangesOfAPair holds that two exporters at one location see one change, and one exporter two.
func TestChangesOfAPair(t *testing.T) {
	first, again := at(1, 10, 0), at(1, 15, 0)
	changed := func(instance, location string, times ...time.Time) fakeSeries {
		s := always(0, "job", "acme", "instance", instance, "location", location)
		s.at = func(t time.Time) (v float64, ok bool) {
			for _, at := range times {
				if !t.Before(at) {
					v, ok = float64(at.Unix()), true
				}
			}
			return v, ok
		}
		return s
	}
	m := &maker{Options: Options{Period: Period{Since: monday, Until: at(7, 0, 0)}}, client: fakePrometheus(t, map[string][]fakeSeries{
		"by (job, instance, location) (acme_directory_last_change": {
			changed("a", "fra", first, again), changed("b", "fra", first.Add(4*time.Minute), again.Add(4*time.Minute)), changed("c", "iad", first.Add(2*time.Minute)),
		},
	})}
	var x Target
	if err := m.changes(context.Background(), key{"production", "ca"}, &x); err != nil {
		t.Fatal(err)
	}
	if len(x.Changes) != 2 || !x.Changes[0].At.Equal(first) || !x.Changes[1].At.Equal(again) || fmt.Sprint(x.Changes[0].Locations, x.Changes[1].Locations) != "[fra iad] [fra]" {
		t.Errorf("changes %+v, want one that fra and iad saw, and one that fra saw", x.Changes)
	}
}

// TestWhoseIncidents holds that what an exporter tells is never counted beside what metrics
// tell of the same exporter.
func TestWhoseIncidents(t *testing.T) {
	of := key{"production", "ca"}
	seen := func(location string, start time.Time) sighted {
		return sighted{location: location, Incident: Incident{Start: start, End: start.Add(time.Hour)}}
	}
	list := []sighted{seen("fra", at(1, 10, 0)), seen("iad", at(1, 10, 1)), seen("fra", at(2, 10, 0)), seen("iad", at(2, 10, 0))}
	for _, c := range []struct {
		name, want string
		asked      asked
		missing    int
	}{
		{"one without a name", "[] true", asked{known: true}, 0},
		{"known", "[sin] true", asked{known: true, Exporter: Exporter{Location: "sin"}}, 0},
		{"by another host", "[fra] true", asked{incidents: map[key][]sighted{of: {seen("", at(1, 10, 0).Add(300*time.Microsecond))}}}, 0},
		{"of two locations", "[] false", asked{incidents: map[key][]sighted{of: {seen("", at(2, 10, 0))}}}, 1},
		{"of none", "[] false", asked{incidents: map[key][]sighted{of: {seen("", at(3, 10, 0))}}}, 1},
		{"nothing to tell", "[] false", asked{}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.asked.targets = []key{of}
			m := &maker{asked: []asked{c.asked}}
			own, answered := m.fromExporters(of, list)
			var names []string
			for l := range answered {
				names = append(names, l)
			}
			if got := fmt.Sprint(names, " ", len(answered) == 1); got != c.want || len(m.missing) != c.missing {
				t.Errorf("%s, missing %+v; want %s and %d", got, m.missing, c.want, c.missing)
			}
			for _, s := range own {
				if s.location != names[0] {
					t.Errorf("an incident at %q, want %q", s.location, names[0])
				}
			}
		})
	}
	m := &maker{lives: []life{{of: exporter{"acme", "probe:18555", ""}}}}
	if l, ok := m.locationOf("https://probe:18555"); l != "" || !ok {
		t.Errorf("location %q, known %v; want that it is known to have none", l, ok)
	}
}
