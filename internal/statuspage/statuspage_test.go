package statuspage

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// now is when the pages of testdata were read.
var now = time.Date(2020, 6, 25, 7, 30, 0, 0, time.UTC)

// at is a time of that day.
func at(hour, minute int) time.Time { return time.Date(2020, 6, 25, hour, minute, 0, 0, time.UTC) }

const statusIOURL = "https://api.status.io/1.0/status/55957a99e800baa4470002da"

func load(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestRead reads each format, and holds everything that is kept of it.
func TestRead(t *testing.T) {
	t.Parallel()
	issuance := probe.Announcement{
		Name: "Certificate issuance failing", Start: at(7, 4),
		URL: "https://status.io/pages/incident/55957a99e800baa4470002da/5ef44d0f8d3d0204be9c6a11",
	}
	affecting := issuance
	affecting.Components = []string{"acme-v02.api.letsencrypt.org (Production)"}
	yesterday := time.Date(2020, 6, 24, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		file, url string
		want      probe.StatusPage
	}{
		{"status.io.json", statusIOURL, probe.StatusPage{
			URL: statusIOURL, Format: probe.StatusIO, Overall: probe.ServiceMajor,
			Components: []probe.Component{
				{Name: "acme-v02.api.letsencrypt.org (Production)", State: probe.ServiceMajor},
				{Name: "acme-staging-v02.api.letsencrypt.org (Staging)", State: probe.ServiceOperational},
				{Name: "Portal", State: probe.ServicePartial},
				{Name: "Website", State: probe.ServiceMaintenance},
				{Name: "Mail", State: probe.ServiceUnknown},
			},
			Announcements: []probe.Announcement{affecting},
		}},
		{"statuspage.json", "https://user@status.ca.example/api/v2/summary.json?key=secret#x", probe.StatusPage{
			URL: "https://status.ca.example/api/v2/summary.json", Format: probe.Statuspage, Overall: probe.ServiceMajor,
			Components: []probe.Component{
				{Name: "ACME", State: probe.ServiceMajor},
				{Name: "OCSP", State: probe.ServiceDegraded},
				{Name: "CRL", State: probe.ServicePartial},
				{Name: "Portal", State: probe.ServiceMaintenance},
				{Name: "Mail", State: probe.ServiceUnknown},
			},
			Announcements: []probe.Announcement{
				{Name: "ACME orders fail", Start: at(7, 4), URL: "https://stspg.io/abc", Components: []string{"ACME"}},
				{Name: "Mail is late", Start: yesterday.Add(10 * time.Hour), End: yesterday.Add(10*time.Hour + 58*time.Minute), URL: "https://stspg.io/def", Components: []string{"Mail"}},
			},
		}},
		{"statuspage.atom", "https://status.ca.example/history.atom", probe.StatusPage{
			URL: "https://status.ca.example/history.atom", Format: probe.StatusFeed,
			Announcements: []probe.Announcement{
				{Name: "Orders & issuance fail", Start: at(7, 4), URL: "https://status.ca.example/incidents/2"},
				{
					Name: "OCSP is slow", Start: yesterday.Add(14*time.Hour + 38*time.Minute), End: yesterday.Add(14*time.Hour + 45*time.Minute + 23*time.Second),
					URL: "https://status.ca.example/incidents/1",
				},
			},
		}},
		{"status.io.rss", "https://ca.example/rss", probe.StatusPage{
			URL: "https://ca.example/rss", Format: probe.StatusFeed,
			Announcements: []probe.Announcement{
				issuance,
				{
					Name: "Slow nonces", Start: yesterday.Add(13*time.Hour + 43*time.Minute + 8*time.Second), End: yesterday.Add(13*time.Hour + 43*time.Minute + 8*time.Second),
					URL: "https://status.io/pages/incident/55957a99e800baa4470002da/5ef44d0f8d3d0204be9c6a10",
				},
			},
		}},
	} {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			body := load(t, tt.file)
			tt.want.Bytes = int64(len(body))
			got, _, err := Read(tt.url, body, nil, now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestLenient holds that what is missing or of another kind costs no more than itself.
func TestLenient(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text    string
		overall probe.ServiceState
		parts   string
		news    int
	}{
		{`{"result":{"status_overall":{"status":"Degraded Performance"}}}`, probe.ServiceDegraded, "", 0},
		{"\xef\xbb\xbf \n" + `{"result":{"status_overall":{"status_code":"300"},"status":[{"name":7},{"name":"A","status_code":null,"status":"Operational"}],"incidents":"none"}}`, probe.ServiceDegraded, "A operational", 0},
		{`{"result":{"status":[{"name":"A","status_code":600}],"incidents":[{"name":"x","datetime_open":"2020-06-25T07:00:00Z"},{"name":"y","datetime_open":12,"messages":{}},{"name":"z"}]}}`, "", "A degraded", 1},
		{`{"page":{},"status":{"indicator":"minor"}}`, probe.ServiceDegraded, "", 0},
		{`{"page":null,"status":{"indicator":["?"]},"incidents":[{"name":null,"created_at":"2020-06-25T07:00:00Z","shortlink":"javascript:alert(1)"}]}`, probe.ServiceUnknown, "", 1},
		{`{"page":{},"incidents":[{"name":"old","created_at":"2020-05-01T07:00:00Z"},{"name":"to come","created_at":"2020-06-26T07:00:00Z"}]}`, "", "", 0},
		{`{"page":{},"incidents":[{"name":"a","created_at":"2020-06-25T07:00:00Z","resolved_at":"9999-12-31T23:59:59-23:59"}]}`, "", "", 1},
		{`<rss/>`, "", "", 0},
		{`<!DOCTYPE x><rss><channel><item><title>a&nbsp;b</title><pubDate>Thu, 25 Jun 2020 07:00:00 GMT</pubDate></item><item><title>no time</title></item><item><title>no zone</title><pubDate>Thu, 25 Jun 2020 07:00:00 PDT</pubDate></item></channel></rss>`, "", "", 1},
		{`<rdf:RDF xmlns:rdf="r" xmlns:dc="d"><item><title>a</title><link>https://a.example/</link><dc:date>2020-06-25T07:00:00Z</dc:date></item></rdf:RDF>`, "", "", 1},
	} {
		page, _, err := Read(statusIOURL, []byte(tt.text), nil, now)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		var parts []string
		for _, c := range page.Components {
			parts = append(parts, fmt.Sprint(c.Name, " ", c.State))
		}
		if got := strings.Join(parts, ", "); page.Overall != tt.overall || got != tt.parts || len(page.Announcements) != tt.news {
			t.Errorf("%s: %+v", tt.text, page)
		}
		check(t, page)
		for _, a := range page.Announcements {
			if a.URL != "" && !strings.HasPrefix(a.URL, "https://") {
				t.Errorf("%s: a link to %s", tt.text, a.URL)
			}
		}
	}
}

// TestNoPage has what is no status page.
func TestNoPage(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "  ", "OK", "{", "{}", "[]", `{"result":null}`, `{"result":[]}`, `{"result":{}}`, `{"page":{}}`, `{"status":{"indicator":"none"}}`, `{"newNonce":"https://ca.example/"}`,
		"<!DOCTYPE html><html><head><title>Status</title></head><body><p>All is well<br></body></html>", "<", "<rss><channel>", "<feed", "%PDF-1.7",
	} {
		if page, _, err := Read(statusIOURL, []byte(text), nil, now); err == nil {
			t.Errorf("%q: %+v", text, page)
		}
	}
}

// TestGoesOn holds for how long an announcement of a feed goes on that does not say how
// it is.
func TestGoesOn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		title, text string
		age         time.Duration
		open        bool
	}{
		{"a", "it does not work", 23 * time.Hour, true},
		{"a", "it does not work", 25 * time.Hour, false},
		{"[Resolved] a", "it did not work", time.Minute, false},
		{"a", "Sep 25, 15:15:00 GMT+0 - Investigating - we look. Sep 25, 16:01:05 GMT+0 - Resolved - done.", time.Minute, false},
		{"a", "&lt;b&gt;Status: Resolved&lt;/b&gt;&lt;br/&gt;Fixed.", time.Minute, false},
		{"a", "&lt;strong&gt;Monitoring&lt;/strong&gt; - until all is resolved", time.Minute, true},
	} {
		feed := "<rss><channel><item><title>" + tt.title + "</title><description>" + tt.text + "</description><pubDate>" + now.Add(-tt.age).Format(time.RFC1123Z) + "</pubDate></item></channel></rss>"
		page, _, err := Read("https://ca.example/rss", []byte(feed), nil, now)
		if err != nil || len(page.Announcements) != 1 || page.Announcements[0].End.IsZero() != tt.open {
			t.Errorf("%+v: %+v, %v", tt, page, err)
		}
	}
}

