package budget

import (
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	type reading struct{ wall, mono, want time.Duration }
	for name, readings := range map[string][]reading{
		"an ordinary hour":             {{0, 0, 0}, {time.Hour, time.Hour, time.Hour}},
		"an hour back":                 {{0, 0, 0}, {-time.Hour, time.Second, time.Second}, {-time.Hour + time.Minute, time.Minute, time.Minute}},
		"an hour back and put right":   {{0, 0, 0}, {-time.Hour, 0, 0}, {-30 * time.Minute, 30 * time.Minute, 30 * time.Minute}, {31 * time.Minute, 31 * time.Minute, 31 * time.Minute}},
		"suspended for a day":          {{0, 0, 0}, {day, time.Second, day}, {day + time.Second, 2 * time.Second, day + time.Second}},
		"an hour ahead and put right":  {{0, 0, 0}, {time.Hour, 0, time.Hour}, {time.Minute, time.Minute, time.Hour + time.Minute}},
		"to and fro, again and again":  {{0, 0, 0}, {time.Second, 0, time.Second}, {0, 0, time.Second}, {time.Second, 0, time.Second}, {0, 0, time.Second}},
		"one reading overtakes others": {{0, 0, 0}, {2 * time.Second, 2 * time.Second, 2 * time.Second}, {time.Second, time.Second, 2 * time.Second}, {3 * time.Second, 3 * time.Second, 3 * time.Second}},
	} {
		var c clock
		for i, r := range readings {
			if got := time.Duration(c.read(begin.Add(r.wall), r.mono) - begin.UnixNano()); got != r.want {
				t.Errorf("%s: reading %d shows %v, want %v", name, i, got, r.want)
			}
		}
	}
}
