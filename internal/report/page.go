package report

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/drawing"
)

// pageView is what the page shows. All that comes from outside is cleaned in it.
type pageView struct {
	Title, Since, Until, Timezone string
	Compared                      string // empty: with nothing
	Style                         template.CSS
	Mail                          bool
	Missing                       []missingView
	Targets                       []*targetView
	Accounting                    []Note
	Created, Generator, Sources   string
}

type missingView struct{ Text, When string }

// value is a number in words, and what it was before or what else there is to say.
type value struct{ Value, Class, Before, More string }

type targetView struct {
	Number            int
	Name, Environment string
	Availability      value
	Spent, Down       string
	Reachability      value
	Runs              value
	Failures          string
	Certificates      value
	Slowest           *value
	Latency           *latencyView
	Heat              *heatView
	IncidentCount     int
	Incidents         []incidentView
	IncidentsFrom     string
	Measures          []measuresView
	Locations         []locationView
	Changes           []changeView
	Budget            []budgetView
}

type latencyView struct {
	Of              string
	Chart           template.HTML
	Outages, Silent bool
	Said            string
	Gaps            []string
}

type heatView struct {
	Chart template.HTML
	Said  string
	Hours []string // those that were not up all the time
}

type incidentView struct {
	Condition, Module, Summary string
	Start, End, Duration       string
	Uncertainty                string
	Locations, Votes           string
	Stage, Reason, Fault       string
	Lead                       string
	Official                   *officialView
}

type officialView struct{ Name, URL string }

type measuresView struct {
	Title, Of       string
	Rows, Locations []rowView
}

type rowView struct {
	Name, Location, Count string
	Quantiles             []quantileView
}

type quantileView struct{ Name, Value, Change, Class string }

type locationView struct {
	Name         string
	Availability value
	Down         string
	Reachability value
	Runs         value
	Failures     string
	Silent       string
}

type changeView struct {
	At, Locations string
	Fields        []fieldView
	NotTold       string // where there are no fields
}

type fieldView struct{ Name, What string }

type budgetView struct{ Limit, Location, Left, Lowest, Limited string }

// pageMaker makes the view of a report.
type pageMaker struct {
	r    *Report
	zone *time.Location
	show chart
}

func newPage(r *Report, show chart) (*pageView, error) {
	m := &pageMaker{r: r, zone: r.Location(), show: show}
	v := &pageView{
		Title: clean(titleOf(r)), Since: m.moment(r.Period.Since), Until: m.moment(r.Period.Until), Timezone: clean(r.Period.Timezone),
		Compared: periodSaid(r.Before), Created: m.instant(r.Created), Generator: clean(r.Generator), Sources: m.sources(),
	}
	for _, missing := range r.Missing {
		v.Missing = append(v.Missing, missingView{Text: clean(missing.Text), When: m.spans(missing.Spans)})
	}
	for _, note := range r.Accounting {
		v.Accounting = append(v.Accounting, Note{Of: clean(note.Of), Text: clean(note.Text)})
	}
	for i := range r.Targets {
		t, err := m.target(i+1, &r.Targets[i])
		if err != nil {
			return nil, err
		}
		v.Targets = append(v.Targets, t)
	}
	return v, nil
}

// titleOf is the report's title: which period, of what.
func titleOf(r *Report) string {
	if said := periodSaid(r.Period); said != "" {
		return "Certificate authorities, " + said
	}
	return "Certificate authorities"
}

// periodSaid names a period for people; empty: it is none.
func periodSaid(p Period) string {
	if p.Since.IsZero() || p.Until.IsZero() {
		return ""
	}
	if year, week, ok := strings.Cut(p.Week, "-W"); ok {
		return "week " + strings.TrimPrefix(week, "0") + " of " + year
	}
	return p.Since.Format("2 Jan 2006 15:04") + " to " + p.Until.Format("2 Jan 2006 15:04")
}

