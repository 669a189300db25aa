package report

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// TestMergeMajority holds that the majority says where an incident begins and ends, and
// that what one location has for longer makes one of nothing else.
func TestMergeMajority(t *testing.T) {
	h := func(hours float64) time.Time { return monday.Add(time.Duration(hours * float64(time.Hour))) }
	one := func(location string, start, end float64, reason string) sighted {
		return sighted{location: location, seen: h(160), Incident: Incident{Start: h(start), End: h(end), Reason: reason, Condition: "down"}}
	}
	told := func(s sighted, start float64) sighted {
		s.Official = &Official{Start: h(start)}
		return s
	}
	for _, c := range []struct {
		name     string
		list     []sighted
		majority []Span
		want     []string
	}{
		{"a long problem of one", []sighted{
			one("sin", 2, 122, "unreachable"),
			one("fra", 50, 50.3, "ca"), one("iad", 50, 50.3, "ca"), told(one("fra", 100, 101, "ca"), 100.5), told(one("iad", 100, 101, "ca"), 100.5),
		}, []Span{{h(50.01), h(50.3)}, {h(100.01), h(101)}},
			[]string{"2 120h0m0s [sin] unreachable false", "50 18m0s [fra iad sin] ca true", "100 1h0m0s [fra iad sin] ca true lead 30m0s"}},
		{"the word at the long one alone", []sighted{
			told(one("sin", 2, 122, "unreachable"), 100.5), one("fra", 100, 101, "ca"), one("iad", 100, 101, "ca"),
		}, []Span{{h(100), h(101)}},
			[]string{"2 120h0m0s [sin] unreachable false", "100 1h0m0s [fra iad sin] ca true lead 30m0s"}},
		{"one has no break between two outages", []sighted{
			one("fra", 10, 10.3, "ca"), one("iad", 10, 10.3, "ca"), one("sin", 9.8, 11.2, "ca"), one("fra", 10.7, 11, "edge"), one("iad", 10.7, 11, "edge"),
		}, []Span{{h(10), h(10.3)}, {h(10.7), h(11)}},
			[]string{"9.8 1h24m0s [sin] ca false", "10 18m0s [fra iad sin] ca true", "10.7 18m0s [fra iad sin] edge true"}},
		{"two locations", []sighted{one("sin", 2, 122, "unreachable"), one("fra", 100, 101, "ca")}, []Span{{h(100), h(101)}},
			[]string{"2 120h0m0s [sin] unreachable false", "100 1h0m0s [fra sin] ca true"}},
		{"seen early and late", []sighted{one("fra", 9.5, 11, "ca"), one("iad", 10, 12, "ca"), one("sin", 9.6, 9.7, "ca")}, []Span{{h(10), h(11)}},
			[]string{"9.5 2h30m0s [fra iad sin] ca true"}},
		{"the majority wavers", []sighted{one("fra", 10, 14, "ca"), one("iad", 10, 14, "ca"), one("sin", 10, 11, "ca"), one("sin", 12, 14, "ca")},
			[]Span{{h(10), h(11)}, {h(12), h(14)}}, []string{"10 4h0m0s [fra iad sin] ca true"}},
		{"it goes round", []sighted{one("sin", 9.8, 10.2, "ca"), one("fra", 10, 11, "ca"), one("iad", 10.6, 11.6, "ca"), one("sin", 11.5, 11.8, "ca")},
			[]Span{{h(10), h(10.2)}, {h(10.6), h(11)}, {h(11.5), h(11.6)}},
			[]string{"9.8 24m0s [fra sin] ca true", "10 1h36m0s [fra iad] ca true", "11.5 18m0s [iad sin] ca true"}},
		{"begun before the period", []sighted{one("fra", -30, 1, "ca"), one("iad", -29, 1, "ca")}, []Span{{h(0), h(1)}}, []string{"-30 31h0m0s [fra iad] ca true"}},
		{"a minority does not bridge", []sighted{one("sin", 2, 122, "unreachable"), one("fra", 10, 11, "edge"), one("iad", 30, 31, "dns")}, nil,
			[]string{"2 120h0m0s [sin] unreachable false", "10 1h0m0s [fra] edge false", "30 1h0m0s [iad] dns false"}},
		{"a minority at the same time", []sighted{one("fra", 10, 11, "edge"), one("iad", 10.5, 12, "edge")}, nil, []string{"10 2h0m0s [fra iad] edge false"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, i := range merge(c.list, c.majority) {
				said := fmt.Sprint(i.Start.Sub(monday).Hours(), " ", i.Duration, " ", i.Locations, " ", i.Reason, " ", i.Majority)
				if i.Official != nil {
					said += fmt.Sprint(" lead ", i.Official.Lead)
				}
				got = append(got, said)
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%q\nwant %q", got, c.want)
			}
		})
	}
}

// TestUntilSeen holds that an incident goes on no longer than somebody has seen it go on: an
// exporter that has died has not seen the end, and a report of long ago does not go on to this day.
func TestUntilSeen(t *testing.T) {
	start, died, until := at(1, 10, 0), at(1, 10, 30), at(8, 0, 0)
	incident := func(location string, last time.Time) fakeSeries {
		s := always(0, "job", "acme", "instance", location, "location", location)
		s.at = func(t time.Time) (float64, bool) { return float64(start.Unix()), !t.Before(start) && !t.After(last) }
		return s
	}
	for _, c := range []struct {
		name string
		last time.Time
	}{{"it died", died}, {"the metrics of the day after end", until.Add(-lifeStep)}} {
		t.Run(c.name, func(t *testing.T) {
			m := &maker{now: at(40, 0, 0), Options: Options{Period: Period{Since: monday, Until: at(7, 0, 0)}}, client: fakePrometheus(t, map[string][]fakeSeries{
				"acme_incident_start_timestamp_seconds": {incident("fra", c.last)},
			})}
			list, err := m.incidentsFromMetrics(context.Background(), key{"production", "ca"})
			if err != nil {
				t.Fatal(err)
			}
			got := merge(list, nil)
			if len(got) != 1 || !got[0].End.IsZero() || got[0].Duration != c.last.Sub(start) {
				t.Fatalf("%+v, want one of %s without an end", got, c.last.Sub(start))
			}
			if at, over := got[0].until(m.now); over || !at.Equal(c.last) {
				t.Errorf("until %v, over %v; want that it went on at %v", at, over, c.last)
			}
		})
	}
	over := merge([]sighted{
		{location: "fra", seen: died, Incident: Incident{Start: start}}, {location: "iad", Incident: Incident{Start: start, End: died.Add(time.Hour)}},
	}, nil)
	if len(over) != 1 || !over[0].End.Equal(died.Add(time.Hour)) {
		t.Errorf("%+v, want the end that iad saw", over)
	}
}
