package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"golang.org/x/sync/errgroup"
)

// Options say what to report, and whom to ask.
type Options struct {
	Period Period // see NewPeriod
	// Prometheus is the URL of a server with its API, up to where /api/v1 comes.
	Prometheus string
	// Via makes the requests to it; nil: a client of http's defaults.
	Via *http.Client
	// Exporters are URLs of exporters that are asked for their incidents, and
	// ExporterVia makes these requests; nil: a client of http's defaults.
	Exporters   []string
	ExporterVia *http.Client
	// Targets are the names of those to report on; empty: all.
	Targets []string
	// Generator is what the report says of itself.
	Generator string
	// Progress is told what is being done, a few words each time; nil: nobody is. It is called
	// by one goroutine at a time.
	Progress func(string)
}

func (o Options) validate() error {
	switch {
	case o.Prometheus == "":
		return errors.New("report: no URL of a Prometheus")
	case !o.Period.Since.Before(o.Period.Until):
		return errors.New("report: no period")
	}
	return nil
}

// key names a target.
type key struct{ environment, target string }

func (k key) matchers() string {
	return matcher("environment", k.environment) + "," + matcher("target", k.target)
}

// maker makes one report.
type maker struct {
	Options
	client *client
	now    time.Time
	before Period
	lives  []life
	// counting are the lives of which each process has one, and twins those that have none.
	counting []life
	twins    twins
	places   map[key][]string // whose exporters have series of their own of a target
	// watching are the exporters with series of their own of a target.
	watching map[key][]exporter
	asked    []asked // what the exporters answered

	mu      sync.Mutex // guards the fields below, and progress
	sources struct{ rules, native, classic bool }
	missing []Missing
	// fromMetrics are exporters whose incidents of a target are from metrics, and answered those
	// that told their own.
	fromMetrics, answered []exporter
}

// Make makes the report. It fails if the server does not answer; what it does not
// know is in the report.
func Make(ctx context.Context, o Options) (*Report, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	c, err := newClient(o.Prometheus, o.Via)
	if err != nil {
		return nil, err
	}
	m := &maker{Options: o, client: c, now: time.Now(), before: o.Period.before()}
	r := &Report{
		Version: Version, Generator: o.Generator, Created: m.now.In(o.Period.Since.Location()).Truncate(time.Second),
		Period: o.Period, Before: m.before, Targets: []Target{},
	}
	// What is to come is no silence.
	m.Period = o.Period.past(m.now)
	m.tell("looking for targets")
	var keys []key
	look, looking := errgroup.WithContext(ctx)
	look.Go(func() (err error) {
		keys, err = m.targets(looking)
		return err
	})
	look.Go(func() (err error) {
		m.lives, err = m.readLives(looking, m.before.Since.Add(-lookBack), o.Period.Until)
		return err
	})
	if err := look.Wait(); err != nil {
		return nil, err
	}
	m.counting, m.twins = fold(m.lives)
	m.askExporters(ctx)

	made := make([]*Target, len(keys))
	work, working := errgroup.WithContext(ctx)
	work.SetLimit(inFlight)
	for i, k := range keys {
		work.Go(func() error {
			m.tell(k.target)
			var err error
			made[i], err = m.target(working, k)
			return err
		})
	}
	if err := work.Wait(); err != nil {
		return nil, err
	}
	for _, t := range made {
		if t != nil {
			r.Targets = append(r.Targets, *t)
		}
	}
	m.finish(r, keys)
	return r, nil
}

func (m *maker) tell(what string) {
	if m.Progress != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.Progress(clean(what))
	}
}

func (m *maker) miss(what Missing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.missing = append(m.missing, what)
}

