package web

import (
	"cmp"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/incident"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// targetView is a target on the index.
type targetView struct {
	Name, Environment string
	State             *stateView // nil: states are not kept
	Succeeded         int        // pairs whose last run succeeded
	Pairs             []pairView
	Limits            []limitView // empty: nothing is known of them
	Changed           *changeView // the directory's last change; nil: none is known
	ChangedBefore     []changeView
}

// maxChangesShown is how many changes of a directory before the last one the index has.
const maxChangesShown = 10

// changeView is a change of a target's directory.
type changeView struct {
	At   template.HTML
	What string
}

// stateView is how a target is, and was.
type stateView struct {
	Condition probe.Condition
	Since     template.HTML // empty: it has never been otherwise than unknown
	Why       string
	Incident  string // ID of the open one; empty: none is
	Windows   []windowView
}

// windowView is how a time up to now was spent.
type windowView struct {
	Name, Percent, Said string
	Bars                template.HTML
}

// windows are the times that the index and the API tell of; each is drawn as so
// many bars.
var windows = []struct {
	name, said string
	length     time.Duration
	bars       int
}{
	{"24h", "24 h", 24 * time.Hour, 48},
	{"7d", "7 d", 7 * 24 * time.Hour, 42},
	{"30d", "30 d", 30 * 24 * time.Hour, 60},
	{"90d", "90 d", 90 * 24 * time.Hour, 90},
}

// pairView is a pair on the index.
type pairView struct {
	Target, Module, Prober, Interval string
	// State is how the pair is: a condition, or the outcome of its last run where
	// states are not kept; "pending": there is no run yet.
	State                  string
	Why                    string       // the state is what it is, where the last run does not say so
	Outcome                string       // of the last run; empty: none
	Reason                 probe.Reason // of the last run; empty: none, or it passed
	ID, Summary, Age, Took string       // of the last run; empty: none
	Running, Next          string
	Held                   string // until when a rate limit holds the next run back; empty: none does
	Waterfall              template.HTML
	Retried                string // which calls the waterfall shows as made again; empty: none
	Durations              durationsView
	History                string // URL of the pair's runs
	MayRun                 bool   // who sees the page may start a run
}

// indexView is the index.
type indexView struct {
	frame
	Now           template.HTML
	LedgerProblem string
	Conditions    []conditionCount // of the targets, the worst first
	Targets       []targetView
	Incidents     *incidentsView // nil: they are not kept
	// Refresh is after how many seconds the page loads itself again; 0: never.
	Refresh       int
	RefreshToggle string // URL of the page with that, or without
}

// conditionCount is how many targets are so.
type conditionCount struct {
	Condition probe.Condition
	Targets   int
}

func (s *server) index(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		plain(w, http.StatusBadRequest, "query: "+err.Error())
		return
	}
	f, err := parseFilter(values)
	if err != nil {
		plain(w, http.StatusBadRequest, err.Error())
		return
	}
	view := indexView{Now: timeElement(now)}
	if view.Refresh, view.RefreshToggle, err = refresh(values, f); err != nil {
		plain(w, http.StatusBadRequest, err.Error())
		return
	}
	if view.Refresh > 0 {
		w.Header().Set("Refresh", strconv.Itoa(view.Refresh))
	}
	if s.LedgerProblem != nil {
		if err := s.LedgerProblem(); err != nil {
			view.LedgerProblem = err.Error()
		}
	}
	var states []probe.TargetState
	if s.Incidents != nil {
		states = s.Incidents.State(now)
		view.Incidents = s.incidentsView(f, states, now)
	}
	view.Targets = s.targets(states, now)
	if s.MayRun != nil && s.MayRun(r) {
		for _, t := range view.Targets {
			for i := range t.Pairs {
				t.Pairs[i].MayRun = true
			}
		}
	}
	view.Conditions = count(states)
	title := "acme_exporter"
	if n := len(view.Conditions); n > 0 && view.Conditions[0].Condition != probe.ConditionUp {
		title = fmt.Sprintf("%d %s · acme_exporter", view.Conditions[0].Targets, view.Conditions[0].Condition)
	}
	view.frame = s.frame(title, "")
	s.page(w, indexPage, view)
}

// refreshEvery is the least number of seconds between two loads of the index by
// itself, and what the page offers.
const refreshEvery = 30

// refresh returns after how many seconds the page is to load itself again, which
// whoever reads it has asked for, and the URL of the opposite.
func refresh(values url.Values, f filter) (seconds int, toggle string, err error) {
	text := values.Get("refresh")
	if text == "" {
		return 0, f.url("/", "refresh", strconv.Itoa(refreshEvery)), nil
	}
	seconds, err = strconv.Atoi(text)
	if err != nil || seconds < refreshEvery || seconds > 3600 {
		return 0, "", fmt.Errorf("parameter %q is %q: want a number of seconds from %d to 3600", "refresh", text, refreshEvery)
	}
	return seconds, f.url("/"), nil
}

