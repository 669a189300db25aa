package web

import (
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// told is an incident as all of the formats tell of it; in the page's words.
type told struct{ id, start, end string }

func tellOf(id string, start, end time.Time) told {
	t := told{id: id, start: instant(start), end: "goes on"}
	if !end.IsZero() {
		t.end = instant(end)
	}
	return t
}

// TestFormatsAgree throws random runs at a tracker, and holds that the page, the API,
// the CSV and the feed tell of the same incidents and states, whatever the filter is.
func TestFormatsAgree(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				w := newWorld(time.Now(),
					pairOf("a", "directory", "production", time.Minute), pairOf("a", "validate", "production", 3*time.Minute),
					pairOf("b", "nonce", "staging", time.Minute), pairOf("b", "issue", "staging", 2*time.Minute))
				w.pairs[1].Critical = false
				w.tracker.Apply(w.now, w.pairs)
				begin := w.now
				most := 0
				for range 60 {
					w.happen(t, random)
					h := New(w.options())
					most = max(most, checkAgreement(t, h, w, filters(random, begin, w.now)))
					if t.Failed() {
						return
					}
				}
				if most < 10 {
					t.Errorf("at most %d incidents: not much of a test", most)
				}
			})
		})
	}
}

// happen has a pair make a few runs that say mostly the same, or nothing for a while.
func (w *sampleWorld) happen(t *testing.T, random *rand.Rand) {
	t.Helper()
	verdicts := []probe.Verdict{fine, fine, fine, broken, silence, doubt, ours, denied}
	usual, p := verdicts[random.IntN(len(verdicts))], w.pairs[random.IntN(len(w.pairs))]
	for range 1 + random.IntN(6) {
		v := usual
		if random.IntN(4) == 0 {
			v = verdicts[random.IntN(len(verdicts))]
		}
		w.observe(w.run(p.Pair, time.Now(), v))
		time.Sleep(time.Duration(1+random.IntN(90)) * time.Second)
	}
	if random.IntN(10) == 0 {
		time.Sleep(time.Duration(random.IntN(120)) * time.Minute)
	}
	w.now = time.Now()
}

// filters returns a random query.
func filters(random *rand.Rand, begin, now time.Time) string {
	values := url.Values{}
	set := func(name string, texts ...string) {
		if random.IntN(3) == 0 {
			values.Set(name, texts[random.IntN(len(texts))])
		}
	}
	at := func() string {
		return begin.Add(time.Duration(random.Float64() * float64(now.Sub(begin)))).UTC().Format(time.RFC3339)
	}
	set("target", "a", "b", "c")
	set("kind", "target", "pair", "all")
	set("condition", "down", "degraded")
	set("open", "true", "0")
	set("since", at(), begin.UTC().Format(time.DateOnly))
	set("until", at(), begin.UTC().Format(time.DateOnly))
	set("module", "validate", "issue")
	values.Set("limit", []string{"3", "10000"}[random.IntN(2)])
	return "?" + values.Encode()
}

// fetch returns the body of a good answer.
func fetch(t *testing.T, h http.Handler, path string) string {
	t.Helper()
	a := get(t, h, path)
	if a.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, a.Code, a.Body)
	}
	return a.Body.String()
}