// targets are those that anybody may have seen in the period or the one before.
func (m *maker) targets(ctx context.Context) ([]key, error) {
	sets, err := m.client.series(ctx, m.before.Since, m.Period.Until, `acme_target_state{state="up"}`, ruleReporting)
	if err != nil {
		return nil, err
	}
	var keys []key
	m.places, m.watching = map[key][]string{}, map[key][]exporter{}
	for _, labels := range sets {
		k := key{string(labels["environment"]), string(labels["target"])}
		if e := exporterOf(model.Metric(labels)); labels[model.MetricNameLabel] != ruleReporting && !slices.Contains(m.watching[k], e) {
			m.watching[k] = append(m.watching[k], e)
		}
		if location := string(labels["location"]); labels[model.MetricNameLabel] != ruleReporting && !slices.Contains(m.places[k], location) {
			m.places[k] = append(m.places[k], location)
		}
		if k.target != "" && (len(m.Targets) == 0 || slices.Contains(m.Targets, k.target)) && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	for _, name := range m.Targets {
		if !slices.ContainsFunc(keys, func(k key) bool { return k.target == name }) {
			m.miss(Missing{Kind: MissingAll, Target: name, Text: fmt.Sprintf("Nothing is known of %s: is the name right, and is it scraped into this Prometheus?", name)})
		}
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.target, b.target), cmp.Compare(a.environment, b.environment))
	})
	return keys, nil
}

// target makes the part of the report that is about one target; nil: nobody has said how it is,
// and nobody has counted a run, neither in the period nor in the one before.
func (m *maker) target(ctx context.Context, of key) (*Target, error) {
	now, err := m.readTimeline(ctx, of, m.Period)
	if err != nil {
		return nil, err
	}
	before, err := m.readTimeline(ctx, of, m.before)
	if err != nil {
		return nil, err
	}
	line, lineBefore := now.overall(), before.overall()
	t := &Target{Target: of.target, Environment: of.environment}
	t.Availability = now.availability(line, 0, len(line))
	if saysAnything(lineBefore) {
		a := before.availability(lineBefore, 0, len(lineBefore))
		t.Before = &a
	}
	m.locations(of, t, now, before)
	for first := 0; first < len(line); first += int(time.Hour / glance) {
		end := min(first+int(time.Hour/glance), len(line))
		t.Heat = append(t.Heat, Hour{Start: now.span(first).Start, Availability: now.availability(line, first, end)})
	}
	c, err := m.count(ctx, of, t)
	if err != nil {
		return nil, err
	}
	if !saysAnything(line) && !saysAnything(lineBefore) && !t.Runs.any() && t.RunsBefore == nil {
		m.miss(Missing{Kind: MissingAll, Target: of.target, Environment: of.environment, Text: nobodySaw(of)})
		return nil, nil
	}
	if err := m.events(ctx, of, t, now, line); err != nil {
		return nil, err
	}
	if err := m.budgets(ctx, of, t); err != nil {
		return nil, err
	}
	if err := m.latency(ctx, of, t, now, line, c); err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.sources.rules = m.sources.rules || now.rules
	m.mu.Unlock()
	m.missed(of, t, now, line)
	return t, nil
}

func nobodySaw(of key) string {
	return fmt.Sprintf("Nobody has seen %s in the whole period.", of.target)
}

// locations says how the target was at each of them. One that never could say it has runs all
// the same.
func (m *maker) locations(of key, t *Target, now, before *timeline) {
	names := slices.Concat(now.names(), before.names(), m.places[of])
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		line := now.locations[name]
		if line == nil {
			line = make([]state, now.all())
		}
		lineBefore := before.locations[name]
		l := Location{Location: name, Availability: now.availability(line, 0, len(line)), Silent: now.spans(line, silent, time.Hour)}
		if saysAnything(lineBefore) {
			a := before.availability(lineBefore, 0, len(lineBefore))
			l.Before = &a
		}
		t.Locations = append(t.Locations, l)
	}
}

