package config

import "time"

// lifetime is how long certificates may be valid that are valid from a day on.
type lifetime struct {
	from    time.Time
	longest time.Duration
}

func date(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

// everybodys is the schedule of the CA/Browser Forum's Baseline Requirements,
// §6.3.2, with ballot SC-081.
var everybodys = []lifetime{
	{time.Time{}, 398 * day},
	{date(2026, time.March, 15), 200 * day},
	{date(2027, time.March, 15), 100 * day},
	{date(2029, time.March, 15), 47 * day},
}

// letsEncrypts is what Let's Encrypt says of its profiles. It changes a profile in
// the course of a day, so each is in force from the day after.
var letsEncrypts = map[string][]lifetime{
	"classic": {
		{time.Time{}, 90 * day},
		{date(2027, time.February, 11), 64 * day},
		{date(2028, time.February, 17), 45 * day},
	},
	"tlsserver":  {{time.Time{}, 45 * day}},
	"shortlived": {{time.Time{}, 160 * time.Hour}},
}

// MaxLifetime is the longest validity of a certificate of that profile, empty: the
// CA's default, that is valid from start on; 0: not known, as with every CA that is
// no preset.
func (t *Target) MaxLifetime(profile string, start time.Time) time.Duration {
	preset := presetNamed(t.Preset)
	if preset == nil {
		return 0
	}
	longest := at(everybodys, start)
	if p := preset.profile(profile); p != nil {
		if own := at(preset.lifetimes[p.Name], start); own != 0 {
			longest = min(longest, own)
		}
	}
	return longest
}

// at returns what is in force at that time; 0: nothing is known.
func at(schedule []lifetime, when time.Time) (longest time.Duration) {
	for _, l := range schedule {
		if !when.Before(l.from) {
			longest = l.longest
		}
	}
	return longest
}
