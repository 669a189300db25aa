package report

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
)

// lasted is d in its two largest units, rounded down.
func lasted(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		said := fmt.Sprintf("%d %s", d/u.size, u.name)
		if i+1 < len(units) {
			if rest := d % u.size / units[i+1].size; rest > 0 {
				said += fmt.Sprintf(" %d %s", rest, units[i+1].name)
			}
		}
		return said
	}
	if d <= 0 {
		return "0 s"
	}
	return "less than 1 s"
}

// took is how long a step, a call or a run took, to three digits at most.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

// percent is a share from 0 to 1, rounded down to hundredths, so that it is 100 % only
// where it is all; ok false: it is not known.
func percent(share float64, ok bool) string {
	if !ok {
		return "not known"
	}
	hundredths := math.Floor(share*10_000 + 1e-6)
	if share < 1 {
		hundredths = min(hundredths, 9_999)
	}
	if hundredths >= 10_000 {
		return "100 %"
	}
	return fmt.Sprintf("%.2f %%", hundredths/100)
}

// thousands is n with a space between each three digits.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	var b strings.Builder
	for i, r := range s {
		if i > 0 && (len(s)-i)%3 == 0 && s[i-1] != '-' {
			b.WriteRune('\u00a0')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// until is when an incident was over; not over: when it was last seen to go on, or zero where
// that was when the report was made.
func (i *Incident) until(made time.Time) (at time.Time, over bool) {
	if !i.End.IsZero() {
		return i.End, true
	}
	if at = i.Start.Add(i.Duration); made.Sub(at) < lookBack {
		return time.Time{}, false
	}
	return at, false
}

// fieldNames are those of a directory's fields that are not words.
var fieldNames = map[string]string{
	"terms_of_service": "terms of service", "caa_identities": "CAA identities", "external_account_required": "external account required",
}

// name is the field's in words.
func (f Field) name() string {
	if name, ok := fieldNames[f.Field]; ok {
		return name
	}
	return clean(f.Field)
}

// what became of the field.
func (f Field) what() string {
	from, to := clean(f.From), clean(f.To)
	switch {
	case from == to:
		return to + ", in a part that is not shown"
	case from == "":
		return to + " added"
	case to == "":
		return from + " removed"
	}
	return from + " → " + to
}

// notTold says what is known of a change of which no exporter has told the fields.
func (c Change) notTold() string {
	const text = "in what, only the exporters tell (--exporter.url)"
	if c.Count > 1 {
		return plural(c.Count, "change") + " up to then; " + text
	}
	return text
}

// plural is "1 thing" or "n things".
func plural(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return thousands(n) + " " + thing + "s"
}

// clean makes what comes from outside fit to be shown: controls, and marks that turn
// the direction of a text around or are not seen, are � in it.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// named is the name of a location.
func named(location string) string {
	if location == "" {
		return "(without a name)"
	}
	return clean(location)
}

// namesSaid is a list of locations.
func namesSaid(locations []string) string {
	said := make([]string, len(locations))
	for i, l := range locations {
		said[i] = named(l)
	}
	return strings.Join(said, ", ")
}
