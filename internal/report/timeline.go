package report

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// glance is how far apart the times are at which the state is looked at. What lasts
// shorter can be missed, and each beginning and end is right to that much.
const glance = 30 * time.Second

// state is how a target is at a glance, as somebody says.
type state uint8

const (
	silent state = iota // nobody says anything, or only that he does not know
	up
	degraded
	down
)

// states by the values of the label of acme_target_state.
var states = map[model.LabelValue]state{"up": up, "degraded": degraded, "down": down}

// timeline is how a target was at each glance of a time.
type timeline struct {
	since, until time.Time
	locations    map[string][]state
	rules        bool // the recording rules of alerts/ had a part in it
}

// all is the number of ticks; the last one can be shorter.
func (t *timeline) all() int { return int((t.until.Sub(t.since) + glance - 1) / glance) }

// span is the time for which a glance stands.
func (t *timeline) span(i int) Span {
	s := Span{Start: t.since.Add(time.Duration(i) * glance)}
	s.End = s.Start.Add(glance)
	if s.End.After(t.until) {
		s.End = t.until
	}
	return s
}

// at is the index of the glance of a time.
func (t *timeline) at(when time.Time) int { return int(when.Sub(t.since) / glance) }

func (t *timeline) set(location string, at time.Time, s state) {
	line := t.locations[location]
	if line == nil {
		line = make([]state, t.all())
		t.locations[location] = line
	}
	if i := t.at(at); i >= 0 && i < len(line) {
		line[i] = s
	}
}

// The recording rules, as alerts/acme_exporter.rules.yml has them. Together they are a
// state: 0 sees nothing, 1 up, 2 degraded, 3 down.
const (
	ruleReporting = "environment_target_location:acme_target_reporting:max"
	ruleImpaired  = "environment_target_location:acme_target_impaired:majority"
	ruleDown      = "environment_target_location:acme_target_down:majority"
)

// fresh is how old a sample may be, as a range: less than the rules' 60 s. Where an agent
// has died nothing marks its series as stale.
const fresh = "[59s999ms]"

// lastly is a query for the last sample of the series of a target, if it is fresh. (timestamp(), which
// the rules use, takes older servers minutes over a range.)
func lastly(name string, of key, matchers ...string) string {
	return "last_over_time(" + name + "{" + strings.Join(append([]string{of.matchers()}, matchers...), ",") + "}" + fresh + ")"
}

// readTimeline asks how a target was.
func (m *maker) readTimeline(ctx context.Context, of key, p Period) (*timeline, error) {
	t := &timeline{since: p.Since, until: p.Until, locations: map[string][]state{}}
	recorded := lastly(ruleReporting, of) + " + " + lastly(ruleImpaired, of) + " + " + lastly(ruleDown, of)

	said := map[string][]bool{} // by a rule, of each location
	for _, location := range m.places[of] {
		said[location] = make([]bool, t.all())
	}
	// Who reports at each glance, and is not impaired at any, is up.
	well := func(over func(string) string) string {
		return "(sum_over_time" + over(lastly(ruleReporting, of)) + " + sum_over_time" + over(lastly(ruleImpaired, of)+" == bool 0") + ") / 2"
	}
	err := m.look(ctx, well, recorded, p.Since, p.Until, func(labels model.Metric, at time.Time, n int, v float64) {
		location := label(labels, "location")
		if said[location] == nil {
			said[location] = make([]bool, t.all())
		}
		for i := t.at(at); n > 0 && i >= 0 && i < t.all(); i, n = i+1, n-1 {
			t.set(location, t.span(i).Start, state(min(max(v, 0), 3)))
			said[location][i], t.rules = true, true
		}
	})
	if err != nil {
		return nil, err
	}
	// Where the rules were not evaluated the exporters' own series tell the same. That can be
	// so of one location alone: its Prometheus has the rules, and those of others have not.
	first, end := t.all(), 0
	for _, line := range said {
		if i := slices.Index(line, false); i >= 0 {
			first = min(first, i)
			for i = len(line); line[i-1]; {
				i--
			}
			end = max(end, i)
		}
	}
	if len(said) == 0 {
		first, end = 0, t.all()
	}
	if first >= end {
		return t, nil
	}
	ballots, err := m.readVotes(ctx, of, t, first, end)
	if err != nil {
		return nil, err
	}
	for location, line := range ballots {
		for i, v := range line {
			if v.reporting > 0 && (said[location] == nil || !said[location][i]) {
				t.set(location, t.span(i).Start, majority(int(v.reporting), int(v.impaired), int(v.down)))
			}
		}
	}
	return t, nil
}

