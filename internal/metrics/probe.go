package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// answerFamilies are the families of /probe, the gauges of one Result.
type answerFamilies struct {
	pending  *prometheus.GaugeVec
	success  *prometheus.GaugeVec
	duration *prometheus.GaugeVec
	age      *prometheus.GaugeVec
	steps    *prometheus.GaugeVec
	requests *prometheus.GaugeVec
	failure  *prometheus.GaugeVec
}

// declareAnswer is the table of the families of /probe.
func declareAnswer(d *declarer) answerFamilies {
	return answerFamilies{
		pending: d.gauge(ofAnswer, "probe_pending",
			"1 if there has been no run of this pair yet, so that there is nothing else to tell; else 0."),
		success: d.gauge(ofAnswer, "probe_success",
			"Whether the run succeeded: 1 or 0. Absent if it was skipped: that is no evidence about the CA, and no failure."),
		duration: d.gauge(ofAnswer, "probe_duration_seconds",
			"Duration of the run."),
		age: d.gauge(ofAnswer, "probe_result_age_seconds",
			"Time since the run ended: near 0 for one that this scrape waited for, more for one that was there already."),
		steps: d.gauge(ofAnswer, "probe_acme_step_duration_seconds",
			"Duration of each step that succeeded; of several with one name, the longest.",
			"step"),
		requests: d.gauge(ofAnswer, "probe_acme_request_duration_seconds",
			"Duration of each API call that was answered, from connection ready to the last byte; of several with one name (polls, retries), the longest.",
			"call"),
		failure: d.gauge(ofAnswer, "probe_acme_failure_info",
			"Always 1, and only there if the run did not succeed: the step that ended it, the reason and whose fault it is. The fault is empty if the run was skipped.",
			"stage", "reason", "fault"),
	}
}

// Probe returns the gauges of one answer of /probe, as of now. Their names are
// disjoint from those of /metrics, and they carry neither target nor module,
// which the scrape configuration knows. What was not measured is absent.
func Probe(a probe.Answer, now time.Time) prometheus.Gatherer {
	reg := prometheus.NewRegistry()
	f := declareAnswer(newDeclarer(reg, Classic))
	f.pending.WithLabelValues().Set(truth(a.Result == nil))
	r := a.Result
	if r == nil {
		return reg
	}
	v := r.Verdict
	if v.Outcome != probe.OutcomeSkipped {
		f.success.WithLabelValues().Set(truth(v.Success()))
	}
	if !v.Success() {
		f.failure.WithLabelValues(string(v.Stage), string(v.Reason), string(v.Fault)).Set(1)
	}
	f.duration.WithLabelValues().Set(r.Duration.Seconds())
	f.age.WithLabelValues().Set(max(0, now.Sub(r.End()).Seconds()))
	longest := make(map[string]time.Duration)
	for _, s := range r.Steps {
		if s.OK {
			longest[string(s.Name)] = max(longest[string(s.Name)], s.Duration)
		}
	}
	setAll(f.steps, longest)
	clear(longest)
	for i := range r.Calls {
		if c := &r.Calls[i]; c.Answered() {
			longest[string(c.Name)] = max(longest[string(c.Name)], c.Processing())
		}
	}
	setAll(f.requests, longest)
	return reg
}

// setAll sets a gauge of one label for each key.
func setAll(g *prometheus.GaugeVec, durations map[string]time.Duration) {
	for key, d := range durations {
		g.WithLabelValues(key).Set(d.Seconds())
	}
}
