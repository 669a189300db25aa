package incident

import (
	"crypto/sha256"
	"encoding/base32"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// pairRecord is what is known of a pair; its JSON is the stored form. It is
// replaced, never changed, once others can see it. Of the times of a pair none is
// before one that came earlier, whatever the clock does.
type pairRecord struct {
	Version int `json:"version"`
	Pair
	LastID  string        `json:"last_id,omitempty"`
	LastRun time.Time     `json:"last_run,omitzero"` // start of the last run, whatever it said
	Last    probe.Verdict `json:"last"`
	// Between is the time between the starts of runs of a pair without an interval: the
	// longest of late, for each shorter one halves what is remembered; at most an hour.
	// 0: there were no two.
	Between      time.Duration `json:"between_ns,omitempty"`
	LastSuccess  time.Time     `json:"last_success,omitzero"`  // start
	LastEvidence time.Time     `json:"last_evidence,omitzero"` // end
	// Seen is the end of the last run that was a success, or a failure while down.
	Seen time.Time `json:"seen,omitzero"`
	// UpSince is the first success after nobody had looked.
	UpSince time.Time `json:"up_since,omitzero"`
	Open    string    `json:"open,omitempty"` // ID of the open incident
	// Floor is the end of the last incident: none starts before.
	Floor time.Time `json:"floor,omitzero"`
	// Recent are the last runs that say something, newest last, while none is open.
	Recent []recent `json:"recent,omitempty"`
	// Closing counts the successes in a row while one is open; the first was at ClosingAt.
	Closing   int          `json:"closing,omitempty"`
	ClosingAt time.Time    `json:"closing_at,omitzero"`
	Totals    probe.Totals `json:"totals"` // the time of the open incident is not in it
}

// recent is a run that may become the first of an incident.
type recent struct {
	Class   class          `json:"class"`
	Start   time.Time      `json:"start"`
	End     time.Time      `json:"end"`
	Before  time.Time      `json:"before,omitzero"` // start of the last success before it
	Verdict *probe.Verdict `json:"verdict,omitempty"`
	// Run is kept of the first failure in a row.
	Run *probe.EvidenceRun `json:"run,omitempty"`
}

// observe takes in a run of the pair; open is its open incident, nil: none. It
// returns the incident as it is now, if it is a new one or has changed, and from when
// until Seen the run says how the pair is, zero if it does not. It changes nothing
// that open points to.
func (p *pairRecord) observe(r *probe.Result, rules Rules, open *probe.Incident) (changed *probe.Incident, from time.Time) {
	start := later(plain(r.Start), p.LastRun)
	end := later(plain(r.End()), start)
	ran := p.LastRun
	p.LastID, p.LastRun, p.Last = r.ID, start, r.Verdict
	c := classify(r.Verdict)
	if c == silent {
		return nil, from
	}
	before := p.LastSuccess
	if c != inconclusive {
		p.LastEvidence = later(end, p.LastEvidence)
	}
	from = start
	switch {
	case open != nil && c == success:
		changed = p.closing(start, open, rules)
	case open != nil:
		changed = p.goesOn(start, r, open)
	default:
		p.remember(recent{Class: c, Start: start, End: end, Before: before}, r, rules)
		first := p.first(rules)
		if c == conclusive && r.Misissued() != "" { // it is proved: nothing has to be confirmed
			first = p.streak(len(p.Recent) - 1)
		}
		if c != success && first >= 0 {
			changed = p.begin(first, r)
			from = changed.Start
		}
	}
	if c == success {
		p.LastSuccess = start
		if open == nil && (p.UpSince.IsZero() || start.After(p.Seen.Add(p.window()))) {
			p.UpSince = start
		}
	} else if open == nil && changed == nil {
		return nil, time.Time{} // a failure that may yet be refuted
	}
	if p.Interval == 0 && r.Trigger != probe.TriggerConfirm && !ran.IsZero() {
		p.Between = min(max(start.Sub(ran), p.Between/2), scrapedGap)
	}
	p.Seen = later(end, p.Seen)
	return changed, from
}

// plain returns t without what would be lost when it is stored.
func plain(t time.Time) time.Time { return t.Round(0).UTC() }

// remember adds a run to the recent ones, which it forgets if they are too old to
// belong to it.
func (p *pairRecord) remember(run recent, r *probe.Result, rules Rules) {
	p.Recent = slices.Clone(p.Recent)
	n := len(p.Recent)
	if n > 0 && run.Start.After(p.Recent[n-1].End.Add(p.gap())) {
		p.Recent, n = nil, 0
	}
	if run.Class != success {
		run.Verdict = &r.Verdict
		if n == 0 || p.Recent[n-1].Class == success {
			kept := keepRun(r)
			run.Run = &kept
		}
	}
	p.Recent = append(p.Recent, run)
	if n+1 > rules.remembered() {
		p.Recent = slices.Delete(p.Recent, 0, n+1-rules.remembered())
	}
	// Without a failure among the last ones there is nothing to remember.
	if !slices.ContainsFunc(p.Recent, func(r recent) bool { return r.Class != success }) {
		p.Recent = p.Recent[len(p.Recent)-1:]
	}
}

// first returns the index in Recent of the first failed run of an incident; -1:
// they are not enough for one.
func (p *pairRecord) first(rules Rules) int {
	last := len(p.Recent) - 1
	first := -1
	count := 0
	for i := last; i >= 0 && p.Recent[i].Class != success; i-- {
		if p.Recent[i].Class == conclusive {
			count++
		}
	}
	if count > rules.Confirmations {
		first = p.streak(last)
	}
	count = 0
	counted := -1
	for i := last; i >= 0 && i > last-rules.InconclusiveOf; i-- {
		if p.Recent[i].Class == inconclusive {
			count++
			counted = i
		}
	}
	if count >= rules.Inconclusive && p.Recent[last].Class == inconclusive {
		if s := p.streak(counted); first < 0 || s < first {
			first = s
		}
	}
	return first
}

// streak returns the first of the failures in a row that Recent[i] is one of.
func (p *pairRecord) streak(i int) int {
	for i > 0 && p.Recent[i-1].Class != success {
		i--
	}
	return i
}

// begin opens the incident whose first failed run is Recent[first] and whose last
// one is r.
func (p *pairRecord) begin(first int, r *probe.Result) *probe.Incident {
	runs := p.Recent[first:]
	start := runs[0].Start
	if !start.After(p.Floor) {
		start = p.Floor.Add(1)
	}
	last := runs[len(runs)-1].Start
	i := &probe.Incident{
		Version: probe.IncidentVersion, ID: newID(probe.IncidentPair, p.Pair.Pair, start),
		Kind: probe.IncidentPair, Target: p.Target, Module: p.Module, Environment: p.Environment,
		Condition: probe.ConditionDown, Start: start, LastSuccess: runs[0].Before, LastFailure: later(last, start),
		Reasons: map[probe.Reason]int{}, Evidence: &probe.Evidence{},
	}
	if !i.LastSuccess.Before(start) { // the clock stands still
		i.LastSuccess = time.Time{}
	}
	for k, run := range runs {
		if run.Class == success {
			continue
		}
		i.Failures++
		i.Reasons[run.Verdict.Reason]++
		blame(i, run.Class, run.Verdict)
		if k > 0 && runs[k-1].Class == success {
			i.Flaps++
		}
	}
	if runs[0].Run != nil { // else it was forgotten: there were too many
		i.Evidence.First = *runs[0].Run
	} else {
		i.Evidence.First = keepRun(r)
	}
	if r.ID != i.Evidence.First.Result.ID {
		kept := keepRun(r)
		i.Evidence.Last = &kept
	}
	p.Open, p.Recent, p.Closing = i.ID, nil, 0
	p.Totals.Down.Incidents++
	return i
}

// blame takes over the verdict of the first failed run, or of the first one that
// tells whose fault it is.
func blame(i *probe.Incident, c class, v *probe.Verdict) {
	if i.Reason != "" && (c != conclusive || i.Fault == probe.FaultCA || i.Fault == probe.FaultUnreachable) {
		return
	}
	i.Stage, i.Reason, i.Fault, i.Summary = v.Stage, v.Reason, v.Fault, v.Summary
}

// goesOn adds a failed run to the open incident.
func (p *pairRecord) goesOn(start time.Time, r *probe.Result, open *probe.Incident) *probe.Incident {
	i := *open
	i.LastFailure = later(start, i.LastFailure)
	i.Failures++
	i.Reasons = maps.Clone(open.Reasons)
	i.Reasons[r.Verdict.Reason]++
	blame(&i, classify(r.Verdict), &r.Verdict)
	if p.Closing > 0 {
		i.Flaps++
		p.Closing, p.ClosingAt = 0, time.Time{}
	}
	if open.Evidence != nil {
		kept := keepRun(r)
		i.Evidence = &probe.Evidence{First: open.Evidence.First, Last: &kept}
	}
	return &i
}

// closing counts a success while an incident is open, and closes it if it is the
// last one that is needed; nil: it is not.
func (p *pairRecord) closing(start time.Time, open *probe.Incident, rules Rules) *probe.Incident {
	if p.Closing == 0 {
		p.ClosingAt = start
	}
	p.Closing++
	if p.Closing < rules.Successes {
		return nil
	}
	i := *open
	i.End = later(p.ClosingAt, i.LastFailure)
	p.closed(&i)
	return &i
}

// withdraw closes the incident because the pair is no longer configured.
func (p *pairRecord) withdraw(open *probe.Incident) *probe.Incident {
	i := *open
	i.End, i.Withdrawn = i.LastFailure, true
	p.closed(&i)
	return &i
}

func (p *pairRecord) closed(i *probe.Incident) {
	p.Open, p.Closing, p.ClosingAt = "", 0, time.Time{}
	p.Floor = i.End
	p.Totals.Down.Downtime += i.End.Sub(i.Start)
}

// newID returns the ID of the incident of what that began at start: the same for
// who sees the same runs.
func newID(kind probe.IncidentKind, what probe.Pair, start time.Time) string {
	sum := sha256.Sum256([]byte(string(kind) + "\n" + what.Target + "\n" + what.Module + "\n" + start.Format(time.RFC3339Nano)))
	return start.Format("20060102T150405Z") + "-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])[:10])
}
