package incident

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// crashing is a disk that at the beginning of each commit looks at what is shown:
// if the process died there, all of it would have to be on the disk already.
type crashing struct {
	*disk
	t  *testing.T
	tr *Tracker // nil: there is none yet
}

func (c *crashing) Commit(changes ...state.Change) error {
	if c.tr != nil {
		c.disk.mu.Lock()
		onDisk := c.content[bucketIncidents]
		for _, i := range c.tr.Incidents(Filter{}) {
			b, err := json.Marshal(i)
			if err != nil || !bytes.Equal(b, onDisk[i.ID]) {
				c.t.Errorf("incident %s is shown, and the disk has it otherwise: %v", i.ID, err)
			}
		}
		c.disk.mu.Unlock()
	}
	return c.disk.Commit(changes...)
}

// world is a Tracker to which random things happen.
type world struct {
	t      *testing.T
	random *rand.Rand
	store  *crashing
	tr     *Tracker
	pairs  []Pair // those that there may be
	some   []Pair // those that are configured
	now    time.Time
	log    bytes.Buffer
	// removed: the configuration was once without one of pairs.
	removed bool
	// before are the totals as they were shown; a name is forgotten when it is removed.
	before map[string]probe.Totals
}

// TestProperties throws random runs at a few pairs, with restarts, reloads and
// pauses between them, and holds what must always be so.
func TestProperties(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := &world{
				t: t, random: rand.New(rand.NewPCG(seed, 1)), now: begin, before: map[string]probe.Totals{},
				store: &crashing{disk: newDisk(), t: t},
				pairs: []Pair{
					pair("directory", every(15*time.Second)), pair("validate"), pair("issue", every(5*time.Minute)),
					pair("extra", uncritical), pair("scraped", uncritical, every(0)),
				},
			}
			w.some = w.pairs
			w.restart()
			incidents := 0
			for range 200 {
				w.step()
				w.check()
				incidents = max(incidents, len(w.tr.Incidents(Filter{})))
				if t.Failed() {
					return
				}
			}
			if incidents < 8 {
				t.Errorf("%d incidents: not much of a test", incidents)
			}
			if w.log.Len() != 0 {
				t.Errorf("logged: %s", &w.log)
			}
		})
	}
}

// step does something.
func (w *world) step() {
	switch n := w.random.IntN(100); {
	case n < 1:
		w.now = w.now.Add(time.Duration(w.random.IntN(600)) * time.Minute)
	case n < 2:
		w.some = slices.DeleteFunc(slices.Clone(w.pairs), func(Pair) bool { return w.random.IntN(3) == 0 })
		w.tr.Apply(w.now, w.some)
		w.removed = w.removed || len(w.some) < len(w.pairs)
		w.forget()
	case n < 3:
		w.now = w.now.Add(-time.Duration(w.random.IntN(60)) * time.Second) // the clock is set
	case n < 12:
		before := shown(w.t, w.tr, w.now)
		w.restart()
		if diff := cmp.Diff(before, shown(w.t, w.tr, w.now)); diff != "" {
			w.t.Errorf("after a restart:\n%s", diff)
		}
	default:
		w.run()
	}
}

// run has a pair make a few runs that say mostly the same.
func (w *world) run() {
	p := w.pairs[w.random.IntN(len(w.pairs))]
	usual := []rune("..CXULKS")[w.random.IntN(8)]
	for range 1 + w.random.IntN(5) {
		letter := usual
		if w.random.IntN(5) == 0 {
			letter = []rune(".CULS")[w.random.IntN(5)]
		}
		start := w.now
		r := result(p.Module, start, letters[letter])
		r.ID = fmt.Sprint(w.random.Uint64())
		r.Duration = time.Duration(w.random.IntN(20000)) * time.Millisecond
		w.now = w.now.Add(r.Duration + time.Duration(w.random.IntN(60000))*time.Millisecond)
		w.tr.Observe(r)
		if w.random.IntN(4) == 0 { // another one has started before that, and ends now
			late := result(w.pairs[w.random.IntN(len(w.pairs))].Module, start, letters[usual])
			late.ID = fmt.Sprint(w.random.Uint64())
			late.Duration = w.now.Sub(start)
			w.tr.Observe(late)
		}
	}
}

