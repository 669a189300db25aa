// Package statuspage reads what a CA says of itself: the JSON of status.io and of
// Statuspage, and feeds (Atom, RSS).
//
// It asks nobody: what it reads was fetched by others. None of it is signed or has a
// form that somebody would keep to, so it is read leniently: a field that is missing or
// of another kind is left out, and only what is no status page at all is an error.
package statuspage

import (
	"bytes"
	"cmp"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// MaxPage is what is to be read of a page at most, in bytes.
const MaxPage = 2 << 20

// What is kept of a page at most.
const (
	maxComponents    = 100
	maxAnnouncements = 20
	maxAffected      = 20
	maxName          = 100 // bytes
	maxURL           = 300 // bytes
	// maxAge is how old an announcement may be: feeds have those of years.
	maxAge = 30 * 24 * time.Hour
	// maxAhead is how far ahead of our clock one may be.
	maxAhead = time.Hour
)

var errUnknown = errors.New("it is neither the JSON of status.io or Statuspage nor a feed of Atom or RSS")

// Read reads the page that was fetched from address at now.
func Read(address string, body []byte, now time.Time) (*probe.StatusPage, error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	var page *probe.StatusPage
	var err error
	switch {
	case bytes.HasPrefix(text, []byte("{")):
		page, err = readJSON(address, text)
	case bytes.HasPrefix(text, []byte("<")):
		page, err = readFeed(text, now)
	default:
		err = errUnknown
	}
	if err != nil {
		return nil, err
	}
	page.URL, page.Bytes = bare(address), int64(len(body))
	page.Components = distinct(page.Components)
	page.Announcements = latest(page.Announcements, now)
	return page, nil
}

// bare is the address without what may be a secret in it.
func bare(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return name(u.String(), maxURL)
}

// distinct has each name once, in the worst of its states.
func distinct(all []probe.Component) (list []probe.Component) {
	for _, c := range all {
		c.Name = name(c.Name, maxName)
		i := slices.IndexFunc(list, func(o probe.Component) bool { return o.Name == c.Name })
		switch {
		case c.Name == "":
		case i >= 0:
			list[i].State = worst(list[i].State, c.State)
		case len(list) < maxComponents:
			list = append(list, c)
		}
	}
	return list
}

// worst is the worse of two states.
func worst(a, b probe.ServiceState) probe.ServiceState {
	states := probe.ServiceStates()
	if slices.Index(states, b) > slices.Index(states, a) {
		return b
	}
	return a
}

// latest are the announcements that may matter, the latest first.
func latest(all []probe.Announcement, now time.Time) (list []probe.Announcement) {
	for _, a := range all {
		if a.Start.IsZero() || a.Start.Before(now.Add(-maxAge)) || a.Start.After(now.Add(maxAhead)) {
			continue
		}
		a.Start = a.Start.UTC().Round(0)
		if !a.End.IsZero() {
			a.End = a.End.UTC().Round(0)
			if a.End.Before(a.Start) || a.End.After(now.Add(maxAhead)) {
				a.End = a.Start // it is over, and nobody knows since when
			}
		}
		a.Name, a.URL = cmp.Or(name(a.Name, maxName), "an incident without a name"), link(a.URL)
		a.Components = a.Components[:min(len(a.Components), maxAffected)]
		for i := range a.Components {
			a.Components[i] = name(a.Components[i], maxName)
		}
		a.Components = slices.DeleteFunc(a.Components, func(s string) bool { return s == "" })
		list = append(list, a)
	}
	slices.SortStableFunc(list, func(a, b probe.Announcement) int { return b.Start.Compare(a.Start) })
	return list[:min(len(list), maxAnnouncements)]
}

// name makes a page's words fit to be shown.
func name(s string, limit int) string { return strings.TrimSpace(acmehttp.Scrub(s, limit)) }

// link returns s if it is a URL that may be followed by who reads our pages, without
// its query; else nothing.
func link(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return ""
	}
	u.RawQuery, u.ForceQuery = "", false
	if s = u.String(); len(s) > maxURL {
		return ""
	}
	return s
}

// Watch marks the components of the page that are called so, whatever the case, and
// leaves out announcements that say that they are about others. It returns the names
// that the page does not have.
func Watch(page *probe.StatusPage, names []string) (missing []string) {
	if len(names) == 0 {
		return nil
	}
	same := func(a string) func(string) bool {
		return func(b string) bool { return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b)) }
	}
	for _, n := range names {
		i := slices.IndexFunc(page.Components, func(c probe.Component) bool { return same(n)(c.Name) })
		if i < 0 {
			missing = append(missing, n)
			continue
		}
		page.Components[i].Watched = true
	}
	page.Announcements = slices.DeleteFunc(page.Announcements, func(a probe.Announcement) bool {
		return len(a.Components) > 0 && !slices.ContainsFunc(a.Components, func(c string) bool { return slices.ContainsFunc(names, same(c)) })
	})
	return missing
}
