package report

import (
	"cmp"
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
	answered := map[string]bool{}
	for _, a := range m.asked {
		if a.Error == "" && a.has(of) {
			answered[a.where()] = true
		}
	}
	if len(answered) > 0 {
		list = slices.DeleteFunc(list, func(s sighted) bool { return answered[s.location] })
		t.IncidentsFrom = FromExporters
		if slices.ContainsFunc(t.Locations, func(l Location) bool { return !answered[l.Location] }) {
			t.IncidentsFrom = FromBoth
		}
		for _, a := range m.asked {
			list = append(list, a.incidents[of]...)
		}
	}
	t.Incidents = merge(list, m.now)
	t.Incidents = slices.DeleteFunc(t.Incidents, func(i Incident) bool {
		return !i.Start.Before(m.Period.Until) || !i.Start.Add(i.Duration).After(m.Period.Since)
	})
	for i := range t.Incidents {
		t.Incidents[i].Majority = now.impaired(line, t.Incidents[i])
	}
	return nil
}

// impaired reports whether the majority says at a time of the incident that the target is
// down or degraded.
func (t *timeline) impaired(line []state, i Incident) bool {
	first := max(t.at(i.Start), 0)
	end := min(t.at(i.Start.Add(i.Duration))+1, len(line))
	return first < end && slices.ContainsFunc(line[first:end], func(s state) bool { return s >= degraded })
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
	for _, s := range found {
		// One that nobody has seen go on to the last is over, though nobody saw its end.
		if s.End.IsZero() && s.seen.Before(until.Add(-lookBack)) {
			s.End = s.seen
		}
		list = append(list, *s)
	}
	return list, err
}

// merge makes one incident of those that overlap.
func merge(list []sighted, now time.Time) []Incident {
	slices.SortFunc(list, func(a, b sighted) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.location, b.location))
	})
	var merged []Incident
	for first := 0; first < len(list); {
		until, end := list[first].end(), first+1
		for end < len(list) && !list[end].Start.After(until) {
			if e := list[end].end(); e.After(until) {
				until = e
			}
			end++
		}
		merged = append(merged, one(list[first:end], now))
		first = end
	}
	return merged
}

// one is the incident of which the locations have these.
func one(list []sighted, now time.Time) Incident {
	i := list[0].Incident
	i.Condition, i.Failures, i.Official, i.Uncertainty, i.Locations = "degraded", 0, nil, nil, nil
	open := false
	var lastSuccess time.Time
	votes := map[[3]string]int{}
	for _, s := range list {
		if s.Condition == "down" {
			i.Condition = "down"
		}
		open = open || s.End.IsZero()
		if s.End.After(i.End) {
			i.End = s.End
		}
		if s.lastSuccess.After(lastSuccess) && s.lastSuccess.Before(i.Start) {
			lastSuccess = s.lastSuccess
		}
		if !slices.Contains(i.Locations, s.location) {
			i.Locations = append(i.Locations, s.location)
		}
		i.Failures += s.Failures
		votes[s.said()]++
		if s.Official != nil && (i.Official == nil || s.Official.Start.Before(i.Official.Start)) {
			official := *s.Official
			i.Official = &official
		}
		if s.From == FromExporters {
			i.From = FromExporters
		}
	}
	if open {
		i.End = time.Time{}
	}
	slices.Sort(i.Locations)
	i.Duration = max(cmpTime(i.End, now).Sub(i.Start), 0)
	if !lastSuccess.IsZero() {
		d := i.Start.Sub(lastSuccess)
		i.Uncertainty = &d
	}
	most := list[0]
	for _, s := range list {
		// Of those that say the same, an exporter itself says more.
		if n := votes[s.said()] - votes[most.said()]; n > 0 || n == 0 && s.From == FromExporters && most.From != FromExporters {
			most = s
		}
	}
	i.Module, i.Stage, i.Reason, i.Fault, i.Summary = most.Module, most.Stage, most.Reason, most.Fault, most.Summary
	if i.Official != nil {
		i.Official.Lead = i.Official.Start.Sub(i.Start)
	}
	return i
}

func (s *sighted) said() [3]string { return [3]string{s.Stage, s.Reason, s.Fault} }

// cmpTime is t, or now where t is zero.
func cmpTime(t, now time.Time) time.Time {
	if t.IsZero() {
		return now
	}
	return t
}
