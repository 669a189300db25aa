package waterfall

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TextOptions say how a waterfall is drawn as text.
type TextOptions struct {
	// Width of a line in columns; 0: 80. Less than 60 is drawn as 60.
	Width int
	// Color adds ANSI colors. The drawing can be read without them.
	Color bool
	// URLs shows the method and URL of each call.
	URLs bool
}

// The widths of the columns; the bar takes the rest.
const (
	defaultWidth = 80
	minWidth     = 60
	nameWidth    = 18
	statusWidth  = 6
	timeWidth    = 9
	labelWidth   = 15 // of a fact
)

// glyphs draw the phases so that they differ without color.
var glyphs = map[Phase]rune{PhaseDNS: '░', PhaseConnect: '▒', PhaseTLS: '▓', PhaseAnswer: '█', PhaseBody: '▄'}

const (
	stepGlyph  = '─'
	visitGlyph = '▼'
)

// ANSI sequences (SGR).
const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

var phaseColors = map[Phase]string{PhaseDNS: "36", PhaseConnect: "33", PhaseTLS: "35", PhaseAnswer: "34", PhaseBody: "94"}

// Text draws r: a header, a row for each step and call with a bar on a common
// time axis, facts, and the verdict's sentence at the end. It fails only if w does.
func Text(w io.Writer, r *probe.Result, o TextOptions) error {
	if o.Width == 0 {
		o.Width = defaultWidth
	}
	o.Width = max(o.Width, minWidth)
	rows := Rows(r)
	p := &printer{
		w: bufio.NewWriter(w), o: o,
		span: span(r, rows),
		bar:  o.Width - nameWidth - statusWidth - timeWidth - 3,
	}
	p.header(r)
	for i := range rows {
		p.row(&rows[i])
	}
	p.legend(rows)
	p.facts(facts(r))
	p.verdict(r)
	return p.w.Flush()
}

// printer draws one Result. The writer keeps the first error for its Flush.
type printer struct {
	w    *bufio.Writer
	o    TextOptions
	span time.Duration // the time that a bar covers
	bar  int           // the bar's width in columns
}

// paint puts s in a color, if colors are wanted.
func (p *printer) paint(sgr, s string) string {
	if !p.o.Color || strings.TrimSpace(s) == "" {
		return s
	}
	return "\x1b[" + sgr + "m" + s + "\x1b[0m"
}

// line writes one line without spaces at its end.
func (p *printer) line(s string) {
	fmt.Fprintln(p.w, strings.TrimRight(s, " "))
}

func (p *printer) header(r *probe.Result) {
	p.wrapped(0, fmt.Sprintf("%s: %s, %s", clean(r.String()), what(r), trigger(r.Trigger)), bold)
	p.wrapped(0, r.Start.UTC().Format("2006-01-02 15:04:05.000 MST")+", run "+clean(r.ID), faint)
	fmt.Fprintln(p.w)
	scale := milliseconds(p.span) + " ms"
	axis := "0" + strings.Repeat(" ", max(1, p.bar-1-len(scale))) + scale
	p.line(p.columns("", "", p.paint(faint, axis), p.paint(faint, fmt.Sprintf("%*s", timeWidth, "ms"))))
}

// columns joins the four columns of a row; bar and took are as wide as they are.
func (p *printer) columns(name, status, bar, took string) string {
	return pad(name, nameWidth) + " " + pad(status, statusWidth) + " " + bar + " " + took
}

func (p *printer) row(row *Row) {
	name, took := row.Name, fmt.Sprintf("%*s", timeWidth, milliseconds(row.Duration))
	if row.Kind != KindStep {
		name = "  " + name
	}
	name, status := pad(cut(name, nameWidth), nameWidth), pad(cut(row.Status, statusWidth), statusWidth)
	switch {
	case row.Bad:
		status = p.paint(red, status)
	case row.Retried:
		status = p.paint(yellow, status)
	case row.Kind != KindVisits:
		status = p.paint(green, status)
	}
	if row.Kind == KindStep {
		name, took = p.paint(bold, name), p.paint(bold, took)
	}
	p.line(name + " " + status + " " + p.drawing(row) + " " + took)
	p.wrapped(4, opening(row), faint)
	for _, n := range row.Notes {
		sgr := faint
		if n.Bad {
			sgr = red
		}
		p.wrapped(4, n.Text, sgr)
	}
	if p.o.URLs && row.URL != "" {
		p.wrapped(4, row.Method+" "+row.URL, faint)
	}
}

// opening tells the phases of the connection that a call opened, which are
// often too short to be seen in the bar, and what it is like; "": none.
func opening(row *Row) string {
	var words []string
	for _, s := range row.Segments {
		if s.Phase != PhaseAnswer && s.Phase != PhaseBody {
			words = append(words, string(s.Phase)+" "+milliseconds(s.Duration))
		}
	}
	if len(words) == 0 {
		return row.Opened
	}
	text := strings.Join(words, ", ") + " ms"
	if row.Opened != "" {
		text += "; " + row.Opened
	}
	return text
}

