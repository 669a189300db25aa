package report

import (
	"math"
	"time"
)

// hostile is a label value, or a text of a CA, by somebody who means harm: for HTML,
// attributes, URLs, Markdown, headers of a mail and cells of a spreadsheet.
const hostile = "=evil\"><script>alert('1')</script>|`*[x](javascript:y)\r\nBcc: a@b.example\u202e\x00ä"

// The sample is of two targets and the week from 9 to 15 November 2026 in Berlin. The
// first has five locations. One of them, syd, is dead from Wednesday 10:00; on
// Thursday all are slow; and the CA was down twice: on Tuesday for 1 h 10 min, which
// it told 11 minutes later, and on Saturday night for 4 minutes, which only two
// locations saw. Nobody reported on Friday from 03:00 to 04:30. The second target has
// one location, whose name and all else that can be is hostile.
var (
	berlin    = zone("Europe/Berlin")
	monday    = time.Date(2026, 11, 9, 0, 0, 0, 0, berlin)
	outage    = Span{at(1, 14, 20), at(1, 15, 30)}
	blackout  = Span{at(4, 3, 0), at(4, 4, 30)}
	slow      = Span{at(3, 0, 0), at(4, 0, 0)}
	dead      = Span{at(2, 10, 0), at(7, 0, 0)}
	glimpse   = Span{at(5, 23, 58), at(6, 0, 2)}
	locations = []string{"fra", "iad", "sin", "sjc", "syd"}
)

func zone(name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return z
}

// at is a time of the sample's week: days after Monday, hours and minutes.
func at(day, hour, minute int) time.Time {
	return time.Date(2026, 11, 9+day, hour, minute, 0, 0, berlin)
}

// overlap is how much of s is within from and to.
func (s Span) overlap(from, to time.Time) time.Duration {
	if s.Start.After(from) {
		from = s.Start
	}
	if s.End.Before(to) {
		to = s.End
	}
	return max(to.Sub(from), 0)
}

// sample is a report by hand, for all that reads one; testdata/sample.json is the same.
func sample() *Report {
	until := monday.AddDate(0, 0, 7)
	return &Report{
		Version:   Version,
		Generator: "acme_exporter 1.2.3",
		Created:   at(7, 6, 0),
		Period:    Period{Since: monday, Until: until, Timezone: "Europe/Berlin", Week: "2026-W46"},
		Before:    Period{Since: monday.AddDate(0, 0, -7), Until: monday, Timezone: "Europe/Berlin", Week: "2026-W45"},
		Sources: Sources{
			Prometheus: "https://prometheus.corp.example/",
			Exporters: []Exporter{
				{URL: "https://fra.probe.example:18555", Location: "fra"},
				{URL: "https://syd.probe.example:18555", Location: "syd", Error: "dial tcp 203.0.113.9:18555: connect: connection refused"},
			},
			Incidents: FromBoth, Histograms: "both", Rules: true,
		},
		Targets: []Target{sampleHostile(), sampleStaging()},
		Missing: []Missing{
			{Kind: MissingTime, Target: "letsencrypt-staging", Environment: "staging", Spans: []Span{blackout}, Text: "No location saw letsencrypt-staging for 1 h 30 min."},
			{Kind: MissingLocation, Target: "letsencrypt-staging", Environment: "staging", Location: "syd", Spans: []Span{dead}, Text: "syd did not see letsencrypt-staging for 4 d 14 h."},
			{Kind: MissingBefore, Target: hostile, Environment: "production", Text: "Nothing is known of the week before."},
			{Kind: MissingIncidents, Text: "https://syd.probe.example:18555 did not answer (" + hostile + "): its incidents are from metrics, and one that is shorter than two scrapes can be missing."},
		},
		Accounting: []Note{
			{Of: "Availability", Text: "The share of the known time in which the majority of the locations that reported could issue. Time in which nobody reported is not known: neither up nor down."},
			{Of: "Reachability", Text: "The share of all runs at all locations that succeeded. Skipped runs are no evidence."},
			{Of: "Quantiles", Text: "Estimated from histograms: native ones are right to 10 %, of classic ones the true value is in the same bucket."},
		},
	}
}

