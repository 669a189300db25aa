package report

import (
	"testing"
	"time"
)

// TestStretches holds when counters are read: what was counted before a period, in a life
// that was over before it, or after it, must not be counted in it.
func TestStretches(t *testing.T) {
	p := Period{Since: monday, Until: monday.Add(100 * time.Hour)}
	of := exporter{"acme", "fra:18555", "fra"}
	h := func(hours float64) time.Time { return monday.Add(time.Duration(hours * float64(time.Hour))) }
	always := []Span{{h(-50), h(120)}}
	for _, c := range []struct {
		name  string
		lives []life
		want  []stretch
	}{
		{"all the time", []life{{of, h(-60), always}}, []stretch{{of: of, begin: p.Since, end: p.Until}}},
		{"start not known", []life{{of, time.Time{}, always}}, []stretch{{of: of, begin: p.Since, end: p.Until}}},
		{"over before", []life{{of, h(-60), []Span{{h(-50), h(-1)}}}}, nil},
		{"begun after", []life{{of, h(101), []Span{{h(101), h(120)}}}}, nil},
		{"begun within", []life{{of, h(5), []Span{{h(6), h(120)}}}}, []stretch{{of: of, end: p.Until}}},
		{"first scraped within", []life{{of, h(-60), []Span{{h(6), h(120)}}}}, []stretch{{of: of, begin: h(6), end: p.Until}}},
		{"dead within", []life{{of, h(-60), []Span{{h(-50), h(40)}}}}, []stretch{{of: of, begin: p.Since, end: h(40)}}},
		{"silent at the start", []life{{of, h(-60), []Span{{h(-50), h(-3)}, {h(2), h(120)}}}}, []stretch{{of: of, begin: h(-3), end: p.Until}}},
		{"silent at the end", []life{{of, h(-60), []Span{{h(-50), h(90)}, {h(110), h(120)}}}}, []stretch{{of: of, begin: p.Since, end: h(90)}}},
		{"restarted at once", []life{{of, h(-60), []Span{{h(-50), h(40)}}}, {of, h(40).Add(30 * time.Second), []Span{{h(40).Add(time.Minute), h(120)}}}},
			[]stretch{{of: of, begin: p.Since, end: h(40), late: h(40).Add(30 * time.Second)}, {of: of, end: p.Until}}},
		{"restarted later", []life{{of, h(-60), []Span{{h(-50), h(40)}}}, {of, h(50), []Span{{h(50), h(120)}}}},
			[]stretch{{of: of, begin: p.Since, end: h(40)}, {of: of, end: p.Until}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := stretches(c.lives, p)
			if len(got) != len(c.want) {
				t.Fatalf("stretches %v, want %v", got, c.want)
			}
			for i := range got {
				if got[i].of != c.want[i].of || !got[i].begin.Equal(c.want[i].begin) || !got[i].end.Equal(c.want[i].end) || !got[i].late.Equal(c.want[i].late) {
					t.Errorf("stretch %v, want %v", got[i], c.want[i])
				}
			}
		})
	}
}

func TestMajority(t *testing.T) {
	for _, c := range []struct {
		reporting, impaired, down int
		want                      state
	}{
		{0, 0, 0, silent}, {1, 0, 0, up}, {1, 1, 1, down}, {2, 1, 1, up}, {3, 2, 2, down}, {3, 2, 1, degraded}, {4, 2, 2, up}, {5, 3, 2, degraded},
	} {
		if got := majority(c.reporting, c.impaired, c.down); got != c.want {
			t.Errorf("of %d, %d are not well and %d down: %d, want %d", c.reporting, c.impaired, c.down, got, c.want)
		}
	}
}

// TestMerge holds that what locations had at the same time is one incident.
func TestMerge(t *testing.T) {
	at := func(minutes int) time.Time { return monday.Add(time.Duration(minutes) * time.Minute) }
	one := func(location string, start, end int, reason, condition string) sighted {
		s := sighted{location: location, seen: at(100), Incident: Incident{Start: at(start), Reason: reason, Condition: condition, Failures: 2}}
		if end > 0 {
			s.End = at(end)
		}
		return s
	}
	list := []sighted{
		one("sjc", 12, 30, "serverInternal", "down"), one("fra", 10, 20, "timeout", "degraded"), one("iad", 15, 18, "serverInternal", "degraded"),
		one("fra", 40, 50, "edge", "down"), one("iad", 60, 0, "edge", "down"),
	}
	list[0].lastSuccess, list[1].lastSuccess, list[2].lastSuccess = at(11), at(8), at(14)
	list[2].Official = &Official{Start: at(21)}
	got := merge(list, nil)
	if len(got) != 3 {
		t.Fatalf("%d incidents, want 3: %+v", len(got), got)
	}
	first := got[0]
	if !first.Start.Equal(at(10)) || !first.End.Equal(at(30)) || first.Duration != 20*time.Minute || first.Condition != "down" || first.Reason != "serverInternal" || first.Failures != 6 {
		t.Errorf("the first is %+v", first)
	}
	// sjc saw it work after it had begun at fra.
	if first.Uncertainty == nil || *first.Uncertainty != 2*time.Minute {
		t.Errorf("uncertainty %v, want 2 min", first.Uncertainty)
	}
	if first.Official == nil || first.Official.Lead != 11*time.Minute {
		t.Errorf("official %+v, want a lead of 11 min", first.Official)
	}
	if namesSaid(first.Locations) != "fra, iad, sjc" || namesSaid(got[1].Locations) != "fra" {
		t.Errorf("locations %v and %v", first.Locations, got[1].Locations)
	}
	if !got[2].End.IsZero() || got[2].Duration != 40*time.Minute {
		t.Errorf("the last one goes on for 40 min: %+v", got[2])
	}
}
