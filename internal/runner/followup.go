package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	// followUpTimeout caps the module's timeout for a follow-up.
	followUpTimeout = 30 * time.Second
	// patientTimeout is what one that is in no hurry has at least, even if the next
	// tick comes before that, or somebody asks for the pair's probe. See [run.makesWay].
	patientTimeout = 5 * time.Second
	// followUpExpiry is when a follow-up is given up, unless its prober says.
	followUpExpiry = 24 * time.Hour
	// A follow-up that failed rests for backOff, twice that the next time, and so
	// on up to backOffMax.
	backOff    = time.Minute
	backOffMax = time.Hour
	// lastChance is how long before its end a follow-up waits for no other one.
	lastChance = time.Hour
)

// A follow-up that watches a revocation rests for a tenth of the time since then, but
// not less than watchRestLeast and not more than watchRestMost.
const (
	watchRestLeast = 15 * time.Second
	watchRestMost  = 10 * time.Minute
)

// rest returns how long the follow-up rests after it has failed at now.
func (it *item) rest(now time.Time) time.Duration {
	if it.Kind == probe.FollowUpWatchRevocation {
		return min(max(now.Sub(it.Created)/10, watchRestLeast), watchRestMost)
	}
	return backOffAfter(it.Attempts)
}

// patient reports whether the follow-up is in no hurry, so that it takes no time that
// a run may want, and has nothing to do with the CA's authorizations.
func (it *item) patient() bool {
	return it.Kind == probe.FollowUpRevoke || it.Kind == probe.FollowUpWatchRevocation
}

// backOffAfter returns how long a follow-up rests after its nth failure.
func backOffAfter(n int) time.Duration {
	return min(backOff<<min(max(n-1, 0), 10), backOffMax)
}

// followUps is the prober.FollowUps of one run.
type followUps struct {
	r   *Runner
	run *run
}

// Add implements prober.FollowUps.
func (f followUps) Add(fu probe.FollowUp) error {
	fu.Pair, fu.Parent = f.run.pair.Pair, f.run.id
	if fu.Created.IsZero() {
		fu.Created = time.Now()
	}
	if fu.ID == "" {
		fu.ID = probe.NewID(fu.Created)
	}
	if fu.Expires.IsZero() {
		fu.Expires = fu.Created.Add(followUpExpiry)
	}
	if err := f.r.put(bucketFollowUps, fu.ID, fu); err != nil {
		return fmt.Errorf("keep follow-up %q: %w", fu.ID, err)
	}
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.run.lane.items[fu.ID] = &item{FollowUp: fu, gen: f.run.gen}
	if f.run.lane.current != f.run {
		f.r.wakeUp() // else the end of the run does
	}
	return nil
}

// Drop implements prober.FollowUps. When the store fails, the follow-up stays
// and will be done: it finds nothing to do.
func (f followUps) Drop(id string) error {
	if err := f.r.remove(bucketFollowUps, id); err != nil {
		return fmt.Errorf("drop follow-up %q: %w", id, err)
	}
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	delete(f.run.lane.items, id)
	return nil
}

// Note implements prober.FollowUps.
func (f followUps) Note(v probe.Revocation) error {
	it := f.run.item
	if it == nil {
		return errors.New("note what is known of a revocation: the run does no follow-up")
	}
	f.r.mu.Lock()
	fu := it.FollowUp
	f.r.mu.Unlock()
	fu.Revocation = &v
	if err := f.r.put(bucketFollowUps, fu.ID, fu); err != nil {
		return fmt.Errorf("keep follow-up %q: %w", fu.ID, err)
	}
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	it.Revocation = &v
	return nil
}

// added returns the follow-ups that ru has added and not dropped, oldest first, as
// Results show them: a certificate that is to be revoked stays with the follow-up.
func (r *Runner) added(ru *run) []probe.FollowUp {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []probe.FollowUp
	for _, it := range ru.lane.items {
		if it.Parent == ru.id {
			all = append(all, shown(it.FollowUp))
		}
	}
	slices.SortFunc(all, compareFollowUps)
	return all
}

// Open returns the follow-ups of that kind which configured pairs have yet to do,
// oldest first, without the certificates that they are about.
func (r *Runner) Open(kind probe.FollowUpKind) []probe.FollowUp {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []probe.FollowUp
	for _, l := range r.lanes {
		for _, it := range l.items {
			if l.gen != nil && it.Kind == kind {
				all = append(all, shown(it.FollowUp))
			}
		}
	}
	slices.SortFunc(all, compareFollowUps)
	return all
}

// shown returns f without what only its own run has a use for.
func shown(f probe.FollowUp) probe.FollowUp {
	if f.Revocation != nil {
		v := *f.Revocation
		v.Chain, v.Lists = nil, nil
		f.Revocation = &v
	}
	return f
}