// votes are what the exporters of a location say at a glance.
type votes struct{ reporting, impaired, down uint16 }

// readVotes counts those of each location, at the glances from first to end.
func (m *maker) readVotes(ctx context.Context, of key, t *timeline, first, end int) (map[string][]votes, error) {
	ballots := map[string][]votes{}
	// An exporter says of each state whether it is so: of which there is nothing that it is up, or not, has said nothing.
	well := func(over func(string) string) string {
		return "sum_over_time" + over(lastly("acme_target_state", of, `state="up"`))
	}
	each := lastly("acme_target_state", of) + " == 1"
	err := m.look(ctx, well, each, t.span(first).Start, t.span(end-1).End, func(labels model.Metric, at time.Time, n int, _ float64) {
		s, location := states[labels["state"]], string(labels["location"])
		if s == silent {
			return
		}
		line := ballots[location]
		if line == nil {
			line = make([]votes, t.all())
			ballots[strings.Clone(location)] = line
		}
		for i := t.at(at); n > 0 && i >= 0 && i < len(line); i, n = i+1, n-1 {
			line[i].reporting++
			if s >= degraded {
				line[i].impaired++
			}
			if s == down {
				line[i].down++
			}
		}
	})
	return ballots, err
}

// look calls say with what was at n glances from a time on. Nearly all the time all is well: then what
// well makes over the glances of a pane is as many as there are, and say is told 1 of all of
// them; each is evaluated at the others, one by one.
func (m *maker) look(ctx context.Context, well func(over func(string) string) string, each string, since, until time.Time,
	say func(labels model.Metric, at time.Time, n int, v float64),
) error {
	p := panesOf(since, until, glance)
	even, uneven, err := m.client.even(ctx, well(p.over), p)
	if err != nil {
		return err
	}
	for last, series := range even {
		for _, labels := range series {
			say(labels, last.Time().Add(glance-p.length()), paneSteps, 1)
		}
	}
	for _, rest := range p.rest(uneven, until) {
		err := m.client.each(ctx, each, rest.Start, rest.End, glance, func(matrix model.Matrix) {
			for _, stream := range matrix {
				for _, pair := range stream.Values {
					say(stream.Metric, pair.Timestamp.Time(), 1, float64(pair.Value))
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// majority is what more than half of those that report say; a tie is the better of the
// two.
func majority(reporting, impaired, worst int) state {
	switch {
	case reporting == 0:
		return silent
	case 2*worst > reporting:
		return down
	case 2*impaired > reporting:
		return degraded
	}
	return up
}

// overall is what the majority of the locations says at each glance.
func (t *timeline) overall() []state {
	line := make([]state, t.all())
	for i := range line {
		var reporting, impaired, worst int
		for _, l := range t.locations {
			if l[i] != silent {
				reporting++
			}
			if l[i] >= degraded {
				impaired++
			}
			if l[i] == down {
				worst++
			}
		}
		line[i] = majority(reporting, impaired, worst)
	}
	return line
}

// availability adds up the ticks from first to end of a line.
func (t *timeline) availability(line []state, first, end int) Availability {
	var a Availability
	for i := first; i < end; i++ {
		d := t.span(i).Duration()
		switch line[i] {
		case up:
			a.Up += d
		case degraded:
			a.Degraded += d
		case down:
			a.Down += d
		case silent:
			a.Unknown += d
		}
	}
	return a
}

// spans are the times in which a line says s, of at least so long.
func (t *timeline) spans(line []state, s state, least time.Duration) []Span {
	var spans []Span
	for run := range spansOf(len(line), func(i int) bool { return line[i] == s }) {
		span := Span{Start: t.span(run[0]).Start, End: t.span(run[1] - 1).End}
		if span.Duration() >= least {
			spans = append(spans, span)
		}
	}
	return spans
}

// names are the locations that said something, sorted.
func (t *timeline) names() []string { return slices.Sorted(maps.Keys(t.locations)) }

// saysAnything reports whether anybody ever said anything on a line.
func saysAnything(line []state) bool {
	return slices.ContainsFunc(line, func(s state) bool { return s != silent })
}

// spansOf yields the runs [first, end) of indices below n that are so.
func spansOf(n int, so func(int) bool) func(func([2]int) bool) {
	return func(yield func([2]int) bool) {
		for i := 0; i < n; {
			if !so(i) {
				i++
				continue
			}
			first := i
			for i < n && so(i) {
				i++
			}
			if !yield([2]int{first, i}) {
				return
			}
		}
	}
}
