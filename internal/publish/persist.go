package publish

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// issueValue is the value of a dns-persist-01 record: who may issue, for whom.
type issueValue struct {
	issuer  string // a domain name
	account string // a URL; empty: it names none
	policy  string // config.PolicyWildcard: the record is good for wildcards and names beneath too; or empty
	until   *time.Time
}

// parseIssueValue reads a value in the syntax of RFC 8659 §4.2. Tags and the
// policy are compared without regard to case; parameters that nobody knows, and
// policies that nobody knows, count for nothing; a parameter that is there twice
// makes the whole wrong (draft-ietf-acme-dns-persist).
func parseIssueValue(s string) (issueValue, error) {
	issuer, rest, more := strings.Cut(s, ";")
	v := issueValue{issuer: trim(issuer)}
	if v.issuer == "" {
		return v, errors.New("it names no issuer")
	}
	if !more || trim(rest) == "" {
		return v, nil
	}
	var seen []string
	for parameter := range strings.SplitSeq(rest, ";") {
		tag, value, ok := strings.Cut(parameter, "=")
		tag, value = strings.ToLower(trim(tag)), trim(value)
		switch {
		case !ok || !isTag(tag):
			return v, fmt.Errorf("%q is no parameter", trim(parameter))
		case strings.ContainsFunc(value, func(r rune) bool { return r < '!' || r > '~' }):
			return v, fmt.Errorf("the value of %q has characters that do not belong into one", tag)
		case slices.Contains(seen, tag):
			return v, fmt.Errorf("it has the parameter %q twice", tag)
		}
		seen = append(seen, tag)
		if err := v.set(tag, value); err != nil {
			return v, err
		}
	}
	return v, nil
}

// set takes in a parameter.
func (v *issueValue) set(tag, value string) error {
	switch tag {
	case "accounturi":
		v.account = value
	case "policy":
		if strings.EqualFold(value, config.PolicyWildcard) {
			v.policy = config.PolicyWildcard
		}
	case "persistuntil":
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("its persistUntil %q is not a number of seconds since 1970", value)
		}
		until := time.Unix(seconds, 0)
		v.until = &until
	}
	return nil
}

// trim takes away the white space of RFC 8659.
func trim(s string) string { return strings.Trim(s, " \t") }

// isTag reports whether tag, in lower case, is one of RFC 8659's.
func isTag(tag string) bool {
	return tag != "" && tag[0] != '-' && tag[len(tag)-1] != '-' &&
		!strings.ContainsFunc(tag, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' })
}

// satisfies reports whether one of values is the record, or, where it is a
// standing one, says as much at the time now. If none does, why says what is there
// instead; empty: nothing that is worth a word.
func satisfies(r probe.Record, values []string, now time.Time) (ok bool, why string) {
	if slices.Contains(values, r.Value) {
		return true, ""
	}
	want, err := parseIssueValue(r.Value)
	if !r.Standing || err != nil {
		if len(values) > 0 {
			why = "only other TXT records"
		}
		return false, why
	}
	for _, s := range values {
		got, err := parseIssueValue(s)
		reason := ""
		switch {
		case !strings.EqualFold(got.issuer, want.issuer):
			continue // somebody else's
		case err != nil:
			reason = "one that is not well-formed: " + err.Error()
		case got.account != want.account:
			reason = fmt.Sprintf("one for another account, %q", short(got.account))
		case want.policy != "" && got.policy == "":
			reason = "one without policy=wildcard"
		case got.until != nil && !got.until.After(now):
			reason = "one whose persistUntil is over"
		default:
			return true, ""
		}
		if why == "" {
			why = reason
		}
	}
	return false, why
}

// short is for a value of a stranger within a text.
func short(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}
