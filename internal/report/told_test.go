package report

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	fraA  = exporter{"acme", "fra-a:18555", "fra"}
	fraB  = exporter{"acme", "fra-b:18555", "fra"}
	iadA  = exporter{"acme", "iad-a:18555", "iad"}
	terms = []Field{{Field: "terms_of_service", From: "a", To: "b"}}
	short = []Field{{Field: "profiles", To: "short"}}
)

// TestIncidentsOfAPair holds that where two exporters watch from one location and one of them
// is asked, what the other one knows is from metrics, and that the report says so.
func TestIncidentsOfAPair(t *testing.T) {
	of, start, alone := key{"production", "ca"}, at(1, 10, 0), at(3, 8, 0)
	seen := func(by exporter, start time.Time) fakeSeries {
		s := always(0, "job", by.job, "instance", by.instance, "location", by.location, "kind", "down", "reason", "metrics")
		s.at = func(t time.Time) (float64, bool) {
			return float64(start.Unix()), !t.Before(start) && t.Before(start.Add(time.Hour))
		}
		return s
	}
	over := func(by exporter, start time.Time) fakeSeries {
		s := seen(by, start)
		within := s.at
		s.at = func(t time.Time) (float64, bool) {
			_, ok := within(t)
			return float64(start.Add(30 * time.Minute).Unix()), ok && !t.Before(start.Add(30*time.Minute))
		}
		return s
	}
	told := func(start time.Time) sighted {
		return sighted{Incident: Incident{Condition: "down", Start: start, End: start.Add(30 * time.Minute), Reason: "told", Failures: 7, From: FromExporters}}
	}
	series := map[string][]fakeSeries{
		"acme_incident_start_timestamp_seconds": {seen(fraA, start), seen(fraB, start.Add(5*time.Second)), seen(fraB, alone)},
		"acme_incident_end_timestamp_seconds":   {over(fraA, start), over(fraB, start.Add(5*time.Second)), over(fraB, alone)},
		"acme_incident_info":                    {seen(fraA, start), seen(fraB, start), seen(fraB, alone)},
	}
	lives := []life{{of: fraA, seen: []Span{{monday, at(7, 0, 0)}}}, {of: fraB, seen: []Span{{monday, at(7, 0, 0)}}}, {of: iadA, seen: []Span{{monday.AddDate(0, 0, -7), monday.Add(-time.Hour)}}}}
	for _, c := range []struct {
		name  string
		asked []asked
		want  string
		from  IncidentSource
		whose string
	}{
		{"nobody", nil, "Tue 10:00 metrics metrics 0; Thu 08:00 metrics metrics 0", FromMetrics, "fra"},
		{"one of the two", []asked{{scraped: []exporter{fraA}, incidents: map[key][]sighted{of: {told(start)}}}},
			"Tue 10:00 exporters and metrics told 7; Thu 08:00 metrics metrics 0", FromBoth, "fra (fra-b:18555)"},
		{"one by another name", []asked{{incidents: map[key][]sighted{of: {told(start)}}}},
			"Tue 10:00 exporters and metrics told 7; Thu 08:00 metrics metrics 0", FromBoth, "fra (fra-b:18555)"},
		{"both", []asked{{scraped: []exporter{fraA}, incidents: map[key][]sighted{of: {told(start)}}}, {scraped: []exporter{fraB}, incidents: map[key][]sighted{of: {told(start.Add(5 * time.Second)), told(alone)}}}},
			"Tue 10:00 exporters told 14; Thu 08:00 exporters told 7", FromExporters, ""},
		{"one that has forgotten all", []asked{{scraped: []exporter{fraB}}}, "Tue 10:00 metrics metrics 0; Thu 08:00 metrics metrics 0", FromBoth, "fra (fra-a:18555), fra (fra-b:18555)"},
		{"one that has forgotten the first", []asked{{scraped: []exporter{fraA}, incidents: map[key][]sighted{of: {told(start)}}}, {scraped: []exporter{fraB}, incidents: map[key][]sighted{of: {told(alone)}}}},
			"Tue 10:00 exporters and metrics told 7; Thu 08:00 exporters told 7", FromBoth, "fra (fra-b:18555)"},
		{"an earlier start", []asked{{scraped: []exporter{fraA}, incidents: map[key][]sighted{of: {told(start.Add(-time.Minute))}}}, {scraped: []exporter{fraB}, incidents: map[key][]sighted{of: {told(start), told(alone)}}}},
			"Tue 09:59 exporters told 14; Thu 08:00 exporters told 7", FromExporters, ""},
		{"one twice", []asked{{scraped: []exporter{fraA}, incidents: map[key][]sighted{of: {told(start)}}}, {incidents: map[key][]sighted{of: {told(start)}}}},
			"Tue 10:00 exporters and metrics told 7; Thu 08:00 metrics metrics 0", FromBoth, "fra (fra-b:18555)"},
		{"one that did not answer", []asked{{Exporter: Exporter{Error: "timeout"}, scraped: []exporter{fraA}}}, "Tue 10:00 metrics metrics 0; Thu 08:00 metrics metrics 0", FromMetrics, "fra"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &maker{
				now: at(8, 0, 0), Options: Options{Period: Period{Since: monday, Until: at(7, 0, 0)}}, client: fakePrometheus(t, series),
				lives: lives, watching: map[key][]exporter{of: {fraA, fraB, iadA}}, asked: slices.Clone(c.asked),
			}
			for i := range m.asked {
				m.asked[i].targets, m.asked[i].Location = []key{of}, ""
				if len(m.asked[i].scraped) > 0 {
					m.asked[i].Location = m.asked[i].scraped[0].location
				}
			}
			x := Target{Locations: []Location{{Location: "fra", Availability: Availability{Up: time.Hour}}}}
			if err := m.events(context.Background(), of, &x, &timeline{}, nil); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, i := range x.Incidents {
				got = append(got, fmt.Sprint(i.Start.In(berlin).Format("Mon 15:04"), " ", i.From, " ", i.Reason, " ", i.Failures))
			}
			if said := strings.Join(got, "; "); said != c.want || x.IncidentsFrom != c.from {
				t.Errorf("%s, from %s\nwant %s, from %s", said, x.IncidentsFrom, c.want, c.from)
			}
			if whose := m.whose(); whose != c.whose {
				t.Errorf("from metrics are those of %q, want %q", whose, c.whose)
			}
		})
	}
}

