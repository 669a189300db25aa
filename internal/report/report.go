// Package report owns the weekly report: what the exporters of all locations have
// seen of the targets in a period, as plain data with a version, and its JSON. It
// imports nothing of ours, because it knows only what the metrics and the API of
// docs/ promise.
//
// Whoever makes a [Report] puts numbers in, its forms put words around them, and no
// form computes what another one would have to compute again. Texts in it (names,
// labels, summaries) come from outside: they are bounded, and otherwise as they were
// found. A form escapes them.
package report

import (
	"strings"
	"time"
)

// Version is the version of the form of a [Report]. Fields may be added within
// it; a field that is renamed, removed or given another meaning makes a new one.
const Version = 1

// Report is what was seen of all targets in a period. It is immutable once made.
// What was not measured is nil, or empty, and never 0.
type Report struct {
	Version int `json:"version"` // of this form: Version
	// Generator is the program and its version, for a last line.
	Generator string `json:"generator"`
	// Created is when the report was made. Before Period.Until, the period was not
	// over then, and Missing says so.
	Created time.Time `json:"created"`
	Period  Period    `json:"period"`
	// Before is the period of the same length just before, with which Period is
	// compared; in a time zone whose clocks are changed it can be an hour longer or
	// shorter.
	Before  Period   `json:"before"`
	Sources Sources  `json:"sources"`
	Targets []Target `json:"targets"` // sorted by name, then environment; empty: nothing is known of any, see Missing
	// Missing is what the report does not know, the most important first; empty:
	// nothing is missing. What is missing counts nowhere as up.
	Missing []Missing `json:"missing,omitempty"`
	// Accounting says how each kind of number was made, for the end of the report,
	// in the order in which the numbers stand in it.
	Accounting []Note `json:"accounting"`
}

// Period is the time from Since until just before Until.
type Period struct {
	Since time.Time `json:"since"` // in the report's time zone
	Until time.Time `json:"until"` // in the report's time zone
	// Timezone is the name of the zone in the IANA database: Europe/Berlin, UTC. All
	// times of a report are to be shown in it; see [Report.Location].
	Timezone string `json:"timezone"`
	// Week is the ISO 8601 week, such as 2026-W47, if the period is just that;
	// empty: it is another period.
	Week string `json:"week,omitempty"`
}

// Duration is how long the period is: 168 h for a week, an hour more or less
// for one in which clocks are changed.
func (p Period) Duration() time.Duration { return p.Until.Sub(p.Since) }

// Name names the period, fit for a subject, a file name and a Message-ID. Two
// periods in one time zone never have the same name.
func (p Period) Name() string {
	if p.Week != "" {
		return p.Week
	}
	const form = "20060102T150405Z"
	return p.Since.UTC().Format(form) + "-" + p.Until.UTC().Format(form)
}

// Sources is where the numbers are from.
type Sources struct {
	// Prometheus is the URL that was asked, without user and password.
	Prometheus string `json:"prometheus"`
	// Exporters are those that were asked for incidents and changes, in the order given; empty: none.
	Exporters []Exporter `json:"exporters,omitempty"`
	// Incidents says where the incidents are from. A target's own can differ: see
	// [Target.IncidentsFrom].
	Incidents IncidentSource `json:"incidents"`
	// Histograms is what the quantiles are made of: native, classic, both (some series
	// have the one and some the other), or empty where there was none.
	Histograms string `json:"histograms,omitempty"`
	// Rules: the recording rules of alerts/ had the quorum, and it was used; false:
	// it was computed from the exporters' own series.
	Rules bool `json:"rules"`
}

// IncidentSource says where incidents are from.
type IncidentSource string

// The sources of incidents.
const (
	// FromExporters: from the exporters' own /api/v1. Nothing is missed but what they have
	// forgotten: they keep 90 days.
	FromExporters IncidentSource = "exporters"
	// FromMetrics: from what Prometheus scraped. An incident that is shorter than two
	// scrapes can be missed, and so can all but the last of several between two scrapes.
	FromMetrics IncidentSource = "metrics"
	// FromBoth: from those exporters that were asked and answered; of all others, also where
	// one of their location was asked, and what these have forgotten from metrics.
	FromBoth IncidentSource = "exporters and metrics"
)

// Exporter is an exporter that was asked for its incidents and changes.
type Exporter struct {
	URL string `json:"url"` // without user and password
	// Location is the one that Prometheus gives to what it scrapes at the URL's host; empty: it
	// has none, or it is not known.
	Location string `json:"location,omitempty"`
	// Error is why it could not be asked; empty: it answered.
	Error string `json:"error,omitempty"`
}

// MissingKind says what is missing. Forms may treat kinds that they do not know
// by their Text alone.
type MissingKind string

// The kinds of what is missing.
const (
	MissingAll       MissingKind = "nothing"   // there is no sample of any target, or of this one, in the whole period
	MissingPeriod    MissingKind = "period"    // the period was not over when the report was made
	MissingTime      MissingKind = "time"      // no location saw the target in these spans
	MissingLocation  MissingKind = "location"  // this location did not see the target in these spans
	MissingBefore    MissingKind = "before"    // there is nothing of the period before to compare with
	MissingIncidents MissingKind = "incidents" // an exporter did not answer, or incidents are from metrics
	MissingChanges   MissingKind = "changes"   // an exporter has forgotten changes of the directory
	MissingQuantiles MissingKind = "quantiles" // there are runs, but no histograms
	MissingPart      MissingKind = "part"      // the server warned that its answers may be incomplete
)

// Missing is something that the report does not know.
type Missing struct {
	Kind        MissingKind `json:"kind"`
	Target      string      `json:"target,omitempty"`      // empty: of all
	Environment string      `json:"environment,omitempty"` // of Target
	Location    string      `json:"location,omitempty"`    // empty: of all, or the one that has no name
	// Spans are when, within the period, in order and without overlap; empty: the
	// whole period, or it is not about a time.
	Spans []Span `json:"spans,omitempty"`
	// Text is a sentence in plain English that says it all, but for the times.
	Text string `json:"text"`
}

// Span is the time from Start until just before End.
type Span struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Duration is how long the span is.
func (s Span) Duration() time.Duration { return s.End.Sub(s.Start) }

// Note says how a kind of number was made.
type Note struct {
	Of   string `json:"of"`   // such as Availability: a title
	Text string `json:"text"` // sentences in plain English, one paragraph
}

// Unfinished reports whether the period was not over when the report was made.
func (r *Report) Unfinished() bool { return r.Created.Before(r.Period.Until) }

// Warnings are what the server warned of while it was asked, each in one line and without
// controls.
func (r *Report) Warnings() []string {
	var all []string
	for _, m := range r.Missing {
		if m.Kind == MissingPart {
			all = append(all, clean(m.Text))
		}
	}
	return all
}

// WhyNothing says in one line, without controls, why nothing is known of any target;
// empty: something is known.
func (r *Report) WhyNothing() string {
	if len(r.Targets) > 0 {
		return ""
	}
	var all []string
	for _, m := range r.Missing {
		if m.Kind == MissingAll || m.Kind == MissingPart {
			all = append(all, clean(m.Text))
		}
	}
	return strings.Join(all, " ")
}

// Location returns the report's time zone, and UTC if this machine does not
// know it.
func (r *Report) Location() *time.Location {
	if zone, err := time.LoadLocation(r.Period.Timezone); err == nil {
		return zone
	}
	return time.UTC
}
