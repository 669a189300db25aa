package report

import (
	"context"
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
	by       exporter // in the metrics; of one that told it, the first that it is
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

// same reports whether two are the same one of the same exporter.
func (s *sighted) same(other sighted) bool { return s.Start.Sub(other.Start).Abs() <= sameTime }

// events puts in incidents that have a part in the period, and changes of the directory: what
// the exporters told that answered, and of all others what metrics tell.
func (m *maker) events(ctx context.Context, of key, t *Target, now *timeline, line []state) error {
	list, err := m.incidentsFromMetrics(ctx, of)
	if err != nil {
		return err
	}
	seen, err := m.changesFromMetrics(ctx, of)
	if err != nil {
		return err
	}
	told := m.told(of, list, seen)
	t.Changes = m.changes(of, seen, told)

	list = fromExporters(of, list, told)
	untold := append(m.untold(of, t, told), m.forgotten(list, told)...)
	switch {
	case len(told) == 0:
		t.IncidentsFrom = FromMetrics
	case len(untold) == 0:
		t.IncidentsFrom = FromExporters
	default:
		t.IncidentsFrom = FromBoth
	}
	m.mu.Lock()
	m.fromMetrics = append(m.fromMetrics, untold...)
	for _, x := range told {
		m.answered = append(m.answered, x.exporters...)
	}
	m.mu.Unlock()
	t.Incidents = merge(list, now.impaired(line))
	t.Incidents = slices.DeleteFunc(t.Incidents, func(i Incident) bool {
		return !i.Start.Before(m.Period.Until) || !i.Start.Add(i.Duration).After(m.Period.Since)
	})
	return nil
}

// fromExporters puts what exporters told in the place of what metrics tell of the same incidents of
// theirs.
func fromExporters(of key, list []sighted, told []told) []sighted {
	for _, x := range told {
		own := slices.Clone(x.from.incidents[of])
		for i := range own {
			own[i].location, own[i].by = x.location(), x.exporters[0]
		}
		list = slices.DeleteFunc(list, func(s sighted) bool {
			// It can have got an earlier start while it went on.
			within := func(o sighted) bool { return !s.Start.Before(o.Start) && !s.Start.After(o.end()) }
			return s.location == x.location() && slices.ContainsFunc(own, s.same) || // also by another name
				slices.Contains(x.exporters, s.by) && slices.ContainsFunc(own, within)
		})
		list = append(list, own...)
	}
	return list
}

// forgotten are the exporters that told what they know, of which metrics know more of the period: they
// were started without what they had stored, or are full.
func (m *maker) forgotten(list []sighted, answers []told) (forgot []exporter) {
	for _, s := range list {
		if s.From == FromMetrics && s.Start.Before(m.Period.Until) && s.end().After(m.Period.Since) &&
			slices.ContainsFunc(answers, func(x told) bool { return slices.Contains(x.exporters, s.by) }) {
			forgot = append(forgot, s.by)
		}
	}
	return forgot
}

// impaired are the times in which the majority says that the target is down or degraded.
func (t *timeline) impaired(line []state) []Span {
	var spans []Span
	for run := range spansOf(len(line), func(i int) bool { return line[i] >= degraded }) {
		spans = append(spans, Span{Start: t.span(run[0]).Start, End: t.span(run[1] - 1).End})
	}
	return spans
}

// incidentsFromMetrics are those that have been the latest one of an exporter at a time.
func (m *maker) incidentsFromMetrics(ctx context.Context, of key) ([]sighted, error) {
	type id struct {
		of    exporter
		start float64
	}
	found := map[id]*sighted{}
	type current struct {
		stay
		of *sighted
	}
	latest := map[exporter][]current{}
	sel := "{" + of.matchers() + "}"
	until := m.Period.Until.Add(afterwards)
	if m.now.Before(until) {
		until = m.now
	}
	starts, err := m.client.stays(ctx, "acme_incident_start_timestamp_seconds"+sel, m.Period.Since, until, lifeStep)
	if err != nil {
		return nil, err
	}
	var ends []time.Time
	for _, series := range starts {
		e := exporterOf(series.labels)
		for _, s := range series.stays {
			k := id{e, s.value}
			if found[k] == nil {
				found[k] = &sighted{location: e.location, by: e, Incident: Incident{Start: seconds(s.value), From: FromMetrics}}
			}
			found[k].seen = later(found[k].seen, s.last)
			latest[e] = append(latest[e], current{s, found[k]})
			ends = append(ends, s.last)
		}
	}
	// What else is known of an incident is there with it, and as long: what was known last is enough.
	details := `{__name__=~"acme_incident_end_timestamp_seconds|acme_incident_official_start_timestamp_seconds|acme_incident_info",` + of.matchers() + "}"
	for _, span := range joined(ends, time.Hour) {
		err := m.client.each(ctx, details, span.Start, span.End.Add(lifeStep), lifeStep, func(matrix model.Matrix) {
			for _, stream := range matrix {
				for _, pair := range stream.Values {
					at := pair.Timestamp.Time()
					for _, c := range latest[exporterOf(stream.Metric)] {
						if !at.Before(c.first) && !at.After(c.last) {
							c.of.learn(stream.Metric, float64(pair.Value))
						}
					}
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	var list []sighted
	for k, s := range found {
		// The next one of the same exporter shows that it is over, though nobody saw its end.
		for other := range found {
			if s.End.IsZero() && other.of == k.of && other.start > k.start && seconds(other.start).Sub(s.seen) < lookBack {
				s.End = s.seen
			}
		}
		if m.now.Sub(s.seen) < lookBack {
			s.seen = m.now
		}
		list = append(list, *s)
	}
	return list, nil
}

// learn takes in a sample of a metric that tells of the incident.
func (s *sighted) learn(labels model.Metric, value float64) {
	switch labels[model.MetricNameLabel] {
	case "acme_incident_end_timestamp_seconds":
		// Where no marker says that it is gone, the end of the one before can still be there.
		if end := seconds(value); end.After(s.Start) {
			s.End = end
		}
	case "acme_incident_official_start_timestamp_seconds":
		s.Official = &Official{Start: seconds(value)}
	case "acme_incident_info":
		s.Condition, s.Stage = label(labels, "kind"), label(labels, "stage")
		s.Reason, s.Fault = label(labels, "reason"), label(labels, "fault")
	}
}

// joined are spans that have all the times, and that are farther apart than a time.
func joined(times []time.Time, apart time.Duration) []Span {
	var spans []Span
	for _, at := range slices.SortedFunc(slices.Values(times), time.Time.Compare) {
		if n := len(spans); n > 0 && at.Sub(spans[n-1].End) <= apart {
			spans[n-1].End = at
		} else {
			spans = append(spans, Span{at, at})
		}
	}
	return spans
}
