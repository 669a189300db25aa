package budget

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Text writes the plan for people.
func (p *Plan) Text(w io.Writer) error {
	for i := range p.Targets {
		if err := p.Targets[i].text(w); err != nil {
			return err
		}
	}
	return nil
}

func (t *TargetPlan) text(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "  %s (%s)\n", t.Target, t.Environment)
	if len(t.Limits) > 0 {
		fmt.Fprintln(out, "    limit\tof\tspent a day\tgiven a day\truns dry\tby")
	}
	for i := range t.Limits {
		l := &t.Limits[i]
		dry := "never"
		if l.DryAfter > 0 {
			dry = "after " + about(l.DryAfter)
		}
		fmt.Fprintf(out, "    %s\t%s\t%s\t%s\t%s\t%s\n", l.Limit, l.Key, l.spent(), number(l.GivenPerDay), dry, strings.Join(l.Modules, ", "))
	}
	for i := range t.Pools {
		fmt.Fprintf(out, "    pool of %s: %s\n", t.Pools[i].Module, t.Pools[i].text())
	}
	if len(t.OnDemand) > 0 {
		fmt.Fprintf(out, "    only when asked for, and not counted: %s\n", strings.Join(t.OnDemand, ", "))
	}
	if t.UnknownLimits {
		fmt.Fprintln(out, "    the CA's rate limits are not known: what is spent is not counted (see rate_limits)")
	}
	fmt.Fprintf(out, "    a fault is seen, at worst: %s\n", detections(t.Detection))
	return out.Flush()
}

func (l *LimitPlan) spent() string {
	switch {
	case l.OnFailure && l.SpentPerDay == 0:
		return "none"
	case l.OnFailure:
		return number(l.SpentPerDay) + " if all fail"
	case l.Once > 0 && l.SpentPerDay == 0:
		return strconv.Itoa(l.Once) + " once"
	case l.Once > 0:
		return fmt.Sprintf("%s, and %d once", number(l.SpentPerDay), l.Once)
	default:
		return number(l.SpentPerDay)
	}
}

func (p *PoolPlan) text() string {
	text := strconv.Itoa(p.Sets) + " sets"
	if p.Needed > 0 {
		text += fmt.Sprintf(" of %d needed", p.Needed)
	}
	if p.RenewEvery > 0 {
		text += ", each renewed every " + about(p.RenewEvery)
	}
	if p.FillEvery == 0 && p.FilledAfter == 0 {
		return text + "; it is never full"
	}
	return text + fmt.Sprintf("; full after %s, a new set every %s", about(p.FilledAfter), about(p.FillEvery))
}

// detections groups the faults that are seen alike.
func detections(list []Detection) string {
	var parts, faults []string
	for i := range list {
		faults = append(faults, string(list[i].Fault))
		when := list[i].text()
		if i+1 < len(list) && list[i+1].text() == when {
			continue
		}
		parts = append(parts, strings.Join(faults, ", ")+" "+when)
		faults = nil
	}
	return strings.Join(parts, "; ")
}

func (d *Detection) text() string {
	switch {
	case d.Module == "":
		return "never"
	case d.UntilFilled > 0:
		return fmt.Sprintf("within %s by %s (%s until pools are full)", exact(d.Within), d.Module, about(d.UntilFilled))
	default:
		return fmt.Sprintf("within %s by %s", exact(d.Within), d.Module)
	}
}

// number writes a number for people: three digits that count, or all before the
// point, or millions.
func number(x float64) string {
	if x >= 1e7 {
		return strconv.FormatFloat(x/1e6, 'f', 0, 64) + " million"
	}
	if x >= 100 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

// exact writes a duration as configuration files do: 6h43m12s, 7d.
func exact(d time.Duration) string {
	var b strings.Builder
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if n := d / unit.length; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, unit.name)
			d -= n * unit.length
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

// about writes a duration roughly.
func about(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{365 * day, "years"}, {7 * day, "weeks"}, {day, "days"}, {time.Hour, "hours"}, {time.Minute, "minutes"}} {
		if d >= 2*unit.length {
			x := d.Seconds() / unit.length.Seconds()
			if x < 10 {
				return strconv.FormatFloat(x, 'f', 1, 64) + " " + unit.name
			}
			return strconv.FormatFloat(x, 'f', 0, 64) + " " + unit.name
		}
	}
	return exact(d.Round(time.Second))
}