func (m *pageMaker) target(number int, t *Target) (*targetView, error) {
	v := &targetView{
		Number: number, Name: clean(t.Target), Environment: clean(t.Environment),
		Availability: availabilityOf(t.Availability, t.Before), Spent: spentSaid(t.Availability), Down: downSaid(t.Availability),
		Reachability: reachabilityOf(t.Runs, t.RunsBefore), Runs: runsOf(t.Runs, t.RunsBefore), Failures: failuresSaid(t.Runs),
		IncidentCount: len(t.Incidents), IncidentsFrom: incidentsFrom[t.IncidentsFrom],
	}
	if c := t.Certificates; c != nil {
		v.Certificates = value{Value: thousands(c.Issued), More: checksSaid(c)}
		if c.Before != nil {
			v.Certificates.Before = "before: " + thousands(*c.Before)
		}
	}
	if s := t.Slowest; s != nil {
		v.Slowest = &value{Value: named(s.Location), More: fmt.Sprintf("%s: median %s, elsewhere %s", clean(s.Measure), quantileSaid(s.P50), took(s.Others))}
	}
	if err := m.charts(v, t); err != nil {
		return nil, err
	}
	for i := range t.Incidents {
		v.Incidents = append(v.Incidents, m.incident(&t.Incidents[i], len(t.Locations)))
	}
	for _, all := range []struct {
		title, of string
		list      []Measure
	}{{"Steps", "Step", t.Steps}, {"API calls", "Call", t.Calls}} {
		if len(all.list) > 0 {
			v.Measures = append(v.Measures, measuresOf(all.title, all.of, all.list))
		}
	}
	for _, l := range t.Locations {
		v.Locations = append(v.Locations, locationView{
			Name: named(l.Location), Availability: availabilityOf(l.Availability, l.Before), Down: downSaid(l.Availability),
			Reachability: reachabilityOf(l.Runs, nil), Runs: runsOf(l.Runs, nil), Failures: failuresSaid(l.Runs), Silent: m.spans(l.Silent),
		})
	}
	for _, c := range t.Changes {
		change := changeView{At: m.moment(c.At), Locations: namesSaid(c.Locations), NotTold: c.notTold()}
		for _, f := range c.Fields {
			change.Fields = append(change.Fields, fieldView{f.name(), f.what()})
		}
		v.Changes = append(v.Changes, change)
	}
	for _, b := range t.Budget {
		left := tokens(b.Remaining)
		if b.Capacity > 0 {
			left += " of " + tokens(&b.Capacity)
		}
		one := budgetView{Limit: clean(b.Limit), Location: named(b.Location), Left: left, Lowest: tokens(b.Lowest)}
		if b.Limited > 0 {
			one.Limited = plural(b.Limited, "run")
		}
		v.Budget = append(v.Budget, one)
	}
	return v, nil
}

// charts adds what is drawn of a target.
func (m *pageMaker) charts(v *targetView, t *Target) error {
	if l := t.Latency; drawLatency(l, m.r.Period, m.zone, mailChart) != nil {
		shown, err := m.show(fmt.Sprintf("latency-%d", v.Number), func(width float64) *drawing.Picture {
			return drawLatency(l, m.r.Period, m.zone, width)
		})
		if err != nil {
			return err
		}
		v.Latency = &latencyView{Of: prober[l.Prober], Chart: shown, Said: latencySaid(l)}
		if v.Latency.Of == "" {
			v.Latency.Of = clean(l.Prober)
		}
		for i, g := range l.Gaps {
			v.Latency.Outages = v.Latency.Outages || g.Kind == GapOutage
			v.Latency.Silent = v.Latency.Silent || g.Kind == GapMissing
			if i < maxSpans {
				v.Latency.Gaps = append(v.Latency.Gaps, gapSaid(g, m.zone))
			}
		}
		if more := len(l.Gaps) - maxSpans; more > 0 {
			v.Latency.Gaps = append(v.Latency.Gaps, fmt.Sprintf("and %d more", more))
		}
		if cut := cutSaid(l); cut != "" {
			v.Latency.Said += " " + cut
		}
	}
	if len(t.Heat) > 0 {
		shown, err := m.show(fmt.Sprintf("hours-%d", v.Number), func(width float64) *drawing.Picture {
			return drawHeat(t.Heat, m.zone, width)
		})
		if err != nil {
			return err
		}
		v.Heat = &heatView{Chart: shown, Said: heatSummary(t.Heat) + ".", Hours: m.badHours(t.Heat)}
	}
	return nil
}

