package runner

import (
	"context"
	"encoding/json"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// The buckets of the store. Results are beneath "target/module", follow-ups
// beneath their IDs; the history has its own.
const (
	bucketResults   = "results"
	bucketFollowUps = "follow_ups"
)

// perform does the whole of one run, and leaves the lane free.
func (r *Runner) perform(ctx context.Context, ru *run) {
	res := &probe.Result{
		Version:    probe.Version,
		ID:         ru.id,
		Pair:       ru.pair.Pair,
		Prober:     ru.pair.Module.Prober,
		Trigger:    ru.trigger,
		ConfigHash: ru.pair.Hash,
		Start:      ru.start,
	}
	if f := ru.followUp; f != nil {
		res.Parent, res.FollowUp = f.Parent, f.Kind
	}
	res.Facts = r.call(ctx, ru)
	res.Duration = time.Since(ru.start)
	res.Facts.FollowUps = r.added(ru)
	ru.repeat = r.judge(ctx, ru, res)

	if ru.item != nil {
		// Nobody waits for it; and what was seen must not be seen again after a crash,
		// but for what is graver than to be counted twice.
		accuses := ru.accuses(res)
		if !accuses {
			r.settle(ctx, ru, res)
		}
		r.publish(ru, res)
		r.keepObserved()
		if res.Misissued() != "" {
			r.track(ru, res)
		}
		if accuses {
			r.told(ru, res)
		}
		r.release(ru)
		return
	}
	// A slow disk must not delay an answer or a metric, so it comes last; but the
	// lane is free only after it, so that a pair's Results are stored in order.
	r.publish(ru, res)
	r.keepObserved()
	r.track(ru, res)
	r.told(ru, res)
	r.keep(ru, res)
	r.release(ru)
}

// call executes the run under its own timeout.
func (r *Runner) call(ctx context.Context, ru *run) (facts probe.Facts) {
	var making sync.WaitGroup
	defer making.Wait()
	ctx, cancel := context.WithTimeout(ctx, ru.timeout())
	defer cancel()
	if ru.inTheWay != nil {
		making.Go(func() {
			ru.cut = ru.stay(ctx)
			cancel()
		})
	}
	defer func() {
		if v := recover(); v != nil {
			r.log.Error("a run panicked", "target", ru.pair.Pair.Target, "module", ru.pair.Pair.Module, "run", ru.id, "panic", v, "stack", string(debug.Stack()))
			facts = probe.Facts{Failure: &probe.Failure{
				Step: probe.StepSetup, Kind: probe.FailureLocal, Call: -1, Detail: "the prober panicked; the log has the stack",
			}}
		}
	}()
	return r.execute(ctx, Job{
		ID:        ru.id,
		Start:     ru.start,
		Trigger:   ru.trigger,
		Pair:      ru.pair,
		FollowUp:  ru.followUp,
		FollowUps: followUps{r, ru},
	})
}

// publish gives res to who waits for it, and, unless a reload has replaced or
// removed the run's configuration, to the pair's history and the observers.
func (r *Runner) publish(ru *run, res *probe.Result) {
	r.deliver.Lock()
	defer r.deliver.Unlock()
	r.mu.Lock()
	valid := ru.lane.gen == ru.gen
	if valid {
		ru.gen.add(res)
		r.enter(ru, res)
	}
	r.mu.Unlock()
	if valid {
		for _, o := range r.observers {
			o.Observe(res)
		}
	}
	ru.result = res
	close(ru.done)
}

// keepObserved has the observers store what they were told. The caller holds nothing.
func (r *Runner) keepObserved() {
	for _, k := range r.keepers {
		k.Keep()
	}
}

// kept is what is stored of a pair, compressed.
type kept struct {
	Last *probe.Result `json:"last"`
	// Success is the last Result that is one; nil: Last is, or there was none.
	Success *probe.Result `json:"last_success,omitempty"`
}

// enter makes ru the newest of its pair's history. What the end of the grace period
// has cut says nothing about the CA, and has no place there. It needs mu.
func (r *Runner) enter(ru *run, res *probe.Result) {
	if ru.item != nil || res.Failure != nil && res.Failure.Kind == probe.FailureCanceled {
		return
	}
	h := &ru.gen.history
	ru.entry = h.add(res)
	r.forget(ru.pair.Pair, h, h.trim())
}

// keep stores res in the history, and as the pair's last one, beside its last
// success, in one commit.
func (r *Runner) keep(ru *run, res *probe.Result) {
	if ru.entry == nil || r.store == nil || r.noResults || !r.valid(ru) {
		return
	}
	k := kept{Last: res}
	r.mu.Lock()
	nth := ru.entry.Nth
	if !res.Verdict.Success() {
		k.Success = ru.gen.success
	}
	r.mu.Unlock()
	rec, err := newRecord(res, nth)
	value, failed := json.Marshal(k)
	if err = errors.Join(err, failed); err != nil {
		r.logStore(err)
		return
	}
	stale := r.takeStale()
	changes := append(rec.changes, removal(stale)...)
	err = r.store.Commit(append(changes, state.Change{Bucket: bucketResults, Key: ru.pair.Pair.String(), Value: pack(value)})...)
	r.logStore(err)

	r.mu.Lock()
	valid := ru.lane.gen == ru.gen
	switch {
	case err != nil:
		r.giveBack(stale)
	case valid:
		ru.entry.Dropped = rec.dropped
		r.count(&ru.gen.history, ru.entry, rec.size)
		r.evict()
	default: // a reload has removed the pair, and what it had, in the meantime
		r.stale[rec.key] = true
	}
	r.mu.Unlock()
	if !valid {
		r.clean(ru.pair.Pair.String())
	}
}

// clean removes Results of pairs that are gone, and what is stale of the history.
func (r *Runner) clean(results ...string) {
	if r.store == nil {
		return
	}
	stale := r.takeStale()
	changes := removal(stale)
	for _, key := range results {
		changes = append(changes, state.Change{Bucket: bucketResults, Key: key})
	}
	if len(changes) == 0 {
		return
	}
	if err := r.store.Commit(changes...); err != nil {
		r.logStore(err)
		r.mu.Lock()
		r.giveBack(stale)
		r.mu.Unlock()
	}
}

// valid reports whether ru's configuration is still in force.
func (r *Runner) valid(ru *run) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return ru.lane.gen == ru.gen
}

// release frees the lane.
func (r *Runner) release(ru *run) {
	r.mu.Lock()
	ru.lane.current = nil
	r.held.release(ru.names)
	r.inFlight--
	r.mu.Unlock()
	r.wakeUp()
}

func (r *Runner) put(bucket, key string, value any) error {
	if r.store == nil {
		return nil
	}
	return r.store.Commit(state.Change{Bucket: bucket, Key: key, Value: value})
}

func (r *Runner) remove(bucket, key string) error {
	if r.store == nil {
		return nil
	}
	return r.store.Commit(state.Change{Bucket: bucket, Key: key})
}

// logStore logs what failed, once a minute at most: a full disk fails every
// write, and never stops the probing.
func (r *Runner) logStore(err error) {
	if err == nil {
		return
	}
	r.storeLog.Do(func() {
		r.log.Error("cannot write to the state directory; probing goes on without", "err", err)
	})
}

// cutShort reports whether ctx was canceled by the stop.
func cutShort(ctx context.Context) bool { return errors.Is(context.Cause(ctx), ErrStopping) }
