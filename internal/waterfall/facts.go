package waterfall

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Fact is something about the run that has no place on the time axis. Both
// strings are free of control characters.
type Fact struct {
	Label, Value string
	Bad          bool
}

// facts returns what there is to say about r beside its rows.
func facts(r *probe.Result) []Fact {
	var list []Fact
	add := func(f Fact) {
		f.Value = clean(f.Value)
		list = append(list, f)
	}
	if r.Parent != "" {
		add(Fact{Label: "follows up", Value: r.Parent})
	}
	if d := r.Directory; d != nil {
		add(Fact{Label: "directory", Value: directory(d)})
		if d.Change != nil {
			add(Fact{Label: "directory changed", Value: d.Change.String()})
		}
	}
	for i := range r.Renewals {
		if i == shownRenewals {
			add(Fact{Label: "renewal", Value: fmt.Sprintf("and %d more", len(r.Renewals)-i)})
			break
		}
		add(Fact{Label: "renewal", Value: renewal(&r.Renewals[i]), Bad: r.Renewals[i].Due})
	}
	for _, f := range beside(r) {
		add(f)
	}
	if a := r.API; a != nil {
		add(Fact{Label: "API certificate", Value: fmt.Sprintf("until %s, by %s", day(a.NotAfter), a.Issuer)})
	}
	if len(r.Visits) > 0 {
		add(Fact{Label: "validators", Value: visits(r)})
	}
	if p := r.Perspectives; p != nil {
		add(Fact{Label: "perspectives", Value: perspectives(p), Bad: p.Few()})
	}
	if r.Refusal != nil {
		add(Fact{Label: "refusal", Value: refusal(r), Bad: !r.Refusal.Refused()})
	}
	if c := r.Certificate; c != nil {
		add(Fact{Label: "certificate", Value: certificate(c)})
		if c.PEM != "" {
			add(Fact{Label: "evidence", Value: "the certificate itself is in the run's JSON, as certificate.pem", Bad: true})
		}
		if t := c.Transparency; t != nil {
			add(Fact{Label: "transparency", Value: transparency(t), Bad: t.Unreadable || t.Policy == probe.PolicyMissed})
		}
		for _, check := range c.Checks {
			if !check.Passed {
				add(Fact{Label: "check failed", Value: string(check.Check) + ": " + check.Detail, Bad: true})
			}
		}
	}
	if v := r.Revocation; v != nil {
		add(Fact{Label: "revocation", Value: revocation(v)})
	}
	if f := r.Failure; f != nil && f.Problem != nil {
		add(Fact{Label: f.Object, Value: problem(f.Problem), Bad: true})
	}
	// What a failed call has to say stands at the call.
	if f := r.Failure; f != nil && f.Detail != "" && f.Kind != probe.FailureCall && !strings.Contains(r.Verdict.Summary, f.Detail) {
		add(Fact{Label: "detail", Value: f.Detail, Bad: true})
	}
	// Nor is there room for it in the verdict's sentence, where it is a record to be
	// created.
	if f := r.Failure; f != nil && f.Advice != "" && !strings.Contains(r.Verdict.Summary, f.Advice) {
		add(Fact{Label: "what to do", Value: f.Advice})
	}
	for i := range r.FollowUps {
		add(Fact{Label: "to follow up", Value: followUp(&r.FollowUps[i])})
	}
	return list
}

// refusal is how the CA had to refuse, and how it did.
func refusal(r *probe.Result) string {
	if f := r.Refusal; f.Refused() {
		return fmt.Sprintf("%s at %s, as it has to: %s", f.Problem.Type, f.Step, f.Problem.Detail)
	}
	return "expected was " + r.Refusal.Expected
}

// perspectives is from how many networks validators came, and were expected.
func perspectives(p *probe.Perspectives) string {
	if p.Few() {
		return fmt.Sprintf("%s for %s, fewer than the %d expected", count(p.Networks, "network"), p.Identifier, p.Minimum)
	}
	return fmt.Sprintf("%s, at least %d expected", count(p.Networks, "network"), p.Minimum)
}

