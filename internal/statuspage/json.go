package statuspage

import (
	"encoding/json"
	"errors"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// instant is a time as JSON has it; zero if it is none.
type instant struct{ time.Time }

// UnmarshalJSON never fails.
func (i *instant) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		i.Time = parseTime(s)
	}
	return nil
}

// code is a number, whether or not it is in quotes; 0 if it is none.
type code int

// UnmarshalJSON never fails.
func (c *code) UnmarshalJSON(data []byte) error {
	var n int
	if json.Unmarshal([]byte(strings.Trim(string(data), `"`)), &n) == nil {
		*c = code(n)
	}
	return nil
}

// lenient decodes what it can; its error is that the text is no JSON.
func lenient(data []byte, into any) error {
	err := json.Unmarshal(data, into)
	// What is of another kind is left out, and the rest is there.
	if _, other := errors.AsType[*json.UnmarshalTypeError](err); other {
		return nil
	}
	return err
}

// The public JSON of status.io (https://api.status.io/1.0/status/ID), as far as it
// matters.
type (
	statusIO struct {
		Overall   *statusIOState `json:"status_overall"`
		Status    []statusIOPart `json:"status"`
		Incidents []struct {
			ID       string  `json:"_id"`
			Name     string  `json:"name"`
			Open     instant `json:"datetime_open"`
			Messages []struct {
				At instant `json:"datetime"`
			} `json:"messages"`
			Components []named `json:"components_affected"`
		} `json:"incidents"`
	}
	statusIOState struct {
		Code   code   `json:"status_code"`
		Status string `json:"status"`
	}
	statusIOPart struct {
		Name string `json:"name"`
		statusIOState
		Containers []statusIOState `json:"containers"`
	}
	named struct {
		Name string `json:"name"`
	}
)

// The JSON of Statuspage (/api/v2/summary.json, and others of its kind).
type (
	statuspage struct {
		Status *struct {
			Indicator string `json:"indicator"`
		} `json:"status"`
		Components []struct {
			Name   string `json:"name"`
			Status string `json:"status"`
		} `json:"components"`
		Incidents []struct {
			Name       string  `json:"name"`
			Status     string  `json:"status"`
			Created    instant `json:"created_at"`
			Updated    instant `json:"updated_at"`
			Resolved   instant `json:"resolved_at"`
			Shortlink  string  `json:"shortlink"`
			Components []named `json:"components"`
		} `json:"incidents"`
	}
)

func readJSON(address string, data []byte) (*probe.StatusPage, error) {
	var kind struct {
		Result     json.RawMessage `json:"result"`
		Page       json.RawMessage `json:"page"`
		Status     json.RawMessage `json:"status"`
		Components json.RawMessage `json:"components"`
		Incidents  json.RawMessage `json:"incidents"`
	}
	if err := lenient(data, &kind); err != nil {
		return nil, errUnknown
	}
	switch {
	case len(kind.Result) > 0 && kind.Result[0] == '{':
		return readStatusIO(address, kind.Result)
	case len(kind.Page) > 0 && (len(kind.Status) > 0 || len(kind.Components) > 0 || len(kind.Incidents) > 0):
		return readStatuspage(data)
	}
	return nil, errUnknown
}

func readStatusIO(address string, data []byte) (*probe.StatusPage, error) {
	var read statusIO
	if err := lenient(data, &read); err != nil || read.Overall == nil && read.Status == nil {
		return nil, errUnknown
	}
	page := &probe.StatusPage{Format: probe.StatusIO}
	if read.Overall != nil {
		page.Overall = read.Overall.state()
	}
	for _, part := range read.Status {
		state := part.state()
		for _, c := range part.Containers {
			if part.Code == 0 && part.Status == "" {
				state = worst(state, c.state())
			}
		}
		page.Components = append(page.Components, probe.Component{Name: part.Name, State: state})
	}
	for _, i := range read.Incidents {
		a := probe.Announcement{Name: i.Name, Start: i.Open.Time, URL: statusIOLink(address, i.ID), Components: names(i.Components)}
		// The time of opening can be set by hand; the messages have those at which they
		// were sent.
		var first time.Time
		for _, m := range i.Messages {
			if !m.At.IsZero() && (first.IsZero() || m.At.Before(first)) {
				first = m.At.Time
			}
		}
		if !first.IsZero() {
			a.Start = first
		}
		page.Announcements = append(page.Announcements, a)
	}
	return page, nil
}

func names(all []named) (list []string) {
	for _, n := range all {
		list = append(list, n.Name)
	}
	return list
}

// statusIOID is the ID of a page or an incident there.
var statusIOID = regexp.MustCompile(`^[0-9a-f]{24}$`)

// statusIOLink is where the incident's own page is, which the JSON does not say; empty:
// not known.
func statusIOLink(address, incident string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	page := path.Base(u.Path)
	if !statusIOID.MatchString(page) || !statusIOID.MatchString(incident) {
		return ""
	}
	return "https://status.io/pages/incident/" + page + "/" + incident
}

// state is what the code says, or else the words.
func (s statusIOState) state() probe.ServiceState {
	switch {
	case s.Code >= 100 && s.Code < 200:
		return probe.ServiceOperational
	case s.Code >= 200 && s.Code < 300:
		return probe.ServiceMaintenance
	case s.Code >= 300 && s.Code < 400, s.Code >= 600 && s.Code < 700: // 600: a security event
		return probe.ServiceDegraded
	case s.Code >= 400 && s.Code < 500:
		return probe.ServicePartial
	case s.Code >= 500 && s.Code < 600:
		return probe.ServiceMajor
	}
	switch strings.ToLower(strings.TrimSpace(s.Status)) {
	case "operational":
		return probe.ServiceOperational
	case "planned maintenance":
		return probe.ServiceMaintenance
	case "degraded performance", "security event":
		return probe.ServiceDegraded
	case "partial service disruption":
		return probe.ServicePartial
	case "service disruption":
		return probe.ServiceMajor
	}
	return probe.ServiceUnknown
}

func readStatuspage(data []byte) (*probe.StatusPage, error) {
	var read statuspage
	if err := lenient(data, &read); err != nil {
		return nil, errUnknown
	}
	page := &probe.StatusPage{Format: probe.Statuspage}
	if read.Status != nil {
		page.Overall = known(indicators, read.Status.Indicator)
	}
	for _, c := range read.Components {
		page.Components = append(page.Components, probe.Component{Name: c.Name, State: known(componentStates, c.Status)})
	}
	for _, i := range read.Incidents {
		a := probe.Announcement{Name: i.Name, Start: i.Created.Time, End: i.Resolved.Time, URL: i.Shortlink, Components: names(i.Components)}
		if a.End.IsZero() && (i.Status == "resolved" || i.Status == "postmortem") {
			a.End = i.Updated.Time
		}
		page.Announcements = append(page.Announcements, a)
	}
	return page, nil
}

var indicators = map[string]probe.ServiceState{
	"none": probe.ServiceOperational, "minor": probe.ServiceDegraded, "major": probe.ServicePartial,
	"critical": probe.ServiceMajor, "maintenance": probe.ServiceMaintenance,
}

var componentStates = map[string]probe.ServiceState{
	"operational": probe.ServiceOperational, "degraded_performance": probe.ServiceDegraded, "partial_outage": probe.ServicePartial,
	"major_outage": probe.ServiceMajor, "under_maintenance": probe.ServiceMaintenance,
}

func known(states map[string]probe.ServiceState, word string) probe.ServiceState {
	if s, ok := states[strings.ToLower(word)]; ok {
		return s
	}
	return probe.ServiceUnknown
}