// prober says what a run of a prober is.
var prober = map[string]string{
	"issue": "issuances", "validate": "validations", "order": "orders", "account": "account requests", "nonce": "nonces", "directory": "the directory",
}

// badHours are those that were not up all the time. Of several in a row that nobody
// knows anything about, there is one entry.
func (m *pageMaker) badHours(hours []Hour) []string {
	var list []string
	for i := 0; i < len(hours); i++ {
		h := hours[i]
		how := heatOf(h)
		if how == heatUp || how == heatFailures || how == heatPartly {
			continue
		}
		at := m.moment(h.Start)
		if how == heatUnknown {
			from := i
			for i+1 < len(hours) && heatOf(hours[i+1]) == heatUnknown {
				i++
			}
			list = append(list, fmt.Sprintf("%s: no data for %s", at, plural(int64(i-from+1), "hour")))
			continue
		}
		list = append(list, at+": "+heatSaid(h))
	}
	return list
}

func (m *pageMaker) incident(i *Incident, reporting int) incidentView {
	v := incidentView{
		Condition: clean(i.Condition), Module: clean(i.Module), Summary: clean(i.Summary),
		Start: m.instant(i.Start), End: "goes on", Duration: lasted(i.Duration), Locations: namesSaid(i.Locations),
		Stage: clean(i.Stage), Reason: clean(i.Reason), Fault: clean(i.Fault),
	}
	if at, over := i.until(m.r.Created); over {
		v.End = m.instant(at)
	} else if !at.IsZero() {
		v.End = "went on at " + m.instant(at)
	}
	if i.Uncertainty != nil {
		v.Uncertainty = "up to " + lasted(*i.Uncertainty) + " more"
	}
	if n := len(i.Locations); n == reporting && n > 1 {
		v.Locations = fmt.Sprintf("all %d", n)
	}
	if !i.Majority {
		v.Votes = "never the majority"
	}
	if i.Failures > 0 {
		failed := plural(i.Failures, "failed run")
		v.Votes = strings.TrimPrefix(v.Votes+", "+failed, ", ")
	}
	if o := i.Official; o != nil {
		switch {
		case o.Lead > 0:
			v.Lead = lasted(o.Lead) + " after us"
		case o.Lead < 0:
			v.Lead = lasted(-o.Lead) + " before us"
		default:
			v.Lead = "at the same time"
		}
		v.Official = &officialView{Name: cmp.Or(clean(o.Name), m.moment(o.Start))}
		if u, err := url.Parse(o.URL); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" {
			v.Official.URL = u.String()
		}
	}
	return v
}

func (m *pageMaker) sources() string {
	said := []string{clean(m.r.Sources.Prometheus)}
	for _, e := range m.r.Sources.Exporters {
		url := clean(e.URL)
		if e.Error != "" {
			url += " (did not answer)"
		}
		said = append(said, url)
	}
	return strings.Join(said, ", ")
}

func measuresOf(title, of string, list []Measure) measuresView {
	v := measuresView{Title: title, Of: of}
	for _, one := range list {
		v.Rows = append(v.Rows, rowOf(one.Name, "", one.All, one.Before))
		for _, l := range one.Locations {
			v.Locations = append(v.Locations, rowOf(one.Name, named(l.Location), l.Quantiles, l.Before))
		}
	}
	return v
}

func rowOf(name, location string, q Quantiles, before *Quantiles) rowView {
	row := rowView{Name: clean(name), Location: location, Count: thousands(q.Count)}
	if before == nil {
		before = &Quantiles{}
	}
	for _, one := range []struct {
		name        string
		now, before Quantile
	}{{"p50", q.P50, before.P50}, {"p95", q.P95, before.P95}, {"p99", q.P99, before.P99}} {
		change, class := changeSaid(one.now, one.before)
		row.Quantiles = append(row.Quantiles, quantileView{one.name, quantileSaid(one.now), change, class})
	}
	return row
}

// checksSaid says how many certificates failed which check.
func checksSaid(c *Certificates) string {
	var said []string
	for _, check := range slices.Sorted(maps.Keys(c.CheckFailures)) {
		said = append(said, thousands(c.CheckFailures[check])+" "+clean(check))
	}
	if len(said) == 0 {
		return "each passed all checks"
	}
	return "failed checks: " + strings.Join(said, ", ")
}
