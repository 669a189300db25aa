package report

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// stepOrder is the order in which a run makes its steps.
var stepOrder = []string{
	"directory", "nonce", "account", "order", "authorization", "publication", "validation", "finalization", "download", "deactivation",
	"revocation", "crl", "ocsp", "aia", "site", "renewal_info",
}

// callOrder is the order in which a run makes its calls.
var callOrder = []string{
	"directory", "new-nonce", "new-account", "account", "key-change", "new-authz", "new-order", "order", "authz", "challenge", "finalize", "certificate",
	"deactivate-authz", "revoke-cert", "renewal-info", "crl", "ocsp", "aia", "site",
}

// counted is what counters and histograms have taken in of a target in a period.
type counted struct {
	runs    Runs
	at      map[string]Runs                          // by location
	spreads map[string]map[string]map[string]*spread // by family, by step or call, by location
	checks  map[string]float64
	limited map[string]map[string]float64 // by location, by limit
	modules map[string]float64            // runs that were not skipped, by module
	// native and classic are the instances by the histograms that were taken of them, sorted.
	native, classic []string
	hasRuns         bool
}

// count puts in what is counted: runs, certificates, and how long steps and calls took.
func (m *maker) count(ctx context.Context, of key, t *Target) (*counted, error) {
	shared := kept{}
	now, err := m.counted(ctx, of, m.Period, shared)
	if err != nil {
		return nil, err
	}
	before, err := m.counted(ctx, of, m.before, shared)
	if err != nil {
		return nil, err
	}
	t.Runs = now.runs
	if before.hasRuns {
		t.RunsBefore = &before.runs
	}
	for i := range t.Locations {
		t.Locations[i].Runs = now.at[t.Locations[i].Location]
	}
	t.Steps = measures(now.spreads[familySteps], before.spreads[familySteps], stepOrder)
	t.Calls = measures(now.spreads[familyCalls], before.spreads[familyCalls], callOrder)
	t.Slowest = slowest(t.Steps)
	t.Certificates = certificates(t, now, before)
	for location, limits := range now.limited {
		for limit, n := range limits {
			if n = math.Round(n); n > 0 {
				t.Budget = append(t.Budget, Budget{Limit: limit, Location: location, Limited: int64(n)})
			}
		}
	}
	m.mu.Lock()
	m.sources.native = m.sources.native || len(now.native) > 0
	m.sources.classic = m.sources.classic || len(now.classic) > 0
	m.mu.Unlock()
	return now, m.hours(ctx, of, t)
}

// hours puts in how many runs there were in each hour. Only counters that grew in the
// period are read: there are as many for each fault, and most of them never do.
func (m *maker) hours(ctx context.Context, of key, t *Target) error {
	faults := slices.Sorted(maps.Keys(t.Runs.Failures))
	if t.Runs.Success > 0 {
		faults = append(faults, "") // that of a success
	}
	if len(faults) == 0 {
		return nil
	}
	query := func(window time.Duration) string {
		grew := "increase(" + familyRuns + "{" + of.matchers() + `,outcome=~"success|failure",fault=~` + oneOf(faults) + "}[" + model.Duration(window).String() + "])"
		return "sum by (outcome) (" + m.twins.once(grew, window) + ")"
	}
	put := func(labels model.Metric, i int, n float64) {
		if i < 0 || i >= len(t.Heat) {
			return
		}
		t.Heat[i].Runs += int64(math.Round(n))
		if labels["outcome"] == "failure" {
			t.Heat[i].Failed += int64(math.Round(n))
		}
	}
	err := m.client.each(ctx, query(time.Hour), m.Period.Since.Add(time.Hour), m.Period.Until.Add(time.Millisecond), time.Hour, func(matrix model.Matrix) {
		for _, stream := range matrix {
			for _, pair := range stream.Values {
				put(stream.Metric, int(pair.Timestamp.Time().Sub(m.Period.Since)/time.Hour)-1, float64(pair.Value))
			}
		}
	})
	rest := m.Period.Duration() % time.Hour
	if err != nil || rest < time.Minute {
		return err
	}
	vector, err := m.client.instant(ctx, query(rest), m.Period.Until)
	for _, s := range vector {
		put(s.Metric, len(t.Heat)-1, float64(s.Value))
	}
	return err
}

// counted reads what was counted in a period.
func (m *maker) counted(ctx context.Context, of key, p Period, shared kept) (*counted, error) {
	list := stretches(m.counting, p)
	grew, err := m.growCounters(ctx, of, list, shared)
	if err != nil {
		return nil, err
	}
	kept, err := m.grow(ctx, of, persistedNamed, whole(list), shared)
	if err != nil {
		return nil, err
	}
	return countedOf(slices.Concat(grew, kept)), nil
}

// countedOf adds up what has grown.
func countedOf(all []grown) *counted {
	c := &counted{
		at: map[string]Runs{}, spreads: map[string]map[string]map[string]*spread{familySteps: {}, familyCalls: {}},
		checks: map[string]float64{}, limited: map[string]map[string]float64{}, modules: map[string]float64{},
	}
	runs := map[string]map[[2]string]float64{} // by location, by outcome and fault
	classic := map[classicKey]map[string]float64{}
	for _, g := range all {
		name := string(g.labels[model.MetricNameLabel])
		family := strings.TrimSuffix(name, bucketSuffix)
		location := label(g.labels, "location")
		switch {
		case name == familyRuns:
			of := [2]string{label(g.labels, "outcome"), label(g.labels, "fault")}
			add(runs, location, of, g.by)
			if of[0] != "skipped" {
				c.modules[label(g.labels, "module")] += g.by
			}
		case name == familyLimited:
			add(c.limited, location, label(g.labels, "limit"), g.by)
		case name == familyChecks:
			c.checks[label(g.labels, "check")] += g.by
		case g.spread != nil:
			c.spread(family, measureOf(g.labels), g.of, g.spread)
		case family != name:
			add(classic, classicKey{g.of, g.life, family, measureOf(g.labels)}, label(g.labels, "le"), g.by)
		}
	}
	for k, cumulative := range classic {
		c.spread(k.family, k.name, k.of, classicSpread(cumulative))
	}
	for location, by := range runs {
		c.addRuns(location, by)
	}
	return c
}

