package runner

import (
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// accuses reports whether ru, a follow-up, has found what the CA had to refuse, and is
// the first to tell of it. It is not done then: it goes on when it is stored that it was
// told.
func (ru *run) accuses(res *probe.Result) bool {
	known := ru.followUp.Forbidden
	return known != nil && !known.Told && res.Failure != nil && res.Failure.Tells(ru.followUp.Kind)
}

// told stores of the follow-ups that may find what res has told of that they need not
// tell of it again. It comes after whoever counts it has stored that: a crash between the
// two has it counted twice, where the other way round nobody might ever hear of it.
func (r *Runner) told(ru *run, res *probe.Result) {
	if res.Failure == nil || res.Failure.Kind != probe.FailureRefusal {
		return
	}
	parent := ru.id
	if ru.item != nil {
		parent = ru.item.Parent
	}
	var changes []state.Change
	r.mu.Lock()
	valid := ru.lane.gen == ru.gen
	for _, it := range ru.lane.items {
		if it.Parent == parent && it.Forbidden != nil && !it.Forbidden.Told && res.Failure.Tells(it.Kind) {
			known := *it.Forbidden // which others may be reading
			known.Told = true
			it.Forbidden = &known
			changes = append(changes, state.Change{Bucket: bucketFollowUps, Key: it.ID, Value: it.FollowUp})
		}
	}
	r.mu.Unlock()
	if !valid && res.Misissued() != "" {
		r.log.Error("the CA gave what it had to refuse to a configuration that a reload has replaced; nobody counts it",
			"target", res.Target, "module", res.Module, "run", res.ID, "parent", res.Parent, "detail", res.Failure.Detail)
	}
	if r.store != nil && len(changes) > 0 {
		r.logStore(r.store.Commit(changes...))
	}
}
