package web

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/waterfall"
)

// usualIncidents is how many incidents the index and the feed show where nobody
// asks for more or less.
const usualIncidents = 50

// incidentsView are the incidents on the index.
type incidentsView struct {
	Rows  []template.HTML // of the table
	Total int             // how many there are without the limit
	// The form, as it was sent.
	Filter                filter
	Since, Until          string
	Targets               []string
	JSON, CSV, Atom, More string // URLs with the same filter; More: with all of them
	Filtered              bool
}

// incidentRow is an incident as the table has it.
type incidentRow struct {
	*probe.Incident
	What                       string // the target, or the target and the module
	Since, Lasted, Uncertainty string
}

func newIncidentRow(i *probe.Incident, now time.Time) *incidentRow {
	r := &incidentRow{Incident: i, What: i.Target, Since: instant(i.Start), Lasted: lasted(i.Duration(now)), Uncertainty: uncertainty(i)}
	if i.Kind == probe.IncidentPair {
		r.What += " / " + i.Module
	}
	return r
}

// html draws the row. There can be 500 of them, and a template would take four times
// as long.
func (r *incidentRow) html() template.HTML {
	var b strings.Builder
	b.Grow(1024)
	put := func(parts ...string) { // markup and foreign words in turn
		for i, part := range parts {
			if i%2 == 1 {
				part = template.HTMLEscapeString(part)
			}
			b.WriteString(part)
		}
	}
	cell := func(label, text string) {
		put(`<td role="cell" data-label="`, label, `">`, text, "</td>\n")
	}
	condition := string(r.Condition)
	put(`<tr role="row">`+"\n"+`<th role="rowheader" scope="row"><span class="badge `, condition, `">`, condition,
		`</span> <a href="/incidents/`, url.PathEscape(r.ID), `" aria-label="`, r.What+", "+condition+" since "+r.Since, `">`, r.What, "</a></th>\n")
	put(`<td role="cell" data-label="Start">`, "", string(timeElement(r.Start)), "", `</td>`+"\n"+`<td role="cell" data-label="End">`)
	switch {
	case r.Open():
		put("<strong>goes on</strong>")
	case r.Withdrawn:
		put(string(timeElement(r.End)) + "<small>withdrawn</small>")
	default:
		put(string(timeElement(r.End)))
	}
	put("</td>\n")
	cell("Duration", r.Lasted)
	cell("Uncertainty", r.Uncertainty)
	cell("Stage", string(r.Stage))
	put(`<td role="cell" data-label="Reason"><code>`, string(r.Reason), "</code></td>\n")
	cell("Fault", string(r.Fault))
	put("</tr>")
	return template.HTML(b.String())
}

func (s *server) incidentsView(f filter, states []probe.TargetState, now time.Time) *incidentsView {
	list, total := s.chosen(f, usualIncidents)
	v := &incidentsView{
		Total: total, Filter: f, Filtered: len(f.values) > 0,
		Since: f.values.Get("since"), Until: f.values.Get("until"),
		JSON: f.url("/api/v1/incidents"), CSV: f.url("/incidents.csv"), Atom: f.url("/incidents.atom"),
	}
	for _, i := range list {
		v.Rows = append(v.Rows, newIncidentRow(i, now).html())
	}
	if total > len(list) {
		v.More = f.url("/", "limit", fmt.Sprint(mostIncidents)) + "#incidents"
	}
	for i := range states {
		v.Targets = append(v.Targets, states[i].Target)
	}
	for _, i := range list { // those that are no longer configured can be chosen, too
		v.Targets = append(v.Targets, i.Target)
	}
	if f.Target != "" {
		v.Targets = append(v.Targets, f.Target)
	}
	slices.Sort(v.Targets)
	v.Targets = slices.Compact(v.Targets)
	return v
}

// incidentView is the page of an incident.
type incidentView struct {
	frame
	incidentRow
	Lead     string // how much earlier we knew than the CA has told; empty: it has not
	Whole    string // ID of the target's incident that a pair's is a part of; empty: none is known
	Reasons  []reasonCount
	Phases   []phaseView
	Members  []memberView
	Evidence []evidenceView
}