// classicKey names a classic histogram of an exporter, over all modules, in one of its lives:
// in another one it can have other buckets.
type classicKey struct {
	of           exporter
	life         int
	family, name string
}

func add[K, L comparable](to map[K]map[L]float64, k K, l L, n float64) {
	if to[k] == nil {
		to[k] = map[L]float64{}
	}
	to[k][l] += n
}

// measureOf is the name of the step or the call of a histogram.
func measureOf(labels model.Metric) string {
	return cmp.Or(label(labels, "step"), label(labels, "call"))
}

func (c *counted) spread(family, name string, of exporter, s *spread) {
	if c.spreads[family][name] == nil {
		c.spreads[family][name] = map[string]*spread{}
	}
	if c.spreads[family][name][of.location] == nil {
		c.spreads[family][name][of.location] = &spread{}
	}
	c.spreads[family][name][of.location].add(s)
	if s.total() <= 0 {
		return
	}
	list := &c.classic
	if s.native {
		list = &c.native
	}
	if i, found := slices.BinarySearch(*list, of.instance); !found {
		*list = slices.Insert(*list, i, of.instance)
	}
}

func (c *counted) addRuns(location string, by map[[2]string]float64) {
	here := c.at[location]
	for of, n := range by {
		n := int64(math.Round(n))
		if n == 0 {
			continue
		}
		c.hasRuns = true
		for _, r := range []*Runs{&here, &c.runs} {
			switch of[0] {
			case "success":
				r.Success += n
			case "skipped":
				r.Skipped += n
			default:
				if r.Failures == nil {
					r.Failures = map[string]int64{}
				}
				r.Failures[of[1]] += n
			}
		}
	}
	c.at[location] = here
}

// whole are the stretches of counters that go on after a restart: of each exporter one,
// from its first to its last. What it had when it was first there is of before: a process
// that begins in the period has not counted it.
func whole(list []stretch) []stretch {
	var joined []stretch
	for _, s := range list {
		if n := len(joined); n > 0 && joined[n-1].of == s.of {
			joined[n-1].end, joined[n-1].late = s.end, s.late
			continue
		}
		s.begin = s.first
		joined = append(joined, s)
	}
	return joined
}

// measures are those of steps or calls, in their order; what is not in it comes last.
func measures(now, before map[string]map[string]*spread, order []string) []Measure {
	var list []Measure
	for _, name := range slices.Sorted(maps.Keys(now)) {
		all := together(now[name]).quantiles()
		if all == nil {
			continue
		}
		measure := Measure{Name: name, All: *all, Before: together(before[name]).quantiles()}
		for _, location := range slices.Sorted(maps.Keys(now[name])) {
			here := now[name][location].quantiles()
			if here == nil {
				continue
			}
			l := LocationQuantiles{Location: location, Quantiles: *here}
			if was := before[name][location]; was != nil {
				l.Before = was.quantiles()
			}
			measure.Locations = append(measure.Locations, l)
		}
		list = append(list, measure)
	}
	rank := func(m Measure) int {
		if i := slices.Index(order, m.Name); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(list, func(a, b Measure) int { return cmp.Compare(rank(a), rank(b)) })
	return list
}

func together(of map[string]*spread) *spread {
	all := &spread{}
	for _, s := range of {
		all.add(s)
	}
	return all
}

// slowest is the location that has the longest median of the step that takes longest, if it
// is not in the same bucket as the median of the others.
func slowest(steps []Measure) *Slowest {
	var longest *Measure
	for i := range steps {
		// The time of a publication is that of name servers of ours.
		if s := &steps[i]; s.Name != "publication" && len(s.Locations) > 1 && (longest == nil || s.All.P50.Value > longest.All.P50.Value) {
			longest = s
		}
	}
	if longest == nil {
		return nil
	}
	worst := slices.MaxFunc(longest.Locations, func(a, b LocationQuantiles) int { return cmp.Compare(a.P50.Value, b.P50.Value) })
	var others []time.Duration
	for _, l := range longest.Locations {
		if l.Location != worst.Location {
			others = append(others, l.P50.Value)
		}
	}
	slices.Sort(others)
	median := (others[(len(others)-1)/2] + others[len(others)/2]) / 2
	if median >= worst.P50.Low && !worst.P50.Beyond() || median >= worst.P50.Value {
		return nil
	}
	return &Slowest{Location: worst.Location, Measure: longest.Name, P50: worst.P50, Others: median}
}

// certificates counts downloads that succeeded: one for each certificate.
func certificates(t *Target, now, before *counted) *Certificates {
	var c *Certificates
	for _, s := range t.Steps {
		if s.Name == "download" {
			c = &Certificates{Issued: s.All.Count}
			if s.Before != nil {
				c.Before = &s.Before.Count
			}
		}
	}
	if c == nil && before.spreads[familySteps]["download"] != nil {
		c = &Certificates{}
		if was := together(before.spreads[familySteps]["download"]).quantiles(); was != nil {
			c.Before = &was.Count
		}
	}
	if c == nil {
		return nil
	}
	for check, n := range now.checks {
		if n = math.Round(n); n > 0 {
			if c.CheckFailures == nil {
				c.CheckFailures = map[string]int64{}
			}
			c.CheckFailures[check] = int64(n)
		}
	}
	return c
}
