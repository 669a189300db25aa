package live

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// judge holds that a scenario had its page and its warnings, and no others.
func (s *stack) judge(t *testing.T, sc scenario, fault time.Time, lateness func(from, to time.Time) time.Duration) {
	t.Helper()
	pages, warnings := s.to("page", sc.target), s.to("warning", sc.target)
	for _, sample := range s.prometheus.Query(fmt.Sprintf("sum by (module, stage, reason) (acme_probe_failures_total{target=%q}) > 0", sc.target)) {
		t.Logf("%v runs failed or were skipped: %v", sample.Value, sample.Metric)
	}
	// What an outage by the CA's fault has spent of the month's budget is a ticket, when
	// there is more than a quarter of an hour for it.
	spent := strings.Contains(sc.page, "fault ca") && *watch > 15*time.Minute
	others := slices.DeleteFunc(s.to("ticket", sc.target), func(n notification) bool {
		return spent && !slices.ContainsFunc(n.Alerts, func(a alert) bool { return a.Labels["alertname"] != "AcmeErrorBudgetBurn" })
	})
	if len(others) > 0 {
		t.Errorf("tickets:%s", sent(others))
	}
	want := slices.Sorted(slices.Values(sc.warnings))
	if got := s.warned(sc.target); !slices.Equal(got, want) {
		t.Errorf("warned of %q, want %q:%s", got, want, sent(warnings))
	} else if len(want) > 0 {
		t.Logf("warned of %q, %.0f s after the fault", got, warnings[0].At.Sub(fault).Seconds())
	}
	if sc.page == "" {
		if len(pages) > 0 {
			t.Errorf("pages:%s", sent(pages))
		}
		return
	}
	if len(pages) != 2 || pages[0].Status != "firing" || pages[1].Status != "resolved" || len(pages[0].Alerts) != 1 {
		t.Fatalf("want one page, and that it is resolved:%s", sent(pages))
	}
	page := pages[0].Alerts[0]
	things := met(page.Annotations["description"])
	wrong := slices.DeleteFunc(slices.Clone(things), regexp.MustCompile("^("+sc.page+")$").MatchString)
	if page.Labels["alertname"] != "AcmeCADown" || len(things) == 0 || len(wrong) > 0 {
		t.Errorf("want AcmeCADown, and nothing met but %q:%s", sc.page, sent(pages))
	}
	if sc.page == gone { // all locations can have been half-way; most runs begin later
		failed := fmt.Sprintf("sum(acme_probes_total{target=%q,outcome=\"failure\"", sc.target)
		if all, unreachable := s.value(failed+"})"), s.value(failed+",fault=\"unreachable\"})"); unreachable <= all/2 {
			t.Errorf("of %v runs that failed %v met a CA that is unreachable", all, unreachable)
		}
	}
	took, late := pages[0].At.Sub(fault), lateness(fault, pages[0].At)
	if took > within+late {
		t.Errorf("paged %v after the fault, want %v; this machine was %v late", took, within, late)
	}
	t.Logf("paged %.1f s after the fault (this machine was %.1f s late): %s", took.Seconds(), late.Seconds(), page.Annotations["description"])
}

// met are the things that locations met, by the description of a page: reason, stage
// and fault.
func met(description string) (things []string) {
	_, list, _ := strings.Cut(strings.TrimSuffix(description, "."), "What they met: ")
	for thing := range strings.SplitSeq(list, "; ") {
		if _, what, ok := strings.Cut(thing, " × "); ok {
			things = append(things, what)
		}
	}
	return things
}

// judgeConditions holds that what is said to have happened did: the CA that nothing
// happened to refused nonces, and had no failed run all the same, but for those whose
// nonce was refused four times in a row by chance; the one that flapped
// worked in between; the one whose limit was hit went on to refuse.
func (s *stack) judgeConditions(t *testing.T, between float64) {
	t.Helper()
	if t.Logf("%.0f runs succeeded while it flapped", between); between < 10 {
		t.Errorf("%.0f runs succeeded while it flapped, want 10", between)
	}
	const again = `sum(acme_request_retries_total{target="healthy",cause="bad_nonce"})`
	for _, c := range []struct {
		expression  string
		least, most float64
	}{
		{again, 1, math.Inf(1)},
		{`sum(acme_probes_total{target="healthy",module="issue",outcome="success"})`, 5 * watch.Minutes(), math.Inf(1)},
		{`sum(acme_probe_failures_total{target="healthy",reason!="bad_nonce"} or vector(0))`, 0, 0},
		{`sum(acme_probe_failures_total{target="healthy",reason="bad_nonce"} or vector(0))`, 0, fourInARow(s.value(again))},
		{`sum(acme_probes_total{target="flapping",outcome="failure"})`, 10, math.Inf(1)},
		{`sum(acme_probes_total{target="limited",outcome="skipped"})`, 10, math.Inf(1)},
	} {
		got := s.value(c.expression)
		t.Logf("%s: %.0f", c.expression, got)
		if got < c.least || got > c.most {
			t.Errorf("%s: %v, want %v at least and %v at most", c.expression, got, c.least, c.most)
		}
	}
}

