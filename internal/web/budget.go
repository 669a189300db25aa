package web

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// limitView is a rate limit on the index.
type limitView struct {
	Name, Label string // in words, and as the metrics have it
	Left        string // says in words what the bar shows, and more
	Percent     int    // of the bar, 0 to 100
	// State is "full", "some", "low" or "empty", and "paused" if any bucket is.
	State string
}

// limitWords are the rate limits in words, each with what it is counted by.
var limitWords = map[string]string{
	string(config.LimitNewOrders):             "new orders",
	string(config.LimitCertificatesPerDomain): "certificates per registered domain",
	string(config.LimitCertificatesPerSet):    "certificates per exact set of names",
	string(config.LimitFailedValidations):     "failed validations per name",
	string(config.LimitConsecutiveFailures):   "failed validations per name in a row",
	string(config.LimitNewAccountsPerIP):      "new accounts per IP address",
	string(config.LimitNewAccountsPerNetwork): "new accounts per IPv6 network",
	probe.LimitRequests:                       "requests per second",
}

// words returns the limit in words; one that is not known keeps its name.
func words(limit string) string {
	if w, ok := limitWords[limit]; ok {
		return w
	}
	return limit
}

// sentence begins s as a sentence begins.
func sentence(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + s[size:]
}

// budget returns what is left of a target's limits; nil: nothing is known of it.
func budget(budgets []probe.Budget, target string, now time.Time) []limitView {
	i := slices.IndexFunc(budgets, func(b probe.Budget) bool { return b.Target == target })
	if i < 0 {
		return nil
	}
	var views []limitView
	for i, levels := 0, budgets[i].Levels; i < len(levels); i++ {
		views = append(views, newLimitView(&levels[i], now))
	}
	return views
}

func newLimitView(l *probe.Level, now time.Time) limitView {
	v := limitView{Name: sentence(words(l.Limit)), Label: l.Limit, State: "some"}
	switch {
	case l.Remaining <= 0:
		v.State = "empty"
	case l.Remaining >= l.Capacity:
		v.State = "full"
	case l.Remaining*5 <= l.Capacity: // confirmation runs alone may spend it
		v.State = "low"
	}
	if l.Capacity > 0 {
		v.Percent = min(max(l.Remaining, 0), l.Capacity) * 100 / l.Capacity
	}
	said := []string{fmt.Sprintf("%d of %d left", l.Remaining, l.Capacity)}
	if what := countedBy(l); what != "" {
		said[0] += " for " + what
	}
	if d := l.Full.Sub(now); d > 0 {
		said = append(said, "full in "+brief(d))
	}
	if l.Paused > 0 {
		v.State += " paused"
		said = append(said, fmt.Sprintf("%d paused", l.Paused))
	}
	v.Left = strings.Join(said, " · ")
	return v
}

// countedBy is the domain or the name that has the least left; empty: there is
// none that says anything to people.
func countedBy(l *probe.Level) string {
	switch config.LimitName(l.Limit) {
	case config.LimitCertificatesPerDomain:
		return l.What
	case config.LimitFailedValidations, config.LimitConsecutiveFailures:
		return l.What[strings.LastIndexByte(l.What, ' ')+1:] // without the account
	}
	return ""
}

// heldUntil returns until when a rate limit keeps the pair from a run, and which
// one does; zero: the schedule alone decides.
func heldUntil(status *probe.Status, now time.Time) (until time.Time, limit string) {
	r := status.Last()
	if r == nil || r.Verdict.Outcome != probe.OutcomeSkipped || r.RateLimit == nil {
		return time.Time{}, ""
	}
	until = r.RateLimit.Until
	if !until.After(now) || !until.After(status.NextDue) {
		return time.Time{}, ""
	}
	return until, called(r.RateLimit.Limit)
}

// called is a limit within a sentence.
func called(limit string) string {
	if limit == "" {
		return "a rate limit that the CA did not name"
	}
	return "rate limit " + limit
}

// limitSaid says what a rate limit had to do with a run, in sentences; none: nothing.
func limitSaid(r *probe.Result) []string {
	l := r.RateLimit
	if l == nil {
		return nil
	}
	which := "one that the CA did not name, or that we do not know"
	if l.Limit != "" {
		which = words(l.Limit) + " (" + l.Limit + ")"
	}
	if l.What != "" {
		which += ", for " + l.What
	}
	said := []string{"Rate limit: " + which + "."}
	if l.Refused {
		said = append(said, "The CA itself refused the run.")
	} else {
		said = append(said, "Our own budget held the run back; the CA was not asked for it.")
	}
	if l.Detail != "" && !strings.Contains(r.Verdict.Summary, l.Detail) {
		said = append(said, sentence(l.Detail)+".")
	}
	if l.Unexpected {
		said = append(said, "By our own ledger, which alone spends from this limit, that cannot be.")
	}
	if l.Paused {
		said = append(said, "The CA takes no order for it until somebody has the pause lifted.")
	}
	if !l.Until.IsZero() {
		said = append(said, "No run is to start before "+instant(l.Until)+".")
	}
	return said
}
