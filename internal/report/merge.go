package report

import (
	"cmp"
	"slices"
	"time"
)

// outside is how long before or after the majority a location may see an incident in any
// case, and still see the same one.
const outside = time.Hour

// merge makes incidents of what the locations have seen. What is seen while the majority says
// that the target is not well is one, and so is what locations saw at the same time while
// it did not. What a location has had for much longer than that stands for itself: it must
// make one of nothing else.
func merge(list []sighted, majority []Span) []Incident {
	slices.SortFunc(list, func(a, b sighted) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.location, b.location))
	})
	var merged []Incident
	taken, had := make([]bool, len(list)), make([]int, len(list))
	joined := parts(list, majority)
	for _, part := range joined {
		for _, i := range within(list, part) {
			had[i]++
		}
	}
	for _, part := range joined {
		at := within(list, part)
		limit := max(outside, median(list, at))
		tooLong := func(i int) bool { return part.Start.Sub(list[i].Start) > limit || list[i].end().Sub(part.End) > limit }
		through := func(i int) bool { return had[i] > 1 || tooLong(i) }
		if !slices.ContainsFunc(at, func(i int) bool { return taken[i] || !through(i) }) {
			// Each of them has more than this: an outage that goes round. It is one of the majority all the same.
			through = tooLong
		}
		var members, longer []sighted
		for _, i := range at {
			switch s := list[i]; {
			case through(i):
				longer = append(longer, s)
			case !taken[i]:
				members, taken[i] = append(members, s), true
			}
		}
		if len(members) == 0 {
			continue // it is in those that are taken
		}
		whole := Span{members[0].Start, part.End}
		for _, s := range members {
			whole.End = later(whole.End, s.end())
		}
		for i, s := range list {
			if !taken[i] && !s.Start.Before(whole.Start) && !s.end().After(whole.End) {
				members, taken[i] = append(members, s), true
			}
		}
		merged = append(merged, adopt(one(members), longer))
		merged[len(merged)-1].Majority = true
	}
	var rest []sighted
	for i, s := range list {
		if !taken[i] {
			rest = append(rest, s)
		}
	}
	for _, members := range apart(rest) {
		i := one(members)
		if i.Official != nil && slices.ContainsFunc(merged, func(other Incident) bool {
			return other.Majority && other.Official != nil && other.Official.Start.Equal(i.Official.Start)
		}) {
			i.Official = nil
		}
		merged = append(merged, i)
	}
	slices.SortStableFunc(merged, func(a, b Incident) int { return a.Start.Compare(b.Start) })
	return merged
}

// parts are the times of the majority, of which those are one through which most of
// the locations have one incident.
func parts(list []sighted, majority []Span) []Span {
	var joined []Span
	for _, span := range majority {
		if n := len(joined); n > 0 {
			before, at := within(list, joined[n-1]), within(list, span)
			all, both := map[string]bool{}, map[string]bool{}
			for _, i := range slices.Concat(before, at) {
				all[list[i].location] = true
				if slices.Contains(before, i) && slices.Contains(at, i) {
					both[list[i].location] = true
				}
			}
			if 2*len(both) > len(all) {
				joined[n-1].End = span.End
				continue
			}
		}
		joined = append(joined, span)
	}
	return joined
}

// within are the indices of those that have a part in the span.
func within(list []sighted, span Span) []int {
	var at []int
	for i, s := range list {
		if !s.Start.After(span.End) && !s.end().Before(span.Start) {
			at = append(at, i)
		}
	}
	return at
}

// median is how long half of them are at the most; 0: there are none.
func median(list []sighted, at []int) time.Duration {
	if len(at) == 0 {
		return 0
	}
	durations := make([]time.Duration, len(at))
	for i, n := range at {
		durations[i] = list[n].end().Sub(list[n].Start)
	}
	slices.Sort(durations)
	return durations[(len(durations)-1)/2]
}

// adopt puts into an incident of the majority what is known of it from locations that had
// a longer problem: that they had it too, and what the CA told of it meanwhile.
func adopt(i Incident, longer []sighted) Incident {
	for _, s := range longer {
		if !slices.Contains(i.Locations, s.location) {
			i.Locations = append(i.Locations, s.location)
		}
		if o := s.Official; o != nil && i.Official == nil && !o.Start.Before(i.Start.Add(-outside)) && !o.Start.After(i.Start.Add(i.Duration+outside)) {
			official := *o
			official.Lead = official.Start.Sub(i.Start)
			i.Official = &official
		}
	}
	slices.Sort(i.Locations)
	return i
}

// apart are those that overlap, together, in the order of their starts. Where they do not all
// have a time in common, the longest one stands for itself.
func apart(list []sighted) [][]sighted {
	var groups [][]sighted
	for first := 0; first < len(list); {
		until, common, end := list[first].end(), list[first].end(), first+1
		for end < len(list) && !list[end].Start.After(until) {
			until = later(until, list[end].end())
			if e := list[end].end(); e.Before(common) {
				common = e
			}
			end++
		}
		group := list[first:end]
		first = end
		if !group[len(group)-1].Start.After(common) {
			groups = append(groups, group)
			continue
		}
		longest := 0
		for i, s := range group {
			if s.end().Sub(s.Start) > group[longest].end().Sub(group[longest].Start) {
				longest = i
			}
		}
		groups = append(groups, []sighted{group[longest]})
		groups = append(groups, apart(slices.Concat(group[:longest], group[longest+1:]))...)
	}
	return groups
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// one is the incident of which the locations have these.
func one(list []sighted) Incident {
	i := list[0].Incident
	i.Condition, i.Failures, i.Official, i.Uncertainty, i.Locations = "degraded", 0, nil, nil, nil
	var seen time.Time // of those whose end nobody saw
	var lastSuccess time.Time
	votes := map[[3]string]int{}
	for _, s := range list {
		if s.Condition == "down" {
			i.Condition = "down"
		}
		if s.End.IsZero() {
			seen = later(seen, s.seen)
		}
		i.End = later(i.End, s.End)
		if s.lastSuccess.After(lastSuccess) && s.lastSuccess.Before(i.Start) {
			lastSuccess = s.lastSuccess
		}
		if !slices.Contains(i.Locations, s.location) {
			i.Locations = append(i.Locations, s.location)
		}
		i.Failures += s.Failures
		votes[s.said()]++
		if s.Official != nil && (i.Official == nil || s.Official.Start.Before(i.Official.Start)) {
			official := *s.Official
			i.Official = &official
		}
		if s.From != i.From {
			i.From = FromBoth
		}
	}
	until := later(i.End, seen)
	if until.After(i.End) {
		i.End = time.Time{}
	}
	slices.Sort(i.Locations)
	i.Duration = max(until.Sub(i.Start), 0)
	if !lastSuccess.IsZero() {
		d := i.Start.Sub(lastSuccess)
		i.Uncertainty = &d
	}
	most := list[0]
	for _, s := range list {
		// Of those that say the same, an exporter itself says more.
		if n := votes[s.said()] - votes[most.said()]; n > 0 || n == 0 && s.From == FromExporters && most.From != FromExporters {
			most = s
		}
	}
	i.Module, i.Stage, i.Reason, i.Fault, i.Summary = most.Module, most.Stage, most.Reason, most.Fault, most.Summary
	if i.Official != nil {
		i.Official.Lead = i.Official.Start.Sub(i.Start)
	}
	return i
}

func (s *sighted) said() [3]string { return [3]string{s.Stage, s.Reason, s.Fault} }
