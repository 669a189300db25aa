// Package waterfall draws one Result: a row for each step and each call, as
// text for a terminal and as HTML for a page. Both are made from the same rows
// and facts, so that they cannot differ in what they tell.
//
// It shows what was measured and judges nothing. Of validators it shows how
// many came, never from where.
package waterfall

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Kind is what a row is about.
type Kind string

// The kinds of row.
const (
	KindStep   Kind = "step"
	KindCall   Kind = "call"   // beneath its step
	KindVisits Kind = "visits" // validators at our responders
)

// Phase is a part of a call, as it is drawn.
type Phase string

// The phases of a call, in order.
const (
	PhaseDNS     Phase = "dns"
	PhaseConnect Phase = "connect"
	PhaseTLS     Phase = "tls"
	PhaseAnswer  Phase = "answer" // connection ready → first byte: the CA's time and the round trip
	PhaseBody    Phase = "body"   // first byte → last byte
)

// Phases lists every phase in order.
func Phases() []Phase {
	return []Phase{PhaseDNS, PhaseConnect, PhaseTLS, PhaseAnswer, PhaseBody}
}

// used returns the phases that any of the rows has, in order.
func used(rows []Row) []Phase {
	return slices.DeleteFunc(Phases(), func(p Phase) bool {
		return !slices.ContainsFunc(rows, func(r Row) bool {
			return slices.ContainsFunc(r.Segments, func(s Segment) bool { return s.Phase == p })
		})
	})
}

// Segment is a phase of a call. Times count from the run's start.
type Segment struct {
	Phase           Phase
	Start, Duration time.Duration
}

// End is when the phase ended.
func (s Segment) End() time.Duration { return s.Start + s.Duration }

// Note is a line beneath a row. Text is free of control characters.
type Note struct {
	Text string
	Bad  bool // says what went wrong
}

// Row is one line of a waterfall. Times count from the run's start; strings are
// free of control characters.
type Row struct {
	Kind Kind
	Name string
	// Status is the HTTP status of a call ("none": no whole answer), "ok" or
	// "failed" of a step, and the number of visits.
	Status string
	Bad    bool
	// Retried says that the call was no success, and the same one was when it was made
	// again: then it is not bad.
	Retried         bool
	Start, Duration time.Duration
	Segments        []Segment       // of a call
	Opened          string          // what the connection that the call opened is like; "": none
	Marks           []time.Duration // when validators came
	Notes           []Note
	Method, URL     string // of a call
}

// Rows returns the rows of r in the order in which they are drawn.
func Rows(r *probe.Result) []Row {
	byStep, strays := assign(r)
	var rows []Row
	takeStrays := func(until time.Duration) {
		for len(strays) > 0 && r.Calls[strays[0]].Start < until {
			rows = append(rows, callRow(r, &r.Calls[strays[0]]))
			strays = strays[1:]
		}
	}
	visits, shown := visitsRow(r), false
	for i := range r.Steps {
		s := &r.Steps[i]
		takeStrays(s.Start)
		rows = append(rows, stepRow(s))
		for _, c := range byStep[i] {
			rows = append(rows, callRow(r, &r.Calls[c]))
		}
		if s.Name == probe.StepValidation && !shown && len(r.Visits) > 0 {
			rows, shown = append(rows, visits), true
		}
	}
	takeStrays(1<<63 - 1)
	if !shown && len(r.Visits) > 0 {
		rows = append(rows, visits)
	}
	return rows
}

// assign returns the calls of each step, by their indices, and those that
// belong to none, both in the order of their start.
func assign(r *probe.Result) (byStep [][]int, strays []int) {
	byStep = make([][]int, len(r.Steps))
	order := make([]int, len(r.Calls))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(r.Calls[a].Start, r.Calls[b].Start) })
	for _, c := range order {
		if s := stepOf(r, &r.Calls[c]); s >= 0 {
			byStep[s] = append(byStep[s], c)
		} else {
			strays = append(strays, c)
		}
	}
	return byStep, strays
}

// stepOf returns the index of the step that c belongs to: of several with its
// name the last that had begun. -1: none.
func stepOf(r *probe.Result, c *probe.Call) int {
	found := -1
	for i := range r.Steps {
		if s := &r.Steps[i]; s.Name == c.Step && (found < 0 || s.Start <= c.Start) {
			found = i
		}
	}
	return found
}

func stepRow(s *probe.Step) Row {
	row := Row{Kind: KindStep, Name: clean(string(s.Name)), Status: "ok", Start: s.Start, Duration: s.End() - s.Start}
	if s.Paced > 0 {
		row.Notes = append(row.Notes, Note{Text: fmt.Sprintf("for %s ms of it our own pace held everything back", milliseconds(s.Paced))})
	}
	if !s.OK {
		row.Status, row.Bad = "failed", true
	}
	if s.Identifier != "" {
		row.Notes = append(row.Notes, Note{Text: clean(s.Identifier)})
	}
	return row
}

