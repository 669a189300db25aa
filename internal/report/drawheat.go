package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/drawing"
)

// The heat strip's measures in pixels.
const (
	heatLeft   = 54 // for the names of days
	heatTop    = 18 // for the hours
	heatGap    = 2  // between cells
	heatHeight = 18 // of a cell, with its gap
)

// heat is how an hour was, from the best to the worst.
type heat int

const (
	heatUnknown  heat = iota // nobody reported
	heatUp                   // up, and no run failed
	heatFailures             // up, and a run failed
	heatPartly               // up as far as it is known; a quarter of it or more is not
	heatDegraded             // degraded for a time
	heatDown                 // down for less than half of what is known
	heatDownMost             // down for half of it, or longer
)

// heatOf tells how an hour was.
func heatOf(h Hour) heat {
	known := h.Up + h.Degraded + h.Down
	switch {
	case known <= 0:
		return heatUnknown
	case 2*h.Down >= known:
		return heatDownMost
	case h.Down > 0:
		return heatDown
	case h.Degraded > 0:
		return heatDegraded
	case h.Unknown >= known/3:
		return heatPartly
	case h.Failed > 0:
		return heatFailures
	default:
		return heatUp
	}
}

// heatSaid says what an hour was like that was not simply up.
func heatSaid(h Hour) string {
	var said []string
	for _, part := range []struct {
		name string
		d    time.Duration
	}{{"down", h.Down}, {"degraded", h.Degraded}, {"no data", h.Unknown}} {
		if part.d > 0 {
			said = append(said, part.name+" "+lasted(part.d))
		}
	}
	if h.Failed > 0 {
		said = append(said, fmt.Sprintf("%s of %s failed", thousands(h.Failed), plural(h.Runs, "run")))
	}
	if len(said) == 0 {
		return "up"
	}
	return strings.Join(said, ", ")
}

// drawHeat draws a row for each day of the zone and a column for each hour, width
// pixels wide; nil: there is nothing to draw.
func drawHeat(hours []Hour, zone *time.Location, width float64) *drawing.Picture {
	if len(hours) == 0 {
		return nil
	}
	first := midnight(hours[0].Start.In(zone))
	// Where clocks are set back, two hours have the same place and share it.
	at := map[[2]int][]Hour{}
	rows := 0
	for _, h := range hours {
		start := h.Start.In(zone)
		// Days can have 23 or 25 hours: half a day more makes the division safe.
		row := int(midnight(start).Add(12*time.Hour).Sub(first) / (24 * time.Hour))
		place := [2]int{row, start.Hour()}
		at[place] = append(at[place], h)
		rows = max(rows, row+1)
	}
	p := &drawing.Picture{Width: width, Height: float64(heatTop + rows*heatHeight), Label: "Hours of the period: " + heatSummary(hours) + "."}
	column := (width - heatLeft) / 24
	for hour := 0; hour < 24; hour += 3 {
		p.Write(drawing.Muted, fontSize, heatLeft+float64(hour)*column, 12, drawing.Start, fmt.Sprintf("%02d", hour))
	}
	for row := range rows {
		y := float64(heatTop + row*heatHeight)
		p.Write(drawing.Muted, fontSize, heatLeft-6, y+heatHeight-6, drawing.End, first.AddDate(0, 0, row).Format("Mon 2"))
		for hour := range 24 {
			same := at[[2]int{row, hour}]
			for i, h := range same {
				part := column / float64(len(same))
				drawCell(p, h, zone, heatLeft+float64(hour)*column+float64(i)*part, y, part-heatGap)
			}
		}
	}
	return p
}

// drawCell draws one hour. What is not simply up differs in form too, for who cannot
// tell the colors.
func drawCell(p *drawing.Picture, h Hour, zone *time.Location, x, y, width float64) {
	const height = heatHeight - heatGap
	title := ""
	if said := heatSaid(h); said != "up" {
		title = wall(h.Start, zone, "Mon 2 Jan 15:04") + ": " + said
	}
	switch heatOf(h) {
	case heatUnknown:
		p.Rect(drawing.Soft, x, y, width, height, title)
		p.Line(drawing.Muted, 1, drawing.Point{X: x + width/2 - 3, Y: y + height/2}, drawing.Point{X: x + width/2 + 3, Y: y + height/2})
	case heatUp:
		p.Rect(drawing.Calm, x, y, width, height, title)
	case heatFailures:
		p.Rect(drawing.Calm, x, y, width, height, title)
		p.Rect(drawing.Bad, x+width/2-1.5, y+height/2-1.5, 3, 3, "")
	case heatPartly:
		part := height * float64(h.Up) / float64(h.Up+h.Unknown)
		p.Rect(drawing.Soft, x, y, width, height, title)
		p.Rect(drawing.Calm, x, y+height-part, width, part, "")
	case heatDegraded:
		p.Rect(drawing.Calm, x, y, width, height/2, title)
		p.Rect(drawing.Amber, x, y+height/2, width, height/2, title)
	case heatDown:
		p.Rect(drawing.Alarm, x, y, width, height, title)
		p.Rect(drawing.Bad, x, y+height/2, width, height/2, title)
	default:
		p.Rect(drawing.Bad, x, y, width, height, title)
	}
}

// heatSummary counts the hours of each kind in words.
func heatSummary(hours []Hour) string {
	var count [heatDownMost + 1]int64
	for _, h := range hours {
		count[heatOf(h)]++
	}
	var said []string
	for _, part := range []struct {
		n    int64
		name string
	}{
		{count[heatUp] + count[heatFailures] + count[heatPartly], "up"}, {count[heatDegraded], "with degraded time"},
		{count[heatDown] + count[heatDownMost], "with time down"}, {count[heatUnknown], "without data"},
	} {
		if part.n > 0 {
			said = append(said, plural(part.n, "hour")+" "+part.name)
		}
	}
	return strings.Join(said, ", ")
}

// midnight is when the day of t began, in its zone.
func midnight(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
}
