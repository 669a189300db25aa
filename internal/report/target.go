package report

import "time"

// Target is what was seen of a CA.
type Target struct {
	Target      string `json:"target"`
	Environment string `json:"environment"` // production, staging or what the configuration says; empty: none
	// Availability over all locations. Before is that of the period before; nil: nothing
	// is known of it.
	Availability Availability  `json:"availability"`
	Before       *Availability `json:"before,omitempty"`
	Runs         Runs          `json:"runs"`                  // over all modules and locations
	RunsBefore   *Runs         `json:"runs_before,omitempty"` // nil: there was none
	// Certificates is nil where no module issues any.
	Certificates *Certificates `json:"certificates,omitempty"`
	// Locations are those that have watched it in the period or the one before, sorted
	// by name.
	Locations []Location `json:"locations,omitempty"`
	// Steps and Calls say how long each of them took: steps in the order in which a run
	// makes them, then the calls. Only what was measured is there.
	Steps []Measure `json:"steps,omitempty"`
	Calls []Measure `json:"calls,omitempty"`
	// Slowest is the location that is farthest from the others; nil: there are fewer
	// than two to compare.
	Slowest *Slowest `json:"slowest,omitempty"`
	// Latency is the chart of the period; nil: there is nothing to draw.
	Latency *Latency `json:"latency,omitempty"`
	// Heat has a cell for each hour of the period in order, 168 for a week (167 or 169
	// where clocks are changed), or fewer where it was not over. The last one can be shorter.
	Heat []Hour `json:"heat"`
	// Incidents that have a part in the period, in the order of their starts.
	Incidents     []Incident     `json:"incidents,omitempty"`
	IncidentsFrom IncidentSource `json:"incidents_from"`
	// Changes of the directory, terms of service among them, in the order of their times.
	Changes []Change `json:"changes,omitempty"`
	// Budget is what is left of the CA's rate limits, sorted by limit and location.
	Budget []Budget `json:"budget,omitempty"`
}

// Availability says how a time was spent. Its four parts add up to the period, or to what
// was over of it when the report was made. Over
// all locations, a part is one in which the majority of those that reported said so;
// of one location, one in which it said so.
type Availability struct {
	Up time.Duration `json:"up_ns"`
	// Degraded: it could issue, and something beside that did not work.
	Degraded time.Duration `json:"degraded_ns"`
	Down     time.Duration `json:"down_ns"`
	// Unknown: nobody reported. It is neither up nor down.
	Unknown time.Duration `json:"unknown_ns"`
}

// Share returns which part of the known time was not down, from 0 to 1; not ok:
// nothing is known.
func (a Availability) Share() (share float64, ok bool) {
	known := a.Up + a.Degraded + a.Down
	if known <= 0 {
		return 0, false
	}
	return float64(a.Up+a.Degraded) / float64(known), true
}

// Runs counts runs, follow-ups not among them.
type Runs struct {
	Success int64 `json:"success"`
	// Failures by fault: ca, unreachable, local, client, unknown. A fault that is not
	// there was nobody's.
	Failures map[string]int64 `json:"failures,omitempty"`
	// Skipped runs are no evidence: they are in no share.
	Skipped int64 `json:"skipped"`
}

// Failed is how many runs failed, whoever's fault it was.
func (r Runs) Failed() int64 {
	var n int64
	for _, failures := range r.Failures {
		n += failures
	}
	return n
}

// any reports whether there was a run at all.
func (r Runs) any() bool { return r.Success+r.Failed()+r.Skipped > 0 }

// Reachability returns the share of all runs that succeeded, from 0 to 1; not ok: there
// was no run that succeeded or failed.
func (r Runs) Reachability() (share float64, ok bool) {
	all := r.Success + r.Failed()
	if all <= 0 {
		return 0, false
	}
	return float64(r.Success) / float64(all), true
}

// Certificates counts what was issued.
type Certificates struct {
	Issued int64 `json:"issued"`
	// Before is how many were issued in the period before; nil: nothing is known of it.
	Before *int64 `json:"before,omitempty"`
	// CheckFailures is how many certificates failed which check (names, trust, lint …);
	// empty: none did.
	CheckFailures map[string]int64 `json:"check_failures,omitempty"`
}

// Location is what was seen of a target from one place.
type Location struct {
	// Location is its label; empty: the samples have none.
	Location     string        `json:"location"`
	Availability Availability  `json:"availability"`
	Before       *Availability `json:"before,omitempty"` // nil: nothing is known of the period before
	Runs         Runs          `json:"runs"`
	// Silent are the spans of an hour or longer in which it did not report, in order. Shorter
	// ones are in Availability.Unknown alone.
	Silent []Span `json:"silent,omitempty"`
}

// Measure is how long a step or a call took.
type Measure struct {
	Name string `json:"name"` // such as validation, or new-order
	// All is over all locations.
	All Quantiles `json:"all"`
	// Before is All of the period before; nil: it was not measured.
	Before *Quantiles `json:"before,omitempty"`
	// Locations are sorted by name. One at which it was not measured is not there.
	Locations []LocationQuantiles `json:"locations,omitempty"`
}

// LocationQuantiles is how long a step or a call took at a location.
type LocationQuantiles struct {
	Location string `json:"location"`
	Quantiles
	Before *Quantiles `json:"before,omitempty"` // nil: it was not measured
}

