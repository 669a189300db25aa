package report

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Text writes the report as plain text in UTF-8, for a terminal or a mail.
func Text(w io.Writer, r *Report) error {
	return write(w, r, func(w io.Writer) document { return plain{w} })
}

// Markdown writes the report in GitHub's form of Markdown.
func Markdown(w io.Writer, r *Report) error {
	return write(w, r, func(w io.Writer) document { return markdown{w} })
}

// write writes the report to a document on w.
func write(w io.Writer, r *Report, to func(io.Writer) document) error {
	var out bytes.Buffer
	t := textMaker{document: to(&out), r: r, zone: r.Location()}
	t.report()
	_, err := w.Write(out.Bytes())
	return err
}

// textMaker puts a report into words.
type textMaker struct {
	document
	r    *Report
	zone *time.Location
}

func (t textMaker) report() {
	p := t.r.Period
	title := "ACME report"
	if p.Week != "" {
		title += ", week " + p.Week
	}
	t.heading(1, title)
	t.paragraph(fmt.Sprintf("From %s to %s (%s).", t.moment(p.Since), t.moment(p.Until), p.Timezone))
	if len(t.r.Missing) > 0 {
		t.heading(3, "What is missing")
		t.missing()
	}
	t.heading(3, "Targets")
	t.overview()
	for i := range t.r.Targets {
		t.target(&t.r.Targets[i])
	}
	t.heading(2, "How the numbers are made")
	notes := make([]string, len(t.r.Accounting))
	for i, n := range t.r.Accounting {
		notes[i] = n.Of + ": " + n.Text
	}
	t.list(notes)
	s := t.r.Sources
	from := []string{s.Prometheus}
	for _, e := range s.Exporters {
		if e.Error == "" {
			from = append(from, e.URL)
		}
	}
	t.paragraph(fmt.Sprintf("From %s. Made by %s at %s.", strings.Join(from, ", "), t.r.Generator, t.r.Created.In(t.zone).Format("2006-01-02 15:04:05 MST")))
}

func (t textMaker) missing() {
	var items []string
	for _, m := range t.r.Missing {
		const most = 10
		var when []string
		for _, s := range m.Spans[:min(len(m.Spans), most)] {
			when = append(when, t.span(s))
		}
		if more := len(m.Spans) - most; more > 0 {
			when = append(when, fmt.Sprintf("and %d more", more))
		}
		text := m.Text
		if len(when) > 0 {
			text += " When: " + strings.Join(when, ", ")
		}
		items = append(items, text)
	}
	t.list(items)
}

func (t textMaker) overview() {
	if len(t.r.Targets) == 0 {
		t.paragraph("There is none.")
		return
	}
	rows := [][]string{{"target", "environment", "availability", "before", "down", "not known", "reachability", "before", "runs", "incidents"}}
	for i := range t.r.Targets {
		x := &t.r.Targets[i]
		before, reachedBefore := "–", "–"
		if x.Before != nil {
			before = percent(x.Before.Share())
		}
		if x.RunsBefore != nil {
			reachedBefore = percent(x.RunsBefore.Reachability())
		}
		rows = append(rows, []string{
			x.Target, x.Environment, percent(x.Availability.Share()), before, downSaid(x.Availability), lasted(x.Availability.Unknown),
			percent(x.Runs.Reachability()), reachedBefore, thousands(x.Runs.Success + x.Runs.Failed()), fmt.Sprint(len(x.Incidents)),
		})
	}
	t.table(2, rows)
}

func (t textMaker) target(x *Target) {
	t.heading(2, strings.TrimSuffix(x.Target+" ("+x.Environment+")", " ()"))
	items := []string{"Runs: " + runsText(x.Runs) + "."}
	if c := x.Certificates; c != nil {
		items = append(items, certificatesText(c))
	}
	if s := x.Slowest; s != nil {
		items = append(items, fmt.Sprintf("Slowest location: %s, whose median %s takes %s; that of the others %s.", named(s.Location), s.Measure, quantileSaid(s.P50), took(s.Others)))
	}
	if l := x.Latency; l != nil && len(l.Points) > 0 {
		fastest := slices.MinFunc(l.Points, func(a, b Point) int { return int(a.P50 - b.P50) })
		slowest := slices.MaxFunc(l.Points, func(a, b Point) int { return int(a.P50 - b.P50) })
		items = append(items, fmt.Sprintf("Medians of about %d runs each (%s): between %s (%s) and %s (%s).", leastRuns, l.Prober,
			took(fastest.P50), t.moment(fastest.Middle()), took(slowest.P50), t.moment(slowest.Middle())))
	}
	t.list(items)
	t.incidents(x)
	t.heading(3, "Locations")
	t.locations(x)
	t.measures("Steps", x.Steps)
	t.measures("Calls", x.Calls)
	t.changes(x)
	t.budget(x)
}

