package incident

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// announced is one that was published that many minutes after begin.
func announced(name string, minutes int) probe.Announcement {
	return probe.Announcement{Name: name, Start: at(time.Duration(minutes) * time.Minute), URL: "https://status.example/" + name}
}

// TestOfficialLead holds that of the outage of 2020-06-25 we knew almost twelve minutes
// before the CA told of it, and that this survives a restart.
func TestOfficialLead(t *testing.T) {
	s := streams["2020-06-25"]()
	kept := newDisk()
	var pairs []Pair
	for _, module := range []string{"issue", "directory"} {
		pairs = append(pairs, Pair{Pair: probe.Pair{Target: s.target, Module: module}, Environment: "production", Interval: 34 * time.Second, Critical: true})
	}
	tracker := tracker(kept, pairs...)
	published := utc("2020-06-25 07:04:00")
	said := []probe.Announcement{{Name: "Certificate issuance failing", Start: published, URL: "https://status.example/1"}}
	slices.SortStableFunc(s.results, func(a, b *probe.Result) int { return a.End().Compare(b.End()) })
	for i, r := range s.results {
		tracker.Observe(r)
		// The page is read every five minutes or so.
		if i%18 == 0 && r.End().After(published) {
			tracker.Announce(s.target, said)
		}
	}
	want := probe.Official{Start: published, Name: "Certificate issuance failing", URL: "https://status.example/1", Lead: 11*time.Minute + 49*time.Second}
	again := New(Options{Store: kept})
	if err := again.Restore(); err != nil {
		t.Fatal(err)
	}
	for when, tr := range map[string]*Tracker{"now": tracker, "after a restart": again} {
		list := tr.Incidents(Filter{Kind: probe.IncidentTarget})
		if len(list) != 1 || list[0].Official == nil || *list[0].Official != want || list[0].Open() {
			t.Errorf("%s: %+v, want %+v", when, list, want)
		}
	}
	if parts := tracker.Incidents(Filter{Kind: probe.IncidentPair}); len(parts) == 0 || parts[0].Official != nil {
		t.Errorf("of pairs: %+v", parts)
	}
}

// TestOfficial holds which announcement is taken for one of an incident that goes from
// minute 100 to minute 200, or on.
func TestOfficial(t *testing.T) {
	for _, tt := range []struct {
		name string
		open bool
		said [][]probe.Announcement // as it was read, one after the other
		want string                 // name and lead
	}{
		{"none", false, nil, ""},
		{"after us", false, [][]probe.Announcement{{announced("a", 111)}}, "a 11m0s"},
		{"before us", false, [][]probe.Announcement{{announced("a", 41)}}, "a -59m0s"},
		{"long before us", false, [][]probe.Announcement{{announced("a", 39)}}, ""},
		{"after the end", false, [][]probe.Announcement{{announced("a", 319)}}, "a 3h39m0s"},
		{"long after the end", false, [][]probe.Announcement{{announced("a", 321)}}, ""},
		{"while it goes on", true, [][]probe.Announcement{{announced("a", 321)}}, "a 3h41m0s"},
		{"the next day", true, [][]probe.Announcement{{announced("a", 100+24*60+1)}}, ""},
		{"the nearest", false, [][]probe.Announcement{{announced("a", 150), announced("b", 111), announced("c", 50)}}, "b 11m0s"},
		{"the nearest, later", false, [][]probe.Announcement{{announced("a", 150)}, {announced("b", 111)}, {announced("c", 50)}}, "b 11m0s"},
		{"the same with the time of its last change", false, [][]probe.Announcement{{announced("a", 111)}, {announced("a", 130)}}, "a 11m0s"},
		{"the same with an earlier time", false, [][]probe.Announcement{{announced("a", 130)}, {announced("a", 60)}}, "a -40m0s"},
		{"gone from the page", false, [][]probe.Announcement{{announced("a", 111)}, {}}, "a 11m0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := tracker(newDisk(), pair("directory"))
			play(tr, "directory", 99*time.Minute, "."+strings.Repeat("C", 100))
			if !tt.open {
				play(tr, "directory", 200*time.Minute, "..")
			}
			for _, list := range tt.said {
				tr.Announce("ca", list)
				tr.Announce("other", list)
			}
			i := tr.Incidents(Filter{Kind: probe.IncidentTarget})[0]
			got := ""
			if i.Official != nil {
				got = i.Official.Name + " " + i.Official.Lead.String()
			}
			if got != tt.want || i.Open() != tt.open {
				t.Errorf("%q of %+v, want %q", got, i, tt.want)
			}
		})
	}
}

// TestOfficialStart holds that the lead follows the start, which is earlier when another
// pair turns out to have failed before.
func TestOfficialStart(t *testing.T) {
	tr := tracker(newDisk(), pair("directory"), pair("slow", every(30*time.Minute)))
	play(tr, "slow", 0, ".")
	play(tr, "directory", 39*time.Minute, ".")
	tr.Observe(result("slow", at(30*time.Minute), caFault)) // nobody confirms it
	play(tr, "directory", 40*time.Minute, "CCC")
	tr.Announce("ca", []probe.Announcement{announced("a", 50)})
	lead := func() time.Duration { return tr.Incidents(Filter{Kind: probe.IncidentTarget})[0].Official.Lead }
	if got := lead(); got != 10*time.Minute {
		t.Errorf("lead %s", got)
	}
	tr.Observe(result("slow", at(60*time.Minute), caFault))
	if got := lead(); got != 20*time.Minute {
		t.Errorf("lead %s, after it turned out that the first run failed at minute 30", got)
	}
}

// TestOfficialElsewhere holds that a former target's incidents are nobody's.
func TestOfficialElsewhere(t *testing.T) {
	tr := tracker(newDisk(), pair("directory"))
	play(tr, "directory", 0, ".CCC..")
	moved := pair("directory")
	moved.Environment = "production"
	tr.Apply(at(10*time.Minute), []Pair{moved})
	tr.Announce("ca", []probe.Announcement{announced("a", 3)})
	if i := tr.Incidents(Filter{Kind: probe.IncidentTarget})[0]; i.Official != nil {
		t.Errorf("%+v", i.Official)
	}
}
