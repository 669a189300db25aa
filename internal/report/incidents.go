package report

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// afterwards is how long after the period it is looked for the end of an incident.
const afterwards = 24 * time.Hour

// sighted is an incident as one location has it.
type sighted struct {
	Incident
	location string
	// lastSuccess is zero where it is not known.
	lastSuccess time.Time
	// seen is until when it is known to have gone on, if it has no end.
	seen time.Time
}

// end is when it ended, or until when it is known to have gone on.
func (s *sighted) end() time.Time {
	if s.End.IsZero() {
		return s.seen
	}
	return s.End
}

// incidents puts in those that have a part in the period: of the locations whose exporters
// answered, theirs; of the others, what metrics tell.
func (m *maker) incidents(ctx context.Context, of key, t *Target, now *timeline, line []state) error {
	list, err := m.fromMetrics(ctx, of)
	if err != nil {
		return err
	}
	t.IncidentsFrom = FromMetrics
	own, answered := m.fromExporters(of, list)
	if len(answered) > 0 {
		list = append(slices.DeleteFunc(list, func(s sighted) bool { return answered[s.location] }), own...)
		t.IncidentsFrom = FromExporters
		if slices.ContainsFunc(t.Locations, func(l Location) bool { return !answered[l.Location] }) {
			t.IncidentsFrom = FromBoth
		}
	}
	t.Incidents = merge(list, now.impaired(line))
	t.Incidents = slices.DeleteFunc(t.Incidents, func(i Incident) bool {
		return !i.Start.Before(m.Period.Until) || !i.Start.Add(i.Duration).After(m.Period.Since)
	})
	return nil
}

// fromExporters are those that the exporters told, and the locations of which they are. Where an
// exporter's location is not known they would be those of one location more.
func (m *maker) fromExporters(of key, list []sighted) (own []sighted, answered map[string]bool) {
	answered = map[string]bool{}
	for i := range m.asked {
		a := &m.asked[i]
		if a.Error != "" || !a.has(of) {
			continue
		}
		location, ok := a.at(of, list)
		if !ok {
			if len(a.incidents[of]) > 0 {
				m.miss(Missing{Kind: MissingIncidents, Target: of.target, Environment: of.environment, Text: fmt.Sprintf("It is not known of which location %s is, "+
					"since Prometheus scrapes no exporter there: its incidents of %s are from metrics. Give the URL with the host and port of the label instance.", a.URL, of.target)})
			}
			continue
		}
		answered[location] = true
		for _, s := range a.incidents[of] {
			s.location = location
			own = append(own, s)
		}
	}
	return own, answered
}

// impaired are the times in which the majority says that the target is down or degraded.
func (t *timeline) impaired(line []state) []Span {
	var spans []Span
	for run := range spansOf(len(line), func(i int) bool { return line[i] >= degraded }) {
		spans = append(spans, Span{Start: t.span(run[0]).Start, End: t.span(run[1] - 1).End})
	}
	return spans
}

// fromMetrics are the incidents that have been the latest one of an exporter at a time.
func (m *maker) fromMetrics(ctx context.Context, of key) ([]sighted, error) {
	type id struct {
		of    exporter
		start model.SampleValue
	}
	found := map[id]*sighted{}
	current := map[exporter]map[model.Time]*sighted{}
	sel := "{" + of.matchers() + "}"
	until := m.Period.Until.Add(afterwards)
	if m.now.Before(until) {
		until = m.now
	}
	read := func(query string, do func(e exporter, labels model.Metric, pair model.SamplePair)) error {
		return m.client.each(ctx, query, m.Period.Since, until, lifeStep, func(matrix model.Matrix) {
			for _, stream := range matrix {
				for _, pair := range stream.Values {
					do(exporterOf(stream.Metric), stream.Metric, pair)
				}
			}
		})
	}
	err := read("acme_incident_start_timestamp_seconds"+sel, func(e exporter, _ model.Metric, pair model.SamplePair) {
		k := id{e, pair.Value}
		if found[k] == nil {
			found[k] = &sighted{location: e.location, Incident: Incident{Start: seconds(float64(pair.Value)), From: FromMetrics}}
			if current[e] == nil {
				current[e] = map[model.Time]*sighted{}
			}
		}
		found[k].seen = pair.Timestamp.Time()
		current[e][pair.Timestamp] = found[k]
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	err = read("acme_incident_end_timestamp_seconds"+sel, func(e exporter, _ model.Metric, pair model.SamplePair) {
		// Where no marker says that it is gone, the end of the one before can still be there.
		if s := current[e][pair.Timestamp]; s != nil && seconds(float64(pair.Value)).After(s.Start) {
			s.End = seconds(float64(pair.Value))
		}
	})
	if err != nil {
		return nil, err
	}
	err = read("acme_incident_official_start_timestamp_seconds"+sel, func(e exporter, _ model.Metric, pair model.SamplePair) {
		if s := current[e][pair.Timestamp]; s != nil {
			s.Official = &Official{Start: seconds(float64(pair.Value))}
		}
	})
	if err != nil {
		return nil, err
	}
	err = read("acme_incident_info"+sel, func(e exporter, labels model.Metric, pair model.SamplePair) {
		s := current[e][pair.Timestamp]
		if s == nil {
			return
		}
		s.Condition, s.Stage = label(labels, "kind"), label(labels, "stage")
		s.Reason, s.Fault = label(labels, "reason"), label(labels, "fault")
	})
	var list []sighted
	for k, s := range found {
		// The next one of the same exporter shows that it is over, though nobody saw its end.
		for other := range found {
			if s.End.IsZero() && other.of == k.of && other.start > k.start && seconds(float64(other.start)).Sub(s.seen) < lookBack {
				s.End = s.seen
			}
		}
		if m.now.Sub(s.seen) < lookBack {
			s.seen = m.now
		}
		list = append(list, *s)
	}
	return list, err
}
