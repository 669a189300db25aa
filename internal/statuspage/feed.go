package statuspage

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"errors"
	"html"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// fresh is how long after its last change an announcement of a feed that does not say
// how it is goes on.
const fresh = 24 * time.Hour

// Atom (RFC 4287) and RSS (0.9 to 2.0), in one.
type (
	feed struct {
		XMLName xml.Name
		Channel []feedEntry `xml:"channel>item"` // RSS 2.0
		Items   []feedEntry `xml:"item"`         // RSS 1.0
		Entries []feedEntry `xml:"entry"`        // Atom
	}
	feedEntry struct {
		Title       string     `xml:"title"`
		Links       []feedLink `xml:"link"`
		Published   string     `xml:"published"`
		Updated     string     `xml:"updated"`
		PubDate     string     `xml:"pubDate"`
		Date        string     `xml:"date"` // Dublin Core's
		Content     feedText   `xml:"content"`
		Encoded     feedText   `xml:"encoded"`
		Summary     feedText   `xml:"summary"`
		Description feedText   `xml:"description"`
	}
	feedLink struct {
		Href string `xml:"href,attr"`
		Rel  string `xml:"rel,attr"`
		Text string `xml:",chardata"`
	}
	feedText struct {
		XML string `xml:",innerxml"`
	}
)

func readFeed(data []byte, now time.Time) (*probe.StatusPage, error) {
	var read feed
	d := xml.NewDecoder(bytes.NewReader(data))
	d.Strict, d.Entity = false, xml.HTMLEntity
	if err := d.Decode(&read); err != nil {
		return nil, errors.New("the feed cannot be read")
	}
	switch strings.ToLower(read.XMLName.Local) {
	case "feed", "rss", "rdf":
	default:
		return nil, errUnknown
	}
	entries := slices.Concat(read.Channel, read.Items, read.Entries)
	// The last update first. What is of the same time stays in the feed's order, which
	// commonly is this one.
	slices.SortStableFunc(entries, func(a, b feedEntry) int { return b.updated().Compare(a.updated()) })
	page := &probe.StatusPage{Format: probe.StatusFeed}
	at := map[string]int{} // by incident
	for _, e := range entries {
		a, ok := e.announcement(now)
		if !ok {
			continue
		}
		// Some feeds have an entry for each update of an incident.
		key := a.URL + " " + badge.ReplaceAllString(a.Name, "")
		if i, there := at[key]; there && a.URL != "" {
			if a.Start.Before(page.Announcements[i].Start) && !a.Start.IsZero() {
				page.Announcements[i].Start = a.Start
			}
			continue
		}
		at[key] = len(page.Announcements)
		page.Announcements = append(page.Announcements, a)
	}
	return page, nil
}

var (
	// An update begins with "<strong>Resolved</strong> -", "<b>Resolved</b> -" or
	// "Sep 25, 16:01 - Resolved -".
	over    = regexp.MustCompile(`(?i)(?:<(?:b|strong)>\s*(?:status:\s*)?|- )(?:resolved|postmortem)\b`)
	planned = regexp.MustCompile(`(?i)<(?:b|strong)>\s*(?:scheduled|in progress|verifying|completed|active)\b`)
	closed  = regexp.MustCompile(`(?i)^\W*(?:resolved|closed)\b`)
	// Titles can begin with "[Investigating]", those of plans with "[Maintenance]".
	badge       = regexp.MustCompile(`^\s*\[[^\]]*\]\s*`)
	maintenance = regexp.MustCompile(`(?i)^\s*\[(?:scheduled|planned)?\s*(?:maintenance|scheduled|planned)\b`)
	plans       = regexp.MustCompile(`/(?:scheduled-?)?maintenances?(?:/|$)`)
)

// announcement makes an incident of an entry; not ok: it is of something else.
func (e *feedEntry) announcement(now time.Time) (a probe.Announcement, ok bool) {
	text := html.UnescapeString(e.Content.XML + e.Encoded.XML + e.Summary.XML + e.Description.XML)
	a = probe.Announcement{Name: html.UnescapeString(e.Title), URL: e.link()}
	if planned.MatchString(text) || maintenance.MatchString(a.Name) || plans.MatchString(a.URL) {
		return a, false
	}
	updated := e.updated()
	a.Start = parseTime(cmp.Or(e.Published, e.PubDate, e.Date, e.Updated))
	if updated.Before(a.Start) {
		updated = a.Start
	}
	if over.MatchString(text) || closed.MatchString(a.Name) || now.Sub(updated) > fresh {
		a.End = updated
	}
	return a, true
}

// updated is when it changed last; zero: it does not say.
func (e *feedEntry) updated() time.Time {
	return parseTime(cmp.Or(e.Updated, e.PubDate, e.Date, e.Published))
}

// link is the entry's own.
func (e *feedEntry) link() string {
	for _, l := range e.Links {
		if l.Rel == "" || l.Rel == "alternate" {
			if s := strings.TrimSpace(cmp.Or(l.Href, l.Text)); s != "" {
				return s
			}
		}
	}
	return ""
}

// timeForms are those of RFC 3339 and RFC 822, as they are met. A zone that has letters
// only is none that a time could be read with, but for those of UTC.
var timeForms = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", time.RFC1123Z, time.RFC1123, "Mon, 2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05 MST",
	"2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04:05 MST", "Mon, 2 Jan 2006 15:04 -0700", "2006-01-02T15:04:05", "2006-01-02 15:04:05",
}

// parseTime returns zero for what is no time.
func parseTime(s string) time.Time {
	s = strings.TrimSpace(s)
	for _, form := range timeForms {
		t, err := time.Parse(form, s)
		if err != nil {
			continue
		}
		if zone, _ := t.Zone(); strings.HasSuffix(form, "MST") && zone != "UTC" && zone != "GMT" && zone != "UT" && zone != "Z" {
			return time.Time{} // its offset is anybody's guess
		}
		return t.UTC()
	}
	return time.Time{}
}