// TestBounds has a page of too much.
func TestBounds(t *testing.T) {
	t.Parallel()
	var parts, news []string
	for i := range 300 {
		parts = append(parts, fmt.Sprintf(`{"name":"%d %s"}`, i, strings.Repeat("ä ", 200)))
		news = append(news, fmt.Sprintf(`{"name":"%d\u0000\n","created_at":"2020-06-25T07:00:%02dZ","components":[%s]}`, i, i%60, strings.Join(parts[:min(i, 50)], ",")))
	}
	text := `{"page":{},"components":[` + strings.Join(parts, ",") + `],"incidents":[` + strings.Join(news, ",") + `]}`
	page, _, err := Read("https://ca.example/", []byte(text), nil, now)
	if err != nil || len(page.Components) != maxComponents || len(page.Announcements) != maxAnnouncements {
		t.Fatalf("%d components, %d announcements, %v", len(page.Components), len(page.Announcements), err)
	}
	check(t, page)
	if a := page.Announcements; a[0].Start.Before(a[maxAnnouncements-1].Start) {
		t.Errorf("the first is of %s, the last of %s", a[0].Start, a[maxAnnouncements-1].Start)
	}
}

// check holds what is true of whatever is read.
func check(t *testing.T, page *probe.StatusPage) {
	t.Helper()
	fit := func(s string, limit int) {
		t.Helper()
		if len(s) > limit || !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\n\r\x1b") {
			t.Errorf("%q is not fit to be shown", s)
		}
	}
	states := append(probe.ServiceStates(), "")
	if !slices.Contains(states, page.Overall) {
		t.Errorf("the state %q", page.Overall)
	}
	for _, c := range page.Components {
		fit(c.Name, maxName)
		if c.Name == "" || !slices.Contains(states[:len(states)-1], c.State) {
			t.Errorf("component %+v", c)
		}
	}
	for _, a := range page.Announcements {
		fit(a.Name, maxName)
		fit(a.URL, maxURL)
		if a.Name == "" || a.Start.IsZero() || !a.End.IsZero() && a.End.Before(a.Start) || len(a.Components) > maxAffected ||
			a.URL != "" && !strings.HasPrefix(a.URL, "http") {
			t.Errorf("announcement %+v", a)
		}
	}
	if _, err := json.Marshal(page); err != nil {
		t.Error(err)
	}
}

