package probe

import "time"

// RunSummary is a run in a few words: what a table or a chart of many runs shows.
type RunSummary struct {
	ID       string        `json:"id"` // of its Result
	Start    time.Time     `json:"start"`
	Duration time.Duration `json:"duration_ns"`
	Trigger  Trigger       `json:"trigger"`
	Verdict  Verdict       `json:"verdict"`
	// Nth numbers the runs of a pair, those among them that are not kept any more; 0:
	// it is not known.
	Nth uint64 `json:"nth,omitempty"`
	// Dropped is how many calls, steps, visits and subproblems the stored Result is
	// without, for it would be too large with them; 0: it is whole.
	Dropped int `json:"dropped,omitempty"`
}

// Summarize returns r in a few words.
func Summarize(r *Result) RunSummary {
	return RunSummary{ID: r.ID, Start: r.Start, Duration: r.Duration, Trigger: r.Trigger, Verdict: r.Verdict}
}
