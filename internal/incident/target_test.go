package incident

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// playAll has pairs make their runs, minute by minute. Each line is a module and its
// runs.
func playAll(t *Tracker, lines string) {
	var modules []string
	var runs [][]rune
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		module, letters, _ := strings.Cut(strings.TrimSpace(line), ": ")
		modules, runs = append(modules, module), append(runs, []rune(letters))
	}
	for minute := range 1000 {
		for k, module := range modules {
			if minute < len(runs[k]) {
				play(t, module, time.Duration(minute)*time.Minute, string(runs[k][minute:minute+1]))
			}
		}
	}
}

// TestTarget holds what the incidents of pairs make of their target.
func TestTarget(t *testing.T) {
	for _, test := range []struct {
		name, runs, want string
		state            probe.Condition // at the end
	}{
		{
			name: "a critical pair", state: probe.ConditionDown,
			runs: "directory: .....\nvalidate: .CCCC",
			want: "ca validate down 1-open [down 1-open] ca failed=4 flaps=0 uncertainty=1m0s",
		},
		{
			name: "is not closed by others", state: probe.ConditionDown,
			runs: "directory: ...............\nvalidate: .CCCC",
			want: "ca validate down 1-open [down 1-open] ca failed=4 flaps=0 uncertainty=1m0s",
		},
		{
			name: "another one", state: probe.ConditionDegraded,
			runs: "directory: .....\nextra: .CCCC",
			want: "ca extra degraded 1-open [degraded 1-open] ca failed=4 flaps=0 uncertainty=1m0s",
		},
		{
			name: "down, then degraded, then over", state: probe.ConditionUp,
			runs: "validate: .CCCC....\nextra: ..CCCCCC..",
			want: "ca validate down 1-8 [down 1-5] [degraded 5-8] ca failed=10 flaps=0 uncertainty=1m0s",
		},
		{
			name: "degraded, then down", state: probe.ConditionDown,
			runs: "validate: ...CCCCC\nextra: .CCCC...",
			want: "ca validate down 1-open [degraded 1-3] [down 3-open] ca failed=9 flaps=0 uncertainty=1m0s",
		},
		{
			name: "two critical ones in turn are one", state: probe.ConditionUp,
			runs: "directory: .XXX......\nvalidate: ...CCC....",
			want: "ca directory down 1-6 [down 1-6] unreachable failed=6 flaps=0 uncertainty=1m0s",
		},
		{
			name: "it becomes known later that it began earlier", state: probe.ConditionDown,
			runs: "directory: ..XXX\nvalidate: .C.UUU\nnonce: .U.U.U",
			want: "ca directory down 1-open [down 1-open] unreachable failed=9 flaps=2 uncertainty=1m0s",
		},
		{
			name: "one after the other are two", state: probe.ConditionDown,
			runs: "directory: .XX......\nvalidate: ......CC",
			want: "ca directory down 1-3 [down 1-3] unreachable failed=2 flaps=0 uncertainty=1m0s\n" +
				"ca validate down 6-open [down 6-open] ca failed=2 flaps=0 uncertainty=1m0s",
		},
		{
			name: "what was between them is neither", state: probe.ConditionDown,
			// The directory's second success comes when validate is down already.
			runs: "directory: .XX. S S.\nvalidate: .....CCC",
			want: "ca directory down 1-open [down 1-3] [down 5-open] unreachable failed=5 flaps=0 uncertainty=1m0s",
		},
		{name: "nothing seen", state: probe.ConditionUnknown, runs: "directory: LLLL\nvalidate: SSKK"},
		{name: "one failure is not up", state: probe.ConditionUnknown, runs: "directory: LLLC"},
		{name: "cut off", state: probe.ConditionUnknown, runs: "directory: ..LLLLL"},
		{
			name: "cut off while down", state: probe.ConditionUnknown,
			runs: "directory: .XXLLLLLL",
			want: "ca directory down 1-open [down 1-open] unreachable failed=2 flaps=0 uncertainty=1m0s",
		},
		{name: "one pair is enough to know", state: probe.ConditionUp, runs: "directory: ........\nvalidate: ..SSSSSS"},
		{
			name: "inconclusive ones go on", state: probe.ConditionDown,
			runs: "validate: .UUUUUUUUUU",
			want: "ca validate down 1-open [down 1-open] unknown failed=10 flaps=0 uncertainty=1m0s",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			tr := tracker(nil, pair("directory"), pair("nonce"), pair("validate"), pair("extra", uncritical))
			playAll(tr, test.runs)
			if diff := cmp.Diff(test.want, brief(tr, Filter{Kind: probe.IncidentTarget})); diff != "" {
				t.Errorf("%s:\n%s", test.runs, diff)
			}
			longest := 0
			for line := range strings.Lines(test.runs) {
				_, runs, _ := strings.Cut(strings.TrimSpace(line), ": ")
				longest = max(longest, len(runs))
			}
			s := tr.State(at(time.Duration(longest) * time.Minute))[0]
			if s.Condition != test.state || s.Why == "" {
				t.Errorf("the target is %s: %s; want %s", s.Condition, s.Why, test.state)
			}
		})
	}
}

