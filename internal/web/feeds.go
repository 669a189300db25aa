package web

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// csvHeader are the columns; new ones are added at the end.
var csvHeader = []string{
	"id", "kind", "target", "environment", "module", "condition", "start", "end", "duration_seconds", "uncertainty_seconds",
	"stage", "reason", "fault", "failures", "flaps", "withdrawn", "summary",
	"official_start", "lead_seconds",
}

// csv answers with incidents as CSV (RFC 4180).
func (s *server) csv(w http.ResponseWriter, r *http.Request) {
	f, err := strictFilter(r)
	if err != nil {
		plain(w, http.StatusBadRequest, err.Error())
		return
	}
	now := time.Now()
	list, _ := s.chosen(f, 0)
	var b bytes.Buffer
	c := csv.NewWriter(&b)
	c.UseCRLF = true
	_ = c.Write(csvHeader) // a buffer takes everything
	for _, i := range list {
		record := csvRecord(i, now)
		for k := range record {
			record[k] = inert(record[k])
		}
		_ = c.Write(record) // a buffer takes everything
	}
	c.Flush()
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", `attachment; filename="incidents.csv"`)
	_, _ = w.Write(b.Bytes()) // the client has gone: nobody to tell
}

func csvRecord(i *probe.Incident, now time.Time) []string {
	seconds := func(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }
	end, uncertain, published, ahead := "", "", "", ""
	if !i.Open() {
		end = i.End.UTC().Format(time.RFC3339Nano)
	}
	if d, ok := i.Uncertainty(); ok {
		uncertain = seconds(d)
	}
	if o := i.Official; o != nil {
		published, ahead = o.Start.UTC().Format(time.RFC3339Nano), seconds(o.Lead)
	}
	return []string{
		i.ID, string(i.Kind), i.Target, i.Environment, i.Module, string(i.Condition), i.Start.UTC().Format(time.RFC3339Nano), end,
		seconds(i.Duration(now)), uncertain, string(i.Stage), string(i.Reason), string(i.Fault), strconv.Itoa(i.Failures),
		strconv.Itoa(i.Flaps), strconv.FormatBool(i.Withdrawn), i.Summary, published, ahead,
	}
}

// number is a cell that every spreadsheet takes for one.
var number = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// inert returns a cell that no spreadsheet takes for a formula.
func inert(cell string) string {
	if cell != "" && !number.MatchString(cell) && strings.ContainsRune("=+-@\t\r\n|%", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

// The elements of a feed (RFC 4287).
type (
	atomFeed struct {
		XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
		ID      string      `xml:"id"`
		Title   string      `xml:"title"`
		Updated string      `xml:"updated"`
		Author  string      `xml:"author>name"`
		Links   []atomLink  `xml:"link"`
		Entries []atomEntry `xml:"entry"`
	}
	atomLink struct {
		Rel  string `xml:"rel,attr"`
		Type string `xml:"type,attr"`
		Href string `xml:"href,attr"`
	}
	atomEntry struct {
		ID        string   `xml:"id"`
		Title     string   `xml:"title"`
		Published string   `xml:"published"`
		Updated   string   `xml:"updated"`
		Link      atomLink `xml:"link"`
		Summary   string   `xml:"summary"`
	}
)

// atom answers with incidents as a feed.
func (s *server) atom(w http.ResponseWriter, r *http.Request) {
	f, err := strictFilter(r)
	if err != nil {
		plain(w, http.StatusBadRequest, err.Error())
		return
	}
	base := s.base(r)
	list, _ := s.chosen(f, usualIncidents)
	self := base + f.url("/incidents.atom")
	feed := atomFeed{
		ID: self, Title: "Incidents of certificate authorities", Author: "acme_exporter",
		Links: []atomLink{{"self", "application/atom+xml", self}, {"alternate", "text/html", base + f.url("/") + "#incidents"}},
	}
	newest := time.Time{}
	for _, i := range list {
		e := newEntry(i, base)
		feed.Entries = append(feed.Entries, e)
		if t := changed(i); t.After(newest) {
			newest = t
		}
	}
	if newest.IsZero() {
		newest = s.started
	}
	feed.Updated = atomTime(newest)
	text, err := xml.MarshalIndent(feed, "", " ")
	if err != nil {
		s.failed(w, fmt.Errorf("encode feed: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/atom+xml; charset=utf-8")
	_, _ = w.Write(append([]byte(xml.Header), append(text, '\n')...)) // the client has gone: nobody to tell
}

// base is where the pages are for who reads the feed elsewhere.
func (s *server) base(r *http.Request) string {
	if s.ExternalURL != "" {
		return strings.TrimSuffix(s.ExternalURL, "/")
	}
	u := url.URL{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	return u.String()
}

func newEntry(i *probe.Incident, base string) atomEntry {
	what := i.Target
	if i.Kind == probe.IncidentPair {
		what += "/" + i.Module
	}
	title := fmt.Sprintf("%s is %s", what, i.Condition)
	if !i.Open() {
		title = fmt.Sprintf("%s was %s for %s", what, i.Condition, lasted(i.End.Sub(i.Start)))
	}
	return atomEntry{
		ID: entryID(i.ID), Title: title, Published: atomTime(i.Start), Updated: atomTime(changed(i)),
		Link: atomLink{"alternate", "text/html", base + "/incidents/" + url.PathEscape(i.ID)},
		Summary: fmt.Sprintf("%s Since %s. Stage %s, reason %s, fault %s.",
			i.Summary, instant(i.Start), cmp.Or(string(i.Stage), "none"), cmp.Or(string(i.Reason), "none"), cmp.Or(string(i.Fault), "none")),
	}
}

// changed is when an incident last became something else: open, worse or better,
// closed. A further failure is no news.
func changed(i *probe.Incident) time.Time {
	if !i.Open() {
		return i.End
	}
	if n := len(i.Phases); n > 0 && i.Phases[n-1].Start.After(i.Start) {
		return i.Phases[n-1].Start
	}
	return i.Start
}

func atomTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// entryID is the ID of an incident as an IRI: the same wherever it is read, for ever
// (a UUID of version 8, RFC 9562 §5.8).
func entryID(id string) string {
	sum := sha256.Sum256([]byte("acme_exporter incident\n" + id))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
