package incident

import (
	"encoding/json"
	"slices"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// runSize bounds the JSON of one run as evidence, in bytes: that of an incident
// is at most twice that.
const runSize = 32 << 10

// keepRun returns r as evidence. Texts were scrubbed when they were recorded, and
// nonces, signatures and tokens never were; validators' addresses go here, and
// follow-ups, which hold records and say nothing of the failure.
func keepRun(r *probe.Result) probe.EvidenceRun {
	for _, most := range []int{1000, 100, 30, 10, 3, 1, 0} {
		kept := thin(r, most)
		if b, err := json.Marshal(kept.Result); err == nil && len(b) <= runSize {
			return kept
		}
	}
	// Not what any prober makes: the verdict has to do.
	bare := *r
	bare.Facts = probe.Facts{}
	return probe.EvidenceRun{Result: &bare, Dropped: len(r.Calls) + len(r.Steps) + len(r.Visits)}
}

// thin returns r with at most so many calls, steps, visits and subproblems: those
// nearest to the failure.
func thin(r *probe.Result, most int) probe.EvidenceRun {
	kept := *r
	kept.Facts.FollowUps = nil
	dropped := 0
	call, stage, identifier := -1, probe.StepName(""), ""
	if f := r.Failure; f != nil {
		call, stage, identifier = f.Call, f.Step, f.Identifier
	}

	from, to := near(call, len(r.Calls), most)
	kept.Calls = slices.Clone(r.Calls[from:to])
	dropped += len(r.Calls) - len(kept.Calls)
	for i := range kept.Calls {
		if p := kept.Calls[i].Problem; p != nil {
			kept.Calls[i].Problem = thinProblem(p, most, &dropped)
		}
	}
	if f := r.Failure; f != nil {
		failure := *f
		failure.Call = -1
		if from <= f.Call && f.Call < to {
			failure.Call = f.Call - from
		}
		if f.Problem != nil {
			failure.Problem = thinProblem(f.Problem, most, &dropped)
		}
		kept.Failure = &failure
	}

	step := slices.IndexFunc(r.Steps, func(s probe.Step) bool {
		return s.Name == stage && (identifier == "" || s.Identifier == identifier)
	})
	from, to = near(step, len(r.Steps), most)
	kept.Steps = slices.Clone(r.Steps[from:to])
	dropped += len(r.Steps) - len(kept.Steps)

	visit := slices.IndexFunc(r.Visits, func(v probe.Visit) bool { return v.Identifier == identifier })
	from, to = near(visit, len(r.Visits), most)
	dropped += len(r.Visits) - (to - from)
	kept.Visits = nil
	for _, v := range r.Visits[from:to] {
		kept.Visits = append(kept.Visits, probe.Visit{
			At: v.At, Challenge: v.Challenge, Identifier: v.Identifier, Family: v.Family, Network: v.Network,
			Asked: v.Asked, Answered: v.Answered, OK: v.OK,
		})
	}
	return probe.EvidenceRun{Result: &kept, Dropped: dropped}
}

// near returns a window of at most so many of n around i; the last ones if i is
// none of them.
func near(i, n, most int) (from, to int) {
	if i < 0 || i >= n {
		i = n - 1
	}
	from = max(min(i-most/2, n-most), 0)
	return from, min(from+most, n)
}

func thinProblem(p *probe.Problem, most int, dropped *int) *probe.Problem {
	kept := *p
	kept.Subproblems = slices.Clone(p.Subproblems[:min(most, len(p.Subproblems))])
	*dropped += len(p.Subproblems) - len(kept.Subproblems)
	return &kept
}
