package ct

import (
	"fmt"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Chrome's policy for embedded SCTs (googlechrome.github.io/CertificateTransparency,
// as it is since 2026-04-15): SCTs of 2 logs, or of 3 where a certificate is valid
// for more than 180 days, that were not retired before; two of them of distinct
// operators; one of a log that is not retired now.
const (
	shortLifetime       = 180 * 24 * time.Hour
	shortLogs, longLogs = 2, 3
	policyOperators     = 2
)

// judge fills in what the SCTs, of the logs beside them, come to: the operators and
// the policy.
func (l *List) judge(t *probe.Transparency, logs []*log, lifetime time.Duration, now time.Time) {
	var counting, operators []string
	current, unknown := false, t.Count-len(t.SCTs)
	for i := range t.SCTs {
		switch s := &t.SCTs[i]; s.Status {
		case probe.SCTUnknown, probe.SCTUnchecked:
			unknown++
		case probe.SCTVerified:
			t.Operators = append(t.Operators, s.Operator)
			if s.State == "" {
				unknown++ // it may be one that was invented after us
			}
			if logs[i].counts(s.Timestamp) {
				counting, operators = append(counting, s.LogID), append(operators, s.Operator)
				current = current || s.State != probe.LogRetired
			}
		}
	}
	t.Operators = distinct(t.Operators)
	t.Detail = missing(len(distinct(counting)), len(distinct(operators)), current, lifetime)
	switch {
	case l.stale(now):
		t.Policy, t.Detail = probe.PolicyUnknown, fmt.Sprintf("the list of logs is of %s, more than 70 days old", l.Timestamp.Format(time.DateOnly))
	case t.Detail == "":
		t.Policy = probe.PolicyMet
	case unknown > 0:
		t.Policy, t.Detail = probe.PolicyUnknown, fmt.Sprintf("the list of logs does not know %d of the logs; of the others, %s", unknown, t.Detail)
	default:
		t.Policy = probe.PolicyMissed
	}
}

// counts reports whether an SCT that the log made at t counts.
func (l *log) counts(t time.Time) bool {
	switch l.state {
	case probe.LogQualified, probe.LogUsable, probe.LogReadOnly:
		return true
	case probe.LogRetired:
		return t.Before(l.since)
	}
	return false
}

// missing says what the policy wants and there is not; empty: nothing.
func missing(logs, operators int, current bool, lifetime time.Duration) string {
	wanted, because := shortLogs, ""
	if lifetime > shortLifetime {
		wanted, because = longLogs, " for more than 180 days"
	}
	switch {
	case logs < wanted:
		return fmt.Sprintf("SCTs of %d logs count, and %d are needed%s", logs, wanted, because)
	case operators < policyOperators:
		return fmt.Sprintf("the logs have %d operator, and %d are needed", operators, policyOperators)
	case !current:
		return "every log is retired"
	}
	return ""
}

// distinct returns each of list once, sorted.
func distinct(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
