package web

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/waterfall"
)

// historyURL is the page of a pair's runs.
func historyURL(p probe.Pair) string {
	return "/runs?" + url.Values{"target": {p.Target}, "module": {p.Module}}.Encode()
}

// filterOf chooses the incidents of a target that have a part between since and
// until, with both of them among it; a zero until is open.
func filterOf(kind probe.IncidentKind, target string, since, until time.Time) incident.Filter {
	f := incident.Filter{Kind: kind, Target: target, Since: since}
	if !until.IsZero() {
		f.Until = until.Add(1)
	}
	return f
}

// runRow is a run among those of its pair.
type runRow struct {
	probe.RunSummary
	Age, Took string
}

func newRunRows(runs []probe.RunSummary, now time.Time) []runRow {
	var rows []runRow
	for _, r := range runs {
		rows = append(rows, runRow{r, ago(r.Start.Add(r.Duration), now), took(r.Duration)})
	}
	return rows
}

// runs lists the last runs of a pair, and its failures before them.
func (s *server) runs(w http.ResponseWriter, r *http.Request) {
	pair, _, err := parseProbe(r.URL.RawQuery)
	if err != nil {
		plain(w, http.StatusBadRequest, err.Error())
		return
	}
	statuses := s.Runner.Status()
	if _, ok := find(statuses, pair); !ok {
		plain(w, http.StatusNotFound, unknown(statuses, pair))
		return
	}
	now := time.Now()
	history := s.Runner.History(pair)
	last, before := split(history)
	s.page(w, runsPage, struct {
		frame
		Pair         probe.Pair
		Durations    durationsView
		Revocation   *revocationView
		Rows, Before []runRow
	}{s.frame(pair.String()+" · acme_exporter", ""), pair, newDurations(history), s.lastRevocation(pair, now), newRunRows(last, now), newRunRows(before, now)})
}

// revocationView is what has come of the last certificate that was revoked.
type revocationView struct {
	Serial string
	Reason probe.RevocationReason
	At     template.HTML
	Shows  []string // or does not, in each way
}

// lastRevocation returns what has come of the pair's last revocation; nil: there is
// none.
func (s *server) lastRevocation(p probe.Pair, now time.Time) *revocationView {
	if s.LastRevocation == nil {
		return nil
	}
	last := s.LastRevocation(p)
	if last == nil {
		return nil
	}
	v := &revocationView{Serial: last.Serial, Reason: last.Reason, At: timeElement(last.At)}
	for _, w := range last.Watched {
		switch {
		case w.GivenUp != "":
			v.Shows = append(v.Shows, fmt.Sprintf("%s did not show it, and is not watched any more (%s)", viaNames[w.Via], w.GivenUp))
		case w.Shown.IsZero() && now.Sub(last.At) >= probe.WatchLife:
			v.Shows = append(v.Shows, fmt.Sprintf("%s could not be asked whether it shows it, and is not watched any more", viaNames[w.Via]))
		case w.Shown.IsZero():
			v.Shows = append(v.Shows, fmt.Sprintf("%s does not show it yet, after %s", viaNames[w.Via], lasted(now.Sub(last.At))))
		default:
			v.Shows = append(v.Shows, fmt.Sprintf("%s showed it after %s", viaNames[w.Via], lasted(w.Shown.Sub(last.At))))
		}
	}
	return v
}

// viaNames are who shows a revocation.
var viaNames = map[probe.RevocationVia]string{probe.ViaCRL: "The revocation list", probe.ViaOCSP: "OCSP"}

// result returns a run that is kept, for itself or as evidence of an incident, and how
// much of it was left out.
func (s *server) result(id string) (r *probe.Result, dropped int, ok bool) {
	if r, ok := s.Runner.Result(id); ok {
		return r, s.dropped(r), true
	}
	if s.Incidents == nil {
		return nil, 0, false
	}
	for _, i := range s.Incidents.Incidents(incident.Filter{Kind: probe.IncidentPair}) {
		if i.Evidence == nil {
			continue
		}
		for _, e := range []*probe.EvidenceRun{&i.Evidence.First, i.Evidence.Last} {
			if e != nil && e.Result.ID == id {
				return e.Result, e.Dropped, true
			}
		}
	}
	return nil, 0, false
}