// missed says what is not known of a target.
func (m *maker) missed(of key, t *Target, now *timeline, line []state) {
	about := Missing{Target: of.target, Environment: of.environment}
	if !saysAnything(line) {
		about.Kind, about.Text = MissingAll, nobodySaw(of)
		if t.Runs.any() {
			about.Text = fmt.Sprintf("Nobody could say in the whole period how %s was, though there were runs: none of them gave evidence.", of.target)
		}
		m.miss(about)
		return
	}
	const least = 5 * time.Minute
	if spans := now.spans(line, silent, least); spans != nil {
		about.Kind, about.Spans = MissingTime, spans
		about.Text = fmt.Sprintf("No location saw %s for %s in all.", of.target, lasted(total(spans)))
		m.miss(about)
	}
	for _, l := range t.Locations {
		if len(l.Silent) == 0 {
			continue
		}
		about.Kind, about.Spans, about.Location = MissingLocation, l.Silent, l.Location
		about.Text = fmt.Sprintf("%s did not see %s for %s in all.", named(l.Location), of.target, lasted(total(l.Silent)))
		m.miss(about)
	}
	about.Location, about.Spans = "", nil
	if t.Before == nil {
		about.Kind, about.Text = MissingBefore, fmt.Sprintf("Nobody saw %s in the period before: there is nothing to compare with.", of.target)
		m.miss(about)
	}
	if t.Runs.Success > 0 && len(t.Steps) == 0 && len(t.Calls) == 0 {
		about.Kind, about.Text = MissingQuantiles, fmt.Sprintf("There are runs at %s, but no histograms: nothing is known of how long they took.", of.target)
		m.miss(about)
	}
}

// finish puts in what is about all targets.
func (m *maker) finish(r *Report, keys []key) {
	if len(keys) == 0 && len(m.Targets) == 0 || len(keys) > 0 && len(r.Targets) == 0 {
		m.miss(Missing{Kind: MissingAll, Text: "There is nothing of any target in the whole period: are the exporters scraped into this Prometheus?"})
	}
	if r.Unfinished() {
		m.miss(Missing{Kind: MissingPeriod, Spans: []Span{{r.Created, r.Period.Until}}, Text: "The period was not over when this report was made: it is of what is over."})
	}
	for _, w := range m.client.warnings {
		m.miss(Missing{Kind: MissingPart, Text: "The server warns, so that data may be missing: " + w})
	}
	r.Sources = m.sourced(r)
	order := []MissingKind{MissingPart, MissingAll, MissingPeriod, MissingTime, MissingLocation, MissingQuantiles, MissingBefore, MissingIncidents, MissingChanges}
	slices.SortStableFunc(m.missing, func(a, b Missing) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)),
			cmp.Compare(a.Target, b.Target), cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Location, b.Location))
	})
	r.Missing = m.missing
	r.Accounting = accounting(r)
	toZone(r)
}

func (m *maker) sourced(r *Report) Sources {
	s := Sources{Prometheus: redacted(m.Options.Prometheus), Rules: m.sources.rules, Incidents: FromMetrics}
	switch {
	case m.sources.native && m.sources.classic:
		s.Histograms = "both"
	case m.sources.native:
		s.Histograms = "native"
	case m.sources.classic:
		s.Histograms = "classic"
	}
	for _, a := range m.asked {
		s.Exporters = append(s.Exporters, a.Exporter)
	}
	var exporters, metrics bool
	for _, t := range r.Targets {
		exporters = exporters || t.IncidentsFrom != FromMetrics
		metrics = metrics || t.IncidentsFrom != FromExporters
	}
	switch {
	case exporters && metrics:
		s.Incidents = FromBoth
	case exporters:
		s.Incidents = FromExporters
	}
	if len(r.Targets) > 0 && s.Incidents != FromExporters {
		text := "Incidents are from metrics"
		if s.Incidents == FromBoth {
			text = "Incidents at " + m.whose() + " are from metrics"
		}
		m.missing = append(m.missing, Missing{Kind: MissingIncidents, Text: text + ": one that is shorter than two scrapes can be missing."})
	}
	return s
}

// whose names the exporters whose incidents are from metrics: by their location, and where
// another one of it answered by their instance too.
func (m *maker) whose() string {
	told := map[string]bool{}
	for _, e := range m.answered {
		told[e.location] = true
	}
	var names []string
	for _, e := range m.fromMetrics {
		name := named(e.location)
		if told[e.location] && e.instance != "" {
			name += " (" + clean(e.instance) + ")"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	const most = 10
	if more := len(names) - most; more > 0 {
		names = append(names[:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// total is how long the spans are together.
func total(spans []Span) time.Duration {
	var d time.Duration
	for _, s := range spans {
		d += s.Duration()
	}
	return d
}

// label is a label's value as text.
func label(of model.Metric, name model.LabelName) string { return strings.Clone(string(of[name])) }