func sampleStaging() Target {
	before := int64(20_112)
	t := Target{
		Target: "letsencrypt-staging", Environment: "staging",
		Availability: spent(7*24*time.Hour, 22*time.Minute, outage.Duration(), blackout.Duration()),
		Before:       new(spent(7*24*time.Hour, 0, 0, 0)),
		Runs:         Runs{Success: 99_312, Failures: map[string]int64{"ca": 702, "unreachable": 9, "local": 31, "unknown": 4}, Skipped: 120},
		RunsBefore:   &Runs{Success: 100_655, Failures: map[string]int64{"ca": 3}},
		Certificates: &Certificates{Issued: 19_874, Before: &before, CheckFailures: map[string]int64{"scts": 2, "lint": 1}},
		Slowest:      &Slowest{Location: "sin", Measure: "finalization", P50: quantile(5_300), Others: 3_900 * time.Millisecond},
		Latency:      sampleLatency(),
		Heat:         sampleHeat(),
		Incidents: []Incident{
			{
				Condition: "down", Start: outage.Start, End: outage.End, Duration: outage.Duration(), Uncertainty: new(38 * time.Second),
				Locations: locations, Majority: true, Module: "issue_dns", Stage: "order", Reason: "serverInternal", Fault: "ca",
				Summary:  "The CA answered new-order with 500 serverInternal: Error creating new order.",
				Failures: 702, From: FromExporters,
				Official: &Official{Name: "Staging is down", URL: "https://status.example/incidents/1", Start: outage.Start.Add(11 * time.Minute), Lead: 11 * time.Minute},
			},
			{
				Condition: "degraded", Start: at(3, 9, 12), End: at(3, 9, 34), Duration: 22 * time.Minute,
				Locations: []string{"fra", "iad", "sjc"}, Majority: true, Module: "crl", Stage: "crl", Reason: "crl_expired", Fault: "ca", From: FromMetrics,
			},
			{
				Condition: "down", Start: glimpse.Start, End: glimpse.End, Duration: glimpse.Duration(), Uncertainty: new(61 * time.Second),
				Locations: []string{"iad", "sjc"}, Stage: "directory", Reason: "connect_timeout", Fault: "unreachable",
				Summary: "The CA was not reached, and other sites were.", Failures: 9, From: FromExporters, Module: "directory",
				Official: &Official{Start: glimpse.Start.Add(-3 * time.Minute), Lead: -3 * time.Minute},
			},
		},
		IncidentsFrom: FromBoth,
		Changes: []Change{
			{At: at(2, 17, 3), Locations: []string{"fra", "iad"}, Fields: []Field{
				{Field: "terms_of_service", From: "https://ca.example/terms-v1.pdf", To: "https://ca.example/terms-v2.pdf"},
				{Field: "profiles", To: "shortlived"},
			}},
			{At: at(5, 8, 0), Locations: []string{"sjc"}, Count: 3},
		},
		Budget: []Budget{
			{Limit: "new_orders", Location: "fra", Remaining: new(212.), Lowest: new(180.), Capacity: 300},
			{Limit: "new_orders", Location: "iad", Remaining: new(40.), Lowest: new(0.), Capacity: 300, Limited: 3},
		},
	}
	for i, name := range locations {
		l := Location{Location: name, Availability: spent(7*24*time.Hour, 22*time.Minute, outage.Duration(), blackout.Duration()), Before: new(spent(7*24*time.Hour, 0, 0, 0)),
			Runs: Runs{Success: 22_000 - int64(i), Failures: map[string]int64{"ca": 150}, Skipped: 30}, Silent: []Span{blackout}}
		if name == "syd" {
			l.Availability = spent(7*24*time.Hour, 0, outage.Duration(), dead.Duration())
			l.Runs = Runs{Success: 11_316, Failures: map[string]int64{"ca": 102}}
			l.Silent = []Span{dead}
		}
		t.Locations = append(t.Locations, l)
	}
	for _, step := range []struct {
		name   string
		p50    float64 // ms
		before float64 // ms; 0: none
	}{{"account", 92, 95}, {"order", 310, 280}, {"validation", 2_400, 2_390}, {"finalization", 4_100, 1_900}, {"download", 80, 0}} {
		t.Steps = append(t.Steps, measure(step.name, step.p50, step.before))
	}
	for _, call := range []struct {
		name        string
		p50, before float64 // ms
	}{{"directory", 41, 40}, {"new-nonce", 35, 36}, {"new-order", 300, 270}, {"finalize", 420, 300}, {"certificate", 70, 75}} {
		t.Calls = append(t.Calls, measure(call.name, call.p50, call.before))
	}
	return t
}