// followUp is the kind of f, and of which names it is to withdraw records.
func followUp(f *probe.FollowUp) string {
	switch v := f.Revocation; {
	case v == nil || v.Serial == "":
	case v.Via != "":
		return fmt.Sprintf("%s: serial %s, by %s", f.Kind, v.Serial, v.Via)
	default:
		return fmt.Sprintf("%s: serial %s, reason %s", f.Kind, v.Serial, v.Reason)
	}
	if len(f.Records) == 0 {
		return string(f.Kind)
	}
	names := make([]string, len(f.Records))
	for i := range f.Records {
		names[i] = f.Records[i].Name
	}
	slices.Sort(names)
	names = slices.Compact(names)
	s := fmt.Sprintf("%s: %s", f.Kind, strings.Join(names[:min(len(names), shownNames)], ", "))
	if more := len(names) - shownNames; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// revocation says what becomes of a certificate.
func revocation(v *probe.Revocation) string {
	s := fmt.Sprintf("serial %s, reason %s", v.Serial, v.Reason)
	if !v.At.IsZero() {
		s += ", revoked at " + v.At.UTC().Format(time.RFC3339)
	}
	switch {
	case v.Via == "" && v.GivenUp:
		s += ", which the CA has not taken, and is given up"
	case v.Via == "":
	case v.Propagation != nil:
		s += fmt.Sprintf(", shows by %s after %s", v.Via, v.Propagation.Round(time.Second))
	case !v.Shown.IsZero() && v.Undated:
		s += fmt.Sprintf(", or earlier; shows by %s", v.Via)
	case !v.Shown.IsZero():
		s += fmt.Sprintf(", shows by %s; nobody has looked for a while before", v.Via)
	case v.GivenUp:
		s += fmt.Sprintf(", does not show by %s, and is given up", v.Via)
	default:
		s += fmt.Sprintf(", does not show by %s yet", v.Via)
	}
	return s
}

// shownNames is how many of a follow-up's names are shown.
const shownNames = 3

func directory(d *probe.Directory) string {
	s := count(len(d.Endpoints), "endpoint")
	if len(d.Profiles) > 0 {
		s += ", profiles " + strings.Join(d.Profiles, ", ")
	}
	if d.ExternalAccountRequired {
		s += ", external account required"
	}
	return s
}

// shownRenewals is how many certificates of a run are shown.
const shownRenewals = 10

// renewal is when a certificate should be renewed, and why.
func renewal(n *probe.Renewal) string {
	what, due := n.File, ""
	if what == "" {
		what = "the last certificate"
	}
	if n.Due {
		due = ": due"
	}
	s := fmt.Sprintf("%s: from %s to %s%s", what, day(n.Start), day(n.End), due)
	if n.ExplanationURL != "" {
		s += ", see " + n.ExplanationURL
	}
	return s
}

// visits counts who came; never from where.
func visits(r *probe.Result) string {
	// A request may be a visit of several of the run's challenges.
	type request struct {
		at     time.Duration
		family probe.Family
		asked  string
	}
	requests, families := make(map[request]bool), make(map[probe.Family]int)
	answered, networks, first := 0, 0, r.Visits[0].At
	for _, v := range r.Visits {
		networks = max(networks, v.Network) // they are numbered for each name
		first = min(first, v.At)
		if v.OK {
			answered++
		}
		if one := (request{v.At, v.Family, v.Asked}); !requests[one] {
			requests[one] = true
			families[v.Family]++
		}
	}
	words := []string{fmt.Sprintf("%s from %s", count(len(requests), "request"), count(networks, "network"))}
	for _, f := range []probe.Family{probe.IPv4, probe.IPv6} {
		if families[f] > 0 {
			words = append(words, fmt.Sprintf("%d over %s", families[f], f))
		}
	}
	s := fmt.Sprintf("%s; %d got the challenge's answer", strings.Join(words, ", "), answered)
	if accepted, ok := r.Accepted(); ok && first >= accepted {
		return fmt.Sprintf("%s; the first came after %s ms", s, milliseconds(first-accepted))
	}
	return s
}

func certificate(c *probe.Certificate) string {
	passed := 0
	for _, check := range c.Checks {
		if check.Passed {
			passed++
		}
	}
	days := c.NotAfter.Sub(c.NotBefore).Hours() / 24
	return fmt.Sprintf("%s to %s (%.0f days), by %s, chain of %d, serial %s, for %s; %d of %d checks passed",
		day(c.NotBefore), day(c.NotAfter), days, c.Issuer, c.Chain, c.Serial, strings.Join(c.Names, ", "), passed, len(c.Checks))
}

// transparency says in one line what the SCTs come to.
func transparency(t *probe.Transparency) string {
	if t.Unreadable {
		return t.Detail
	}
	s := count(t.Count, "SCT")
	if t.Policy != "" {
		s += fmt.Sprintf(" of %s, Chrome's policy %s", count(len(t.Operators), "operator"), policies[t.Policy])
	}
	if t.Detail != "" {
		s += ": " + t.Detail
	}
	return s
}

var policies = map[probe.PolicyState]string{
	probe.PolicyMet: "met", probe.PolicyMissed: "not met", probe.PolicyUnknown: "not known to be met",
}

// trigger says in words why a run happened.
func trigger(t probe.Trigger) string {
	switch t {
	case probe.TriggerTick:
		return "on schedule"
	case probe.TriggerScrape:
		return "by a scrape"
	case probe.TriggerCommand:
		return "by command"
	case probe.TriggerConfirm:
		return "to confirm a failure"
	case probe.TriggerFollowUp:
		return "as follow-up"
	}
	return clean(string(t))
}

// What is the run's prober, or the kind of its follow-up.
func what(r *probe.Result) string {
	if r.FollowUp != "" {
		return clean(string(r.FollowUp))
	}
	return clean(string(r.Prober))
}

// verdict is the head of the verdict's sentence: outcome, stage, reason, fault.
func verdict(v probe.Verdict) string {
	s := string(v.Outcome)
	if v.Stage != "" {
		s += " at " + string(v.Stage)
	}
	if v.Reason != "" {
		s += ", " + string(v.Reason)
	}
	if v.Fault != "" {
		s += ", fault: " + string(v.Fault)
	}
	return clean(s)
}

// milliseconds is d with one decimal.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond))
}

// day is t's date in UTC.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// count is "1 thing" or "n things".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
