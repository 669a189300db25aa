package probe

import "time"

// IncidentVersion is the version of the stored form of an [Incident] and of what
// is stored beside it. What has another version is ignored, never guessed at.
const IncidentVersion = 1

// Condition is how a pair or a target is.
type Condition string

// The conditions.
const (
	// ConditionUp: somebody has seen it work, and nothing is known to be wrong.
	ConditionUp Condition = "up"
	// ConditionDegraded: of a target, only pairs that are not critical are down.
	ConditionDegraded Condition = "degraded"
	ConditionDown     Condition = "down"
	// ConditionUnknown: nobody has looked lately, or nobody has seen anything.
	ConditionUnknown Condition = "unknown"
)

// Conditions lists every condition.
func Conditions() []Condition {
	return []Condition{ConditionUp, ConditionDegraded, ConditionDown, ConditionUnknown}
}

// IncidentKind says what an incident is of.
type IncidentKind string

// The kinds of incident.
const (
	// IncidentPair: of one module on a target. Its condition is always down.
	IncidentPair IncidentKind = "pair"
	// IncidentTarget: of a target; it is made of those of its pairs that overlap,
	// and is down while a critical one of them is, else degraded.
	IncidentTarget IncidentKind = "target"
)

// Incident is an interval in which a pair, or through it a target, was down or
// degraded. It is immutable once published; its JSON is the stored form and the
// API's.
type Incident struct {
	Version     int          `json:"version"`
	ID          string       `json:"id"` // fit for a URL path and a file name
	Kind        IncidentKind `json:"kind"`
	Target      string       `json:"target"`
	Environment string       `json:"environment,omitempty"`
	// Module that was down; of a target: the one that Stage to Summary are about.
	Module string `json:"module"`
	// Condition is the worst so far: down or degraded.
	Condition Condition `json:"condition"`
	// Start is that of the first failed run, End that of the first of the successes
	// that closed it; zero: it is open.
	Start time.Time `json:"start"`
	End   time.Time `json:"end,omitzero"`
	// LastSuccess is the start of the last success before Start: it began after
	// that. Zero: there had been none.
	LastSuccess time.Time `json:"last_success,omitzero"`
	// LastFailure is the start of the last failed run: it is known to have lasted
	// until then.
	LastFailure time.Time `json:"last_failure"`
	// Stage, Reason, Fault and Summary are the verdict of the first failed run that
	// tells whose fault it is, or else of the first one.
	Stage   StepName `json:"stage"`
	Reason  Reason   `json:"reason"`
	Fault   Fault    `json:"fault"`
	Summary string   `json:"summary"` // one sentence for people
	// Flaps counts how often a success was followed by a failure before there were
	// enough successes to close it.
	Flaps int `json:"flaps,omitempty"`
	// Withdrawn: it was closed because what it is of is no longer configured. Its End
	// is its LastFailure.
	Withdrawn bool `json:"withdrawn,omitempty"`
	// Failures is how many runs have failed, Reasons how many for each reason; those
	// whose failure says nothing about the CA are not counted.
	Failures int            `json:"failures"`
	Reasons  map[Reason]int `json:"reasons"`
	// Phases say when a target was down and when degraded, in order and without
	// overlap; nil for a pair, which is down from Start to End.
	Phases []IncidentPhase `json:"phases,omitempty"`
	// Members are the incidents of pairs that a target's is made of, in the order in
	// which they became known; at most 200, see the package incident.
	Members []Member `json:"members,omitempty"`
	// Official is what the CA's own status page has said of a target's incident; nil:
	// nothing, as far as we have read.
	Official *Official `json:"official,omitempty"`
	// Evidence is nil for a target, whose members have it, and for an old incident.
	Evidence *Evidence `json:"evidence,omitempty"`
}

// Open reports whether the incident goes on.
func (i *Incident) Open() bool { return i.End.IsZero() }

// Duration is how long it lasted, or has lasted until now.
func (i *Incident) Duration(now time.Time) time.Duration {
	if i.Open() {
		return max(now.Sub(i.Start), 0)
	}
	return i.End.Sub(i.Start)
}