// Quantiles are those of so many durations.
type Quantiles struct {
	Count int64    `json:"count"` // more than 0
	P50   Quantile `json:"p50"`
	P95   Quantile `json:"p95"`
	P99   Quantile `json:"p99"`
}

// Quantile is an estimate from a histogram. The true value is in the same bucket, so
// it is from Low to High.
type Quantile struct {
	Value time.Duration `json:"value_ns"` // interpolated within the bucket
	Low   time.Duration `json:"low_ns"`   // 0: the first bucket
	High  time.Duration `json:"high_ns"`  // 0: the last bucket, which has no end; Value is Low then
}

// Beyond reports whether the true value is longer than what the histogram can tell:
// it is to be shown as more than Value.
func (q Quantile) Beyond() bool { return q.High == 0 }

// Change returns how much longer q is than before, as a share of before: 0.5 is half as
// long again, -0.5 half as long. Not sure: both are in overlapping buckets, so that
// there can be less of a difference, or none. Not ok: one of the two has no value to
// compare.
func (q Quantile) Change(before Quantile) (ratio float64, sure, ok bool) {
	if before.Value <= 0 || q.Beyond() || before.Beyond() {
		return 0, false, false
	}
	ratio = float64(q.Value-before.Value) / float64(before.Value)
	return ratio, q.Low >= before.High || before.Low >= q.High, true
}

// Slowest is the location that is slower than the others.
type Slowest struct {
	Location string `json:"location"`
	// Measure is the step (validation) by which they were compared: the one that takes longest.
	Measure string   `json:"measure"`
	P50     Quantile `json:"p50"` // at the location
	// Others is the median of the other locations' medians.
	Others time.Duration `json:"others_ns"`
}

// Incident is a time in which a target was down or degraded, as one or several
// locations saw it. What locations saw while the majority says so is one; what one of them
// had for much longer is one of its own.
type Incident struct {
	Condition string `json:"condition"` // the worst: down or degraded
	// Start is the earliest start of a failed run at a location. It can be before the
	// period.
	Start time.Time `json:"start"`
	// End is when the last location saw it work again; zero: nobody has seen that. It can
	// be after the period.
	End time.Time `json:"end,omitzero"`
	// Duration is from Start to End, or to when it was last seen to go on: when the report was
	// made, or when the metrics end, which are read for a day after the period.
	Duration time.Duration `json:"duration_ns"`
	// Uncertainty is how much earlier than Start it can have begun: since the last
	// success anywhere; nil: not known.
	Uncertainty *time.Duration `json:"uncertainty_ns,omitempty"`
	Locations   []string       `json:"locations"` // sorted; "" is one without a name
	// Majority: more than half of the locations that reported said so at a time, and this is
	// what they saw.
	Majority bool `json:"majority"`
	// Module, Stage, Reason and Fault are what most locations say, or else the first;
	// Summary is a sentence, empty where it is from metrics.
	Module  string `json:"module,omitempty"`
	Stage   string `json:"stage,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Fault   string `json:"fault,omitempty"`
	Summary string `json:"summary,omitempty"`
	// Failures is how many runs failed, at all locations; 0: not known.
	Failures int64 `json:"failures,omitempty"`
	// Official is what the CA published of it; nil: nothing is known.
	Official *Official      `json:"official,omitempty"`
	From     IncidentSource `json:"from"`
}

// Official is what a CA published of an incident on its status page.
type Official struct {
	Name  string    `json:"name,omitempty"` // its title; empty: not known
	URL   string    `json:"url,omitempty"`  // where it stands; empty: not known; not checked
	Start time.Time `json:"start"`          // when the CA published it
	// Lead is how much earlier than Start ours is; negative: the CA was first.
	Lead time.Duration `json:"lead_ns"`
}

// Change is a change of a directory.
type Change struct {
	// At is when a location saw it first.
	At        time.Time `json:"at"`
	Locations []string  `json:"locations"` // sorted; those that saw it
	// Fields are what changed: terms_of_service, endpoints, profiles … Empty: no exporter that was
	// asked has told, and metrics do not.
	Fields []Field `json:"fields,omitempty"`
	// Count is how many changes this stands for, where metrics tell the time of the last of
	// several alone; 0: one.
	Count int64 `json:"count,omitempty"`
}

// Terms reports whether the terms of service are known to have changed.
func (c Change) Terms() bool {
	for _, f := range c.Fields {
		if f.Field == "terms_of_service" {
			return true
		}
	}
	return false
}

// Field is what became of a field of a directory. Of a list, From has what is gone and
// To what is new. Both are without what can be a secret, so that they can be the same.
type Field struct {
	Field string `json:"field"`
	From  string `json:"from,omitempty"` // empty: it is new
	To    string `json:"to,omitempty"`   // empty: it is gone
}

// Budget is what a location had left of a rate limit, in tokens.
type Budget struct {
	Limit    string `json:"limit"`
	Location string `json:"location"`
	// Remaining is at the end of the period, or when last seen in it; nil: no account is kept of
	// the limit, which is known since the CA has refused because of it.
	Remaining *float64 `json:"remaining,omitempty"`
	// Lowest is the least that was left in the period; nil: as Remaining.
	Lowest *float64 `json:"lowest,omitempty"`
	// Capacity is what there is when nothing was spent; 0: not known.
	Capacity float64 `json:"capacity,omitempty"`
	// Limited is how many runs the CA refused because of this limit.
	Limited int64 `json:"limited,omitempty"`
}