// fourInARow is how many requests had four nonces refused in all but one test of a
// thousand, at a CA that refuses one of twenty, after so many retries: each of these is
// the first of three with a chance of one in 8,000. That is one request in ten minutes of
// the test, and two in an hour. TestRefusedNonces holds that it is chance alone.
func fourInARow(retries float64) (most float64) {
	expected := retries / (20 * 20 * 20)
	chance := math.Exp(-expected) // of so many, by Poisson
	for more := 1 - chance; more > 0.001; more -= chance {
		most++
		chance *= expected / most
	}
	return most
}

// judgeLifeline holds that a location that has lost its line to everything takes no CA
// for down, and does not see any of them any more.
func (s *stack) judgeLifeline(t *testing.T, fault time.Time) {
	t.Helper()
	at := fmt.Sprintf("location=%q", s.groups[side][0].name)
	since := func(counter string) string {
		return fmt.Sprintf("sum(%[1]s) - sum(%[1]s @ %[2]d)", counter, fault.Unix())
	}
	impaired := fmt.Sprintf(`max_over_time(acme_target_state{%s,state=~"down|degraded"}[%.0fs])`, at, time.Since(fault).Seconds())
	for _, c := range []struct {
		expression string
		want       float64
	}{
		{`sum(acme_target_state{` + at + `,state="unknown"})`, float64(len(s.relays["plain"]) + len(s.relays[published]))},
		{`sum(` + impaired + `)`, 0},
		{since(`acme_incidents_total{` + at + `}`), 0},
		{since(`acme_probes_total{` + at + `,outcome="failure",fault!="local"}`), 0},
		// Three modules at each of the two CAs.
		{`count(acme_probes_total{` + at + `,outcome="failure",fault="local"} > 10)`, 6},
	} {
		got, ok := s.prometheus.Value(c.expression)
		t.Logf("%s: %.0f", c.expression, got)
		if !ok || got != c.want {
			t.Errorf("%s: %v, want %v", c.expression, got, c.want)
		}
	}
}

// exporterDown is the alert for exporters that are gone.
const exporterDown = "AcmeExporterDown"

// killed are the alerts for the exporters that are, sorted.
func (s *stack) killed() (names []string) {
	for _, l := range s.groups[far][:4] {
		names = append(names, exporterDown+" "+l.name)
	}
	slices.Sort(names)
	return names
}

// missed are those that fire, sorted.
func (s *stack) missed() (names []string) {
	s.t.Helper()
	for _, sample := range s.prometheus.Query(fmt.Sprintf(`ALERTS{alertname=%q,alertstate="firing"}`, exporterDown)) {
		names = append(names, exporterDown+" "+string(sample.Metric["location"]))
	}
	slices.Sort(names)
	return names
}

// judgeExporters holds that the exporters that were killed are missed, and no others,
// and that nobody is paged for it.
func (s *stack) judgeExporters(t *testing.T, killed, silenced time.Time) {
	t.Helper()
	for _, receiver := range []string{"page", "ticket"} {
		if list := s.to(receiver, ""); len(list) > 0 {
			t.Errorf("%s:%s", receiver, sent(list))
		}
	}
	want := s.killed()
	if got := s.missed(); !slices.Equal(got, want) {
		t.Errorf("%q are missed, want %q", got, want)
	}
	// Of those who died later Alertmanager may have yet to tell (group_interval).
	told := s.warned("")
	others := slices.DeleteFunc(slices.Clone(told), func(name string) bool { return slices.Contains(want, name) })
	if !slices.Contains(told, exporterDown+" "+s.groups[far][0].name) || len(others) > 0 {
		t.Errorf("warned of %q, want the first of %q, and no others:%s", told, want, sent(s.to("warning", "")))
	} else {
		t.Logf("an exporter killed: warned %.0f s after it", s.to("warning", "")[0].At.Sub(killed).Seconds())
	}
	if at, _ := s.first("warning", quiet, "AcmeLocationsMissing"); at.Before(silenced) {
		t.Errorf("four of five locations were missed at %v, before they were silent", at)
	} else {
		t.Logf("four of five silent: warned %.0f s after it", at.Sub(silenced).Seconds())
	}
}

// measureLateness has a clock run beside the test, and returns what says by how much
// it was late, all in all, between two times: on a machine that has too much to do the
// other parts are too.
func (s *stack) measureLateness() func(from, to time.Time) time.Duration {
	const period = 50 * time.Millisecond
	type lag struct {
		at time.Time
		by time.Duration
	}
	lags := make(chan []lag, 1)
	lags <- nil
	go func() {
		for last := time.Now(); s.t.Context().Err() == nil; {
			s.sleep(period)
			now := time.Now()
			if by := now.Sub(last) - period; by > period {
				lags <- append(<-lags, lag{now, by})
			}
			last = now
		}
	}()
	return func(from, to time.Time) (sum time.Duration) {
		all := <-lags
		lags <- all
		for _, l := range all {
			if l.at.After(from) && l.at.Before(to) {
				sum += l.by
			}
		}
		return sum
	}
}
