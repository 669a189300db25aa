package runner

import (
	"context"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
)

const (
	// workedFor is for how long a success shows that what is sent is right.
	workedFor = 24 * time.Hour
	// servedFor is for how long the validation of another CA shows that ours could
	// get through too.
	servedFor = 10 * time.Minute
	// A run that confirms a failure has confirmTimeout, and one that orders, for
	// which others need their time, confirmOrderTimeout.
	confirmTimeout      = 5 * time.Second
	confirmOrderTimeout = 55 * time.Second
)

// judge gathers what is known beside the facts, and makes the verdict. It reports
// whether another run at once would make a better one.
func (r *Runner) judge(ctx context.Context, ru *run, res *probe.Result) (repeat bool) {
	if r.controls != nil && verdict.Unreached(&res.Facts) {
		res.Controls = r.controls(ctx, res.Target)
	}
	c := verdict.Context{
		Prober: res.Prober, FollowUp: res.FollowUp, Start: res.Start,
		Paced:    len(ru.pair.Target.RequestRates()) > 0,
		Controls: res.Controls,
	}
	r.mu.Lock()
	if ru.item == nil {
		c.Worked = ru.gen.account == res.Account && !ru.gen.worked.IsZero() && res.Start.Sub(ru.gen.worked) < workedFor
		if ru.gen.last != nil && ru.gen.last.Verdict.Outcome == probe.OutcomeFailure {
			c.Again = ru.gen.last.Verdict.Reason
		}
	}
	c.ServedElsewhere = r.servedElsewhere(ru, res.End())
	r.mu.Unlock()
	res.Verdict = verdict.Judge(&res.Facts, c)
	return verdict.Repeat(res.Verdict, c)
}

// servedElsewhere reports whether another CA has lately validated names by the
// challenge that ru was to solve. It needs mu.
func (r *Runner) servedElsewhere(ru *run, now time.Time) bool {
	challenge := ru.pair.Challenge()
	if challenge == "" {
		return false
	}
	for _, l := range r.lanes {
		if l.gen == nil || l.pair.Target == ru.pair.Pair.Target || l.gen.pair.Target.DirectoryURL == ru.pair.Target.DirectoryURL {
			continue
		}
		if l.gen.pair.Challenge() == challenge && !l.gen.worked.IsZero() && now.Sub(l.gen.worked) < servedFor &&
			l.gen.last == l.gen.success && validated(l.gen.success) {
			return true
		}
	}
	return false
}

// validated reports whether the CA has validated in the run, rather than known. What
// it refuses shows nothing of what it would not.
func validated(r *probe.Result) bool {
	return r.Refusal == nil && slices.ContainsFunc(r.Steps, func(s probe.Step) bool { return s.Name == probe.StepValidation && s.OK })
}

// track tells whoever keeps the incidents of a run whose configuration is in force,
// and has it confirmed if that is wanted. Nothing but the lane waits for it: what
// changes is on disk before it is shown.
func (r *Runner) track(ru *run, res *probe.Result) {
	if r.incidents == nil || !r.valid(ru) {
		return
	}
	confirm := r.incidents(res)
	if ru.pair.Module.Expected() != "" {
		return // each run is a failure in the CA's books: the next tick has to do
	}
	if confirm || ru.repeat {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.confirm(ru)
	}
}

// confirm has a failure confirmed, or not, by another run at once, if whoever
// keeps the incidents wants that. It takes no tick's place. It needs mu.
func (r *Runner) confirm(ru *run) {
	l := ru.lane
	if r.phase == phaseRunning && l.gen == ru.gen && l.wanted == nil {
		l.wanted = newRun(probe.TriggerConfirm, time.Now())
	}
}

// quick are the probers whose runs take a few small answers.
var quick = map[probe.Prober]bool{probe.ProberDirectory: true, probe.ProberNonce: true, probe.ProberAccount: true}

// timeout is how long ru may take.
func (ru *run) timeout() time.Duration {
	switch {
	case ru.item != nil && ru.item.patient() && !ru.next.IsZero():
		return min(ru.pair.Timeout, followUpTimeout, max(ru.next.Sub(ru.start), patientTimeout))
	case ru.item != nil:
		return min(ru.pair.Timeout, followUpTimeout)
	case ru.trigger == probe.TriggerConfirm && ru.pair.Module.Prober.Orders():
		return min(ru.pair.Timeout, confirmOrderTimeout)
	case ru.trigger == probe.TriggerConfirm && quick[ru.pair.Module.Prober]:
		return min(ru.pair.Timeout, confirmTimeout)
	}
	return ru.pair.Timeout
}
