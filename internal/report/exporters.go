package report

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// maxAnswer bounds what is read of an exporter's answer, in bytes: 10,000 incidents of
	// several KiB. askTimeout bounds how long it may take.
	maxAnswer  = 64 << 20
	askTimeout = 30 * time.Second
)

// asked is an exporter and what it answered.
type asked struct {
	Exporter
	scraped   []exporter // those that Prometheus scrapes at its host, see scrapedAt
	targets   []key      // that it watches
	incidents map[key][]sighted
	changes   map[key][]seenChange // in order, also of before the period
}

func (a *asked) has(of key) bool { return slices.Contains(a.targets, of) }

// is says which exporters of the metrics it is, all of one location: those that are scraped at its
// host, or, where Prometheus reaches it by another name, those of which metrics tell an incident
// or a change of the same time. Empty: none, or they are of several locations.
func (a *asked) is(of key, incidents []sighted, changes []seenChange) []exporter {
	if len(a.scraped) > 0 {
		return a.scraped
	}
	var found []exporter
	for _, s := range incidents {
		if slices.ContainsFunc(a.incidents[of], s.same) {
			found = append(found, s.by)
		}
	}
	for _, s := range changes {
		if slices.ContainsFunc(a.changes[of], func(own seenChange) bool { return own.at.Sub(s.at).Abs() <= sameTime }) {
			found = append(found, s.by)
		}
	}
	return ofOneLocation(found)
}

// ofOneLocation are exporters, each once, if all are of one location; otherwise none.
func ofOneLocation(all []exporter) (each []exporter) {
	for _, e := range all {
		if e.location != all[0].location {
			return nil
		}
		if !slices.Contains(each, e) {
			each = append(each, e)
		}
	}
	return each
}

// told is what an exporter that answered is in the metrics.
type told struct {
	from      *asked
	exporters []exporter // never empty, and of one location
}

func (t told) location() string { return t.exporters[0].location }

// told are the exporters that told something of a target. What others in the metrics know is
// from metrics: also where they are at the same location.
func (m *maker) told(of key, incidents []sighted, changes []seenChange) (list []told) {
	for i := range m.asked {
		a := &m.asked[i]
		if a.Error != "" || !a.has(of) {
			continue
		}
		if exporters := a.is(of, incidents, changes); len(exporters) > 0 {
			list = append(list, told{a, exporters})
			continue
		}
		within := func(c seenChange) bool { return !c.at.Before(m.Period.Since) && c.at.Before(m.Period.Until) }
		if len(a.incidents[of]) > 0 || slices.ContainsFunc(a.changes[of], within) {
			m.miss(Missing{Kind: MissingIncidents, Target: of.target, Environment: of.environment, Text: fmt.Sprintf("It is not known of which location %s is, "+
				"since Prometheus scrapes no exporter there: what it knows of %s is from metrics. Give the URL with the host and port of the label instance.", a.URL, of.target)})
		}
	}
	return list
}

// untold are the exporters that watched a target in the period and are none of those that told:
// what they know is from metrics. Of one of which only recorded votes are known there is the location.
func (m *maker) untold(of key, t *Target, answers []told) (list []exporter) {
	at := map[string]bool{} // locations with an exporter
	for _, e := range m.watching[of] {
		there := !slices.ContainsFunc(m.lives, func(l life) bool { return l.of == e }) ||
			slices.ContainsFunc(m.lives, func(l life) bool {
				return l.of == e && !l.last().Before(m.Period.Since) && l.first().Before(m.Period.Until)
			})
		at[e.location] = at[e.location] || there
		if there && !slices.ContainsFunc(answers, func(x told) bool { return slices.Contains(x.exporters, e) }) {
			list = append(list, e)
		}
	}
	for _, x := range answers {
		at[x.location()] = true
	}
	for _, l := range t.Locations {
		if _, known := l.Availability.Share(); known && !at[l.Location] {
			list = append(list, exporter{location: l.Location})
		}
	}
	return list
}

