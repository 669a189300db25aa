package report

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// changesSaid is a line for each change.
func changesSaid(list []Change) string {
	var said []string
	for _, c := range list {
		var fields []string
		for _, f := range c.Fields {
			fields = append(fields, f.name()+" "+f.what())
		}
		said = append(said, strings.TrimSpace(fmt.Sprint(c.At.In(berlin).Format("Mon 15:04"), " ", c.Locations, " ", c.Count, " ", strings.Join(fields, ", "))))
	}
	return strings.Join(said, "; ")
}

// TestChangesFromMetrics holds that two exporters at one location see one change and one exporter
// two, and how many there were where the last of several is known alone.
func TestChangesFromMetrics(t *testing.T) {
	first, again := at(1, 10, 0), at(1, 15, 0)
	changed := func(by exporter, value func(n int, at time.Time) float64, times ...time.Time) fakeSeries {
		s := always(0, "job", by.job, "instance", by.instance, "location", by.location)
		s.at = func(t time.Time) (v float64, ok bool) {
			for n, at := range times {
				if !t.Before(at) {
					v, ok = value(n, at), true
				}
			}
			return v, ok
		}
		return s
	}
	when := func(_ int, at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }
	count := func(n int, _ time.Time) float64 { return []float64{7, 8, 11}[n] }
	m := &maker{Options: Options{Period: Period{Since: monday, Until: at(7, 0, 0)}}, client: fakePrometheus(t, map[string][]fakeSeries{
		"by (job, instance, location) (acme_directory_last_change": {
			changed(fraA, when, first, again), changed(fraB, when, first.Add(4*time.Minute), again.Add(4*time.Minute)), changed(iadA, when, at(-1, 0, 0), first.Add(2*time.Minute+123*time.Millisecond)),
		},
		"by (job, instance, location) (acme_directory_changes_total": {changed(fraA, count, monday, first, again), changed(iadA, count, monday, first, again)},
	})}
	list, err := m.changesFromMetrics(context.Background(), key{"production", "ca"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := changesSaid(m.changes(key{}, list, nil)), "Tue 10:00 [fra iad] 0; Tue 15:00 [fra] 3"; got != want {
		t.Errorf("changes %s, want %s", got, want)
	}
}

// TestChangesTold holds what exporters tell of changes, and what is left to metrics.
func TestChangesTold(t *testing.T) {
	of := key{"production", "ca"}
	tells := func(by exporter, list ...seenChange) told {
		return told{exporters: []exporter{by}, from: &asked{Exporter: Exporter{URL: "http://" + by.instance}, changes: map[key][]seenChange{of: list}}}
	}
	var many []seenChange
	for i := range changesTold {
		many = append(many, seenChange{at: at(3, 0, i), fields: []Field{{Field: "profiles", To: fmt.Sprint(i)}}})
	}
	for _, c := range []struct {
		name    string
		seen    []seenChange
		told    []told
		want    string
		missing int
	}{
		{"fields from one location", []seenChange{{at: at(1, 10, 0), by: fraA, count: 1}, {at: at(1, 10, 3), by: iadA, count: 1}}, []told{tells(iadA, seenChange{at: at(1, 10, 3), fields: terms})},
			"Tue 10:00 [fra iad] 0 terms of service a → b", 0},
		{"the same fields", nil, []told{tells(fraA, seenChange{at: at(1, 10, 0), fields: terms}), tells(iadA, seenChange{at: at(1, 20, 0), fields: terms})}, "Tue 10:00 [fra iad] 0 terms of service a → b", 0},
		{"other fields at about the same time", nil, []told{tells(fraA, seenChange{at: at(1, 10, 0), fields: short}), tells(iadA, seenChange{at: at(1, 10, 1), fields: terms})},
			"Tue 10:00 [fra] 0 profiles short added; Tue 10:01 [iad] 0 terms of service a → b", 0},
		{"two that metrics show as one", []seenChange{{at: at(1, 10, 1), by: fraA, count: 2}}, []told{tells(fraA, seenChange{at: at(1, 10, 0), fields: short}, seenChange{at: at(1, 10, 1), fields: terms})},
			"Tue 10:00 [fra] 0 profiles short added; Tue 10:01 [fra] 0 terms of service a → b", 0},
		{"in another order", nil, []told{tells(fraA, seenChange{at: at(1, 10, 0), fields: short}, seenChange{at: at(1, 12, 0), fields: terms}), tells(iadA, seenChange{at: at(1, 12, 1), fields: terms}, seenChange{at: at(1, 13, 0), fields: short})},
			"Tue 10:00 [fra] 0 profiles short added; Tue 12:00 [fra iad] 0 terms of service a → b; Tue 13:00 [iad] 0 profiles short added", 0},
		{"forgotten", []seenChange{{at: at(1, 10, 0), by: fraA, count: 3}}, []told{tells(fraA)}, "Tue 10:00 [fra] 3", 0},
		{"forgotten but for the last", []seenChange{{at: at(1, 10, 0), by: fraA, count: 1}, {at: at(2, 10, 0), by: fraA, count: 1}}, []told{tells(fraA, seenChange{at: at(2, 10, 0), fields: terms})},
			"Tue 10:00 [fra] 0; Wed 10:00 [fra] 0 terms of service a → b", 0},
		{"of before the period", nil, []told{tells(fraA, seenChange{at: at(-1, 10, 0), fields: terms}, seenChange{at: at(7, 0, 0), fields: short})}, "", 0},
		{"too many", nil, []told{tells(fraA, many...)}, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &maker{Options: Options{Period: Period{Since: monday, Until: at(7, 0, 0)}}}
			got := m.changes(of, c.seen, c.told)
			if said := changesSaid(got); said != c.want && c.missing == 0 || c.missing > 0 && len(got) != changesTold {
				t.Errorf("%s\nwant %s", said, c.want)
			}
			if len(m.missing) != c.missing {
				t.Errorf("missing %+v, want %d", m.missing, c.missing)
			}
		})
	}
}