// Uncertainty is how much earlier than Start it can have begun; not ok: nobody
// had looked before, or not seen it work.
func (i *Incident) Uncertainty() (d time.Duration, ok bool) {
	if i.LastSuccess.IsZero() {
		return 0, false
	}
	return i.Start.Sub(i.LastSuccess), true
}

// IncidentPhase is a part of an incident in which the condition was the same.
type IncidentPhase struct {
	Condition Condition `json:"condition"` // down or degraded
	Start     time.Time `json:"start"`
	End       time.Time `json:"end,omitzero"` // zero: it goes on
}

// Member is an incident of a pair as a part of its target's.
type Member struct {
	ID       string    `json:"id"` // of the pair's incident
	Module   string    `json:"module"`
	Critical bool      `json:"critical"`
	Start    time.Time `json:"start"`
	End      time.Time `json:"end,omitzero"` // zero: it goes on
	// LastFailure, Failures, Reasons and Flaps are the incident's.
	LastFailure time.Time      `json:"last_failure"`
	Failures    int            `json:"failures"`
	Reasons     map[Reason]int `json:"reasons"`
	Flaps       int            `json:"flaps,omitempty"`
}

// Evidence is what an incident rests on.
type Evidence struct {
	First EvidenceRun  `json:"first"`          // the first failed run
	Last  *EvidenceRun `json:"last,omitempty"` // the last one; nil: there was one only
}

// EvidenceRun is a Result as evidence: without follow-ups and, where it would be more
// than 32 KiB of JSON, without what is far from the failure.
type EvidenceRun struct {
	Result *Result `json:"result"`
	// Dropped is how many calls, steps, visits and subproblems were left out.
	Dropped int `json:"dropped,omitempty"`
}

// Interval is a time from Start until just before End.
type Interval struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Total counts incidents and adds up their time. Neither ever falls.
type Total struct {
	Incidents int `json:"incidents"`
	// Downtime of an open incident counts to its last failure, the rest when it is
	// closed.
	Downtime time.Duration `json:"downtime_ns"`
}

// Totals are the totals since the target, or the pair, was configured.
type Totals struct {
	// Down of a target counts the incidents in which it was down, and only that
	// part of their time.
	Down Total `json:"down"`
	// Degraded counts those that began as degraded. Time that was counted here and
	// of which it became known only later that the target was down, is in both.
	Degraded Total `json:"degraded"`
}

// PairState is how a pair is.
type PairState struct {
	Pair
	Critical  bool      `json:"critical"` // while it is down, so is the target
	Condition Condition `json:"condition"`
	Since     time.Time `json:"since,omitzero"` // zero: it has never been otherwise than unknown
	Why       string    `json:"why"`            // one sentence
	// LastEvidence is the end of the last run that was a success, or whose failure
	// was the CA's or that of the way to it; zero: none.
	LastEvidence time.Time `json:"last_evidence,omitzero"`
	LastSuccess  time.Time `json:"last_success,omitzero"` // its start; zero: none
	// Incident is the ID of the open one, also while the condition is unknown.
	Incident string `json:"incident,omitempty"`
	Totals   Totals `json:"totals"`
}

// TargetState is how a target is.
type TargetState struct {
	Target       string    `json:"target"`
	Environment  string    `json:"environment,omitempty"`
	Condition    Condition `json:"condition"`
	Since        time.Time `json:"since,omitzero"` // zero: it has never been otherwise than unknown
	Why          string    `json:"why"`            // one sentence
	LastEvidence time.Time `json:"last_evidence,omitzero"`
	// Incident is the ID of the open one, also while the condition is unknown.
	Incident string      `json:"incident,omitempty"`
	Totals   Totals      `json:"totals"`
	Pairs    []PairState `json:"pairs"` // sorted by module
	// Known are the times of which the condition is known, in order and without
	// overlap, at most 90 days back; the last one ends when it will be known no
	// longer, unless somebody looks again.
	Known []Interval `json:"-"`
}