// reasonCount is how many runs failed for a reason.
type reasonCount struct {
	Reason probe.Reason
	Runs   int
}

// phaseView is a phase and how long it lasted.
type phaseView struct {
	probe.IncidentPhase
	Lasted string
}

// memberView is a member and how long it lasted.
type memberView struct {
	probe.Member
	Lasted string
	Why    []reasonCount
	Kept   bool // its incident still is
}

// evidenceView is a run that an incident rests on.
type evidenceView struct {
	Title     string
	Run       *probe.Result
	Dropped   int
	Waterfall template.HTML
}

// incident shows everything that is known of one incident.
func (s *server) incident(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	i, ok := s.Incidents.Incident(id)
	if !ok {
		plain(w, http.StatusNotFound, noIncident(id))
		return
	}
	now := time.Now()
	v := incidentView{incidentRow: *newIncidentRow(i, now), Reasons: reasons(i.Reasons)}
	for _, p := range i.Phases {
		until := p.End
		if until.IsZero() {
			until = now
		}
		v.Phases = append(v.Phases, phaseView{p, lasted(until.Sub(p.Start))})
	}
	for _, m := range i.Members {
		until := m.End
		if until.IsZero() {
			until = now
		}
		_, kept := s.Incidents.Incident(m.ID)
		v.Members = append(v.Members, memberView{m, lasted(until.Sub(m.Start)), reasons(m.Reasons), kept})
	}
	if i.Kind == probe.IncidentPair {
		v.Whole = s.wholeOf(i)
	}
	if i.Official != nil {
		v.Lead = lead(i.Official.Lead)
	}
	style, err := v.rest(s.evidence(i))
	if err != nil {
		s.failed(w, err)
		return
	}
	v.frame = s.frame(fmt.Sprintf("%s %s · acme_exporter", i.Target, i.Condition), style)
	s.page(w, incidentPage, v)
}

func noIncident(id string) string {
	return fmt.Sprintf("no incident %q: those of the last 90 days are kept", id)
}

// evidence returns what an incident rests on: that of a target on what the first of
// its members does whose module it names.
func (s *server) evidence(i *probe.Incident) *probe.Evidence {
	if i.Evidence != nil {
		return i.Evidence
	}
	for _, m := range i.Members {
		if part, ok := s.Incidents.Incident(m.ID); ok && m.Module == i.Module && part.Evidence != nil {
			return part.Evidence
		}
	}
	return nil
}

// rest draws the runs that the incident rests on.
func (v *incidentView) rest(e *probe.Evidence) (template.CSS, error) {
	if e == nil {
		return "", nil
	}
	kept := []probe.EvidenceRun{e.First}
	v.Evidence = []evidenceView{{Title: "First failed run"}}
	if e.Last != nil {
		kept = append(kept, *e.Last)
		v.Evidence = append(v.Evidence, evidenceView{Title: "Last failed run"})
	} else {
		v.Evidence[0].Title = "The failed run"
	}
	var runs []*probe.Result
	for _, k := range kept {
		runs = append(runs, k.Result)
	}
	style, bodies, err := waterfall.Several(runs...)
	if err != nil {
		return "", err
	}
	for k := range v.Evidence {
		v.Evidence[k].Run, v.Evidence[k].Dropped, v.Evidence[k].Waterfall = kept[k].Result, kept[k].Dropped, bodies[k]
	}
	return style, nil
}

// reasons returns counts, the highest first.
func reasons(counts map[probe.Reason]int) []reasonCount {
	var list []reasonCount
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, reasonCount{reason, counts[reason]})
	}
	slices.SortStableFunc(list, func(a, b reasonCount) int { return cmp.Compare(b.Runs, a.Runs) })
	return list
}

// wholeOf returns the ID of the target's incident that a pair's is a part of.
func (s *server) wholeOf(part *probe.Incident) string {
	for _, i := range s.Incidents.Incidents(filterOf(probe.IncidentTarget, part.Target, part.Start, part.End)) {
		if slices.ContainsFunc(i.Members, func(m probe.Member) bool { return m.ID == part.ID }) {
			return i.ID
		}
	}
	return ""
}
