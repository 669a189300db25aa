package waterfall

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

//go:embed waterfall.html
var page string

//go:embed waterfall.css
var style string

var bodyTemplate = template.Must(template.New("waterfall").Parse(page))

// Fragment is a waterfall for a page. Style belongs into the page's one style
// element, Body where the waterfall is to be. There is no style attribute in
// Body, so that a Content-Security-Policy may name the style's hash and forbid
// the rest.
type Fragment struct {
	Style template.CSS
	Body  template.HTML
}

// HTML draws r: the rows as a table whose bars share a time axis, the facts,
// and the verdict. What the bars show is there as text too.
func HTML(r *probe.Result) (Fragment, error) {
	style, bodies, err := Several(r)
	if err != nil {
		return Fragment{}, err
	}
	return Fragment{Style: style, Body: bodies[0]}, nil
}

// Several draws runs for one page: what HTML draws of each, and one style for all.
func Several(runs ...*probe.Result) (template.CSS, []template.HTML, error) {
	var d drawing
	d.rules.WriteString(style)
	var bodies []template.HTML
	for _, r := range runs {
		body, err := d.draw(r)
		if err != nil {
			return "", nil, err
		}
		bodies = append(bodies, body)
	}
	// The rules hold classes and numbers made here, and no word of the CA's.
	return template.CSS(d.rules.String()), bodies, nil
}

// draw returns the waterfall of r, and adds its rules.
func (d *drawing) draw(r *probe.Result) (template.HTML, error) {
	rows := Rows(r)
	d.span = span(r, rows)
	view := view{
		Span:    milliseconds(d.span),
		Legend:  used(rows),
		Facts:   facts(r),
		Outcome: string(r.Verdict.Outcome),
		Verdict: verdict(r.Verdict),
		Summary: clean(r.Verdict.Summary),
	}
	for i := range rows {
		view.Rows = append(view.Rows, d.row(&rows[i]))
	}
	var b bytes.Buffer
	if err := bodyTemplate.Execute(&b, view); err != nil {
		return "", fmt.Errorf("draw run %q: %w", r.ID, err)
	}
	return template.HTML(b.String()), nil
}

// view is what the template needs.
type view struct {
	Span, Outcome, Verdict, Summary string
	Legend                          []Phase
	Rows                            []rowView
	Facts                           []Fact
}

type rowView struct {
	Row
	Took string // milliseconds
	Bars []barView
	// Phases says in words what the bars show.
	Phases string
}

// barView is a bar: its look and its place, both as classes.
type barView struct{ Look, Place string }

// drawing makes a class for the place of each bar.
type drawing struct {
	span  time.Duration // of the run that is drawn
	bars  int           // of all runs
	rules strings.Builder
}

// place returns the class of a bar that covers an interval.
func (d *drawing) place(start, duration time.Duration) string {
	d.bars++
	class := fmt.Sprintf("w%d", d.bars)
	percent := func(t time.Duration) float64 { return min(max(float64(t)/float64(d.span)*100, 0), 100) }
	left := percent(start)
	// What happens at the very end has its least width before the edge.
	fmt.Fprintf(&d.rules, ".wf .%s{left:min(%.3f%%,100%% - 3px);width:%.3f%%}\n", class, left, min(percent(duration), 100-left))
	return class
}

func (d *drawing) row(row *Row) rowView {
	v := rowView{Row: *row, Took: milliseconds(row.Duration)}
	switch row.Kind {
	case KindStep:
		v.Bars = []barView{{"step", d.place(row.Start, row.Duration)}}
	case KindVisits:
		for _, at := range row.Marks {
			v.Bars = append(v.Bars, barView{"visit", d.place(at, 0)})
		}
	case KindCall:
		var words []string
		for _, s := range row.Segments {
			v.Bars = append(v.Bars, barView{string(s.Phase), d.place(s.Start, s.Duration)})
			words = append(words, string(s.Phase)+" "+milliseconds(s.Duration))
		}
		v.Phases = strings.Join(words, " · ")
	}
	return v
}
