package report

import "time"

// toZone has all times of the report in its time zone.
func toZone(r *Report) {
	zone := r.Period.Since.Location()
	in := func(times ...*time.Time) {
		for _, t := range times {
			if !t.IsZero() {
				*t = t.In(zone)
			}
		}
	}
	spans := func(list []Span) {
		for i := range list {
			in(&list[i].Start, &list[i].End)
		}
	}
	for i := range r.Targets {
		t := &r.Targets[i]
		for k := range t.Locations {
			spans(t.Locations[k].Silent)
		}
		for k := range t.Heat {
			in(&t.Heat[k].Start)
		}
		for k := range t.Incidents {
			in(&t.Incidents[k].Start, &t.Incidents[k].End)
			if o := t.Incidents[k].Official; o != nil {
				in(&o.Start)
			}
		}
		for k := range t.Changes {
			in(&t.Changes[k].At)
		}
		if t.Latency == nil {
			continue
		}
		for k := range t.Latency.Points {
			in(&t.Latency.Points[k].Start, &t.Latency.Points[k].End)
		}
		for k := range t.Latency.Gaps {
			in(&t.Latency.Gaps[k].Start, &t.Latency.Gaps[k].End)
		}
	}
	for i := range r.Missing {
		spans(r.Missing[i].Spans)
	}
}

// wall is a time as clocks of the zone show it. Where they show it twice, since they are set
// back, it has the zone's name of then, such as CEST and CET.
func wall(t time.Time, zone *time.Location, form string) string {
	const around = 3 * time.Hour // clocks are set back by less
	t = t.In(zone)
	_, offset := t.Zone()
	for _, away := range []time.Duration{-around, around} {
		_, other := t.Add(away).Zone()
		again := t.Add(time.Duration(offset-other) * time.Second)
		if _, then := again.Zone(); other != offset && then == other {
			return t.Format(form + " MST")
		}
	}
	return t.Format(form)
}