// TestRenamed holds that what an exporter tells is not counted once more where Prometheus
// scraped it by another name before.
func TestRenamed(t *testing.T) {
	of, start := key{"production", "ca"}, at(1, 10, 0)
	m := &maker{Options: Options{Period: Period{Since: monday, Until: at(7, 0, 0)}}}
	x := told{exporters: []exporter{fraB}, from: &asked{
		incidents: map[key][]sighted{of: {{Incident: Incident{Start: start.Add(300 * time.Microsecond), From: FromExporters}}}},
		changes:   map[key][]seenChange{of: {{at: start.Add(300 * time.Microsecond), fields: terms}}},
	}}
	list := fromExporters(of, []sighted{
		{location: "fra", by: fraA, Incident: Incident{Start: start}}, {location: "iad", by: iadA, Incident: Incident{Start: start}},
	}, []told{x})
	if len(list) != 2 || list[0].by != iadA || list[1].by != fraB {
		t.Errorf("incidents %+v, want that of iad from metrics and that of fra from the exporter", list)
	}
	changes := m.changes(of, []seenChange{{at: start, by: fraA, count: 1}}, []told{x})
	if len(changes) != 1 || fmt.Sprint(changes[0].Fields) != fmt.Sprint(terms) || fmt.Sprint(changes[0].Locations) != "[fra]" {
		t.Errorf("changes %+v, want one", changes)
	}
}

// TestWhichExporter holds how it is found which of the exporters in the metrics an asked one is.
func TestWhichExporter(t *testing.T) {
	of := key{"production", "ca"}
	seen := func(by exporter, start time.Time) sighted {
		return sighted{location: by.location, by: by, Incident: Incident{Start: start}}
	}
	list := []sighted{seen(fraA, at(1, 10, 0)), seen(iadA, at(1, 10, 1)), seen(fraA, at(2, 10, 0)), seen(iadA, at(2, 10, 0))}
	changes := []seenChange{{at: at(5, 10, 0), by: iadA}}
	tells := func(start time.Time) map[key][]sighted {
		return map[key][]sighted{of: {{Incident: Incident{Start: start}}}}
	}
	for _, c := range []struct {
		name    string
		asked   asked
		want    []exporter
		missing int
	}{
		{"scraped at its host", asked{scraped: []exporter{fraB}, incidents: tells(at(1, 10, 0))}, []exporter{fraB}, 0},
		{"by another host", asked{incidents: tells(at(1, 10, 0).Add(300 * time.Microsecond))}, []exporter{fraA}, 0},
		{"by a change", asked{changes: map[key][]seenChange{of: {{at: at(5, 10, 0).Add(time.Microsecond)}}}}, []exporter{iadA}, 0},
		{"of two locations", asked{incidents: tells(at(2, 10, 0))}, nil, 1},
		{"of none", asked{incidents: tells(at(3, 10, 0))}, nil, 1},
		{"an unknown change", asked{changes: map[key][]seenChange{of: {{at: at(5, 11, 0)}}}}, nil, 1},
		{"nothing to tell", asked{changes: map[key][]seenChange{of: {{at: at(-1, 10, 0)}}}}, nil, 0},
		{"no answer", asked{Exporter: Exporter{Error: "timeout"}, scraped: []exporter{fraB}}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.asked.targets = []key{of}
			m := &maker{asked: []asked{c.asked}, Options: Options{Period: Period{Since: monday, Until: at(7, 0, 0)}}}
			var got []exporter
			for _, x := range m.told(of, list, changes) {
				got = append(got, x.exporters...)
			}
			if !slices.Equal(got, c.want) || len(m.missing) != c.missing {
				t.Errorf("it is %v, missing %+v; want %v and %d", got, m.missing, c.want, c.missing)
			}
		})
	}
	twice := exporter{"other", "fra-a:18555", "fra"}
	m := &maker{lives: []life{{of: fraA}, {of: fraA}, {of: twice}, {of: exporter{"acme", "localhost:1", "fra"}}, {of: exporter{"acme", "localhost:1", "iad"}}, {of: exporter{"acme", "probe:18555", ""}}}}
	for address, want := range map[string][]exporter{
		"https://fra-a:18555": {fraA, twice}, "http://fra-a": {fraA, twice}, "http://localhost:1": nil, "http://sin:18555": nil, "https://probe:18555": {{"acme", "probe:18555", ""}},
	} {
		if got := m.scrapedAt(address); !slices.Equal(got, want) {
			t.Errorf("at %s Prometheus scrapes %v, want %v", address, got, want)
		}
	}
}