// checkAgreement compares the formats, and returns how many incidents there were.
func checkAgreement(t *testing.T, h http.Handler, w *sampleWorld, query string) int {
	t.Helper()
	var answer incidentsAnswer
	if err := json.Unmarshal([]byte(fetch(t, h, "/api/v1/incidents"+query)), &answer); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(query, "limit=3") && len(answer.Incidents) != min(3, answer.Total) {
		t.Errorf("%s: %d incidents of %d", query, len(answer.Incidents), answer.Total)
	}
	var api, table, feed, page []told
	for _, i := range answer.Incidents {
		api = append(api, tellOf(i.ID, i.Start, i.End))
	}
	records, err := csv.NewReader(strings.NewReader(fetch(t, h, "/incidents.csv"+query))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records[1:] {
		table = append(table, tellOf(r[0], parsed(t, r[6]), parsed(t, r[7])))
	}
	var atom atomFeed
	if err := xml.Unmarshal([]byte(fetch(t, h, "/incidents.atom"+query)), &atom); err != nil {
		t.Fatal(err)
	}
	for k, e := range atom.Entries {
		id := e.Link.Href[strings.LastIndexByte(e.Link.Href, '/')+1:]
		one := tellOf(id, parsed(t, e.Published), time.Time{})
		if strings.Contains(e.Title, " was ") {
			one.end = instant(parsed(t, e.Updated))
		}
		feed = append(feed, one)
		if slices.ContainsFunc(atom.Entries[:k], func(o atomEntry) bool { return o.ID == e.ID }) {
			t.Errorf("entry %s twice", e.ID)
		}
	}
	index := fetch(t, h, "/"+query)
	for _, m := range rowPattern.FindAllStringSubmatch(index, -1) {
		page = append(page, told{m[1], m[2], m[3] + m[4]})
	}
	for name, got := range map[string][]told{"CSV": table, "feed": feed, "page": page} {
		if diff := cmp.Diff(api, got, cmp.AllowUnexported(told{})); diff != "" {
			t.Errorf("%s: %s is not what the API tells (-API +%s):\n%s", query, name, name, diff)
		}
	}
	checkStates(t, h, w, index)
	checkIntervals(t, w.tracker.Incidents(incident.Filter{}))
	return len(w.tracker.Incidents(incident.Filter{}))
}

// rowPattern is a row of the table of incidents: its ID, start and end.
var rowPattern = regexp.MustCompile(`<a href="/incidents/([^"]+)"[^>]*>[^<]*</a></th>\s*` +
	`<td role="cell" data-label="Start"><time[^>]*>([^<]*)</time></td>\s*` +
	`<td role="cell" data-label="End">(?:<strong>(goes on)</strong>|<time[^>]*>([^<]*)</time>)`)

func parsed(t *testing.T, text string) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// checkStates holds that the page and the API say of the targets what the tracker
// does, and that each window is spent wholly.
func checkStates(t *testing.T, h http.Handler, w *sampleWorld, index string) {
	t.Helper()
	var answer targetsAnswer
	if err := json.Unmarshal([]byte(fetch(t, h, "/api/v1/targets")), &answer); err != nil {
		t.Fatal(err)
	}
	states := w.tracker.State(w.now)
	var told []probe.TargetState
	for _, a := range answer.Targets {
		one := a.TargetState
		for _, p := range a.Pairs {
			one.Pairs = append(one.Pairs, p.PairState)
			if recent := w.recent[p.Pair]; len(recent) > 0 && p.LastRun != recent[0].ID {
				t.Errorf("%s: last run %q", p.Pair, p.LastRun)
			}
		}
		told = append(told, one)
		for _, v := range a.Availability {
			if sum := v.Up + v.Degraded + v.Down + v.Unknown; sum != v.To.Sub(v.From) {
				t.Errorf("%s, %s: spent %v of %v", a.Target, v.Window, sum, v.To.Sub(v.From))
			}
			if !strings.Contains(index, "<b>"+percent(v.Share)+"</b>") || !strings.Contains(index, "<small>"+spent(v.Share)+"</small>") {
				t.Errorf("%s, %s: the page does not say %s, %s", a.Target, v.Window, percent(v.Share), spent(v.Share))
			}
		}
	}
	for i := range states {
		states[i].Known = nil
		want := fmt.Sprintf(`</span> <span class="badge %s">%s</span>`, states[i].Condition, states[i].Condition)
		if !strings.Contains(index, states[i].Target+` <span class="tag">`+states[i].Environment+want) ||
			!strings.Contains(html.UnescapeString(index), states[i].Why) {
			t.Errorf("the page does not say that %s is %s: %s", states[i].Target, states[i].Condition, states[i].Why)
		}
	}
	if diff := cmp.Diff(states, told); diff != "" {
		t.Errorf("the API is not what the tracker says (-tracker +API):\n%s", diff)
	}
}

// checkIntervals holds that incidents of the same thing do not overlap, and end after
// they begin.
func checkIntervals(t *testing.T, list []*probe.Incident) {
	t.Helper()
	last := map[string]*probe.Incident{}
	for _, i := range list { // newest first
		if !i.Open() && i.End.Before(i.Start) {
			t.Errorf("incident %s ends before it begins", i.ID)
		}
		of := fmt.Sprint(i.Kind, i.Target)
		if i.Kind == probe.IncidentPair {
			of += "/" + i.Module
		}
		if newer := last[of]; newer != nil && (i.Open() || i.End.After(newer.Start)) {
			t.Errorf("incidents %s and %s overlap", i.ID, newer.ID)
		}
		last[of] = i
	}
}