// dropped returns how much was left out of a run of the runner's.
func (s *server) dropped(r *probe.Result) int {
	if status, ok := find(s.Runner.Status(), r.Pair); ok && slices.ContainsFunc(status.Recent, func(o *probe.Result) bool { return o.ID == r.ID }) {
		return 0 // it was not read from the disk
	}
	for _, run := range s.Runner.History(r.Pair) {
		if run.ID == r.ID {
			return run.Dropped
		}
	}
	return 0
}

func noRun(id string) string {
	return fmt.Sprintf("no run %q: only the last runs of each configured pair and those that incidents rest on are kept", id)
}

// runView is the page of a run.
type runView struct {
	frame
	Run          *probe.Result
	Started      template.HTML
	Age, Took    string
	Older, Newer string // IDs of the pair's runs; empty: none
	History      string // URL of the pair's runs; empty: it is no longer configured
	FollowUps    []*probe.Result
	Incidents    []*probe.Incident // in which the run was
	Dropped      int               // of what the run had, where it was too large to be stored whole
	Limit        []string
	Waterfall    template.HTML
	Controls     []probe.Control
	Lookups      []probe.Lookup
	Evidence     string // in PEM; empty: no certificate that had to be refused
}

// run shows one run: as a page, or as JSON with the ending .json or ?format=json.
func (s *server) run(w http.ResponseWriter, req *http.Request) {
	id, asJSON := strings.CutSuffix(req.PathValue("id"), ".json")
	switch format := req.URL.Query().Get("format"); format {
	case "":
	case "json":
		asJSON = true
	default:
		plain(w, http.StatusBadRequest, fmt.Sprintf("parameter %q is %q: want json", "format", format))
		return
	}
	r, dropped, ok := s.result(id)
	if !ok {
		plain(w, http.StatusNotFound, noRun(id))
		return
	}
	if asJSON {
		s.json(w, http.StatusOK, r)
		return
	}
	drawn, err := waterfall.HTML(r)
	if err != nil {
		s.failed(w, err)
		return
	}
	v := runView{
		frame: s.frame(r.String()+" · acme_exporter", drawn.Style), Run: r, Started: timeElement(r.Start),
		Age: ago(r.End(), time.Now()), Took: took(r.Duration), Incidents: s.during(r), Dropped: dropped, Limit: limitSaid(r),
		Waterfall: drawn.Body, Controls: r.Controls, Lookups: r.Lookups,
	}
	if r.Certificate != nil {
		v.Evidence = r.Certificate.PEM
	}
	if r.Refusal != nil {
		v.Lookups = nil // they looked for what ought not to be there: the summary says what they found
	}
	s.around(&v)
	s.page(w, runPage, v)
}

// during returns the incidents of its pair in which r was.
func (s *server) during(r *probe.Result) []*probe.Incident {
	if s.Incidents == nil {
		return nil
	}
	f := filterOf(probe.IncidentPair, r.Target, r.Start, r.Start)
	f.Module = r.Module
	return s.Incidents.Incidents(f)
}

// around adds the runs of the pair before and after the run, and those that follow
// it up.
func (s *server) around(v *runView) {
	r := v.Run
	status, ok := find(s.Runner.Status(), r.Pair)
	if !ok {
		return
	}
	v.History = historyURL(r.Pair)
	for _, other := range status.Recent { // newest first
		if other.Parent == r.ID {
			v.FollowUps = append(v.FollowUps, other)
		}
	}
	for _, other := range s.Runner.History(r.Pair) { // newest first
		switch {
		case other.ID == r.ID:
		case other.Start.After(r.Start):
			v.Newer = other.ID
		case v.Older == "":
			v.Older = other.ID
		}
	}
	slices.Reverse(v.FollowUps)
}

// json answers with a value.
func (s *server) json(w http.ResponseWriter, status int, value any) {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		s.failed(w, fmt.Errorf("encode: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // the client has gone: nobody to tell
}
