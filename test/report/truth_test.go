package report

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"time"
)

// The truth: two weeks in Berlin, of which the second has all that goes wrong. Five
// locations watch a target, and one of them also one whose name is hostile.
var (
	berlin = func() *time.Location {
		zone, err := time.LoadLocation("Europe/Berlin")
		if err != nil {
			panic(err)
		}
		return zone
	}()
	begin  = time.Date(2026, 6, 1, 0, 0, 0, 0, berlin)
	monday = time.Date(2026, 6, 8, 0, 0, 0, 0, berlin)
	end    = time.Date(2026, 6, 15, 0, 0, 0, 0, berlin)

	locations = []string{"fra", "iad", "sin", "sjc", "syd"}

	outage   = span{day(1, 14, 20), day(1, 15, 30)} // the CA, seen by all
	death    = day(2, 10, 0)                        // of the exporter at syd
	change   = day(2, 17, 3)                        // of the directory
	slow     = span{day(3, 0, 0), day(4, 0, 0)}     // at all locations
	blackout = span{day(4, 3, 0), day(4, 4, 30)}    // of Prometheus
	restart  = day(5, 12, 0).Add(10 * time.Second)  // of the exporter at iad
	glimpse  = span{day(5, 23, 58), day(6, 0, 2)}   // seen by iad and sjc alone
	told     = outage.start.Add(11 * time.Minute)   // the CA told of the outage, which iad has read
)

const (
	target  = "letsencrypt-staging"
	hostile = "=evil\"><script>alert('1')</script>|`*[x](javascript:y)\\\n\u202e{}"

	stateInterval = 30 * time.Second
	interval      = 4 * time.Minute // of all else that is scraped, and of issuances
)

type span struct{ start, end time.Time }

func (s span) has(t time.Time) bool { return !t.Before(s.start) && t.Before(s.end) }

// day is a time of the second week: days after Monday, hours and minutes.
func day(d, hour, minute int) time.Time { return time.Date(2026, 6, 8+d, hour, minute, 0, 0, berlin) }

// offset is when after the full minute a location is scraped.
func offset(location string) time.Duration {
	return time.Duration(3+5*slices.Index(locations, location)) * time.Second
}

// stateAt is what a location says of the target.
func stateAt(location string, t time.Time) string {
	if outage.has(t) || glimpse.has(t) && (location == "iad" || location == "sjc") {
		return "down"
	}
	return "up"
}

// scraped reports whether there is a sample of a location.
func scraped(location string, t time.Time) bool {
	return !blackout.has(t) && (location != "syd" || t.Before(death))
}

// run is an issuance, and a look at the directory.
type run struct {
	at    time.Time // when it ended: 20 s before the full minute
	fault string    // empty: it succeeded
	skip  bool      // of the issuance
	took  map[string]float64
}

// steps and calls of an issuance, with their usual time in seconds.
var (
	steps = map[string]float64{"order": .3, "validation": 2, "finalization": 4, "download": .08}
	calls = map[string]float64{"new-order": .28, "finalize": .4}
)

// runAt is the issuance that ended at t.
func runAt(location string, t time.Time) run {
	r := run{at: t, took: map[string]float64{}}
	if stateAt(location, t) == "down" {
		r.fault = "ca"
		if glimpse.has(t) {
			r.fault = "unreachable"
		}
		return r
	}
	r.skip = chance(location, "skip", t) < .01
	if r.skip {
		return r
	}
	for _, all := range []map[string]float64{steps, calls} {
		for name, usual := range all {
			u := chance(location, name, t)
			took := usual * (.6 + .8*u) * (1 + .05*float64(slices.Index(locations, location)))
			if u > .97 {
				took *= 4
			}
			if name == "finalization" && slow.has(t) {
				took *= 3
			}
			r.took[name] = took
		}
	}
	for name := range steps {
		r.took["run"] += r.took[name]
	}
	return r
}

// chance is from 0 to 1, and the same at each call.
func chance(location, name string, t time.Time) float64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s/%d", location, name, t.Unix())
	sum := h.Sum64()
	sum ^= sum >> 31
	sum *= 0x9e3779b97f4a7c15
	return float64(sum>>11) / (1 << 53)
}

