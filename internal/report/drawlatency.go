package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/drawing"
)

const (
	fontSize = 12
	// latencyHeight is that of the chart, in pixels, and the margins are what is around
	// its plot.
	latencyHeight = 250
	marginLeft    = 42
	marginRight   = 6
	marginTop     = 24
	marginBottom  = 24
	// bandShown is how many times the longest median the axis has room for: a single
	// slow tenth must not press all else flat.
	bandShown = 3
)

// latencyChart draws the latency of a period, width pixels wide.
type latencyChart struct {
	*drawing.Picture
	l      *Latency
	period Period
	zone   *time.Location
	top    time.Duration // the upper end of the axis
	step   time.Duration // between its lines
}

// drawLatency draws the chart, or returns nil where there is nothing to draw.
func drawLatency(l *Latency, period Period, zone *time.Location, width float64) *drawing.Picture {
	if l == nil || len(l.Points) == 0 && len(l.Gaps) == 0 || period.Duration() <= 0 {
		return nil
	}
	c := &latencyChart{Picture: &drawing.Picture{Width: width, Height: latencyHeight, Label: "Latency over time. " + latencySaid(l)}, l: l, period: period, zone: zone}
	c.scale()
	c.gaps()
	c.axes()
	for _, points := range unbroken(l) {
		c.band(points)
		c.median(points)
	}
	c.names()
	return c.Picture
}

// latencySaid says in words what the chart shows.
func latencySaid(l *Latency) string {
	if len(l.Points) == 0 {
		return "Nothing was measured."
	}
	least, most := l.Points[0].P50, l.Points[0].P50
	for _, p := range l.Points {
		least, most = min(least, p.P50), max(most, p.P50)
	}
	return fmt.Sprintf("Medians from %s to %s.", took(least), took(most))
}

// scale chooses the axis of durations: from 0 to a round number.
func (c *latencyChart) scale() {
	var median, band time.Duration
	for _, p := range c.l.Points {
		median, band = max(median, p.P50), max(band, p.P90)
	}
	top := max(min(band, bandShown*median), time.Millisecond)
	c.step = roundStep(top / 4)
	c.top = (top + c.step - 1) / c.step * c.step
}

// roundStep is the least of 1, 2 and 5 times a power of ten that is not below d.
func roundStep(d time.Duration) time.Duration {
	power := math.Pow(10, math.Floor(math.Log10(float64(d))))
	for _, times := range []float64{1, 2, 5} {
		if step := time.Duration(times * power); step >= d {
			return step
		}
	}
	return time.Duration(10 * power)
}

// x is where a time is.
func (c *latencyChart) x(t time.Time) float64 {
	part := float64(t.Sub(c.period.Since)) / float64(c.period.Duration())
	return marginLeft + max(0, min(1, part))*(c.Width-marginLeft-marginRight)
}

// y is where a duration is; what is above the axis is at its upper end.
func (c *latencyChart) y(d time.Duration) float64 {
	part := float64(min(d, c.top)) / float64(c.top)
	return c.Height - marginBottom - part*(c.Height-marginTop-marginBottom)
}

// gaps marks the spans in which nothing is drawn.
func (c *latencyChart) gaps() {
	for _, g := range c.l.Gaps {
		from, to := c.x(g.Start), c.x(g.End)
		width := max(to-from, 2)
		surface, edge := drawing.Soft, drawing.Muted
		if g.Kind == GapOutage {
			surface, edge = drawing.Alarm, drawing.Bad
		}
		c.Rect(surface, from, marginTop, width, c.Height-marginTop-marginBottom, gapSaid(g, c.zone))
		c.Rect(edge, from, marginTop-4, width, 4, "")
		c.Line(edge, 1, drawing.Point{X: from, Y: marginTop}, drawing.Point{X: from, Y: c.Height - marginBottom})
		c.Line(edge, 1, drawing.Point{X: from + width, Y: marginTop}, drawing.Point{X: from + width, Y: c.Height - marginBottom})
	}
}

// names writes above the gaps what they are, where there is room.
func (c *latencyChart) names() {
	free := 0.0
	for _, g := range c.l.Gaps {
		name := "down " + lasted(g.Duration())
		ink := drawing.Bad
		if g.Kind == GapMissing {
			name, ink = "no data "+lasted(g.Duration()), drawing.Muted
		}
		half := float64(len(name)) * fontSize * .28 // about half of its width
		middle := (c.x(g.Start) + c.x(g.End)) / 2
		middle = max(half, min(c.Width-half, middle))
		if middle-half < free {
			continue
		}
		c.Write(ink, fontSize, middle, marginTop-9, drawing.Middle, name)
		free = middle + half + fontSize
	}
}

