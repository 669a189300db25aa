package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// moment is t to the minute, and instant to the second, in the report's time zone. The
// year is there where it is not the period's.
func (m *pageMaker) moment(t time.Time) string {
	return m.format(t, "Mon 2 Jan 15:04", "Mon 2 Jan 2006 15:04")
}
func (m *pageMaker) instant(t time.Time) string {
	return m.format(t, "Mon 2 Jan 15:04:05", "Mon 2 Jan 2006 15:04:05")
}

func (m *pageMaker) format(t time.Time, form, withYear string) string {
	t = t.In(m.zone)
	if t.Year() != m.r.Period.Since.In(m.zone).Year() {
		form = withYear
	}
	return wall(t, m.zone, form)
}

// maxSpans bounds how many spans a list has: what comes and goes all the week fills no
// page.
const maxSpans = 12

// spans are some spans in words.
func (m *pageMaker) spans(list []Span) string {
	said := make([]string, 0, maxSpans+1)
	for i, s := range list {
		if i == maxSpans {
			said = append(said, fmt.Sprintf("and %d more", len(list)-i))
			break
		}
		said = append(said, fmt.Sprintf("%s to %s (%s)", m.moment(s.Start), m.moment(s.End), lasted(s.Duration())))
	}
	return strings.Join(said, ", ")
}

// gapSaid says when and why nothing is drawn.
func gapSaid(g Gap, zone *time.Location) string {
	why := "down"
	if g.Kind == GapMissing {
		why = "no data"
	}
	return fmt.Sprintf("%s %s to %s (%s)", why, wall(g.Start, zone, "Mon 2 Jan 15:04"), wall(g.End, zone, "Mon 2 Jan 15:04"), lasted(g.Duration()))
}

// cutSaid says that the chart's axis ends below the band; empty: it does not.
func cutSaid(l *Latency) string {
	var median, band time.Duration
	for _, p := range l.Points {
		median, band = max(median, p.P50), max(band, p.P90)
	}
	if band <= bandShown*median {
		return ""
	}
	return "The band is cut where it is above the axis; its highest is " + took(band) + "."
}

// incidentsFrom says where a target's incidents are from.
var incidentsFrom = map[IncidentSource]string{
	FromExporters: "As the exporters themselves have them.",
	FromMetrics:   "As Prometheus has scraped them: what is shorter than two scrapes can be missing.",
	FromBoth:      "As the exporters themselves have them; of those that were not asked or did not answer, and what they have forgotten, as Prometheus has scraped them: what is shorter than two scrapes can be missing.",
}

// availabilityOf compares an availability with that before.
func availabilityOf(a Availability, before *Availability) value {
	share, ok := a.Share()
	v := value{Value: percent(share, ok)}
	known := a.Up + a.Degraded + a.Down
	if ok && a.Unknown >= known/100 && a.Unknown > 0 {
		v.More = "not known: " + lasted(a.Unknown)
	}
	switch {
	case !ok || a.Unknown > known:
		v.Class = "muted"
	case a.Down > 0:
		v.Class = "down"
	default:
		v.Class = "up"
	}
	if before != nil {
		v.Before = "before: " + percent(before.Share())
	}
	return v
}

// downSaid is how long it was down; of what is not known, a dash.
func downSaid(a Availability) string {
	if a.Up+a.Degraded+a.Down <= 0 {
		return "–"
	}
	return lasted(a.Down)
}

// spentSaid says how the time was spent that was not up.
func spentSaid(a Availability) string {
	var said []string
	for _, part := range []struct {
		name string
		d    time.Duration
	}{{"down", a.Down}, {"degraded", a.Degraded}, {"not known", a.Unknown}} {
		if part.d > 0 {
			said = append(said, part.name+" "+lasted(part.d))
		}
	}
	if len(said) == 0 {
		return "up all the time"
	}
	return strings.Join(said, ", ")
}

func reachabilityOf(runs Runs, before *Runs) value {
	v := value{Value: percent(runs.Reachability())}
	if before != nil {
		v.Before = "before: " + percent(before.Reachability())
	}
	return v
}

func runsOf(runs Runs, before *Runs) value {
	v := value{Value: thousands(runs.Success + runs.Failed())}
	if before != nil {
		v.Before = "before: " + thousands(before.Success+before.Failed())
	}
	return v
}

// failuresSaid says whose faults the failures were, and how many runs were skipped.
func failuresSaid(runs Runs) string {
	said := "none failed"
	if n := runs.Failed(); n > 0 {
		var faults []string
		for _, fault := range slices.Sorted(maps.Keys(runs.Failures)) {
			faults = append(faults, clean(fault)+" "+thousands(runs.Failures[fault]))
		}
		said = thousands(n) + " failed (" + strings.Join(faults, ", ") + ")"
	}
	if runs.Skipped > 0 {
		said += ", " + thousands(runs.Skipped) + " skipped"
	}
	return said
}

// quantileSaid is an estimate of a histogram.
func quantileSaid(q Quantile) string {
	if q.Beyond() {
		return "more than " + took(q.Value)
	}
	return took(q.Value)
}

// changeSaid compares a quantile with that before, and names its class: slower where it
// is surely longer by a tenth, up where it is shorter by that.
func changeSaid(now, before Quantile) (said, class string) {
	ratio, sure, ok := now.Change(before)
	if !ok {
		return "", ""
	}
	said = fmt.Sprintf("%+.0f %%", ratio*100)
	switch {
	case !sure:
		return "~ " + strings.Replace(said, "-", "−", 1), ""
	case ratio >= .1:
		class = "slower"
	case ratio <= -.1:
		class = "up"
	}
	return strings.Replace(said, "-", "−", 1), class
}

// tokens is what is left of a limit, rounded down; nil: nobody knows.
func tokens(n *float64) string {
	if n == nil {
		return "–"
	}
	return thousands(int64(math.Floor(*n)))
}
