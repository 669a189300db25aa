package probe

import "time"

// Answer is what a trigger gets from the runner.
type Answer struct {
	// Result is the run that the trigger started or joined, or the last one
	// before; nil: there has been none yet.
	Result *Result
	// Fresh reports whether Result is of a run that the trigger started or joined.
	Fresh bool
}

// Status is a configured pair as it stands, for pages.
type Status struct {
	Pair
	Prober      Prober
	Environment string
	Interval    time.Duration // 0: only when scraped
	// Running is since when a run is in flight; zero: none is.
	Running time.Time
	// NextDue is when the schedule starts the next run; zero: never.
	NextDue time.Time
	// Recent are the last runs, newest first; their follow-ups are among them.
	Recent []*Result
}

// Last returns the newest run that is not a follow-up; nil: none.
func (s *Status) Last() *Result {
	for _, r := range s.Recent {
		if r.FollowUp == "" {
			return r
		}
	}
	return nil
}