// TestUnknown holds when a target turns unknown, and since when it is something.
func TestUnknown(t *testing.T) {
	for _, test := range []struct {
		interval, window time.Duration
	}{{time.Second, 2 * time.Minute}, {40 * time.Second, 2 * time.Minute}, {time.Minute, 3 * time.Minute}, {time.Hour, 3 * time.Hour}, {0, time.Hour}} {
		tr := tracker(nil, pair("directory", every(test.interval)))
		if s := tr.State(begin)[0]; s.Condition != probe.ConditionUnknown || !s.Since.IsZero() || s.Pairs[0].Condition != probe.ConditionUnknown {
			t.Errorf("before anything: %+v", s)
		}
		tr.Observe(result("directory", begin, ok))
		last := at(time.Second).Add(test.window)
		if s := tr.State(last.Add(-1))[0]; s.Condition != probe.ConditionUp || !s.Since.Equal(begin) || s.Pairs[0].Condition != probe.ConditionUp {
			t.Errorf("interval %v, before the end of its window: %+v", test.interval, s)
		}
		if s := tr.State(last)[0]; s.Condition != probe.ConditionUnknown || !s.Since.Equal(last) || s.Pairs[0].Condition != probe.ConditionUnknown {
			t.Errorf("interval %v, after its window: %+v", test.interval, s)
		}
		again := at(24 * time.Hour)
		tr.Observe(result("directory", again, ok))
		if s := tr.State(again)[0]; s.Condition != probe.ConditionUp || !s.Since.Equal(again) || len(s.Known) != 2 || !s.Pairs[0].Since.Equal(again) {
			t.Errorf("interval %v, seen again: %+v", test.interval, s)
		}
	}
}