// histogram is a classic and a native one of the same durations.
type histogram struct {
	bounds []float64
	le     []int64 // cumulative; the last is of all
	native native
	sum    float64
}

var (
	stepBounds = []float64{.1, .25, .5, 1, 2.5, 5, 10, 20, 45, 90}
	callBounds = []float64{.005, .025, .1, .25, .5, 1, 2.5, 5, 10, 30}
	runBounds  = []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 20, 45, 90}
)

func newHistogram(bounds []float64) *histogram {
	return &histogram{bounds: bounds, le: make([]int64, len(bounds)+1), native: native{}}
}

func (h *histogram) observe(v float64) {
	for i, bound := range h.bounds {
		if v <= bound {
			h.le[i]++
		}
	}
	h.le[len(h.bounds)]++
	h.native.observe(v)
	h.sum += v
}

// add adds its samples in the mode: classic, native or both.
func (h *histogram) add(b *batch, mode string, l labels, name string, at time.Time) {
	if mode != "native" {
		for i, n := range h.le {
			le := "+Inf"
			if i < len(h.bounds) {
				le = strconv.FormatFloat(h.bounds[i], 'g', -1, 64)
			}
			b.add(l.with("__name__", name+"_bucket", "le", le), at, float64(n))
		}
		b.add(l.with("__name__", name+"_count"), at, float64(h.le[len(h.bounds)]))
	}
	if mode != "classic" {
		b.addNative(l.with("__name__", name), at, h.native, h.sum)
	}
}

// exporter is what one at a location has counted since it was started.
type exporter struct {
	job, location  string
	born           time.Time
	issued, looked map[[2]string]int // runs by outcome and fault
	steps, calls   map[string]*histogram
	runs           *histogram
}

func newExporter(location string, born time.Time) *exporter {
	e := &exporter{job: "acme", location: location, born: born, steps: map[string]*histogram{}, calls: map[string]*histogram{}, runs: newHistogram(runBounds)}
	e.issued, e.looked = map[[2]string]int{}, map[[2]string]int{}
	for _, of := range [][2]string{{"success", ""}, {"skipped", ""}, {"failure", "ca"}, {"failure", "unreachable"}, {"failure", "local"}, {"failure", "client"}, {"failure", "unknown"}} {
		e.issued[of], e.looked[of] = 0, 0
	}
	return e
}

func (e *exporter) observe(r run) {
	switch {
	case r.fault != "":
		e.issued[[2]string{"failure", r.fault}]++
		e.looked[[2]string{"failure", r.fault}]++
		return
	case r.skip:
		e.issued[[2]string{"skipped", ""}]++
	default:
		e.issued[[2]string{"success", ""}]++
	}
	e.looked[[2]string{"success", ""}]++
	for name, took := range r.took {
		of, bounds := e.steps, stepBounds
		if _, ok := calls[name]; ok {
			of, bounds = e.calls, callBounds
		}
		if name == "run" {
			e.runs.observe(took)
			continue
		}
		if of[name] == nil {
			of[name] = newHistogram(bounds)
		}
		of[name].observe(took)
	}
}

