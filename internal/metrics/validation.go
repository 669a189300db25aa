package metrics

import (
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// ipFamilies lists the values of the label family.
func ipFamilies() []probe.Family { return []probe.Family{probe.IPv4, probe.IPv6} }

// countValidation counts who came to our responders.
func (m *Metrics) countValidation(p *pair, r *probe.Result) {
	m.countRequests(p, r.Visits)
	accepted, ok := r.Accepted()
	if !ok {
		return
	}
	first := make(map[probe.Family]time.Duration)
	type span struct{ first, last time.Duration }
	spans := make(map[string]span) // by name
	for _, v := range r.Visits {
		if !v.OK || v.At < accepted {
			continue
		}
		if at, seen := first[v.Family]; !seen || v.At < at {
			first[v.Family] = v.At
		}
		s, seen := spans[v.Identifier]
		if !seen {
			s = span{v.At, v.At}
		}
		spans[v.Identifier] = span{min(s.first, v.At), max(s.last, v.At)}
	}
	for family, at := range first {
		m.f.validation.delay.WithLabelValues(p.labels(string(family))...).Observe((at - accepted).Seconds())
	}
	for _, s := range spans {
		m.f.validation.spread.WithLabelValues(p.labels()...).Observe((s.last - s.first).Seconds())
	}
}

// countRequests counts requests: one may be a visit of several challenges.
func (m *Metrics) countRequests(p *pair, visits []probe.Visit) {
	type request struct {
		at        time.Duration
		challenge probe.ChallengeType
		family    probe.Family
		asked     string
	}
	counted := make(map[request]bool, len(visits))
	for _, v := range visits {
		one := request{v.At, v.Challenge, v.Family, v.Asked}
		if !counted[one] {
			counted[one] = true
			m.f.validation.requests.WithLabelValues(p.labels(string(v.Challenge), string(v.Family))...).Inc()
		}
	}
}

// showNetworks sets the gauges of the networks that validators came from. To name
// servers elsewhere they come as well, but nobody counts them there.
func (m *Metrics) showNetworks(p *pair, r *probe.Result) {
	if p.withheld() {
		return // there was nothing to fetch
	}
	switch {
	case r.Perspectives != nil:
		m.f.validation.few.WithLabelValues(p.labels()...).Set(truth(r.Perspectives.Few()))
	case slices.ContainsFunc(r.Steps, func(s probe.Step) bool { return s.Name == probe.StepValidation && s.OK }):
		m.f.validation.few.DeletePartialMatch(p.match())
	}
	elsewhere := slices.ContainsFunc(r.Steps, func(s probe.Step) bool { return s.Name == probe.StepPublication })
	if elsewhere && len(r.Visits) == 0 {
		m.f.validation.networks.DeletePartialMatch(p.match())
		return
	}
	fewest := networks(r.Visits)
	for _, family := range ipFamilies() {
		m.f.validation.networks.WithLabelValues(p.labels(string(family))...).Set(float64(fewest[family]))
	}
}

// networks counts the distinct networks that fetched the answer, by family. Of
// several names the one with the fewest counts.
func networks(visits []probe.Visit) map[probe.Family]int {
	type network struct {
		family probe.Family
		number int
	}
	byName := make(map[string]map[network]bool)
	for _, v := range visits {
		if byName[v.Identifier] == nil {
			byName[v.Identifier] = make(map[network]bool)
		}
		if v.OK {
			byName[v.Identifier][network{v.Family, v.Network}] = true
		}
	}
	fewest := make(map[probe.Family]int)
	first := true
	for _, distinct := range byName {
		count := make(map[probe.Family]int)
		for n := range distinct {
			count[n.family]++
		}
		for _, f := range ipFamilies() {
			if first || count[f] < fewest[f] {
				fewest[f] = count[f]
			}
		}
		first = false
	}
	return fewest
}
