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

// Read reads the page that was fetched from address at now. It marks the components that
// are called as one of watched, whatever the case, and leaves out announcements that
// say that they are about others. missing are the names that the page does not have.
func Read(address string, body []byte, watched []string, now time.Time) (page *probe.StatusPage, missing []string, err error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	switch {
	case bytes.HasPrefix(text, []byte("{")):
		page, err = readJSON(address, text)
	case bytes.HasPrefix(text, []byte("<")):
		page, err = readFeed(text, now)
	default:
		err = errUnknown
	}
	if err != nil {
		return nil, nil, err
	}
	page.URL, page.Bytes = bare(address), int64(len(body))
	missing = watch(page, watched)
	page.Components = distinct(page.Components)
	page.Announcements = latest(page.Announcements, now)
	return page, missing, nil
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

// distinct has each name once, in the worst of its states; of too many those that are
// watched, and the first of the others.
func distinct(all []probe.Component) (list []probe.Component) {
	for _, c := range all {
		c.Name = name(c.Name, maxName)
		i := slices.IndexFunc(list, func(o probe.Component) bool { return o.Name == c.Name })
		switch {
		case c.Name == "":
		case i >= 0:
			list[i].State = worst(list[i].State, c.State)
			list[i].Watched = list[i].Watched || c.Watched
		default:
			list = append(list, c)
		}
	}
	others := maxComponents
	for _, c := range list {
		if c.Watched {
			others--
		}
	}
	return slices.DeleteFunc(list, func(c probe.Component) bool {
		if c.Watched {
			return false
		}
		others--
		return others < 0
	})
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

// watch is what Read does with the names, before anything is cut for being too much.
func watch(page *probe.StatusPage, watched []string) (missing []string) {
	if len(watched) == 0 {
		return nil
	}
	named := func(name string) int {
		return slices.IndexFunc(watched, func(w string) bool { return strings.EqualFold(strings.TrimSpace(w), strings.TrimSpace(name)) })
	}
	found := make([]bool, len(watched))
	for i := range page.Components {
		if n := named(page.Components[i].Name); n >= 0 {
			page.Components[i].Watched, found[n] = true, true
		}
	}
	for i, w := range watched {
		if !found[i] && !found[named(w)] { // the same may be there twice
			missing = append(missing, w)
		}
	}
	page.Announcements = slices.DeleteFunc(page.Announcements, func(a probe.Announcement) bool {
		// Those that are watched come first: the others may be cut.
		slices.SortStableFunc(a.Components, func(x, y string) int { return cmp.Compare(min(named(y), 0), min(named(x), 0)) })
		return len(a.Components) > 0 && named(a.Components[0]) < 0
	})
	return missing
}
