package report

import (
	"errors"
	"fmt"
	"time"
)

// maxPeriod bounds a report's length.
const maxPeriod = 92 * 24 * time.Hour

// NewPeriod returns the period from since until until, in the time zone. Both are a
// date (2026-11-23: its midnight), a time of the zone (2026-11-23T06:30), or one with
// an offset (2026-11-23T06:30:00Z). Without both it is the last full week before now,
// from Monday to Monday; without until it is a week from since; without since the
// week before until. It is at most 92 days long and begins before now.
func NewPeriod(since, until, timezone string, now time.Time) (Period, error) {
	zone, err := time.LoadLocation(timezone)
	if err != nil || timezone == "" || timezone == "Local" {
		return Period{}, fmt.Errorf("--timezone=%s: not a time zone such as Europe/Berlin or UTC", timezone)
	}
	p := Period{Timezone: timezone}
	if p.Since, err = parseTime("--since", since, zone); err != nil {
		return Period{}, err
	}
	if p.Until, err = parseTime("--until", until, zone); err != nil {
		return Period{}, err
	}
	switch {
	case since == "" && until == "":
		p.Until = weekStart(now.In(zone))
		p.Since = p.Until.AddDate(0, 0, -7)
	case until == "":
		p.Until = p.Since.AddDate(0, 0, 7)
	case since == "":
		p.Since = p.Until.AddDate(0, 0, -7)
	}
	switch {
	case !p.Since.Before(p.Until):
		return Period{}, fmt.Errorf("--until=%s: not after --since=%s", until, since)
	case p.Duration() < time.Hour:
		return Period{}, errors.New("--since and --until: less than an hour apart")
	case p.Duration() > maxPeriod:
		return Period{}, errors.New("--since and --until: more than 92 days apart")
	case !p.Since.Before(now):
		return Period{}, fmt.Errorf("--since=%s: in the future", since)
	}
	if p.Since.Equal(weekStart(p.Since)) && p.Until.Equal(p.Since.AddDate(0, 0, 7)) {
		year, week := p.Since.ISOWeek()
		p.Week = fmt.Sprintf("%04d-W%02d", year, week)
	}
	return p, nil
}

// before is the period just before p: as many days of the calendar, if it is of whole
// ones, or else as long.
func (p Period) before() Period {
	b := Period{Since: p.Since.Add(-p.Duration()), Until: p.Since, Timezone: p.Timezone}
	for days := 1; days <= 92; days++ {
		if p.Until.Equal(p.Since.AddDate(0, 0, days)) {
			b.Since = p.Since.AddDate(0, 0, -days)
		}
	}
	if p.Week != "" {
		year, week := b.Since.ISOWeek()
		b.Week = fmt.Sprintf("%04d-W%02d", year, week)
	}
	return b
}

// past is the part of p that is over at a time; p itself, if that is before it.
func (p Period) past(now time.Time) Period {
	if now = now.In(p.Since.Location()).Truncate(time.Second); now.After(p.Since) && now.Before(p.Until) {
		p.Until = now
	}
	return p
}

// weekStart is the Monday's midnight at or before t, in t's zone.
func weekStart(t time.Time) time.Time {
	days := (int(t.Weekday()) + 6) % 7 // since Monday
	return time.Date(t.Year(), t.Month(), t.Day()-days, 0, 0, 0, 0, t.Location())
}

func parseTime(flag, s string, zone *time.Location) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.In(zone).Truncate(time.Second), nil
	}
	for _, form := range []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(form, s, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s=%s: not a date such as 2026-11-23, nor a time such as 2026-11-23T06:30 or 2026-11-23T06:30:00Z", flag, s)
}
