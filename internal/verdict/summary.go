package verdict

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxQuoted and maxSummary bound what is quoted of somebody else's words and
// the whole sentence, in bytes.
const (
	maxQuoted  = 200
	maxSummary = 500
)

// minSecret is the length in bytes from which a word is taken for a token: that
// of 30 bytes in base64url.
const minSecret = 40

// passed is the sentence for a success.
func passed(f *probe.Facts, c Context) string {
	what := cmp.Or(c.name(), "the run")
	host := ""
	if len(f.Calls) > 0 {
		if h := hostOf(&f.Calls[0]); h != "" {
			host = " at " + h
		}
	}
	calls := ""
	if n := len(f.Calls); n > 0 { // a follow-up may ask nothing of the CA
		calls = ": " + count(n, "call")
	}
	text := what + " passed" + host + calls
	if r := f.Refusal; r.Refused() {
		text = what + " was refused" + host + ", as it has to be: " + string(r.Step) + ", " + r.Problem.Type
		if r.Problem.Detail != "" {
			text += ": " + clean(r.Problem.Detail, maxQuoted)
		}
	}
	if p := f.Perspectives; p.Few() {
		text += fmt.Sprintf("; validators came from %s, fewer than the %d expected", count(p.Networks, "network"), p.Minimum)
	}
	return clean(text, maxSummary-1) + "."
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// summary is the sentence for everything else: the step, the host, what the
// reason means, and the evidence in parentheses.
func (e *evidence) summary(v probe.Verdict, doc ReasonDoc, c Context) string {
	var s strings.Builder
	if name := c.name(); name != "" && name != string(v.Stage) {
		s.WriteString(name + ": ")
	}
	s.WriteString(string(v.Stage))
	switch {
	case v.Reason == RevocationPending:
		s.WriteString(" is waited for")
	case v.Outcome == probe.OutcomeSkipped:
		s.WriteString(" was given up")
	default:
		s.WriteString(" failed")
	}
	if host := e.host(); host != "" {
		s.WriteString(" at " + host)
	}
	what := doc.Summary
	if v.Reason == RefusedOtherwise && e.failure.Kind == probe.FailureTimeout {
		what = "the CA has not refused in time"
	}
	s.WriteString(": " + what)
	if quoted := e.quoted(); quoted != "" {
		s.WriteString(" (" + quoted + ")")
	}
	if advice := e.failure.Advice; advice != "" {
		s.WriteString(": " + clean(advice, maxQuoted))
	}
	return clean(s.String(), maxSummary-1) + "."
}

// host is where it happened: that of the failed call, else of the last one; empty
// where the CA has no part in it.
func (e *evidence) host() string {
	call := e.call
	if call == nil && e.failure.Step == probe.StepPublication {
		return "" // the detail names the name server
	}
	if n := len(e.facts.Calls); call == nil && n > 0 {
		call = &e.facts.Calls[n-1]
	}
	if call == nil {
		return ""
	}
	return hostOf(call)
}

// quoted is the evidence in the words of those who gave it.
func (e *evidence) quoted() string {
	var parts []string
	problem := e.failure.Problem
	if e.failure.Object != "" {
		parts = append(parts, e.failure.Object)
	}
	if e.failure.Identifier != "" {
		parts = append(parts, "for "+e.failure.Identifier)
	}
	if c := e.call; c != nil && problem == nil {
		parts = append(parts, string(c.Name))
		if c.Status != 0 {
			parts = append(parts, fmt.Sprintf("HTTP %d", c.Status))
		}
		problem = c.Problem
	}
	words := ""
	if problem != nil {
		parts = append(parts, problem.Type)
		words = problem.Detail
	}
	if e.call != nil && e.call.Error != nil {
		words = cmp.Or(words, e.call.Error.Message)
	}
	words = clean(cmp.Or(words, e.failure.Detail), maxQuoted)
	text := strings.Join(parts, ", ")
	switch {
	case words == "":
		return text
	case text == "":
		return words
	}
	return text + ": " + words
}

var (
	query = regexp.MustCompile(`(https?://[^\s?#"'<>]*)[?#][^\s"'<>]*`)
	jwt   = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]*`)
	word  = regexp.MustCompile(`[A-Za-z0-9_-]+`)
)

// clean makes one bounded line of s, without what looks like a token, a JWT or
// the query of a URL, and without a period at its end. What is quoted was
// scrubbed when it was recorded; it is not for the last one who shows it to rely
// on that.
func clean(s string, limit int) string {
	if most := 4 * limit; len(s) > most {
		s = s[:most]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = query.ReplaceAllString(s, "$1?…")
	s = jwt.ReplaceAllString(s, "…")
	s = word.ReplaceAllStringFunc(s, func(w string) string {
		if len(w) >= minSecret {
			return "…"
		}
		return w
	})
	s = strings.TrimRight(strings.Join(strings.Fields(s), " "), " .")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit-len("…")], "") + "…"
	}
	return s
}
