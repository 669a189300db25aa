package report

import (
	"strings"
	"testing"
	"time"
)

func TestNewPeriod(t *testing.T) {
	now := time.Date(2026, 11, 23, 15, 0, 0, 0, time.UTC) // a Monday
	for _, c := range []struct {
		name, since, until, timezone, want, before string
	}{
		{"the last full week", "", "", "Europe/Berlin", "2026-11-16T00:00+01:00/2026-11-23T00:00+01:00 2026-W47", "2026-11-09T00:00+01:00 2026-W46"},
		{"it is Tuesday there already", "", "", "Pacific/Kiritimati", "2026-11-16T00:00+14:00/2026-11-23T00:00+14:00 2026-W47", "2026-11-09T00:00+14:00 2026-W46"},
		{"clocks are set back", "2026-10-19", "", "Europe/Berlin", "2026-10-19T00:00+02:00/2026-10-26T00:00+01:00 2026-W43", "2026-10-12T00:00+02:00 2026-W42"},
		{"the week after that", "2026-10-26", "", "Europe/Berlin", "2026-10-26T00:00+01:00/2026-11-02T00:00+01:00 2026-W44", "2026-10-19T00:00+02:00 2026-W43"},
		{"until alone", "", "2026-11-02", "UTC", "2026-10-26T00:00Z/2026-11-02T00:00Z 2026-W44", "2026-10-19T00:00Z 2026-W43"},
		{"seven days from Tuesday", "2026-11-03", "", "UTC", "2026-11-03T00:00Z/2026-11-10T00:00Z ", "2026-10-27T00:00Z "},
		{"hours", "2026-11-03T06:30", "2026-11-03T09:30", "UTC", "2026-11-03T06:30Z/2026-11-03T09:30Z ", "2026-11-03T03:30Z "},
		{"an offset", "2026-11-03T06:30:00Z", "2026-11-03T10:30:00+01:00", "Europe/Berlin", "2026-11-03T07:30+01:00/2026-11-03T10:30+01:00 ", "2026-11-03T04:30+01:00 "},
		{"not over yet", "2026-11-23", "", "UTC", "2026-11-23T00:00Z/2026-11-30T00:00Z 2026-W48", "2026-11-16T00:00Z 2026-W47"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := NewPeriod(c.since, c.until, c.timezone, now)
			if err != nil {
				t.Fatal(err)
			}
			const form = "2006-01-02T15:04Z07:00"
			if got := p.Since.Format(form) + "/" + p.Until.Format(form) + " " + p.Week; got != c.want {
				t.Errorf("period %s, want %s", got, c.want)
			}
			b := p.before()
			if got := b.Since.Format(form) + " " + b.Week; got != c.before || !b.Until.Equal(p.Since) {
				t.Errorf("the one before since %s until %s, want %s", got, b.Until.Format(form), c.before)
			}
		})
	}
	for _, c := range []struct{ since, until, timezone, want string }{
		{"", "", "Mars/Phobos", "--timezone=Mars/Phobos: not a time zone such as Europe/Berlin or UTC"},
		{"", "", "Local", "--timezone=Local: not a time zone such as Europe/Berlin or UTC"},
		{"yesterday", "", "UTC", "--since=yesterday: not a date such as 2026-11-23, nor a time such as 2026-11-23T06:30 or 2026-11-23T06:30:00Z"},
		{"2026-11-02", "2026-11-01", "UTC", "--until=2026-11-01: not after --since=2026-11-02"},
		{"2026-11-02", "2026-11-02T00:59", "UTC", "--since and --until: less than an hour apart"},
		{"2026-01-02", "2026-11-02", "UTC", "--since and --until: more than 92 days apart"},
		{"2026-12-02", "", "UTC", "--since=2026-12-02: in the future"},
	} {
		if _, err := NewPeriod(c.since, c.until, c.timezone, now); err == nil || err.Error() != c.want {
			t.Errorf("since %q until %q in %s: error %v, want %s", c.since, c.until, c.timezone, err, c.want)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct{ asked, file, want string }{
		{"", "", "text"}, {"json", "", "json"}, {"", "week.MD", "markdown"}, {"", "a/week.html", "html"}, {"text", "week.html", "text"},
	} {
		if got, err := Format(c.asked, c.file); got != c.want || err != nil {
			t.Errorf("--format=%s --output=%s: %q, %v, want %q", c.asked, c.file, got, err, c.want)
		}
	}
	for _, c := range []struct{ asked, file, want string }{
		{"pdf", "", "--format=pdf: must be one of text, markdown, html, json"},
		{"", "week", "--output=week: its suffix is that of no form: say --format, one of text, markdown, html, json"},
	} {
		if _, err := Format(c.asked, c.file); err == nil || err.Error() != c.want {
			t.Errorf("--format=%s --output=%s: error %v, want %s", c.asked, c.file, err, c.want)
		}
	}
}

// TestWall holds that a time that clocks show twice can be told from the other one.
func TestWall(t *testing.T) {
	zones := map[string]*time.Location{"Berlin": berlin, "Lord Howe": zone("Australia/Lord_Howe"), "UTC": time.UTC}
	for _, c := range []struct{ zone, at, want string }{
		{"Berlin", "2026-10-24T23:59:59Z", "01:59:59"},
		{"Berlin", "2026-10-25T00:00:00Z", "02:00:00 CEST"},
		{"Berlin", "2026-10-25T00:50:00Z", "02:50:00 CEST"},
		{"Berlin", "2026-10-25T01:10:00Z", "02:10:00 CET"},
		{"Berlin", "2026-10-25T02:00:00Z", "03:00:00"},
		{"Berlin", "2026-03-29T00:59:59Z", "01:59:59"},
		{"Berlin", "2026-03-29T01:00:00Z", "03:00:00"},
		{"Lord Howe", "2026-04-04T14:29:00Z", "01:29:00"},
		{"Lord Howe", "2026-04-04T14:30:00Z", "01:30:00 +11"},
		{"Lord Howe", "2026-04-04T15:00:00Z", "01:30:00 +1030"},
		{"UTC", "2026-10-25T01:10:00Z", "01:10:00"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := wall(at, zones[c.zone], time.TimeOnly); got != c.want {
			t.Errorf("%s in %s: %s, want %s", c.at, c.zone, got, c.want)
		}
	}
	again := time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC)
	r := &Report{Period: Period{Since: again.AddDate(0, 0, -6), Until: again.AddDate(0, 0, 1), Timezone: "Europe/Berlin"}}
	page := pageMaker{r: r, zone: berlin}
	for _, got := range []string{
		textMaker{r: r, zone: berlin}.instant(again), page.instant(again), gapSaid(Gap{Span: Span{again, again.Add(2 * time.Hour)}}, berlin),
		string(drawHeat([]Hour{{Start: again, Availability: Availability{Unknown: time.Hour}}}, berlin, wideChart).SVG("wide")),
	} {
		if !strings.Contains(got, "02:00") || !strings.Contains(got, " CET") {
			t.Errorf("%q does not say which of the two it is", got)
		}
	}
}