// scrape adds what is scraped every four minutes.
func (e *exporter) scrape(b *batch, mode string, at time.Time) {
	own := labelled("job", e.job, "instance", e.location+":18555", "location", e.location)
	b.add(own.with("__name__", "acme_exporter_build_info", "version", "1"), at, 1)
	b.add(own.with("__name__", "process_start_time_seconds"), at, float64(e.born.UnixMilli())/1000)
	of := own.with("target", target, "environment", "staging")
	pairs := map[string]map[[2]string]int{"issue_dns": e.issued, "directory": e.looked}
	for module, counts := range pairs {
		for what, n := range counts {
			b.add(of.with("__name__", "acme_probes_total", "module", module, "outcome", what[0], "fault", what[1]), at, float64(n))
		}
	}
	issue := of.with("module", "issue_dns")
	b.add(issue.with("__name__", "acme_probe_info", "prober", "issue", "challenge", "dns-01"), at, 1)
	b.add(of.with("__name__", "acme_probe_info", "module", "directory", "prober", "directory", "challenge", ""), at, 1)
	for name, h := range e.steps {
		h.add(b, mode, issue.with("step", name), "acme_step_duration_seconds", at)
	}
	for name, h := range e.calls {
		h.add(b, mode, issue.with("call", name), "acme_request_duration_seconds", at)
	}
	e.runs.add(b, mode, issue, "acme_probe_duration_seconds", at)
	if !at.Before(change) && e.location != "sin" {
		b.add(of.with("__name__", "acme_directory_last_change_timestamp_seconds"), at, float64(change.Add(offset(e.location)).Unix()))
	}
	e.limits(b, of, at)
	b.add(of.with("__name__", "acme_certificate_check_failures_total", "module", "issue_dns", "check", "scts"), at, map[bool]float64{false: 2, true: 5}[at.After(monday)])
	e.incident(b, of, at)
}

// limits adds what is left of the CA's limits. At fra and syd another exporter was there on Monday,
// which had spent nearly all; and fra was refused because of a limit of which there is no account.
func (e *exporter) limits(b *batch, of labels, at time.Time) {
	b.add(of.with("__name__", "acme_rate_limit_remaining", "limit", "new_orders"), at, leftAt(at))
	b.add(of.with("__name__", "acme_rate_limit_capacity", "limit", "new_orders"), at, 300)
	if e.location == "fra" {
		b.add(of.with("__name__", "acme_rate_limited_total", "limit", "unknown"), at, map[bool]float64{true: 2}[at.After(day(1, 0, 0))])
	}
	if (e.location == "fra" || e.location == "syd") && at.After(monday) && at.Before(day(1, 0, 0)) {
		other := of.with("instance", e.location+"-old:18555")
		b.add(other.with("__name__", "acme_exporter_build_info", "version", "1"), at, 1)
		b.add(other.with("__name__", "acme_rate_limit_remaining", "limit", "new_orders"), at, 3)
		b.add(other.with("__name__", "acme_rate_limit_capacity", "limit", "new_orders"), at, 100)
	}
}

// leftAt is what is left of a limit.
func leftAt(at time.Time) float64 {
	return math.Floor(200 + 50*math.Sin(at.Sub(begin).Hours()/24*2*math.Pi))
}

// incident adds the latest incident, if there was one.
func (e *exporter) incident(b *batch, of labels, at time.Time) {
	last, info := outage, []string{"kind", "down", "stage", "order", "reason", "serverInternal", "fault", "ca"}
	if (e.location == "iad" || e.location == "sjc") && !at.Before(glimpse.start) {
		last, info = glimpse, []string{"kind", "down", "stage", "directory", "reason", "connect_timeout", "fault", "unreachable"}
	}
	if at.Before(last.start) {
		return
	}
	b.add(of.with("__name__", "acme_incident_start_timestamp_seconds"), at, float64(last.start.Unix()))
	b.add(of.with(append(info, "__name__", "acme_incident_info")...), at, 1)
	if !at.Before(last.end) {
		b.add(of.with("__name__", "acme_incident_end_timestamp_seconds"), at, float64(last.end.Unix()))
	}
	if last == outage && e.location == "iad" && at.After(told) {
		b.add(of.with("__name__", "acme_incident_official_start_timestamp_seconds"), at, float64(told.Unix()))
	}
}

// states adds what is scraped every thirty seconds.
func states(b *batch, location string, at time.Time) {
	add := func(of labels, now string) {
		for _, state := range []string{"up", "degraded", "down", "unknown"} {
			b.add(of.with("__name__", "acme_target_state", "state", state), at, map[bool]float64{state == now: 1}[true])
		}
	}
	own := labelled("job", "acme", "instance", location+":18555", "location", location)
	add(own.with("target", target, "environment", "staging"), stateAt(location, at))
	if location == "fra" && at.After(monday) && at.Before(day(0, 3, 0)) {
		add(own.with("target", hostile, "environment", hostile), "up")
	}
}
