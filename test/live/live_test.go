// Package live holds what becomes of faults when everything between them and a page
// is real: CAs that fail, five exporters that watch most of them from five locations and
// nine that watch the others, Prometheus with the rules of alerts/ and the scrape
// configuration of examples/, Alertmanager with the configuration of alerts/, and a
// webhook that is paged. In the end the dashboards have something to show.
//
// It takes eleven minutes, most of which is waiting.
package live

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// watch is how long the CAs are watched that nothing happens to.
var watch = flag.Duration("watch", 10*time.Minute, "how long a healthy CA is watched, without a page")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(parts.Main(m))
}

// within bounds the time from a fault to its page.
const within = 90 * time.Second

// TestLive breaks CAs, lines and exporters, and Prometheus in the midst of it, and
// holds who is told what, and when.
func TestLive(t *testing.T) {
	t.Parallel()
	if deadline, ok := t.Deadline(); ok && time.Until(deadline) < *watch+15*time.Minute {
		t.Fatalf("it needs %v: type make test-live, or give -timeout", *watch+15*time.Minute)
	}
	start := time.Now()
	s := newStack(t)
	s.remember()
	t.Logf("a week is remembered after %v", time.Since(start).Round(time.Second))
	lateness := s.measureLateness()
	for _, sc := range scenarios {
		if sc.early {
			s.cas[sc.target].Outage(sc.mode)
		}
	}
	s.serve()
	began := time.Now()
	tell := func(what string) {
		t.Logf("%v: %s, %d notifications", time.Since(began).Round(time.Second), what, len(s.all()))
	}
	tell("all is well")

	const worked = `sum(acme_probes_total{target="flapping",outcome="success"})`
	before := s.value(worked)
	faults, calm := s.strike(began)
	s.poll(time.Now().Add(2*within), func() bool {
		return !slices.ContainsFunc(scenarios, func(sc scenario) bool {
			at, _ := s.first("page", sc.target, "AcmeCADown")
			return sc.page != "" && at.IsZero()
		})
	})
	tell("paged")
	chains := s.chains(faults)
	t.Run("annotations", func(t *testing.T) { s.judgeAnnotations(t) })
	// Only now does the CA tell of it, and it does so for the rest of the test.
	told := time.Now()
	s.status.Say("major_outage", &told)

	// In mid-outage, while one CA flaps.
	s.sleep(time.Until(began.Add(100 * time.Second)))
	s.prometheus.Stop()
	s.prometheus.Serve()
	tell("Prometheus is there again")
	silenced := s.silence()

	s.sleep(time.Until(began.Add(210 * time.Second)))
	for _, sc := range scenarios {
		if sc.page != "" && !sc.flaps {
			s.cas[sc.target].Outage("off")
		}
	}
	tell("outages are over, but for the flapping")
	calm()
	between := s.value(worked) - before
	recovered := time.Now()

	// All warnings have a time that they wait for.
	s.poll(recovered.Add(8*time.Minute), func() bool {
		return len(s.missed()) == len(s.killed()) && !slices.ContainsFunc(scenarios, func(sc scenario) bool {
			return sc.page != "" && len(s.to("page", sc.target)) < 2 || len(s.warned(sc.target)) < len(sc.warnings)
		})
	})
	tell("all is resolved and warned of")
	t.Run("panels", func(t *testing.T) { s.judgePanels(t, began) })
	s.sleep(time.Until(began.Add(*watch)))
	tell("over")

	for _, c := range chains {
		t.Log(c)
	}
	for _, sc := range scenarios {
		t.Run(sc.target, func(t *testing.T) { s.judge(t, sc, faults[sc.target], lateness) })
	}
	t.Run("conditions", func(t *testing.T) { s.judgeConditions(t, between) })
	t.Run("lifeline", func(t *testing.T) { s.judgeLifeline(t, faults[published]) })
	t.Run("exporters", func(t *testing.T) { s.judgeExporters(t, faults[quiet], silenced) })
}

// strike has all go wrong that is to go wrong at the beginning, and returns when that was, by
// target, and what waits until nothing flaps any more.
func (s *stack) strike(began time.Time) (faults map[string]time.Time, wait func()) {
	s.t.Helper()
	faults = map[string]time.Time{}
	// First, lest its own line seems to work when a CA is not reached.
	s.lifeline.Close()
	var flaps sync.WaitGroup
	for _, sc := range scenarios {
		faults[sc.target] = time.Now()
		switch {
		case sc.early:
			faults[sc.target] = began
		case sc.flaps:
			flaps.Go(func() { s.flap(sc, 4*time.Minute) })
		case sc.mode != "":
			s.cas[sc.target].Outage(sc.mode)
		}
		for _, relay := range s.relays[sc.target] {
			relay.Close()
		}
	}
	s.groups[far][0].exporter.Kill()
	return faults, flaps.Wait
}

// flap has a CA fail and work in turns of 20 s, for d. It works then.
func (s *stack) flap(sc scenario, d time.Duration) {
	end := time.Now().Add(d)
	for s.t.Context().Err() == nil && time.Now().Before(end) {
		for _, mode := range []string{sc.mode, "off"} {
			s.cas[sc.target].Outage(mode)
			s.sleep(20 * time.Second)
		}
	}
}

// silence kills three more of the far exporters, so that one of five is left, and
// returns when that was.
func (s *stack) silence() time.Time {
	s.t.Helper()
	at := time.Now()
	for _, l := range s.groups[far][1:4] {
		l.exporter.Kill()
	}
	return at
}

// warned returns what was warned of for a target, sorted.
func (s *stack) warned(target string) (names []string) {
	for _, n := range s.to("warning", target) {
		for _, a := range n.Alerts {
			name := a.Labels["alertname"]
			if l := a.Labels["location"]; l != "" {
				name += " " + l
			}
			if a.Status == "firing" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// sent describes notifications, for the log of a test that fails.
func sent(list []notification) (text string) {
	for _, n := range list {
		text += fmt.Sprintf("\n%s %s %s:", n.At.Format(time.TimeOnly), n.Kind, n.Status)
		for _, a := range n.Alerts {
			text += fmt.Sprintf("\n    %s %v: %s", a.Status, a.Labels, a.Annotations["description"])
		}
	}
	return text
}
