package web

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// instant is t for people.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

// timeElement is t for people, and for the script that adds the reader's own time.
func timeElement(t time.Time) template.HTML {
	// Digits and signs: nothing to escape.
	return template.HTML(`<time datetime="` + t.UTC().Format(time.RFC3339) + `">` + instant(t) + `</time>`)
}

// ago is how long ago a run ended.
func ago(end, now time.Time) string {
	return brief(max(0, now.Sub(end))) + " ago"
}

// brief is d in its largest unit, rounded down.
func brief(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	default:
		return fmt.Sprintf("%d s", d/time.Second)
	}
}

// lasted is d in its two largest units, rounded down.
func lasted(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		said := fmt.Sprintf("%d %s", d/u.size, u.name)
		if i+1 < len(units) {
			if rest := d % u.size / units[i+1].size; rest > 0 {
				said += fmt.Sprintf(" %d %s", rest, units[i+1].name)
			}
		}
		return said
	}
	if d <= 0 {
		return "0 s"
	}
	return "less than 1 s"
}

// took is the duration of a run.
func took(d time.Duration) string {
	if d >= 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// percent is which part of the known time was available; never 100 % where it was
// down for a moment.
func percent(s incident.Share) string {
	part, ok := s.Available()
	if !ok {
		return "not known"
	}
	hundredths := math.Floor(part*10_000 + 1e-6)
	if s.Down > 0 {
		hundredths = min(hundredths, 9_999)
	}
	if hundredths >= 10_000 {
		return "100 %"
	}
	return fmt.Sprintf("%.2f %%", hundredths/100)
}

// spent says how the time of s was spent that was not up.
func spent(s incident.Share) string {
	var said []string
	for _, part := range []struct {
		name string
		d    time.Duration
	}{{"down", s.Down}, {"degraded", s.Degraded}, {"not known", s.Unknown}} {
		if part.d >= time.Second || part.d > 0 && part.name != "not known" {
			said = append(said, part.name+" "+lasted(part.d))
		}
	}
	switch {
	case len(said) == 0:
		return "up all the time"
	case s.Down+s.Degraded == 0 && s.Up > 0:
		said = slices.Insert(said, 0, "otherwise up")
	}
	return strings.Join(said, ", ")
}

// sinceSaid is since when a condition is, and how long that is.
func sinceSaid(since, now time.Time) template.HTML {
	if since.IsZero() {
		return ""
	}
	return "since " + timeElement(since) + template.HTML(template.HTMLEscapeString(" ("+lasted(now.Sub(since))+")"))
}

// uncertainty says how much earlier than its start an incident can have begun.
func uncertainty(i *probe.Incident) string {
	d, ok := i.Uncertainty()
	if !ok {
		return "not known"
	}
	return "up to " + lasted(d) + " earlier"
}

// lead says who knew of an incident first; positive: we did.
func lead(d time.Duration) string {
	switch {
	case d >= time.Second:
		return "detected here " + lasted(d) + " before"
	case d <= -time.Second:
		return "detected here " + lasted(-d) + " later"
	}
	return "detected here at the same time"
}

// plural is "1 thing" or "n things".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
