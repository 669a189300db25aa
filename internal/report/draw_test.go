package report

import (
	"bytes"
	"image/color"
	"image/png"
	"strings"
	"testing"
	"time"
)

// TestUnbroken holds that no line and no band crosses a gap.
func TestUnbroken(t *testing.T) {
	l := sampleLatency()
	parts := unbroken(l)
	if len(parts) != 3 {
		t.Fatalf("%d parts, want 3: before, between and after two gaps", len(parts))
	}
	n := 0
	for _, points := range parts {
		n += len(points)
		for _, g := range l.Gaps {
			if g.overlap(points[0].Start, points[len(points)-1].End) > 0 {
				t.Errorf("the part from %v to %v crosses the gap from %v", points[0].Start, points[len(points)-1].End, g.Start)
			}
		}
	}
	if n != len(l.Points) {
		t.Errorf("%d points in the parts, want %d", n, len(l.Points))
	}
	svg := string(drawLatency(l, sample().Period, berlin, wideChart).SVG("wide"))
	for _, class := range []string{"s-blue", "f-band"} {
		if n := strings.Count(svg, `<path class="`+class+`"`); n != 3 {
			t.Errorf("%d paths of %s, want one for each part", n, class)
		}
	}
}

// TestLatencyPixels looks at the picture that a mail has: in an outage there is
// nothing but its color.
func TestLatencyPixels(t *testing.T) {
	period := sample().Period
	for _, c := range []struct {
		name string
		gap  Gap
		want color.RGBA
	}{
		{"outage", Gap{GapOutage, Span{at(2, 0, 0), at(3, 0, 0)}}, color.RGBA{0xfb, 0xe0, 0xde, 0xff}},
		{"missing", Gap{GapMissing, Span{at(2, 0, 0), at(3, 0, 0)}}, color.RGBA{0xf3, 0xf5, 0xf8, 0xff}},
	} {
		l := &Latency{Prober: "issue", Gaps: []Gap{c.gap}, Points: []Point{
			{Start: at(1, 0, 0), End: at(2, 0, 0), Count: 100, P10: ms(900), P50: ms(1000), P90: ms(1900)},
			{Start: at(3, 0, 0), End: at(4, 0, 0), Count: 100, P10: ms(900), P50: ms(1000), P90: ms(1900)},
		}}
		picture := drawLatency(l, period, berlin, mailChart)
		data, err := picture.PNG(2)
		if err != nil {
			t.Fatal(err)
		}
		image, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if size := image.Bounds().Size(); size.X != 2*mailChart || size.Y != 2*latencyHeight {
			t.Errorf("%s: %v pixels, want twice %d × %d", c.name, size, mailChart, latencyHeight)
		}
		chart := &latencyChart{Picture: picture, l: l, period: period, zone: berlin}
		chart.scale()
		// A little above the median, so that no line of the grid is there.
		pixel := func(when time.Time) color.Color {
			return image.At(int(2*chart.x(when)), int(2*chart.y(ms(1300))))
		}
		if got := pixel(at(2, 12, 0)); got != c.want {
			t.Errorf("%s: in the gap there is %v, want %v", c.name, got, c.want)
		}
		if got, want := pixel(at(1, 12, 0)), (color.RGBA{0xcf, 0xdc, 0xfa, 0xff}); got != want {
			t.Errorf("%s: beside the gap there is %v, want the band's %v", c.name, got, want)
		}
		if got, want := pixel(at(5, 12, 0)), (color.RGBA{0xff, 0xff, 0xff, 0xff}); got != want {
			t.Errorf("%s: where nothing was measured there is %v, want %v", c.name, got, want)
		}
	}
}

// TestLatencyAxis holds the axis to what has to be shown.
func TestLatencyAxis(t *testing.T) {
	for _, c := range []struct {
		median, band, top, step time.Duration
		cut                     bool
	}{
		{ms(1000), ms(1900), ms(2000), ms(500), false},
		{ms(7), ms(9), ms(10), ms(5), false},
		{ms(1000), 60 * time.Second, ms(3000), ms(1000), true},
		{0, 0, time.Millisecond, 500 * time.Microsecond, false},
	} {
		l := &Latency{Points: []Point{{P50: c.median, P90: c.band}}}
		chart := &latencyChart{l: l}
		chart.scale()
		if chart.top != c.top || chart.step != c.step || (cutSaid(l) != "") != c.cut {
			t.Errorf("median %v, band %v: axis to %v by %v (cut: %q), want to %v by %v", c.median, c.band, chart.top, chart.step, cutSaid(l), c.top, c.step)
		}
	}
	for _, l := range []*Latency{nil, {}} {
		if drawLatency(l, sample().Period, berlin, wideChart) != nil {
			t.Errorf("of %v there is a picture", l)
		}
	}
}

