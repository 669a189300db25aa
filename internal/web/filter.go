package web

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// filter is what a request wants to see of the incidents.
type filter struct {
	incident.Filter
	values url.Values // as asked for, without what was empty
}

// parameters are those of a filter, in the order of the page's form.
var parameters = []string{"target", "module", "kind", "condition", "open", "since", "until", "limit"}

// mostIncidents is the highest limit: no more are kept.
const mostIncidents = 10_000

// parseFilter reads the parameters of a filter. An empty one is as good as none;
// other parameters are left to whoever put them there.
func parseFilter(values url.Values) (f filter, err error) {
	f.values = url.Values{}
	for _, name := range parameters {
		if n := len(values[name]); n > 1 {
			return f, fmt.Errorf("parameter %q is given %d times", name, n)
		}
		text := values.Get(name)
		if text == "" {
			continue
		}
		f.values.Set(name, text)
		if err := f.set(name, text); err != nil {
			return f, err
		}
	}
	if !f.values.Has("kind") {
		f.Kind = probe.IncidentTarget
	}
	return f, nil
}

// set takes in one parameter.
func (f *filter) set(name, text string) (err error) {
	wrong := func(want string) error { return fmt.Errorf("parameter %q is %q: want %s", name, text, want) }
	switch name {
	case "target":
		f.Target = text
	case "module":
		f.Module = text
	case "kind":
		kinds := []string{string(probe.IncidentTarget), string(probe.IncidentPair), "all"}
		if !slices.Contains(kinds, text) {
			return wrong(strings.Join(kinds[:2], ", ") + " or all")
		}
		if text != "all" {
			f.Kind = probe.IncidentKind(text)
		}
	case "condition":
		f.Condition = probe.Condition(text)
		if f.Condition != probe.ConditionDown && f.Condition != probe.ConditionDegraded {
			return wrong("down or degraded")
		}
	case "open":
		if f.Open, err = strconv.ParseBool(text); err != nil {
			return wrong("true or false")
		}
	case "since", "until":
		t, day, ok := parseTime(text)
		if !ok {
			return wrong("a date, such as 2026-11-23, or a time, such as 2026-11-23T06:30:00Z")
		}
		if name == "since" {
			f.Since = t
		} else if f.Until = t; day {
			f.Until = t.AddDate(0, 0, 1)
		}
	case "limit":
		if f.Limit, err = strconv.Atoi(text); err != nil || f.Limit < 1 || f.Limit > mostIncidents {
			return wrong(fmt.Sprintf("a number from 1 to %d", mostIncidents))
		}
	}
	return nil
}

// parseTime reads a time, or a date and says so.
func parseTime(text string) (t time.Time, day, ok bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, false, true
		}
	}
	t, err := time.Parse(time.DateOnly, text)
	return t, true, err == nil
}

// url returns path with the filter, and with what more says: names and values. An
// empty value takes a parameter away.
func (f filter) url(path string, more ...string) string {
	values := maps.Clone(f.values)
	for i := 0; i < len(more); i += 2 {
		values.Del(more[i])
		if more[i+1] != "" {
			values.Set(more[i], more[i+1])
		}
	}
	if len(values) == 0 {
		return path
	}
	return path + "?" + values.Encode()
}

// chosen returns the incidents that f wants, newest first, and how many there would
// be without a limit. Where f has none, usual is the limit; 0: there is none.
func (s *server) chosen(f filter, usual int) (list []*probe.Incident, total int) {
	all := f.Filter
	all.Limit = 0
	list = s.Incidents.Incidents(all)
	total = len(list)
	if f.Limit > 0 {
		usual = f.Limit
	}
	if usual > 0 && usual < total {
		list = list[:usual]
	}
	return list, total
}