// restart goes on with what is on the disk.
func (w *world) restart() {
	w.store.tr = nil
	w.store.disk = w.store.copied()
	w.tr = New(Options{Store: w.store, Logger: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err := w.tr.Restore(); err != nil {
		w.t.Fatal(err)
	}
	w.tr.Apply(w.now, w.some)
	w.store.tr = w.tr
}

// forget forgets the totals of what is configured no longer.
func (w *world) forget() {
	configured := map[string]bool{"": len(w.some) > 0}
	for _, p := range w.some {
		configured[p.Module] = true
	}
	for name := range w.before {
		if !configured[name] {
			delete(w.before, name)
		}
	}
}

// check holds what must always be so.
func (w *world) check() {
	all := w.tr.Incidents(Filter{})
	w.checkIncidents(all)
	for _, s := range w.tr.State(w.now) {
		w.never("", s.Totals)
		open := w.tr.Incidents(Filter{Kind: probe.IncidentTarget, Open: true})
		if len(open) > 1 || (len(open) == 1) != (s.Incident != "") || len(open) == 1 && open[0].ID != s.Incident {
			w.t.Errorf("the target's open incident is %q, and %d are open", s.Incident, len(open))
		}
		critical, other := false, false
		for _, p := range s.Pairs {
			w.never(p.Module, p.Totals)
			w.checkPair(s, p)
			critical = critical || p.Incident != "" && p.Critical
			other = other || p.Incident != "" && !p.Critical
		}
		want := probe.ConditionUp
		switch {
		case len(s.Known) == 0 || !w.now.Before(s.Known[len(s.Known)-1].End):
			want = probe.ConditionUnknown
		case critical:
			want = probe.ConditionDown
		case other:
			want = probe.ConditionDegraded
		}
		if s.Condition != want || s.Why == "" || s.Since.After(w.now.Add(time.Hour)) {
			w.t.Errorf("the target is %s since %v (%s), want %s", s.Condition, s.Since, s.Why, want)
		}
		w.checkShares(all, s)
	}
}

// never holds that totals do not fall.
func (w *world) never(name string, now probe.Totals) {
	before := w.before[name]
	if now.Down.Incidents < before.Down.Incidents || now.Down.Downtime < before.Down.Downtime ||
		now.Degraded.Incidents < before.Degraded.Incidents || now.Degraded.Downtime < before.Degraded.Downtime {
		w.t.Errorf("the totals of %q fell from %+v to %+v", name, before, now)
	}
	w.before[name] = now
}

// checkPair holds that a pair's state is what its incidents say.
func (w *world) checkPair(s probe.TargetState, p probe.PairState) {
	open := w.tr.Incidents(Filter{Kind: probe.IncidentPair, Module: p.Module, Open: true})
	if len(open) > 1 || (len(open) == 1) != (p.Incident != "") || len(open) == 1 && open[0].ID != p.Incident {
		w.t.Errorf("the open incident of %s is %q, and %d are open", p.Module, p.Incident, len(open))
	}
	if s.Condition == probe.ConditionUnknown && p.Condition != probe.ConditionUnknown {
		w.t.Errorf("%s is %s, and its target unknown", p.Module, p.Condition)
	}
	if s.Condition != probe.ConditionUnknown && (p.Condition == probe.ConditionDown) != (p.Incident != "") {
		w.t.Errorf("%s is %s with incident %q", p.Module, p.Condition, p.Incident)
	}
	if w.removed {
		return // some were, and their totals with them
	}
	var want probe.Total
	for _, i := range w.tr.Incidents(Filter{Kind: probe.IncidentPair, Module: p.Module}) {
		end := i.End
		if i.Open() {
			end = i.LastFailure
		}
		want.Incidents++
		want.Downtime += end.Sub(i.Start)
	}
	if p.Totals.Down != want {
		w.t.Errorf("the totals of %s are %+v, its incidents make %+v", p.Module, p.Totals.Down, want)
	}
}

// checkIncidents holds that intervals are in order and do not overlap, and that
// the stored form loses nothing.
func (w *world) checkIncidents(all []*probe.Incident) {
	last := map[string]*probe.Incident{} // by what it is of; the newest come first
	for _, i := range all {
		of := string(i.Kind)
		if i.Kind == probe.IncidentPair {
			of = i.Module
		}
		if i.LastFailure.Before(i.Start) || !i.Open() && i.End.Before(i.LastFailure) || !i.LastSuccess.Before(i.Start) && !i.LastSuccess.IsZero() {
			w.t.Errorf("%s of %s is from %v (%v) until %v (%v)", i.ID, of, i.Start, i.LastSuccess, i.End, i.LastFailure)
		}
		if newer := last[of]; newer != nil && (i.Open() || newer.Start.Before(i.End)) {
			w.t.Errorf("%s of %s until %v overlaps the next, from %v", i.ID, of, i.End, newer.Start)
		}
		last[of] = i
		var before time.Time
		for k, p := range i.Phases {
			if p.Start.Before(before) || p.End.IsZero() != (i.Open() && k == len(i.Phases)-1) {
				w.t.Errorf("the phases of %s are %+v", i.ID, i.Phases)
			}
			before = p.End
		}
		b, err := json.Marshal(i)
		if err != nil {
			w.t.Fatal(err)
		}
		decoded, err := decodeIncident(i.ID, b)
		if err != nil {
			w.t.Fatalf("the stored form %s: %v", b, err)
		}
		if again, err := json.Marshal(decoded); err != nil || !bytes.Equal(b, again) {
			w.t.Errorf("the stored form changes from %s to %s: %v", b, again, err)
		}
	}
}

// checkShares holds that what is added up for the page is whole.
func (w *world) checkShares(all []*probe.Incident, s probe.TargetState) {
	var targets []*probe.Incident
	for _, i := range all {
		if i.Kind == probe.IncidentTarget {
			targets = append(targets, i)
		}
	}
	from := w.now.Add(-24 * time.Hour)
	whole := Availability(targets, s.Known, from, w.now)
	sum := Share{From: from, To: w.now}
	for _, b := range Bars(targets, s.Known, from, w.now, 37*time.Minute) {
		if b.Up < 0 || b.Degraded < 0 || b.Down < 0 || b.Unknown < 0 || b.Up+b.Degraded+b.Down+b.Unknown != b.To.Sub(b.From) {
			w.t.Errorf("the bar is %+v", b)
		}
		sum.Up += b.Up
		sum.Degraded += b.Degraded
		sum.Down += b.Down
		sum.Unknown += b.Unknown
	}
	if sum != whole {
		w.t.Errorf("the bars add up to %+v, want %+v", sum, whole)
	}
}