func (t textMaker) incidents(x *Target) {
	t.heading(3, "Incidents")
	if len(x.Incidents) == 0 {
		t.paragraph("There is none.")
		return
	}
	rows := [][]string{{"start", "end", "duration", "uncertainty", "condition", "locations", "stage", "reason", "fault", "before the CA said so"}}
	for _, i := range x.Incidents {
		end, uncertainty, lead := "goes on", "–", "–"
		if at, over := i.until(t.r.Created); over {
			end = t.instant(at)
		} else if !at.IsZero() {
			end = "went on at " + t.instant(at)
		}
		if i.Uncertainty != nil {
			uncertainty = lasted(*i.Uncertainty)
		}
		if i.Official != nil {
			lead = lasted(i.Official.Lead.Abs())
			if i.Official.Lead < 0 {
				lead = lasted(i.Official.Lead.Abs()) + " after"
			}
		}
		condition := i.Condition
		if !i.Majority {
			condition += ", to a minority"
		}
		rows = append(rows, []string{t.instant(i.Start), end, lasted(i.Duration), uncertainty, condition, namesSaid(i.Locations), i.Stage, i.Reason, i.Fault, lead})
	}
	t.table(99, rows)
}

func (t textMaker) locations(x *Target) {
	rows := [][]string{{"location", "availability", "before", "down", "not known", "reachability", "runs"}}
	for _, l := range x.Locations {
		before := "–"
		if l.Before != nil {
			before = percent(l.Before.Share())
		}
		rows = append(rows, []string{
			named(l.Location), percent(l.Availability.Share()), before, downSaid(l.Availability), lasted(l.Availability.Unknown),
			percent(l.Runs.Reachability()), thousands(l.Runs.Success + l.Runs.Failed()),
		})
	}
	t.table(1, rows)
}

func (t textMaker) measures(title string, list []Measure) {
	if len(list) == 0 {
		return
	}
	t.heading(3, title)
	rows := [][]string{{"", "location", "count", "p50", "change", "p95", "change", "p99", "change"}}
	row := func(name, location string, q Quantiles, before *Quantiles) {
		cells := []string{name, location, thousands(q.Count)}
		for _, pick := range []func(Quantiles) Quantile{func(q Quantiles) Quantile { return q.P50 }, func(q Quantiles) Quantile { return q.P95 }, func(q Quantiles) Quantile { return q.P99 }} {
			change := "–"
			if before != nil {
				change = changeText(pick(q), pick(*before))
			}
			cells = append(cells, quantileSaid(pick(q)), change)
		}
		rows = append(rows, cells)
	}
	for _, m := range list {
		row(m.Name, "all", m.All, m.Before)
		for _, l := range m.Locations {
			row("", named(l.Location), l.Quantiles, l.Before)
		}
	}
	t.table(2, rows)
}

func (t textMaker) changes(x *Target) {
	if len(x.Changes) == 0 {
		return
	}
	t.heading(3, "Changes of the directory and the terms of service")
	var items []string
	for _, c := range x.Changes {
		what := c.notTold()
		if len(c.Fields) > 0 {
			var fields []string
			for _, f := range c.Fields {
				fields = append(fields, f.name()+": "+f.what())
			}
			what = strings.Join(fields, "; ")
		}
		items = append(items, fmt.Sprintf("%s, seen at %s: %s", t.instant(c.At), namesSaid(c.Locations), what))
	}
	t.list(items)
}

func (t textMaker) budget(x *Target) {
	if len(x.Budget) == 0 {
		return
	}
	t.heading(3, "Budget of the CA's rate limits")
	rows := [][]string{{"limit", "location", "left", "least", "of", "refused by the CA"}}
	for _, b := range x.Budget {
		of := "–"
		if b.Capacity > 0 {
			of = tokens(&b.Capacity)
		}
		rows = append(rows, []string{b.Limit, named(b.Location), tokens(b.Remaining), tokens(b.Lowest), of, thousands(b.Limited)})
	}
	t.table(2, rows)
}

func (t textMaker) moment(at time.Time) string  { return wall(at, t.zone, "Mon 2006-01-02 15:04") }
func (t textMaker) instant(at time.Time) string { return wall(at, t.zone, "Mon 2006-01-02 15:04:05") }

func (t textMaker) span(s Span) string {
	return fmt.Sprintf("%s to %s (%s)", t.moment(s.Start), t.moment(s.End), lasted(s.Duration()))
}

// runsText counts runs.
func runsText(r Runs) string {
	text := thousands(r.Success) + " succeeded, " + thousands(r.Failed()) + " failed"
	var faults []string
	for _, fault := range slices.Sorted(maps.Keys(r.Failures)) {
		faults = append(faults, fault+" "+thousands(r.Failures[fault]))
	}
	if len(faults) > 0 {
		text += " (" + strings.Join(faults, ", ") + ")"
	}
	return text + ", " + thousands(r.Skipped) + " skipped"
}

func certificatesText(c *Certificates) string {
	words := []string{"Certificates: " + thousands(c.Issued)}
	if c.Before != nil {
		words = append(words, "before "+thousands(*c.Before))
	}
	for _, check := range slices.Sorted(maps.Keys(c.CheckFailures)) {
		words = append(words, thousands(c.CheckFailures[check])+" failed the check "+check)
	}
	return strings.Join(words, ", ") + "."
}

// changeText is a change in percent, with a tilde where it is not certain.
func changeText(now, before Quantile) string {
	ratio, sure, ok := now.Change(before)
	if !ok {
		return "–"
	}
	text := fmt.Sprintf("%+.0f %%", ratio*100)
	if !sure {
		return "~ " + text
	}
	return text
}