// TestTotals holds what is counted while an incident goes on and when it has ended.
func TestTotals(t *testing.T) {
	tr := tracker(nil, pair("validate"), pair("extra", uncritical))
	total := func(want string) {
		t.Helper()
		s := tr.State(at(time.Hour))[0]
		got := fmt.Sprintf("down %d %v, degraded %d %v", s.Totals.Down.Incidents, s.Totals.Down.Downtime, s.Totals.Degraded.Incidents, s.Totals.Degraded.Downtime)
		for _, p := range s.Pairs {
			got += fmt.Sprintf("; %s %d %v", p.Module, p.Totals.Down.Incidents, p.Totals.Down.Downtime)
		}
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	total("down 0 0s, degraded 0 0s; extra 0 0s; validate 0 0s")
	playAll(tr, "validate: .....\nextra: .CCC")
	total("down 0 0s, degraded 1 2m0s; extra 1 2m0s; validate 0 0s")
	play(tr, "validate", 5*time.Minute, "CCC")
	total("down 1 2m0s, degraded 1 2m0s; extra 1 2m0s; validate 1 2m0s")
	play(tr, "validate", 8*time.Minute, "..")
	total("down 1 3m0s, degraded 1 2m0s; extra 1 2m0s; validate 1 3m0s")
	play(tr, "extra", 10*time.Minute, "..")
	total("down 1 3m0s, degraded 1 6m0s; extra 1 9m0s; validate 1 3m0s")
	play(tr, "extra", 15*time.Minute, "CC..")
	total("down 1 3m0s, degraded 2 8m0s; extra 2 11m0s; validate 1 3m0s")
}

// TestWithdrawn holds what becomes of the incidents of what is configured no longer.
func TestWithdrawn(t *testing.T) {
	runs := "directory: .......\nvalidate: .CCC...\nextra: .CCCCCC"
	all := []Pair{pair("directory"), pair("validate"), pair("extra", uncritical)}
	start := func() *Tracker {
		tr := tracker(newDisk(), all...)
		playAll(tr, strings.Replace(runs, "CCC...", "CCCLLL", 1))
		return tr
	}
	t.Run("a pair", func(t *testing.T) {
		tr := start()
		tr.Apply(at(10*time.Minute), []Pair{all[0], all[2]})
		want := "validate down 1-3 ca failed=3 flaps=0 uncertainty=1m0s withdrawn"
		if got := brief(tr, Filter{Module: "validate", Kind: probe.IncidentPair}); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		want = "ca validate down 1-open [down 1-3] [degraded 3-open] ca failed=9 flaps=0 uncertainty=1m0s"
		if got := brief(tr, Filter{Kind: probe.IncidentTarget}); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if s := tr.State(at(7 * time.Minute)); len(s) != 1 || len(s[0].Pairs) != 2 || s[0].Condition != probe.ConditionDegraded {
			t.Errorf("the state is %+v", s)
		}
		tr.Observe(result("validate", at(11*time.Minute), caFault)) // one that was in flight
		if got := len(tr.Incidents(Filter{})); got != 3 {
			t.Errorf("%d incidents after a late run, want 3", got)
		}
	})
	t.Run("the target", func(t *testing.T) {
		tr := start()
		tr.Apply(at(10*time.Minute), nil)
		if open := tr.Incidents(Filter{Open: true}); len(open) != 0 || len(tr.State(at(10*time.Minute))) != 0 {
			t.Errorf("%d incidents are open", len(open))
		}
		want := "ca validate down 1-6 [down 1-3] [degraded 3-6] ca failed=9 flaps=0 uncertainty=1m0s withdrawn"
		if got := brief(tr, Filter{Kind: probe.IncidentTarget}); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
	t.Run("another environment", func(t *testing.T) {
		tr := start()
		moved := []Pair{all[0], all[1], all[2]}
		for k := range moved {
			moved[k].Environment = "production"
		}
		tr.Apply(at(10*time.Minute), moved)
		s := tr.State(at(10 * time.Minute))[0]
		if s.Environment != "production" || s.Condition != probe.ConditionUnknown || s.Incident != "" || s.Totals != (probe.Totals{}) || len(s.Pairs) != 3 {
			t.Errorf("the state is %+v", s)
		}
	})
	t.Run("during a stop", func(t *testing.T) {
		store := newDisk()
		playAll(tracker(store, all...), "validate: .CCC\nextra: .CCCCCC")
		tr := New(Options{Store: store})
		if err := tr.Restore(); err != nil {
			t.Fatal(err)
		}
		tr.Apply(at(time.Hour), []Pair{all[0]})
		if open := tr.Incidents(Filter{Open: true}); len(open) != 0 {
			t.Errorf("%d incidents are open", len(open))
		}
	})
	t.Run("nothing that stays", func(t *testing.T) {
		tr := start()
		before := shown(t, tr, at(7*time.Minute))
		tr.Apply(at(7*time.Minute), all)
		if diff := cmp.Diff(before, shown(t, tr, at(7*time.Minute))); diff != "" {
			t.Error(diff)
		}
	})
}

// TestShorterInterval holds that a target is not known for hours because its pair
// had an interval of an hour before.
func TestShorterInterval(t *testing.T) {
	tr := tracker(nil, pair("directory", every(time.Hour)))
	tr.Observe(result("directory", begin, ok))
	tr.Apply(at(time.Minute), []Pair{pair("directory", every(time.Minute))})
	if s := tr.State(at(3 * time.Minute))[0]; s.Condition != probe.ConditionUp {
		t.Errorf("after 3 minutes it is %s", s.Condition)
	}
	if s := tr.State(at(4 * time.Minute))[0]; s.Condition != probe.ConditionUnknown {
		t.Errorf("after 4 minutes it is %s", s.Condition)
	}
	tr.Apply(at(5*time.Minute), []Pair{pair("validate")})
	if s := tr.State(at(6 * time.Minute))[0]; s.Condition != probe.ConditionUnknown {
		t.Errorf("with another pair it is %s", s.Condition)
	}
}

// TestPairUnknown holds that a pair that nobody looks at is unknown, though its
// target is known.
func TestPairUnknown(t *testing.T) {
	tr := tracker(nil, pair("directory"), pair("validate"))
	playAll(tr, "directory: ........\nvalidate: ..SSSSSS")
	want := map[string]probe.Condition{"directory": probe.ConditionUp, "validate": probe.ConditionUnknown}
	for _, p := range tr.State(at(8 * time.Minute))[0].Pairs {
		if p.Condition != want[p.Module] || p.Since.IsZero() || p.Why == "" {
			t.Errorf("%s is %s since %v: %s", p.Module, p.Condition, p.Since, p.Why)
		}
	}
}

// TestSlowPair holds that a slow pair that passed just before the line broke does
// not vouch for its target, and that alone it does.
func TestSlowPair(t *testing.T) {
	for _, test := range []struct {
		name, runs string
		want       probe.Condition
	}{
		{"the line is broken", "directory: ...LLLLLLL", probe.ConditionUnknown},
		{"there is nothing faster", "", probe.ConditionUp},
		{"what is faster has never seen anything", "directory: KKKKKKKKKK", probe.ConditionUp},
	} {
		tr := tracker(nil, pair("directory"), pair("issue", every(15*time.Minute)), pair("scraped", every(0)))
		play(tr, "scraped", 0, ".")
		for minute := range 10 {
			if letters := strings.TrimPrefix(test.runs, "directory: "); minute < len(letters) {
				play(tr, "directory", time.Duration(minute)*time.Minute, letters[minute:minute+1])
			}
			if minute == 2 {
				play(tr, "issue", 2*time.Minute+10*time.Second, ".")
			}
		}
		if s := tr.State(at(10 * time.Minute))[0]; s.Condition != test.want {
			t.Errorf("%s: the target is %s, want %s", test.name, s.Condition, test.want)
		}
	}
}

// TestBackdatedTwice holds that a target's incident does not begin in the one
// before, though a pair had begun to fail there.
func TestBackdatedTwice(t *testing.T) {
	tr := tracker(nil, pair("nonce"), pair("validate"))
	playAll(tr, "validate: .CC.......\nnonce: .U  .UU")
	list := tr.Incidents(Filter{Kind: probe.IncidentTarget})
	if len(list) != 2 || list[0].Start.Before(list[1].End) || minutes(list[1].Start) != "1" {
		t.Errorf("the incidents are %s", brief(tr, Filter{}))
	}
}

// TestManyMembers holds that an incident of a target is bounded, whatever flaps in
// it, and loses no count.
func TestManyMembers(t *testing.T) {
	tr := tracker(nil, pair("validate"), pair("extra", uncritical))
	play(tr, "extra", 0, "CC")
	const n = maxMembers + 50
	var before probe.Totals
	for k := range n {
		play(tr, "validate", time.Duration(k*6)*time.Minute, "CC..")
		now := tr.State(at(time.Duration(k*6+4) * time.Minute))[0].Totals
		if now.Down.Downtime < before.Down.Downtime || now.Degraded.Downtime < before.Degraded.Downtime {
			t.Errorf("the totals fell from %+v to %+v", before, now)
		}
		before = now
	}
	list := tr.Incidents(Filter{Kind: probe.IncidentTarget})
	if len(list) != 1 || len(list[0].Members) > maxMembers || list[0].Failures != 2*n+2 || list[0].Reasons["server_internal"] != 2*n+2 {
		t.Errorf("%d incidents, the first with %d members and %d failures", len(list), len(list[0].Members), list[0].Failures)
	}
}

// TestOnlyScraped holds that a target whose pairs have no interval stays known between
// two scrapes, that a run that only confirms does not count as one, and that a target of
// which nobody asks any more turns unknown.
func TestOnlyScraped(t *testing.T) {
	tr := tracker(nil, pair("issue", every(0)))
	condition := func(after time.Duration) probe.Condition { return tr.State(at(after))[0].Condition }
	run := func(after time.Duration, trigger probe.Trigger, v probe.Verdict) {
		r := result("issue", at(after), v)
		r.Trigger = trigger
		tr.Observe(r)
	}
	is := func(after time.Duration, want probe.Condition) {
		t.Helper()
		if got := condition(after); got != want {
			t.Errorf("after %v it is %s, want %s", after, got, want)
		}
	}
	const every = 5 * time.Minute
	run(0, probe.TriggerScrape, ok)
	is(every-time.Second, probe.ConditionUp) // how often it is scraped is not known yet
	is(time.Hour+time.Minute, probe.ConditionUnknown)
	for k := 1; k < 6; k++ {
		run(time.Duration(k)*every, probe.TriggerScrape, ok)
	}
	last := 6 * every
	run(last, probe.TriggerScrape, caFault)
	run(last+5*time.Second, probe.TriggerConfirm, caFault)
	is(last+every-time.Second, probe.ConditionDown)
	is(last+3*every-time.Second, probe.ConditionDown)
	is(last+time.Hour+time.Minute, probe.ConditionUnknown)
	// Two Prometheus scrape it, the one just after the other.
	for k := 7; k < 12; k++ {
		run(time.Duration(k)*every, probe.TriggerScrape, ok)
		run(time.Duration(k)*every+10*time.Second, probe.TriggerScrape, ok)
		is(time.Duration(k+1)*every-time.Second, probe.ConditionUp)
	}
	// A break of a week is no interval.
	run(7*24*time.Hour, probe.TriggerScrape, ok)
	is(7*24*time.Hour+time.Hour+time.Minute, probe.ConditionUnknown)
}
