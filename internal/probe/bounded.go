package probe

import (
	"encoding/json"
	"slices"
)

// Bounded returns r as evidence, with at most size bytes of JSON: without its
// follow-ups and validators' addresses, and where that is still too much without
// the calls, steps, visits and subproblems that are far from the failure; without a
// failure, without the first ones. r stays as it is.
func Bounded(r *Result, size int) EvidenceRun {
	for _, most := range []int{1000, 100, 30, 10, 3, 1, 0} {
		kept := thin(r, most)
		if b, err := json.Marshal(kept.Result); err == nil && len(b) <= size {
			return kept
		}
	}
	// Not what any prober makes: the verdict has to do.
	bare := *r
	bare.Facts = Facts{}
	return EvidenceRun{Result: &bare, Dropped: len(r.Calls) + len(r.Steps) + len(r.Visits)}
}

// thin returns r with at most so many calls, steps, visits and subproblems: those
// nearest to the failure.
func thin(r *Result, most int) EvidenceRun {
	kept := *r
	kept.Facts.FollowUps = nil
	dropped := 0
	call, stage, identifier := -1, StepName(""), ""
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

	step := slices.IndexFunc(r.Steps, func(s Step) bool {
		return s.Name == stage && (identifier == "" || s.Identifier == identifier)
	})
	from, to = near(step, len(r.Steps), most)
	kept.Steps = slices.Clone(r.Steps[from:to])
	dropped += len(r.Steps) - len(kept.Steps)

	visit := slices.IndexFunc(r.Visits, func(v Visit) bool { return v.Identifier == identifier })
	from, to = near(visit, len(r.Visits), most)
	dropped += len(r.Visits) - (to - from)
	kept.Visits = nil
	for _, v := range r.Visits[from:to] {
		kept.Visits = append(kept.Visits, Visit{
			At: v.At, Challenge: v.Challenge, Identifier: v.Identifier, Family: v.Family, Network: v.Network,
			Asked: v.Asked, Answered: v.Answered, OK: v.OK,
		})
	}
	return EvidenceRun{Result: &kept, Dropped: dropped}
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

func thinProblem(p *Problem, most int, dropped *int) *Problem {
	kept := *p
	kept.Subproblems = slices.Clone(p.Subproblems[:min(most, len(p.Subproblems))])
	*dropped += len(p.Subproblems) - len(kept.Subproblems)
	return &kept
}
