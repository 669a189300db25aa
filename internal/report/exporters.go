package report

import (
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
	known     bool  // its location, which can be empty
	targets   []key // that it watches
	incidents map[key][]sighted
}

func (a *asked) has(of key) bool { return slices.Contains(a.targets, of) }

// at is the location whose sightings, from metrics, have the same starts as what the exporter
// tells of a target, where Prometheus reaches it by another name; not ok: none, or several.
func (a *asked) at(of key, list []sighted) (location string, ok bool) {
	if a.known {
		return a.Location, true
	}
	matches := map[string]bool{}
	for _, s := range list {
		if slices.ContainsFunc(a.incidents[of], func(own sighted) bool { return own.Start.Sub(s.Start).Abs() <= time.Millisecond }) {
			matches[s.location] = true
		}
	}
	for l := range matches {
		return l, len(matches) == 1
	}
	return "", false
}

// answer is what is read of /api/v1/targets and /api/v1/incidents, see docs/api.md.
type answer struct {
	Targets []struct {
		Target      string `json:"target"`
		Environment string `json:"environment"`
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

// askExporters asks all of them for their incidents. What goes wrong is in the report.
func (m *maker) askExporters(ctx context.Context) {
	m.asked = make([]asked, len(m.Exporters))
	var work errgroup.Group
	for i, address := range m.Exporters {
		work.Go(func() error {
			m.tell("asking " + redacted(address))
			a := &m.asked[i]
			a.URL, a.incidents = redacted(address), map[key][]sighted{}
			a.Location, a.known = m.locationOf(address)
			if err := m.ask(ctx, address, a); err != nil {
				a.Error = err.Error()
				m.miss(Missing{Kind: MissingIncidents, Text: fmt.Sprintf("%s did not tell its incidents (%s): they are from metrics.", a.URL, a.Error)})
			}
			return nil
		})
	}
	_ = work.Wait() // no error is returned
}

// locationOf is the location of the exporters that are scraped at the URL's host; not ok:
// there are none, or several locations.
func (m *maker) locationOf(address string) (location string, ok bool) {
	u, err := url.Parse(address)
	if err != nil {
		return "", false
	}
	locations := map[string]bool{}
	for _, l := range m.lives {
		if l.of.instance == u.Host || strings.HasPrefix(l.of.instance, u.Hostname()+":") && u.Port() == "" {
			locations[l.of.location] = true
		}
	}
	for l := range locations {
		return l, len(locations) == 1
	}
	return "", false
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
		a.targets = append(a.targets, key{t.Environment, t.Target})
	}
	for _, i := range had.Incidents {
		of := key{i.Environment, i.Target}
		s := sighted{
			location: a.Location, lastSuccess: i.LastSuccess, seen: m.now,
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
	client := http.Client{Transport: m.ExporterVia}
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