// axes draws the lines of durations and of times with their names.
func (c *latencyChart) axes() {
	for d := time.Duration(0); d <= c.top; d += c.step {
		y := c.y(d)
		c.Line(drawing.Rule, 1, drawing.Point{X: marginLeft, Y: y}, drawing.Point{X: c.Width - marginRight, Y: y})
		name := fmt.Sprint(d.Milliseconds(), " ms")
		if c.top >= time.Second {
			name = fmt.Sprint(d.Seconds(), " s")
		}
		c.Write(drawing.Muted, fontSize, marginLeft-6, y+4, drawing.End, name)
	}
	const least, roomy = 32, 50 // pixels between two names: for "Mon", for "Mon 2"
	ticks := timeTicks(c.period, c.zone, (c.Width-marginLeft-marginRight)/least)
	for i, tick := range ticks {
		x := c.x(tick.at)
		if x > marginLeft+1 {
			c.Line(drawing.Rule, 1, drawing.Point{X: x, Y: marginTop}, drawing.Point{X: x, Y: c.Height - marginBottom})
		}
		end := c.period.Until
		if i+1 < len(ticks) {
			end = ticks[i+1].at
		}
		name, room := tick.name, c.x(end)-x
		if weekday, _, ok := strings.Cut(name, " "); ok && room < roomy {
			name = weekday
		}
		if room >= least-4 {
			c.Write(drawing.Muted, fontSize, x+4, c.Height-marginBottom+16, drawing.Start, name)
		}
	}
}

// tick is a time on an axis, with its name.
type tick struct {
	at   time.Time
	name string
}

// timeTicks returns at most about n times that are round in the zone: midnights, or
// hours where the period is short.
func timeTicks(p Period, zone *time.Location, n float64) []tick {
	days := p.Duration().Hours() / 24
	since := p.Since.In(zone)
	var list []tick
	if days > 2 {
		every := max(1, int(math.Ceil(days/n)))
		for d := 0; ; d += every {
			at := time.Date(since.Year(), since.Month(), since.Day()+d, 0, 0, 0, 0, zone)
			if !at.Before(p.Until) {
				return list
			}
			if !at.Before(p.Since) {
				list = append(list, tick{at, at.Format("Mon 2")})
			}
		}
	}
	every := 1
	for _, h := range []int{1, 2, 3, 6, 12} {
		if every = h; days*24/float64(h) <= n {
			break
		}
	}
	for h := 0; ; h += every {
		at := time.Date(since.Year(), since.Month(), since.Day(), h, 0, 0, 0, zone)
		if !at.Before(p.Until) {
			return list
		}
		if !at.Before(p.Since) {
			list = append(list, tick{at, at.Format("15:04")})
		}
	}
}

// unbroken parts the points where a gap is between two of them.
func unbroken(l *Latency) [][]Point {
	var parts [][]Point
	first := 0
	for i := 1; i < len(l.Points); i++ {
		for _, g := range l.Gaps {
			if g.Start.Before(l.Points[i].End) && g.End.After(l.Points[i-1].Start) {
				parts = append(parts, l.Points[first:i])
				first = i
				break
			}
		}
	}
	if first < len(l.Points) {
		parts = append(parts, l.Points[first:])
	}
	return parts
}

// through are the places of one value of the points: from where the first of them
// begins, over their middles, to where the last one ends.
func (c *latencyChart) through(points []Point, value func(Point) time.Duration) []drawing.Point {
	places := make([]drawing.Point, 0, len(points)+2)
	first, last := points[0], points[len(points)-1]
	places = append(places, drawing.Point{X: c.x(first.Start), Y: c.y(value(first))})
	for _, p := range points {
		places = append(places, drawing.Point{X: c.x(p.Middle()), Y: c.y(value(p))})
	}
	return append(places, drawing.Point{X: max(c.x(last.End), c.x(first.Start)+2), Y: c.y(value(last))})
}

func (c *latencyChart) band(points []Point) {
	around := c.through(points, func(p Point) time.Duration { return p.P90 })
	lower := c.through(points, func(p Point) time.Duration { return p.P10 })
	for _, place := range slices.Backward(lower) {
		around = append(around, place)
	}
	c.Area(drawing.Band, around...)
}

func (c *latencyChart) median(points []Point) {
	c.Line(drawing.Accent, 1.75, c.through(points, func(p Point) time.Duration { return p.P50 })...)
}
