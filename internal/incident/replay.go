package incident

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	// maxReplayed bounds how many runs a stream may have, maxRun how long one may take.
	maxReplayed = 1_000_000
	maxRun      = 24 * time.Hour
)

// Replay reads a stream of Results as JSON, and prints the incidents that they
// make and what is unknown, with the default thresholds. It is a pure function of
// the stream.
//
// The stream may also have objects like {"pairs": [{"target": "ca", "module":
// "validate", "interval_ns": 300000000000, "critical": false}]}, which say how
// pairs are configured. Otherwise a pair has the interval that its runs have, and
// is critical as its prober says. An error says which value of the stream is wrong.
func Replay(r io.Reader, w io.Writer) error {
	results, pairs, err := readStream(r)
	if err != nil {
		return err
	}
	if len(results) == 0 {
		_, err := fmt.Fprintln(w, "No runs.")
		return err
	}
	begin, now := results[0].Start, results[0].End()
	for _, res := range results {
		begin, now = earlier(begin, res.Start), later(now, res.End())
	}
	t := New(Options{})
	t.Apply(begin, complete(pairs, results))
	for _, res := range results {
		t.Observe(res)
	}
	var b strings.Builder
	states := t.State(now)
	for _, s := range states {
		fmt.Fprintf(&b, "%s is %s", word(s.Target), s.Condition)
		if !s.Since.IsZero() {
			fmt.Fprintf(&b, " since %s", clock(s.Since))
		}
		fmt.Fprintf(&b, ". %s\n", word(s.Why))
	}
	b.WriteString("\n")
	table(&b, t.Incidents(Filter{}), now)
	for _, s := range states {
		for _, gap := range union(probe.Interval{Start: plain(begin), End: plain(now)}).minus(union(s.Known...)) {
			fmt.Fprintf(&b, "\n%s was unknown from %s to %s (%v).", word(s.Target), clock(gap.Start), clock(gap.End), gap.End.Sub(gap.Start).Round(time.Second))
		}
	}
	_, err = io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

// readStream returns the runs of a stream in the order of their ends, without
// follow-ups and without what says nothing about incidents.
func readStream(r io.Reader) ([]*probe.Result, map[probe.Pair]Pair, error) {
	var results []*probe.Result
	pairs := map[probe.Pair]Pair{}
	decoder := json.NewDecoder(r)
	for n := 1; ; n++ {
		var value struct {
			Pairs []Pair `json:"pairs"`
			probe.Result
		}
		err := decoder.Decode(&value)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, fmt.Errorf("value %d of the stream: %w", n, err)
		}
		for _, p := range value.Pairs {
			if p.Target == "" || p.Module == "" || p.Interval < 0 || p.Interval > 366*maxRun {
				return nil, nil, fmt.Errorf("value %d of the stream: pair %q with an interval of %v is none", n, p.Pair, p.Interval)
			}
			pairs[p.Pair] = p
		}
		if value.Pairs != nil {
			continue
		}
		res := value.Result
		switch {
		case res.Version != probe.Version:
			return nil, nil, fmt.Errorf("value %d of the stream: it has version %d, not %d", n, res.Version, probe.Version)
		case res.Target == "" || res.Module == "" || res.Start.IsZero() || !sane(res.Start) || res.Duration < 0 || res.Duration > maxRun:
			return nil, nil, fmt.Errorf("value %d of the stream: it is no run", n)
		case len(results) == maxReplayed:
			return nil, nil, fmt.Errorf("the stream has more than %d runs", maxReplayed)
		}
		if res.FollowUp == "" {
			res.Facts = probe.Facts{}
			results = append(results, &res)
		}
	}
	slices.SortStableFunc(results, func(a, b *probe.Result) int { return a.End().Compare(b.End()) })
	return results, pairs, nil
}

// complete returns the pairs of the results, as configured where that is known.
func complete(known map[probe.Pair]Pair, results []*probe.Result) []Pair {
	starts := map[probe.Pair][]time.Time{}
	probers := map[probe.Pair]probe.Prober{}
	for _, r := range results {
		starts[r.Pair] = append(starts[r.Pair], r.Start)
		probers[r.Pair] = r.Prober
	}
	var all []Pair
	for name, times := range starts {
		p, ok := known[name]
		if !ok {
			p = Pair{Pair: name, Interval: usual(times), Critical: Critical(probers[name])}
		}
		all = append(all, p)
	}
	return all
}

// usual returns the median time between two that follow each other; 0: there are
// no two.
func usual(times []time.Time) time.Duration {
	slices.SortFunc(times, time.Time.Compare)
	var gaps []time.Duration
	for i := 1; i < len(times); i++ {
		gaps = append(gaps, times[i].Sub(times[i-1]))
	}
	if len(gaps) == 0 {
		return 0
	}
	slices.Sort(gaps)
	return min(gaps[len(gaps)/2], maxRun)
}

// table writes the incidents, oldest first; those of targets have their phases
// beneath them.
func table(w io.Writer, list []*probe.Incident, now time.Time) {
	if len(list) == 0 {
		fmt.Fprintln(w, "No incidents.")
		return
	}
	slices.SortStableFunc(list, func(a, b *probe.Incident) int {
		return cmp.Or(a.Start.Compare(b.Start), -cmp.Compare(a.Kind, b.Kind))
	})
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "START\tEND\tDURATION\tOF\tCONDITION\tFAULT\tSTAGE\tREASON\tFAILED\tFLAPS\tUNCERTAINTY")
	row := func(start, end time.Time, cells ...string) {
		until, lasted := "open", max(now.Sub(start), 0)
		if !end.IsZero() {
			until, lasted = clock(end), end.Sub(start)
		}
		fmt.Fprintln(tw, strings.Join(append([]string{clock(start), until, lasted.Round(time.Second).String()}, cells...), "\t"))
	}
	for _, i := range list {
		of := word(i.Target)
		if i.Kind == probe.IncidentPair {
			of += "/" + word(i.Module)
		}
		uncertainty := "not seen up before"
		if d, ok := i.Uncertainty(); ok {
			uncertainty = d.Round(time.Second).String()
		}
		row(i.Start, i.End, of, string(i.Condition), word(string(i.Fault)), word(string(i.Stage)), word(string(i.Reason)),
			fmt.Sprint(i.Failures), fmt.Sprint(i.Flaps), uncertainty)
		if len(i.Phases) < 2 {
			continue
		}
		for _, p := range i.Phases {
			row(p.Start, p.End, of+", of which", string(p.Condition), "", "", "", "", "", "")
		}
	}
	if err := tw.Flush(); err != nil {
		fmt.Fprintln(w, err)
	}
}

// word makes one printable, bounded line of what a stream says.
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(s); len(r) > 500 {
		s = string(r[:499]) + "…"
	}
	return s
}
