package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// The JSON of the API is documented in docs/api.md. Fields may be added; none is
// renamed or removed while the path says v1.

// apiError is the answer to what cannot be answered.
type apiError struct {
	Status int    `json:"status"`
	Text   string `json:"error"`
	Advice string `json:"advice"` // what to do about it
}

// Error implements error.
func (e *apiError) Error() string { return e.Text }

const (
	adviceParameters = "correct the query; docs/api.md lists the parameters"
	adviceList       = "GET /api/v1/incidents lists what there is"
	adviceRuns       = "GET /api/v1/targets has the last run of each pair"
)

// api serves what answer returns to whoever reads.
func (s *server) api(answer func(*http.Request) (any, *apiError)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			s.json(w, http.StatusMethodNotAllowed, &apiError{http.StatusMethodNotAllowed, "method " + r.Method + " is not allowed", "use GET: the API only reads"})
			return
		}
		value, e := answer(r)
		if e != nil {
			s.json(w, e.Status, e)
			return
		}
		s.json(w, http.StatusOK, value)
	}
}

func (s *server) noSuchAPI(w http.ResponseWriter, r *http.Request) {
	s.json(w, http.StatusNotFound, &apiError{
		http.StatusNotFound, fmt.Sprintf("there is no %q", r.URL.Path),
		"see docs/api.md; incidents and targets are there only where the exporter keeps incidents",
	})
}

// targetsAnswer is the answer of /api/v1/targets.
type targetsAnswer struct {
	Now     time.Time      `json:"now"` // as of when everything is
	Targets []targetAnswer `json:"targets"`
}

// targetAnswer is a target's state and how its time was spent.
type targetAnswer struct {
	probe.TargetState
	Pairs        []pairAnswer         `json:"pairs"` // instead of the state's
	Availability []availabilityAnswer `json:"availability"`
	// Changes are the last ones of its directory, newest first; nil: nobody would know.
	Changes []*probe.DirectoryChange `json:"directory_changes,omitzero"`
}

// pairAnswer is a pair's state and its runs.
type pairAnswer struct {
	probe.PairState
	LastRun string    `json:"last_run,omitempty"` // its ID
	NextDue time.Time `json:"next_due,omitzero"`
}

// availabilityAnswer is how the time of a window up to now was spent.
type availabilityAnswer struct {
	Window string `json:"window"`
	incident.Share
	// Available is which part of the known time was not down, between 0 and 1; nil:
	// nothing is known.
	Available *float64 `json:"available"`
}

func (s *server) apiTargets(*http.Request) (any, *apiError) {
	now := time.Now().UTC()
	statuses := s.Runner.Status()
	a := targetsAnswer{Now: now, Targets: []targetAnswer{}}
	for _, state := range s.Incidents.State(now) {
		t := targetAnswer{TargetState: state, Pairs: []pairAnswer{}}
		for _, p := range state.Pairs {
			pair := pairAnswer{PairState: p}
			if status, ok := find(statuses, p.Pair); ok {
				pair.NextDue = status.NextDue.UTC()
				if last := status.Last(); last != nil {
					pair.LastRun = last.ID
				}
			}
			t.Pairs = append(t.Pairs, pair)
		}
		happened := s.happened(&state, now)
		for _, w := range windows {
			v := availabilityAnswer{Window: w.name, Share: incident.Availability(happened, state.Known, now.Add(-w.length), now)}
			if part, ok := v.Share.Available(); ok {
				v.Available = &part
			}
			t.Availability = append(t.Availability, v)
		}
		if s.DirectoryChanges != nil {
			t.Changes = append([]*probe.DirectoryChange{}, s.DirectoryChanges(state.Target)...)
		}
		a.Targets = append(a.Targets, t)
	}
	return a, nil
}

// incidentsAnswer is the answer of /api/v1/incidents.
type incidentsAnswer struct {
	Incidents []*probe.Incident `json:"incidents"` // newest first, without their evidence
	Total     int               `json:"total"`     // how many there are without the limit
}

func (s *server) apiIncidents(r *http.Request) (any, *apiError) {
	f, err := strictFilter(r)
	if err != nil {
		return nil, &apiError{http.StatusBadRequest, err.Error(), adviceParameters}
	}
	list, total := s.chosen(f, 0)
	a := incidentsAnswer{Incidents: []*probe.Incident{}, Total: total}
	for _, i := range list {
		bare := *i
		bare.Evidence = nil
		a.Incidents = append(a.Incidents, &bare)
	}
	return a, nil
}

// strictFilter reads a filter from a request for data: who mistypes a parameter must
// not take the answer for what was asked for.
func strictFilter(r *http.Request) (f filter, err error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return f, fmt.Errorf("query: %w", err)
	}
	for name := range values {
		if !slices.Contains(parameters, name) {
			return f, fmt.Errorf("unknown parameter %q", name)
		}
	}
	return parseFilter(values)
}

func (s *server) apiIncident(r *http.Request) (any, *apiError) {
	id := r.PathValue("id")
	i, ok := s.Incidents.Incident(id)
	if !ok {
		return nil, &apiError{http.StatusNotFound, noIncident(id), adviceList}
	}
	return i, nil
}

func (s *server) apiRun(r *http.Request) (any, *apiError) {
	id := r.PathValue("id")
	run, _, ok := s.result(id)
	if !ok {
		return nil, &apiError{http.StatusNotFound, noRun(id), adviceRuns}
	}
	return run, nil
}