// count returns how many targets are in which condition, the worst first.
func count(states []probe.TargetState) []conditionCount {
	var counts []conditionCount
	for _, c := range []probe.Condition{probe.ConditionDown, probe.ConditionDegraded, probe.ConditionUnknown, probe.ConditionUp} {
		n := 0
		for i := range states {
			if states[i].Condition == c {
				n++
			}
		}
		if n > 0 {
			counts = append(counts, conditionCount{c, n})
		}
	}
	return counts
}

// targets returns the configured targets with their pairs.
func (s *server) targets(states []probe.TargetState, now time.Time) []targetView {
	var budgets []probe.Budget
	if s.Budget != nil {
		budgets = s.Budget()
	}
	var targets []targetView
	var state *probe.TargetState
	for _, status := range s.Runner.Status() {
		if n := len(targets); n == 0 || targets[n-1].Name != status.Target {
			t := targetView{Name: status.Target, Environment: status.Environment, Limits: budget(budgets, status.Target, now)}
			if state = stateOf(states, status.Target); state != nil {
				t.State = s.stateView(state, now)
			}
			if s.DirectoryChanges != nil {
				for i, c := range s.DirectoryChanges(status.Target) {
					view := changeView{At: timeElement(c.At), What: c.String()}
					switch {
					case i == 0:
						t.Changed = &view
					case i <= maxChangesShown:
						t.ChangedBefore = append(t.ChangedBefore, view)
					}
				}
			}
			targets = append(targets, t)
		}
		t := &targets[len(targets)-1]
		p := newPairView(&status, s.Runner.History(status.Pair), now)
		if state != nil {
			s.judge(&p, state)
		}
		if p.Outcome == string(probe.OutcomeSuccess) {
			t.Succeeded++
		}
		t.Pairs = append(t.Pairs, p)
	}
	return targets
}

// stateOf returns the state of a target; nil: there is none.
func stateOf(states []probe.TargetState, target string) *probe.TargetState {
	i := slices.IndexFunc(states, func(t probe.TargetState) bool { return t.Target == target })
	if i < 0 {
		return nil
	}
	return &states[i]
}

func (s *server) stateView(state *probe.TargetState, now time.Time) *stateView {
	v := &stateView{
		Condition: state.Condition, Since: sinceSaid(state.Since, now), Why: state.Why, Incident: state.Incident,
	}
	happened := s.happened(state, now)
	for _, window := range windows {
		from := now.Add(-window.length)
		share := incident.Availability(happened, state.Known, from, now)
		v.Windows = append(v.Windows, windowView{
			Name: window.said, Percent: percent(share), Said: spent(share),
			Bars: drawBars(incident.Bars(happened, state.Known, from, now, window.length/time.Duration(window.bars))),
		})
	}
	return v
}

// happened returns the incidents of a target that the windows may have a part of;
// not those of another one that had its name.
func (s *server) happened(state *probe.TargetState, now time.Time) []*probe.Incident {
	list := s.Incidents.Incidents(incident.Filter{
		Kind: probe.IncidentTarget, Target: state.Target, Since: now.Add(-windows[len(windows)-1].length),
	})
	return slices.DeleteFunc(list, func(i *probe.Incident) bool { return i.Environment != state.Environment })
}

func newPairView(status *probe.Status, history []probe.RunSummary, now time.Time) pairView {
	p := pairView{
		Target: status.Target, Module: status.Module, Prober: string(status.Prober), State: "pending", Interval: "when scraped",
		Durations: newDurations(history), History: historyURL(status.Pair),
	}
	if status.Interval > 0 {
		p.Interval = "every " + brief(status.Interval)
	}
	if !status.NextDue.IsZero() {
		p.Next = "now"
		if d := status.NextDue.Sub(now); d >= time.Second {
			p.Next = "in " + brief(d)
		}
	}
	if until, limit := heldUntil(status, now); !until.IsZero() {
		p.Next, p.Held = "in "+brief(until.Sub(now)), instant(until)+" ("+limit+")"
	}
	if !status.Running.IsZero() {
		p.Running = brief(max(0, now.Sub(status.Running)))
	}
	if r := status.Last(); r != nil {
		p.Outcome, p.ID, p.Summary = string(r.Verdict.Outcome), r.ID, r.Verdict.Summary
		p.State, p.Reason = p.Outcome, r.Verdict.Reason
		p.Age, p.Took = ago(r.End(), now), took(r.Duration)
		var retried int
		if p.Waterfall, retried = drawSmall(r); retried > 0 {
			p.Retried = plural(retried, "call") + " made again, with success"
		}
	}
	return p
}

// judge takes over how the pair is from its target's state.
func (s *server) judge(p *pairView, state *probe.TargetState) {
	i := slices.IndexFunc(state.Pairs, func(ps probe.PairState) bool { return ps.Module == p.Module })
	if i < 0 {
		return
	}
	pair := &state.Pairs[i]
	p.State = cmp.Or(string(pair.Condition), p.State)
	// What the last run says is there already.
	switch open, ok := s.Incidents.Incident(pair.Incident); {
	case p.Outcome == string(probe.OutcomeSuccess) && pair.Condition == probe.ConditionUp:
	case pair.Condition == probe.ConditionDown && ok && open.Reason == p.Reason: // of another name, maybe
	case p.Summary != "" && strings.Contains(pair.Why, p.Summary):
	default:
		p.Why = pair.Why
	}
}
