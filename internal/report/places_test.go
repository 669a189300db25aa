package report

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
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

// overPanes evaluates a query of a series at a time: as it is, or over a pane.
func overPanes(query string) func(at func(time.Time) (float64, bool), t time.Time) (v float64, ok bool) {
	parts := regexp.MustCompile(`\[(\w+):(\w+)\]`).FindStringSubmatch(query)
	if parts == nil {
		return func(at func(time.Time) (float64, bool), t time.Time) (float64, bool) { return at(t) }
	}
	long, _ := model.ParseDuration(parts[1])
	step, _ := model.ParseDuration(parts[2])
	return func(at func(time.Time) (float64, bool), t time.Time) (float64, bool) {
		var count, changes, sum, last float64
		for when := t.Add(-time.Duration(long)).Truncate(time.Duration(step)).Add(time.Duration(step)); !when.After(t); when = when.Add(time.Duration(step)) {
			v, ok := at(when)
			if !ok {
				continue
			}
			if count > 0 && v != last {
				changes++
			}
			count, sum, last = count+1, sum+v, v
		}
		if strings.Contains(query, "changes(") {
			sum = count - changes
		}
		return sum, count > 0
	}
}

// fakePrometheus is a client of serveSeries.
func fakePrometheus(t *testing.T, named map[string][]fakeSeries) *client {
	t.Helper()
	c, err := newClient(serveSeries(t, named), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serveSeries answers each query with the series of the names that are in it, if they are of the
// target that is in it.
func serveSeries(t *testing.T, named map[string][]fakeSeries) string {
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
		query := r.FormValue("query") + strings.Join(r.Form["match[]"], ",")
		for name, list := range named {
			if !strings.Contains(query, name) {
				continue
			}
			value := overPanes(query)
			for _, s := range list {
				target, of := s.labels["target"], strings.Contains(query, "target=")
				if strings.Contains(query, `state="up"`) && s.labels["state"] != "up" || of && target != "" && !strings.Contains(query, matcher("target", target)) {
					continue
				}
				if strings.HasSuffix(r.URL.Path, "/series") {
					result = append(result, s.labels)
					continue
				}
				if r.FormValue("start") == "" {
					if v, ok := value(s.at, seconds(number("time"))); ok {
						result = append(result, map[string]any{"metric": s.labels, "value": [2]any{number("time"), fmt.Sprint(v)}})
					}
					continue
				}
				values := [][2]any{}
				for at := number("start"); at <= number("end"); at += number("step") {
					if v, ok := value(s.at, seconds(at)); ok && (v == 1 || !strings.HasSuffix(query, "== 1")) {
						values = append(values, [2]any{at, fmt.Sprint(v)})
					}
				}
				labels := maps.Clone(s.labels)
				if strings.Contains(r.FormValue("query"), "__name__") {
					labels["__name__"] = name
				}
				if len(values) > 0 {
					result = append(result, map[string]any{"metric": labels, "values": values})
				}
			}
		}
		var data any = map[string]any{"resultType": "matrix", "result": result}
		switch {
		case strings.HasSuffix(r.URL.Path, "/series"):
			data = result
		case r.FormValue("start") == "":
			data = map[string]any{"resultType": "vector", "result": result}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": data})
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestRulesOfOneLocation holds that the votes of locations whose Prometheus has no rules are
// counted beside those that are recorded.
func TestRulesOfOneLocation(t *testing.T) {
	of, p := key{"production", "ca"}, Period{Since: monday, Until: monday.Add(time.Hour)}
	m := &maker{places: map[key][]string{of: {"fra", "iad", "sin"}}, client: fakePrometheus(t, map[string][]fakeSeries{
		ruleReporting: {always(1, "location", "fra")},
		"acme_target_state{": {
			always(1, "location", "fra", "state", "down"), always(1, "location", "iad", "state", "down"), always(1, "location", "sin", "state", "down"),
			always(0, "location", "fra", "state", "up"), always(0, "location", "iad", "state", "up"), always(0, "location", "sin", "state", "up"),
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