// TestWatch holds which announcements are left where a module names components.
func TestWatch(t *testing.T) {
	t.Parallel()
	read := func() *probe.StatusPage {
		page, _, err := Read("https://status.ca.example/", load(t, "statuspage.json"), nil, now)
		if err != nil {
			t.Fatal(err)
		}
		page.Announcements = append(page.Announcements, probe.Announcement{Name: "about all", Start: at(7, 0)})
		return page
	}
	for _, tt := range []struct {
		names                  []string
		missing, watched, news string
	}{
		{nil, "", "", "ACME orders fail, Mail is late, about all"},
		{[]string{" acme"}, "", "ACME", "ACME orders fail, about all"},
		{[]string{"OCSP", "CRL"}, "", "OCSP, CRL", "about all"},
		{[]string{"Mail", "Fax"}, "Fax", "Mail", "Mail is late, about all"},
	} {
		page := read()
		missing := strings.Join(watch(page, tt.names), ", ")
		var watched, news []string
		for _, c := range page.Components {
			if c.Watched {
				watched = append(watched, c.Name)
			}
		}
		for _, a := range page.Announcements {
			news = append(news, a.Name)
		}
		if missing != tt.missing || strings.Join(watched, ", ") != tt.watched || strings.Join(news, ", ") != tt.news {
			t.Errorf("%q: missing %q, watched %q, announced %q", tt.names, missing, watched, news)
		}
	}
}