func callRow(r *probe.Result, c *probe.Call) Row {
	row := Row{
		Kind: KindCall, Name: clean(string(c.Name)), Status: "none", Bad: true,
		Start: c.Start, Duration: max(0, c.End-c.Start), Segments: segments(c), Opened: opened(&c.Connection),
		Method: clean(c.Method), URL: clean(c.URL),
	}
	if c.Answered() {
		row.Status, row.Bad = strconv.Itoa(c.Status), c.Status < 200 || c.Status > 299
	}
	if row.Bad && retried(r.Calls, c) {
		row.Bad, row.Retried = false, true
	}
	if c.Attempt > 0 {
		row.Notes = append(row.Notes, Note{Text: clean(fmt.Sprintf("retry %d, because of %s", c.Attempt, cmp.Or(c.RetryCause, "an error")))})
	}
	if c.RetryAfter != nil {
		row.Notes = append(row.Notes, Note{Text: "Retry-After: " + c.RetryAfter.String()})
	}
	if p := c.Problem; p != nil {
		row.Notes = append(row.Notes, Note{Text: problem(p), Bad: row.Bad})
	}
	if e := c.Error; e != nil {
		row.Notes = append(row.Notes, Note{Text: "no whole answer: " + clean(e.Error()), Bad: row.Bad})
	}
	if row.Retried {
		row.Notes = append(row.Notes, Note{Text: "made again, with success"})
	}
	return row
}

// retried reports whether c was made again, maybe more than once, and came to a
// success.
func retried(calls []probe.Call, c *probe.Call) bool {
	for {
		var next *probe.Call
		for i := range calls {
			other := &calls[i]
			if other.Start > c.Start && other.Name == c.Name && other.Method == c.Method && other.URL == c.URL &&
				(next == nil || other.Start < next.Start) {
				next = other
			}
		}
		if next == nil || next.Attempt != c.Attempt+1 {
			return false // the next one has its own beginning
		}
		if next.Answered() && next.Status >= 200 && next.Status <= 299 {
			return true
		}
		c = next
	}
}

// segments returns the phases of c that took any time, in order.
func segments(c *probe.Call) []Segment {
	var found []Segment
	add := func(p Phase, start, end time.Duration) {
		if end > start {
			found = append(found, Segment{p, start, end - start})
		}
	}
	for _, opening := range []struct {
		phase Phase
		span  *probe.Span
	}{
		{PhaseDNS, c.Connection.DNS}, {PhaseConnect, c.Connection.Connect}, {PhaseTLS, c.Connection.TLS},
	} {
		if s := opening.span; s != nil {
			add(opening.phase, s.Start, s.Start+s.Duration)
		}
	}
	switch {
	case c.Ready == 0:
	case c.FirstByte == 0:
		add(PhaseAnswer, c.Ready, c.End)
	default:
		add(PhaseAnswer, c.Ready, c.FirstByte)
		add(PhaseBody, c.FirstByte, c.End)
	}
	return found
}

// opened says in words what connection a call opened; "": none, or nothing is
// known of it because it failed.
func opened(c *probe.Connection) string {
	if c.DNS == nil && c.Connect == nil && c.TLS == nil {
		return ""
	}
	words := slices.DeleteFunc([]string{
		string(c.Family), c.HTTPVersion, c.TLSVersion, c.KeyExchange,
	}, func(s string) bool { return s == "" })
	return clean(strings.Join(words, ", "))
}

// problem is a problem document in a sentence.
func problem(p *probe.Problem) string {
	var b strings.Builder
	b.WriteString(p.Type)
	if p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	for _, s := range p.Subproblems {
		fmt.Fprintf(&b, "; %s: %s", s.Type, s.Detail)
	}
	return clean(b.String())
}

// visitsRow is the row of the validators' visits, drawn beneath the first
// validation.
func visitsRow(r *probe.Result) Row {
	row := Row{Kind: KindVisits, Name: "validators", Status: strconv.Itoa(len(r.Visits))}
	for _, v := range r.Visits {
		row.Marks = append(row.Marks, v.At)
	}
	slices.Sort(row.Marks)
	if len(row.Marks) > 0 {
		row.Start = row.Marks[0]
		row.Duration = row.Marks[len(row.Marks)-1] - row.Start
	}
	return row
}

// span returns the time that the drawing covers.
func span(r *probe.Result, rows []Row) time.Duration {
	total := max(r.Duration, 1)
	for i := range rows {
		total = max(total, rows[i].Start+rows[i].Duration)
	}
	return total
}

// clean makes a string fit for one line of a terminal: what a CA says may hold
// escape sequences. White space becomes one space, what cannot be printed U+FFFD.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.Join(strings.Fields(s), " "))
}
