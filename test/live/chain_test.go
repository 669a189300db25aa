package live

import (
	"fmt"
	"slices"
	"time"
)

// chain is when each link between a fault and its page was there, from the fault on.
type chain struct {
	target string
	run    time.Duration // the third location's first failed run began
	down   time.Duration // a sample of the third location said down
	quorum time.Duration // the recording rule was 1
	alert  time.Duration // the alert fired
	page   time.Duration
}

func (c chain) String() string {
	return fmt.Sprintf("%-10s failed run %4.1f s, scraped %4.1f s, quorum %4.1f s, alert %4.1f s, page %4.1f s",
		c.target, c.run.Seconds(), c.down.Seconds(), c.quorum.Seconds(), c.alert.Seconds(), c.page.Seconds())
}

// chains asks Prometheus for the links, of those targets that have been paged.
func (s *stack) chains(faults map[string]time.Time) (list []chain) {
	s.t.Helper()
	for _, sc := range scenarios {
		page, _ := s.first("page", sc.target, "AcmeCADown")
		if page.IsZero() {
			continue
		}
		fault := faults[sc.target]
		var began []time.Duration
		for _, sample := range s.prometheus.Query(fmt.Sprintf("acme_incident_start_timestamp_seconds{target=%q}", sc.target)) {
			began = append(began, time.UnixMilli(int64(float64(sample.Value)*1000)).Sub(fault))
		}
		list = append(list, chain{
			target: sc.target,
			run:    third(began),
			down:   third(s.since(fault, fmt.Sprintf(`acme_target_state{target=%q,state="down"}[10m]`, sc.target))),
			quorum: s.since(fault, fmt.Sprintf("environment_target:acme_target_down:quorum{target=%q}[10m]", sc.target))[0],
			alert:  s.since(fault, fmt.Sprintf(`ALERTS{alertname="AcmeCADown",target=%q}[10m]`, sc.target))[0],
			page:   page.Sub(fault),
		})
	}
	return list
}

// since returns when each series of a range selector was first 1, from the fault on,
// in order; one zero if none was.
func (s *stack) since(fault time.Time, selector string) []time.Duration {
	s.t.Helper()
	var times []time.Duration
	for _, series := range s.prometheus.Samples(selector) {
		for _, sample := range series.Values {
			if at := sample.Timestamp.Time(); sample.Value == 1 && at.After(fault) {
				times = append(times, at.Sub(fault))
				break
			}
		}
	}
	slices.Sort(times)
	if len(times) == 0 {
		return []time.Duration{0}
	}
	return times
}

// third is the third smallest, or the last: with it more than half of five locations
// are there.
func third(times []time.Duration) time.Duration {
	slices.Sort(times)
	if len(times) == 0 {
		return 0
	}
	return times[min(2, len(times)-1)]
}