func compareFollowUps(a, b probe.FollowUp) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
}

// when returns from when on the follow-up may be tried.
func (it *item) when() time.Time {
	if it.NotBefore.IsZero() {
		return it.Created
	}
	return it.NotBefore
}

// due returns the oldest follow-up that is to be tried now; nil: none. While
// the process stops, only those are that were never tried.
func (l *lane) due(now time.Time, p phase) *item {
	var oldest *item
	for _, it := range l.items {
		if l.configuration(it) == nil || now.Before(it.when()) || l.yields(it, now) || l.waits(it, now) {
			continue
		}
		if p != phaseRunning && (it.Attempts > 0 || it.Kind == probe.FollowUpWatchRevocation) {
			continue
		}
		if oldest == nil || compareFollowUps(it.FollowUp, oldest.FollowUp) < 0 {
			oldest = it
		}
	}
	return oldest
}

// seeks reports whether the follow-up looks for a certificate that has to be revoked
// by its order.
func (it *item) seeks() bool {
	return it.Kind == probe.FollowUpRevoke && it.Revocation != nil && len(it.Revocation.Chain) == 0
}

// waits reports whether the follow-up has to wait for another one of its run, which
// looks for a certificate: an order says no more of it when an authorization of it is
// deactivated. At last it is done all the same.
func (l *lane) waits(it *item, now time.Time) bool {
	if it.Kind != probe.FollowUpDeactivateAuthz || it.Expires.Sub(now) <= lastChance {
		return false
	}
	for _, other := range l.items {
		if other.seeks() && other.Parent == it.Parent {
			return true
		}
	}
	return false
}

// yields reports whether a follow-up that is tried again, or is in no hurry, lets the
// next tick go first: it might delay it, and through min_interval cost the one after
// it too. It does so once, and is tried after that tick's run. The first look for a
// certificate is one that others wait for.
func (l *lane) yields(it *item, now time.Time) bool {
	return (it.Attempts > 0 || it.patient() && !it.seeks()) && l.gen != nil && !l.gen.next.IsZero() &&
		l.gen.next.Sub(now) < followUpTimeout && l.floor.Before(it.when())
}

// expire gives up the lane's follow-ups that have expired, and are not being
// tried at the moment.
func (r *Runner) expire(l *lane, now time.Time) {
	for id, it := range l.items {
		if now.Before(it.Expires) || l.current != nil && l.current.item == it {
			continue
		}
		delete(l.items, id)
		f := it.FollowUp
		// Not here: the timelines do not wait for the disk.
		r.runs.Go(func() {
			r.log.Warn("follow-up given up", append(leftBehind(f), "created", f.Created, "attempts", f.Attempts)...)
			r.logStore(r.remove(bucketFollowUps, f.ID))
		})
	}
}

// leftBehind says for the log what a follow-up that is given up would have undone,
// so that somebody can do it by hand.
func leftBehind(f probe.FollowUp) []any {
	attrs := []any{"target", f.Target, "module", f.Module, "kind", f.Kind}
	if v := f.Revocation; v != nil {
		attrs = append(attrs, "serial", v.Serial, "reason", v.Reason)
	}
	if f.URL != "" {
		attrs = append(attrs, "urls", append([]string{f.URL}, f.More...))
	}
	if len(f.Records) > 0 {
		records := make([]string, len(f.Records))
		for i, record := range f.Records {
			records[i] = fmt.Sprintf("%s. TXT %q", record.Name, record.Value)
		}
		attrs = append(attrs, "records", records)
	}
	return attrs
}

// settle forgets the follow-up that ru has done, or says when it is tried again.
func (r *Runner) settle(ctx context.Context, ru *run, res *probe.Result) {
	if res.Verdict.Success() {
		r.mu.Lock()
		delete(ru.lane.items, ru.item.ID)
		r.mu.Unlock()
		r.logStore(r.remove(bucketFollowUps, ru.item.ID))
		return
	}
	if cutShort(ctx) {
		return // stays stored as it is, to be tried at the next start
	}
	r.mu.Lock()
	it := ru.lane.items[ru.item.ID]
	if it != ru.item { // dropped by its own run
		r.mu.Unlock()
		return
	}
	it.Attempts++
	switch {
	case res.Duration >= ru.timeout():
		it.cuts = 0 // more does not help: it hangs
	case ru.cut:
		it.cuts++
	}
	now := time.Now()
	it.NotBefore = now.Add(it.rest(now))
	f := it.FollowUp
	r.mu.Unlock()
	r.logStore(r.put(bucketFollowUps, f.ID, f))
}
