package incident

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// span returns the minutes from one to another since begin.
func span(from, to int) probe.Interval {
	return probe.Interval{Start: at(time.Duration(from) * time.Minute), End: at(time.Duration(to) * time.Minute)}
}

func phase(c probe.Condition, from, to int) probe.IncidentPhase {
	s := span(from, to)
	p := probe.IncidentPhase{Condition: c, Start: s.Start, End: s.End}
	if to < 0 {
		p.End = time.Time{}
	}
	return p
}

func TestIntervals(t *testing.T) {
	for _, test := range []struct {
		name      string
		got, want intervals
	}{
		{"union of nothing", union(), nil},
		{"what is empty", union(span(3, 3), span(5, 4)), nil},
		{"what touches", union(span(5, 7), span(1, 3), span(3, 5)), intervals{span(1, 7)}},
		{"what is inside", union(span(1, 9), span(2, 3)), intervals{span(1, 9)}},
		{"what is apart", union(span(5, 7), span(1, 3)), intervals{span(1, 3), span(5, 7)}},
		{"minus nothing", union(span(1, 3)).minus(nil), intervals{span(1, 3)}},
		{"minus holes", union(span(0, 10)).minus(union(span(0, 1), span(3, 4), span(8, 12))), intervals{span(1, 3), span(4, 8)}},
		{"minus all", union(span(2, 3), span(5, 6)).minus(union(span(0, 10))), nil},
		{"and", union(span(0, 5), span(7, 9)).and(union(span(4, 8))), intervals{span(4, 5), span(7, 8)}},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s:\n%s", test.name, diff)
		}
	}
}

func TestAvailability(t *testing.T) {
	closed := &probe.Incident{
		Kind: probe.IncidentTarget, Start: at(10 * time.Minute), End: at(30 * time.Minute),
		Phases: []probe.IncidentPhase{phase(probe.ConditionDown, 10, 20), phase(probe.ConditionDegraded, 20, 30)},
	}
	open := &probe.Incident{
		Kind: probe.IncidentTarget, Start: at(50 * time.Minute), LastFailure: at(55 * time.Minute),
		Phases: []probe.IncidentPhase{phase(probe.ConditionDown, 50, -1)},
	}
	ofPair := &probe.Incident{Kind: probe.IncidentPair, Condition: probe.ConditionDown, Start: at(10 * time.Minute), End: at(20 * time.Minute)}
	for _, test := range []struct {
		name                        string
		incidents                   []*probe.Incident
		known                       []probe.Interval
		from, to                    int
		up, degraded, down, unknown int
		available                   float64
		nothing                     bool
	}{
		{name: "all well", known: []probe.Interval{span(0, 60)}, to: 60, up: 60, available: 1},
		{name: "nothing known", to: 60, unknown: 60, nothing: true},
		{name: "no time", known: []probe.Interval{span(0, 60)}, from: 5, to: 5, nothing: true},
		{name: "backwards", known: []probe.Interval{span(0, 60)}, from: 9, to: 5, nothing: true},
		{
			name: "unknown is not up", incidents: []*probe.Incident{closed}, known: []probe.Interval{span(0, 40)},
			to: 100, up: 20, degraded: 10, down: 10, unknown: 60, available: 0.75,
		},
		{
			name: "a closed one counts also where nobody looked", incidents: []*probe.Incident{closed},
			known: []probe.Interval{span(0, 12), span(28, 40)}, to: 40, up: 20, degraded: 10, down: 10, available: 0.75,
		},
		{
			name: "an open one counts while it is known", incidents: []*probe.Incident{open},
			known: []probe.Interval{span(0, 60)}, to: 60, up: 50, down: 10, available: 50. / 60,
		},
		{
			name: "and then not", incidents: []*probe.Incident{open},
			known: []probe.Interval{span(0, 57)}, to: 100, up: 50, down: 7, unknown: 43, available: 50. / 57,
		},
		{
			name: "but to its last failure", incidents: []*probe.Incident{open},
			known: []probe.Interval{span(0, 52)}, to: 100, up: 50, down: 5, unknown: 45, available: 50. / 55,
		},
		{
			name: "a part", incidents: []*probe.Incident{closed}, known: []probe.Interval{span(0, 40)},
			from: 15, to: 25, degraded: 5, down: 5, available: 0.5,
		},
		{name: "of a pair", incidents: []*probe.Incident{ofPair}, known: []probe.Interval{span(0, 40)}, to: 40, up: 30, down: 10, available: 0.75},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := span(test.from, test.to)
			got := Availability(test.incidents, test.known, s.Start, s.End)
			m := func(n int) time.Duration { return time.Duration(n) * time.Minute }
			want := Share{From: s.Start, To: s.End, Up: m(test.up), Degraded: m(test.degraded), Down: m(test.down), Unknown: m(test.unknown)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if part, ok := got.Available(); part != test.available || ok == test.nothing {
				t.Errorf("available: %v, %v", part, ok)
			}
		})
	}
}

func TestBars(t *testing.T) {
	s := span(0, 150)
	bars := Bars(nil, []probe.Interval{span(30, 90)}, s.Start, s.End, time.Hour)
	want := []Share{
		{From: at(0), To: at(time.Hour), Up: 30 * time.Minute, Unknown: 30 * time.Minute},
		{From: at(time.Hour), To: at(2 * time.Hour), Up: 30 * time.Minute, Unknown: 30 * time.Minute},
		{From: at(2 * time.Hour), To: at(150 * time.Minute), Unknown: 30 * time.Minute},
	}
	if diff := cmp.Diff(want, bars); diff != "" {
		t.Error(diff)
	}
	if bars := Bars(nil, nil, s.Start, s.End, 0); bars != nil {
		t.Errorf("%d bars of no length", len(bars))
	}
	if bars := Bars(nil, nil, s.Start, s.End, time.Millisecond); len(bars) != 10_000 {
		t.Errorf("%d bars of a millisecond", len(bars))
	}
}