// drawing is the bar of a row on the common time axis.
func (p *printer) drawing(row *Row) string {
	cells := make([]rune, p.bar)
	sgr := make([]string, p.bar)
	for i := range cells {
		cells[i] = ' '
	}
	switch row.Kind {
	case KindStep:
		first, last := p.cells(row.Start, row.Start+row.Duration)
		for i := first; i <= last; i++ {
			cells[i], sgr[i] = stepGlyph, faint
		}
	case KindVisits:
		for _, at := range row.Marks {
			i, _ := p.cells(at, at)
			cells[i] = visitGlyph
		}
	case KindCall:
		first, last := p.cells(row.Start, row.Start+row.Duration)
		for i := first; i <= last && len(row.Segments) > 0; i++ {
			if phase := p.most(row.Segments, i); phase != "" {
				cells[i], sgr[i] = glyphs[phase], phaseColors[phase]
			}
		}
	}
	var b strings.Builder
	for i := 0; i < len(cells); {
		end := i + 1
		for end < len(cells) && cells[end] == cells[i] && sgr[end] == sgr[i] {
			end++
		}
		b.WriteString(p.paint(sgr[i], string(cells[i:end])))
		i = end
	}
	return b.String()
}

// cells returns the first and last cell that an interval touches; at least one.
func (p *printer) cells(start, end time.Duration) (first, last int) {
	cell := func(t time.Duration) int {
		return min(max(int(int64(float64(t)/float64(p.span)*float64(p.bar))), 0), p.bar-1)
	}
	first = cell(start)
	return first, max(first, cell(max(end-1, start)))
}

// most returns the phase that covers most of a cell; "": none touches it.
func (p *printer) most(segments []Segment, cell int) Phase {
	width := float64(p.span) / float64(p.bar)
	from, to := float64(cell)*width, float64(cell+1)*width
	var found Phase
	longest := 0.0
	for _, s := range segments {
		if covered := min(to, float64(s.End())) - max(from, float64(s.Start)); covered > longest {
			found, longest = s.Phase, covered
		}
	}
	return found
}

// legend explains the glyphs that the rows use.
func (p *printer) legend(rows []Row) {
	var words []string
	for _, phase := range used(rows) {
		words = append(words, p.paint(phaseColors[phase], string(glyphs[phase]))+" "+string(phase))
	}
	if slices.ContainsFunc(rows, func(r Row) bool { return len(r.Marks) > 0 }) {
		words = append(words, string(visitGlyph)+" validator")
	}
	if len(words) > 0 {
		fmt.Fprintln(p.w)
		p.line(strings.Join(words, "  "))
	}
}

func (p *printer) facts(facts []Fact) {
	if len(facts) > 0 {
		fmt.Fprintln(p.w)
	}
	for _, f := range facts {
		for i, l := range wrap(f.Value, p.o.Width-labelWidth-2) {
			label := ""
			if i == 0 {
				label = f.Label
			}
			if f.Bad {
				l = p.paint(red, l)
			}
			p.line(pad(label, labelWidth) + "  " + l)
		}
	}
}

func (p *printer) verdict(r *probe.Result) {
	fmt.Fprintln(p.w)
	sgr := bold
	switch r.Verdict.Outcome {
	case probe.OutcomeSuccess:
		sgr = bold + ";" + green
	case probe.OutcomeFailure:
		sgr = bold + ";" + red
	}
	p.wrapped(0, verdict(r.Verdict), sgr)
	if r.Verdict.Summary != "" {
		p.wrapped(0, clean(r.Verdict.Summary), "")
	}
}

// wrapped writes s in as many lines as it needs, all of them indented.
func (p *printer) wrapped(indent int, s, sgr string) {
	for _, l := range wrap(s, p.o.Width-indent) {
		if sgr != "" {
			l = p.paint(sgr, l)
		}
		p.line(strings.Repeat(" ", indent) + l)
	}
}

// wrap breaks s at spaces into lines of at most width runes; a longer word is
// broken where it must be.
func wrap(s string, width int) []string {
	var lines []string
	line, used := "", 0
	for word := range strings.FieldsSeq(s) {
		n := utf8.RuneCountInString(word)
		if used > 0 && used+1+n > width {
			lines = append(lines, line)
			line, used = "", 0
		}
		for n > width {
			runes := []rune(word)
			lines = append(lines, string(runes[:width]))
			word = string(runes[width:])
			n = len(runes) - width
		}
		if used > 0 {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+n
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// pad fills s with spaces to width runes.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// cut shortens s to width runes.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}
