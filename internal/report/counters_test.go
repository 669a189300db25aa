package report

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// scraped is what a Prometheus has of an exporter at a time.
type scraped struct {
	at, born time.Duration // since the period began
	location string
	value    float64 // of its only counter
	team     string  // a label of who scrapes it
	job      string  // which one scrapes it, if there are two
}

// scrapes are those of each minute from and to a time, while the counter grows evenly.
func scrapes(from, to, born time.Duration, location string, first, last float64) []scraped {
	var list []scraped
	for at := from; at <= to; at += time.Minute {
		value := first + (last-first)*float64(at-from)/float64(to-from)
		list = append(list, scraped{at: at, born: born, location: location, value: math.Round(value)})
	}
	return list
}

// labelled are scrapes that have one more label.
func labelled(list []scraped) []scraped {
	for i := range list {
		list[i].team = "pki"
	}
	return list
}

// again are scrapes of another job, half a minute later.
func again(list []scraped) []scraped {
	for i := range list {
		list[i].job, list[i].at = "again", list[i].at+30*time.Second
	}
	return list
}

// serveScraped answers what lives and counters are read by.
func serveScraped(t *testing.T, counter string, list []scraped) *client {
	t.Helper()
	// sample is the last one of a location and a job within five minutes, of those that are so.
	sample := func(location, job string, at time.Time, so ...func(*scraped) bool) *scraped {
		var last *scraped
		for i := range list {
			when := monday.Add(list[i].at)
			if len(so) > 0 && !so[0](&list[i]) {
				continue
			}
			if list[i].location == location && list[i].job == job && !when.After(at) && when.After(at.Add(-5*time.Minute)) {
				last = &list[i]
			}
		}
		return last
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time64 := func(name string) time.Time {
			v, err := strconv.ParseFloat(r.FormValue(name), 64)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			return seconds(v)
		}
		kind, result := "vector", []string{}
		for _, of := range [][2]string{{"fra", ""}, {"iad", ""}, {"fra", "again"}} {
			location, job := of[0], of[1]
			labels := fmt.Sprintf(`"job":"acme%s","instance":"a:18555","location":%q`, job, location)
			if !strings.HasSuffix(r.URL.Path, "_range") {
				for _, team := range []string{"", "pki"} {
					if s := sample(location, job, time64("time"), func(s *scraped) bool { return s.team == team }); s != nil {
						result = append(result, fmt.Sprintf(`{"metric":{"__name__":%q,"team":%q,%s},"value":[0,"%v"]}`, counter, team, labels, s.value))
					}
				}
				continue
			}
			kind = "matrix"
			at := func(t time.Time) (float64, bool) {
				s := sample(location, job, t)
				switch {
				case s == nil:
					return 0, false
				case strings.Contains(r.FormValue("query"), "process_start_time_seconds"):
					return float64(monday.Add(s.born).Unix()), true
				}
				return 1, true
			}
			value := overPanes(r.FormValue("query"))
			step, err := strconv.ParseFloat(r.FormValue("step"), 64)
			if err != nil {
				t.Error(err)
			}
			var values []string
			for when, end := time64("start"), time64("end"); !when.After(end); when = when.Add(time.Duration(step) * time.Second) {
				if v, ok := value(at, when); ok {
					values = append(values, fmt.Sprintf(`[%d,"%f"]`, when.Unix(), v))
				}
			}
			if values != nil {
				result = append(result, fmt.Sprintf(`{"metric":{%s},"values":[%s]}`, labels, strings.Join(values, ",")))
			}
		}
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":%q,"result":[%s]}}`, kind, strings.Join(result, ","))
	}))
	t.Cleanup(server.Close)
	c, err := newClient(server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGrown holds that what an exporter has counted in a period is counted once, whatever
// becomes of its process, its clock and its labels.
func TestGrown(t *testing.T) {
	const m, s = time.Minute, time.Second
	p := Period{Since: monday, Until: monday.Add(4 * time.Hour)}
	old := scrapes(-20*m, 60*m, -10*time.Hour, "fra", 100, 1300)
	grew := func(list []scraped) float64 { return list[len(list)-1].value - list[20].value } // since the period began
	for _, c := range []struct {
		name    string
		counter string
		list    []scraped
		want    float64
	}{
		{"nothing happens", familyRuns, scrapes(-20*m, 270*m, -10*time.Hour, "fra", 0, 2900), 2400},
		{"restarted after half a minute", familyRuns, append(old, scrapes(61*m, 270*m, 60*m+30*s, "fra", 0, 2090)...), grew(old) + 1790},
		{"restarted after six minutes", familyRuns, append(old, scrapes(67*m, 270*m, 65*m+30*s, "fra", 0, 2030)...), grew(old) + 1730},
		{"restarted after an hour", familyRuns, append(old, scrapes(121*m, 270*m, 120*m, "fra", 0, 1490)...), grew(old) + 1190},
		{"restarted with a clock that is ahead", familyRuns, append(old, scrapes(61*m, 270*m, 61*m+30*s, "fra", 0, 2090)...), grew(old) + 1790},
		{"restarted with a clock that is a little ahead", familyRuns, append(old, scrapes(60*m+20*s, 270*m+20*s, 60*m+40*s, "fra", 0, 2100)...), grew(old) + 1790},
		{"a clock that is set", familyRuns, append(old, scrapes(61*m, 270*m, -10*time.Hour+time.Hour, "fra", 1310, 3400)...), grew(old) + 1800},
		{"a location of another name", familyRuns, append(scrapes(10*m, 60*m, 9*m, "fra", 0, 500), scrapes(61*m, 270*m, 9*m, "iad", 500, 2590)...), 500 + 1790},
		{"another of the same age", familyRuns, append(scrapes(10*m, 270*m, 9*m, "fra", 5, 2605), scrapes(11*m, 270*m, 9*m, "iad", 5, 2595)...), 2305 + 2295},
		{"a label that is added", familyRuns, append(old, labelled(scrapes(61*m, 270*m, -10*time.Hour, "fra", 1310, 3400))...), grew(old) + 1800},
		{"a label that is added just before the end", familyRuns, append(scrapes(-20*m, 238*m, -10*time.Hour, "fra", 0, 2580), labelled(scrapes(239*m, 270*m, -10*time.Hour, "fra", 2590, 2900))...), 2400},
		{"a label that is added to failed checks", familyChecks, append(old, labelled(scrapes(61*m, 270*m, -10*time.Hour, "fra", 1310, 1310))...), grew(old) + 10},
		{"two jobs", familyRuns, append(scrapes(-20*m, 270*m, -10*time.Hour, "fra", 0, 2900), again(scrapes(30*m, 270*m, -10*time.Hour, "fra", 505, 2905))...), 2400},
		{"two jobs, one for a while", familyRuns, append(scrapes(-20*m, 150*m, -10*time.Hour, "fra", 0, 1700), again(scrapes(30*m, 269*m, -10*time.Hour, "fra", 505, 2895))...), 2400 - 5},
		{"two jobs over a restart", familyRuns, append(append(slices.Clone(old), scrapes(67*m, 270*m, 66*m, "fra", 0, 2030)...), again(append(slices.Clone(old), scrapes(67*m, 270*m, 66*m, "fra", 5, 2035)...))...), grew(old) + 1730},
		{"two jobs, and failed checks", familyChecks, append(slices.Clone(old), again(slices.Clone(old))...), grew(old)},
		{"failed checks of before", familyChecks, scrapes(61*m, 270*m, 60*m, "fra", 500, 500), 0},
		{"failed checks over a restart", familyChecks, append(old, scrapes(67*m, 270*m, 66*m, "fra", 1300, 1300)...), grew(old)},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &maker{client: serveScraped(t, c.counter, c.list)}
			var err error
			if m.lives, err = m.readLives(t.Context(), p.Since.Add(-time.Hour), p.Until); err != nil {
				t.Fatal(err)
			}
			m.counting, m.twins = fold(m.lives)
			list := stretches(m.counting, p)
			if c.counter == familyChecks {
				list = whole(list)
			}
			all, err := m.grow(t.Context(), key{}, c.counter, list, kept{})
			if err != nil {
				t.Fatal(err)
			}
			var got float64
			for _, g := range all {
				got += g.by
			}
			if got != c.want {
				t.Errorf("%v, want %v: %+v", got, c.want, list)
			}
		})
	}
}