// sampleHostile has one location and nearly nothing that is known.
func sampleHostile() Target {
	t := Target{
		Target: hostile, Environment: hostile,
		Availability: spent(7*24*time.Hour, 0, 0, 7*24*time.Hour-3*time.Hour),
		Runs:         Runs{Success: 2, Failures: map[string]int64{"client": 1}},
		Locations:    []Location{{Location: hostile, Availability: spent(7*24*time.Hour, 0, 0, 7*24*time.Hour-3*time.Hour), Silent: []Span{{at(0, 3, 0), at(7, 0, 0)}}}},
		Steps: []Measure{{Name: hostile, All: Quantiles{Count: 2, P50: Quantile{Value: time.Second, Low: 500 * time.Millisecond, High: 2500 * time.Millisecond},
			P95: Quantile{Value: 90 * time.Second, Low: 90 * time.Second}, P99: Quantile{Value: 90 * time.Second, Low: 90 * time.Second}}}},
		Incidents: []Incident{{
			Condition: "down", Start: at(0, 2, 30), Duration: 171*time.Hour + 30*time.Minute, Locations: []string{hostile}, Module: hostile, Stage: hostile, Reason: hostile,
			Fault: hostile, Summary: hostile, From: FromMetrics, Official: &Official{Name: hostile, URL: "javascript:alert(1)//" + hostile, Start: at(0, 3, 0), Lead: 30 * time.Minute},
		}},
		IncidentsFrom: FromMetrics,
		Changes:       []Change{{At: at(0, 1, 0), Locations: []string{hostile}, Fields: []Field{{Field: hostile, From: hostile, To: "new " + hostile}}}},
		Budget:        []Budget{{Limit: hostile, Location: hostile, Remaining: new(1.), Lowest: new(1.)}},
	}
	for h := range 7 * 24 {
		cell := Hour{Start: monday.Add(time.Duration(h) * time.Hour), Availability: Availability{Unknown: time.Hour}}
		if h < 3 {
			cell.Availability, cell.Runs, cell.Failed = Availability{Up: time.Hour}, 1, int64(h/2)
		}
		t.Heat = append(t.Heat, cell)
	}
	return t
}

// sampleLatency is of two issuances a minute.
func sampleLatency() *Latency {
	l := Latency{Prober: "issue", Gaps: []Gap{{GapOutage, outage}, {GapMissing, blackout}}}
	const step = 52 * time.Minute
	end := monday.AddDate(0, 0, 7)
	for from := monday; from.Before(end); {
		to := from.Add(step)
		if to.After(end) {
			to = end
		}
		next := to
		for _, g := range l.Gaps {
			if g.overlap(from, to) > 0 {
				to, next = g.Start, g.End
			}
		}
		if to.After(from) {
			h := from.Sub(monday).Hours()
			p50 := 6_900 + 500*math.Sin(h/24*2*math.Pi) + 200*math.Sin(h*1.7)
			if slow.overlap(from, to) > 0 {
				p50 *= 2.4
			}
			l.Points = append(l.Points, Point{Start: from, End: to, Count: int64(to.Sub(from) / (30 * time.Second)), P10: ms(p50 * .8), P50: ms(p50), P90: ms(p50 * 1.6)})
		}
		from = next
	}
	return &l
}

func sampleHeat() []Hour {
	var hours []Hour
	for h := range 7 * 24 {
		from := monday.Add(time.Duration(h) * time.Hour)
		to := from.Add(time.Hour)
		cell := Hour{Start: from, Availability: spent(time.Hour, Span{at(3, 9, 12), at(3, 9, 34)}.overlap(from, to), outage.overlap(from, to), blackout.overlap(from, to))}
		cell.Runs = int64(600 * (cell.Up + cell.Degraded + cell.Down).Hours())
		cell.Failed = int64(600 * cell.Down.Hours())
		if glimpse.overlap(from, to) > 0 {
			cell.Failed += 5
		}
		hours = append(hours, cell)
	}
	return hours
}

// spent is up for what is left of all.
func spent(all, degraded, down, unknown time.Duration) Availability {
	return Availability{Up: all - degraded - down - unknown, Degraded: degraded, Down: down, Unknown: unknown}
}

// measure is of a name and medians in ms. The location syd is not compared.
func measure(name string, p50, before float64) Measure {
	of := func(p50 float64, count int64) Quantiles {
		return Quantiles{Count: count, P50: quantile(p50), P95: quantile(2.1 * p50), P99: quantile(4 * p50)}
	}
	m := Measure{Name: name, All: of(p50, 19_874)}
	if before > 0 {
		m.Before = new(of(before, 20_112))
	}
	for i, location := range locations {
		l := LocationQuantiles{Location: location, Quantiles: of(p50*(.9+.1*float64(i)), 4_000)}
		if before > 0 {
			l.Before = new(of(before*(.9+.1*float64(i)), 4_020))
		}
		m.Locations = append(m.Locations, l)
	}
	return m
}

// quantile is one of a native histogram, in ms.
func quantile(value float64) Quantile {
	return Quantile{Value: ms(value), Low: ms(value * .96), High: ms(value * 1.05)}
}

func ms(v float64) time.Duration { return time.Duration(math.Round(v)) * time.Millisecond }
