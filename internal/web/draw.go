package web

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/waterfall"
)

// A picture is an SVG without a style of its own: its classes are the page's. It
// says nothing that does not stand beside it in words, and is hidden from those who
// listen.
type picture struct {
	paths map[string]*strings.Builder // by class
	order []string
}

// rect adds a rectangle to those of a class.
func (p *picture) rect(class string, x, y, width, height int) {
	path := p.paths[class]
	if path == nil {
		if p.paths == nil {
			p.paths = make(map[string]*strings.Builder)
		}
		path = new(strings.Builder)
		p.paths[class] = path
		p.order = append(p.order, class)
	}
	fmt.Fprintf(path, "M%d %dh%dv%dh-%dz", x, y, width, height, width)
}

// svg returns the picture; over are elements above it. All classes are ours.
func (p *picture) svg(class string, width, height int, over string) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="%s" viewBox="0 0 %d %d" preserveAspectRatio="none" aria-hidden="true">`, class, width, height)
	for _, c := range p.order {
		fmt.Fprintf(&b, `<path class="%s" d="%s"/>`, c, p.paths[c])
	}
	b.WriteString(over + "</svg>")
	return template.HTML(b.String())
}

const (
	barWidth = 3 // with the gap after it
	// barUp is the height of a bar of known time, barHigh that of the picture: what
	// was down stands out, also for who cannot tell its color.
	barUp, barHigh = 120, 160
	barLeast       = 30 // the least height of what must be seen
)

// drawBars draws how the steps of a time were spent.
func drawBars(bars []incident.Share) template.HTML {
	var p picture
	var over strings.Builder
	for i, s := range bars {
		x, whole := i*barWidth, max(s.To.Sub(s.From), 1)
		scaled := func(d time.Duration) int {
			if d <= 0 {
				return 0
			}
			return max(int(d*barUp/whole), 1)
		}
		known := scaled(s.Up + s.Degraded + s.Down)
		if known == 0 {
			p.rect("unknown", x, barHigh-10, barWidth-1, 10)
			continue
		}
		down, degraded := scaled(s.Down), scaled(s.Degraded)
		if down > 0 {
			down = max(down, barLeast)
		}
		if degraded > 0 {
			degraded = max(degraded, barLeast)
		}
		up := max(known-down-degraded, 0)
		y := barHigh - up
		if up > 0 {
			p.rect("up", x, y, barWidth-1, up)
		}
		if degraded > 0 {
			y -= degraded
			p.rect("degraded", x, y, barWidth-1, degraded)
		}
		if down > 0 {
			p.rect("down", x, 0, barWidth-1, y)
		}
		if down+degraded > 0 {
			fmt.Fprintf(&over, `<rect class="over" x="%d" width="%d" height="%d"><title>%s to %s UTC: %s</title></rect>`,
				x, barWidth, barHigh, s.From.UTC().Format("2006-01-02 15:04"), s.To.UTC().Format("2006-01-02 15:04"), spent(s))
		}
	}
	return p.svg("bars", len(bars)*barWidth-1, barHigh, over.String())
}

// shownRuns is how many durations of a pair are drawn.
const shownRuns = 100

// split parts the last runs of a pair, as far as they are kept, from its failures
// before them.
func split(history []probe.RunSummary) (last, before []probe.RunSummary) {
	n := min(len(history), shownRuns)
	for n > 0 && history[0].Nth-history[n-1].Nth >= shownRuns {
		n--
	}
	return history[:n], history[n:]
}

// durationsView are the durations of a pair's last runs.
type durationsView struct {
	Picture template.HTML
	Runs    string // how many, in words
	Said    string // the rest in words, with what separates it from that
}

// newDurations draws the last runs, which come newest first; what is beyond shownRuns
// is left out.
func newDurations(history []probe.RunSummary) durationsView {
	runs, _ := split(history)
	var passed []time.Duration
	failed, skipped := 0, 0
	for i := range runs {
		r := &runs[i]
		switch r.Verdict.Outcome {
		case probe.OutcomeSuccess:
			passed = append(passed, r.Duration)
		case probe.OutcomeFailure:
			failed++
		default:
			skipped++
		}
	}
	if len(runs) == 0 {
		return durationsView{}
	}
	slices.Sort(passed)
	var said strings.Builder
	longest := time.Duration(1)
	if n := len(passed); n > 0 {
		longest = max(passed[n-1], 1)
		fmt.Fprintf(&said, ", median %s, longest %s", took(passed[n/2]), took(longest))
	}
	if failed > 0 {
		fmt.Fprintf(&said, ", %d failed", failed)
	}
	if skipped > 0 {
		fmt.Fprintf(&said, ", %d skipped", skipped)
	}
	var p picture
	for i := range runs {
		r := &runs[i]
		x := (shownRuns - 1 - i) * barWidth
		switch r.Verdict.Outcome {
		case probe.OutcomeSuccess:
			height := max(int(float64(r.Duration)/float64(longest)*barUp), 4)
			p.rect("up", x, barHigh-height, barWidth-1, height)
		case probe.OutcomeFailure:
			p.rect("down", x, 0, barWidth-1, barHigh)
		default:
			p.rect("degraded", x, barHigh-barLeast, barWidth-1, barLeast)
		}
	}
	return durationsView{p.svg("bars", shownRuns*barWidth-1, barHigh, ""), plural(len(runs), "run"), said.String()}
}

const (
	smallWidth = 1000
	smallRow   = 8 // with the gap after it
)

// drawSmall draws the waterfall of a run so that it fits a cell: a row for each kind
// of step, with its calls in it. Retried is how many of these were no success before
// they were made again.
func drawSmall(r *probe.Result) (drawn template.HTML, retried int) {
	rows := waterfall.Rows(r)
	total := max(r.Duration, 1)
	for i := range rows {
		total = max(total, rows[i].Start+rows[i].Duration)
	}
	var p picture
	lines := make(map[string]int)
	line := 0
	bar := func(class string, start, duration time.Duration, inset int) {
		x := int(float64(start) / float64(total) * smallWidth)
		width := min(max(int(float64(duration)/float64(total)*smallWidth), 4), smallWidth)
		x = min(max(x, 0), smallWidth-width)
		p.rect(class, x, line*smallRow+inset, width, smallRow-2-2*inset)
	}
	for i := range rows { // steps are beneath all calls
		if row := &rows[i]; row.Kind == waterfall.KindStep {
			line = place(lines, row.Name)
			class := "step"
			if row.Bad {
				class = "failed"
			}
			bar(class, row.Start, row.Duration, 0)
		}
	}
	line = 0
	for i := range rows {
		row := &rows[i]
		switch row.Kind {
		case waterfall.KindStep:
			line = lines[row.Name]
		case waterfall.KindCall:
			if len(lines) == 0 {
				line = place(lines, "")
			}
			switch {
			case row.Bad:
				bar("failed", row.Start, row.Duration, 0)
				continue
			case row.Retried:
				retried++
				bar("retried", row.Start, row.Duration, 0)
				continue
			}
			for _, s := range row.Segments {
				bar(string(s.Phase), s.Start, s.Duration, 1)
			}
		case waterfall.KindVisits: // the step of the validation has them
		}
	}
	if len(lines) == 0 {
		return "", 0
	}
	return p.svg(fmt.Sprintf("small rows%d", min(len(lines), 12)), smallWidth, len(lines)*smallRow-2, ""), retried
}

// place returns the line of a name, which is a new one for a new name.
func place(lines map[string]int, name string) int {
	line, ok := lines[name]
	if !ok {
		line = len(lines)
		lines[name] = line
	}
	return line
}