// TestWatchBeyond holds that what is watched is found before too much is cut.
func TestWatchBeyond(t *testing.T) {
	t.Parallel()
	var parts []string
	for i := range 300 {
		parts = append(parts, fmt.Sprintf(`{"name":"Part %d"}`, i))
	}
	all := strings.Join(parts, ",")
	text := `{"page":{},"components":[` + all + `],"incidents":[{"name":"big","created_at":"2020-06-25T07:00:00Z","components":[` + all + `]}]}`
	page, missing, err := Read("https://ca.example/", []byte(text), []string{"part 270", "Part 290", "Part 300"}, now)
	if err != nil || strings.Join(missing, ", ") != "Part 300" || len(page.Components) != maxComponents || len(page.Announcements) != 1 {
		t.Fatalf("missing %q, %+v, %v", missing, page, err)
	}
	if last := page.Components[maxComponents-2:]; last[0].Name != "Part 270" || !last[0].Watched || last[1].Name != "Part 290" || !last[1].Watched {
		t.Errorf("the last components: %+v", last)
	}
	if affected := page.Announcements[0].Components; len(affected) != maxAffected || affected[0] != "Part 270" || affected[1] != "Part 290" {
		t.Errorf("affected: %q", affected)
	}
	check(t, page)
}

// TestUpdates has a feed with an entry for each update, and plans.
func TestUpdates(t *testing.T) {
	t.Parallel()
	entry := func(title, path string, hour, minute int) string {
		return fmt.Sprintf("<item><title>%s</title><link>https://status.ca.example/%s</link><pubDate>%s</pubDate></item>", title, path, at(hour, minute).Format(time.RFC1123Z))
	}
	feed := "<rss><channel>" + strings.Join([]string{
		entry("[Resolved] Orders fail", "incident/1", 5, 0),
		entry("[Investigating] Orders fail", "incident/1", 4, 0),
		entry("[Investigating] No CRLs", "incident/2", 6, 30),
		entry("[Monitoring] No CRLs", "incident/2", 7, 0),
		entry("[Investigating] All at one address", "", 3, 0),
		entry("[Resolved] Another one there", "", 3, 30),
		entry("New disks", "maintenances/3", 7, 10),
		entry("[Scheduled] New cables", "incident/4", 7, 20),
	}, "") + "</channel></rss>"
	page, _, err := Read("https://status.ca.example/rss", []byte(feed), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range page.Announcements {
		end := "goes on"
		if !a.End.IsZero() {
			end = a.End.Format("15:04")
		}
		got = append(got, fmt.Sprintf("%s %s %s", a.Start.Format("15:04"), end, a.Name))
	}
	want := []string{
		"06:30 goes on [Monitoring] No CRLs", "04:00 05:00 [Resolved] Orders fail",
		"03:30 03:30 [Resolved] Another one there", "03:00 goes on [Investigating] All at one address",
	}
	if !slices.Equal(got, want) {
		t.Errorf("announced:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// FuzzRead reads whatever somebody may put at the URL.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"status.io.json", "statuspage.json", "statuspage.atom", "status.io.rss"} {
		f.Add(load(f, name))
	}
	f.Add([]byte(`{"result":{"status":[{"name":"A","status_code":"100"}]}}`))
	f.Add([]byte(`<rdf:RDF><item><date>2020-06-25</date></item></rdf:RDF>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		page, _, err := Read(statusIOURL, body, nil, now)
		if err == nil {
			check(t, page)
		}
	})
}