// answer is what is read of /api/v1/targets and /api/v1/incidents, see docs/api.md.
type answer struct {
	Targets []struct {
		Target      string `json:"target"`
		Environment string `json:"environment"`
		Changes     []struct {
			At     time.Time `json:"at"`
			Fields []Field   `json:"fields"`
		} `json:"directory_changes"` // newest first
	} `json:"targets"`
	Incidents []struct {
		Target      string    `json:"target"`
		Environment string    `json:"environment"`
		Module      string    `json:"module"`
		Condition   string    `json:"condition"`
		Start       time.Time `json:"start"`
		End         time.Time `json:"end"`
		LastSuccess time.Time `json:"last_success"`
		LastFailure time.Time `json:"last_failure"`
		Stage       string    `json:"stage"`
		Reason      string    `json:"reason"`
		Fault       string    `json:"fault"`
		Summary     string    `json:"summary"`
		Failures    int64     `json:"failures"`
		Official    *struct {
			Name  string    `json:"name"`
			URL   string    `json:"url"`
			Start time.Time `json:"start"`
		} `json:"official"`
	} `json:"incidents"`
}

// askExporters asks all of them for what they know. What goes wrong is in the report.
func (m *maker) askExporters(ctx context.Context) {
	m.asked = make([]asked, len(m.Exporters))
	var work errgroup.Group
	for i, address := range m.Exporters {
		work.Go(func() error {
			m.tell("asking " + redacted(address))
			a := &m.asked[i]
			a.URL, a.incidents, a.changes = redacted(address), map[key][]sighted{}, map[key][]seenChange{}
			if a.scraped = m.scrapedAt(address); len(a.scraped) > 0 {
				a.Location = a.scraped[0].location
			}
			if err := m.ask(ctx, address, a); err != nil {
				a.Error = err.Error()
				m.miss(Missing{Kind: MissingIncidents, Text: fmt.Sprintf("%s did not tell its incidents and changes (%s): they are from metrics.", a.URL, a.Error)})
			}
			return nil
		})
	}
	_ = work.Wait() // no error is returned
}

// scrapedAt are the exporters that Prometheus scrapes at the URL's host, by several jobs perhaps;
// empty: there are none, or they are of several locations.
func (m *maker) scrapedAt(address string) []exporter {
	u, err := url.Parse(address)
	if err != nil {
		return nil
	}
	var found []exporter
	for _, l := range m.lives {
		if l.of.instance == u.Host || strings.HasPrefix(l.of.instance, u.Hostname()+":") && u.Port() == "" {
			found = append(found, l.of)
		}
	}
	return ofOneLocation(found)
}

func (m *maker) ask(ctx context.Context, address string, a *asked) error {
	var has, had answer
	if err := m.get(ctx, address, "/api/v1/targets", &has); err != nil {
		return err
	}
	query := url.Values{
		"kind": {"target"}, "limit": {"10000"},
		"since": {m.Period.Since.UTC().Format(time.RFC3339)}, "until": {m.Period.Until.UTC().Format(time.RFC3339)},
	}
	if err := m.get(ctx, address, "/api/v1/incidents?"+query.Encode(), &had); err != nil {
		return err
	}
	for _, t := range has.Targets {
		of := key{t.Environment, t.Target}
		a.targets = append(a.targets, of)
		for _, c := range slices.Backward(t.Changes) {
			a.changes[of] = append(a.changes[of], seenChange{at: c.At, fields: c.Fields})
		}
	}
	for _, i := range had.Incidents {
		of := key{i.Environment, i.Target}
		s := sighted{
			lastSuccess: i.LastSuccess, seen: m.now,
			Incident: Incident{
				Condition: i.Condition, Start: i.Start, End: i.End, Module: i.Module, Stage: i.Stage, Reason: i.Reason, Fault: i.Fault,
				Summary: i.Summary, Failures: i.Failures, From: FromExporters,
			},
		}
		if i.Official != nil {
			s.Official = &Official{Name: i.Official.Name, URL: i.Official.URL, Start: i.Official.Start}
		}
		a.incidents[of] = append(a.incidents[of], s)
	}
	return nil
}

// get reads an answer of an exporter's API.
func (m *maker) get(ctx context.Context, address, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(address, "/")+path, nil)
	if err != nil {
		return errors.New("its URL is not one")
	}
	client := cmp.Or(m.ExporterVia, new(http.Client))
	response, err := client.Do(request)
	if err != nil {
		// The error of net/http names the URL, with its user.
		if outer, ok := errors.AsType[*url.Error](err); ok {
			return outer.Err
		}
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP status %d", response.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("its answer is not that of an exporter: %w", err)
	}
	return nil
}