// TestTimeTicks holds the axis of time to the zone's own midnights, over a change of
// clocks and for periods of other lengths.
func TestTimeTicks(t *testing.T) {
	day := func(y int, m time.Month, d, h int) time.Time { return time.Date(y, m, d, h, 0, 0, 0, berlin) }
	for _, c := range []struct {
		name         string
		since, until time.Time
		want         string
	}{
		{"a week", monday, monday.AddDate(0, 0, 7), "Mon 9 Tue 10 Wed 11 Thu 12 Fri 13 Sat 14 Sun 15"},
		{"clocks set back", day(2026, 10, 24, 0), day(2026, 10, 27, 0), "Sat 24 Sun 25 Mon 26"},
		{"a day", day(2026, 11, 9, 6), day(2026, 11, 9, 12), "06:00 07:00 08:00 09:00 10:00 11:00"},
		{"a month", day(2026, 11, 1, 0), day(2026, 12, 1, 0), "Sun 1 Wed 4 Sat 7 Tue 10 Fri 13 Mon 16 Thu 19 Sun 22 Wed 25 Sat 28"},
	} {
		var got []string
		for _, tick := range timeTicks(Period{Since: c.since, Until: c.until}, berlin, 10) {
			got = append(got, tick.name)
			if h := tick.at.Hour(); c.name != "a day" && h != 0 {
				t.Errorf("%s: %s is at %d hours", c.name, tick.name, h)
			}
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestHeat holds each kind of hour, and the two hours that are one when clocks are
// set back.
func TestHeat(t *testing.T) {
	hour := func(up, degraded, down, unknown time.Duration, failed int64) Hour {
		return Hour{Availability: Availability{up, degraded, down, unknown}, Runs: 10, Failed: failed}
	}
	for _, c := range []struct {
		h    Hour
		want heat
		said string
	}{
		{hour(time.Hour, 0, 0, 0, 0), heatUp, "up"},
		{hour(time.Hour, 0, 0, 0, 2), heatFailures, "2 of 10 runs failed"},
		{hour(0, 0, 0, time.Hour, 0), heatUnknown, "no data 1 h"},
		{hour(30*time.Minute, 0, 0, 30*time.Minute, 0), heatPartly, "no data 30 min"},
		{hour(59*time.Minute, time.Minute, 0, 0, 0), heatDegraded, "degraded 1 min"},
		{hour(59*time.Minute, 0, time.Minute, 0, 1), heatDown, "down 1 min, 1 of 10 runs failed"},
		{hour(0, 0, time.Minute, 59*time.Minute, 1), heatDownMost, "down 1 min, no data 59 min, 1 of 10 runs failed"},
	} {
		if got := heatOf(c.h); got != c.want || heatSaid(c.h) != c.said {
			t.Errorf("%+v: %d, %q, want %d, %q", c.h, got, heatSaid(c.h), c.want, c.said)
		}
	}
	var hours []Hour
	for h := range 25 { // 25 October 2026 in Berlin
		one := hour(0, 0, time.Hour, 0, 0)
		one.Start = time.Date(2026, 10, 25, 0, 0, 0, 0, berlin).Add(time.Duration(h) * time.Hour)
		hours = append(hours, one)
	}
	svg := string(drawHeat(hours, berlin, wideChart).SVG("wide"))
	if n := strings.Count(svg, "<title>"); n != 25 {
		t.Errorf("%d cells, want 25", n)
	}
	for _, zone := range []string{"CEST", "CET"} {
		if n := strings.Count(svg, "<title>Sun 25 Oct 02:00 "+zone+": down 1 h</title>"); n != 1 {
			t.Errorf("%d cells for 2 o'clock %s, want 1", n, zone)
		}
	}
	if strings.Contains(svg, "Mon 26") || strings.Contains(svg, "Sat 24") {
		t.Error("the day has a second row")
	}
	if drawHeat(nil, berlin, wideChart) != nil {
		t.Error("of no hours there is a picture")
	}
}
