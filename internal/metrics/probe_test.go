package metrics

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestProbe(t *testing.T) {
	success := issuance(issuing, "1", start)
	success.Calls[3].End += 40 * ms // the first authz call
	failure := failed(issuance(issuing, "1", start), probe.FaultCA)
	failure.Calls[2].Status = 0
	skipped := failed(issuance(issuing, "1", start), probe.FaultNone)
	skipped.Verdict.Outcome = probe.OutcomeSkipped
	for name, c := range map[string]struct {
		answer probe.Answer
		now    time.Time
		want   map[string]float64
	}{
		"none yet": {probe.Answer{}, start, map[string]float64{"probe_pending{}": 1}},
		"success": {probe.Answer{Result: success, Fresh: true}, success.End().Add(5 * time.Second), map[string]float64{
			"probe_pending{}":                                       0,
			"probe_success{}":                                       1,
			"probe_duration_seconds{}":                              2.1,
			"probe_result_age_seconds{}":                            5,
			"probe_acme_step_duration_seconds{step=setup}":          .15,
			"probe_acme_step_duration_seconds{step=directory}":      .15,
			"probe_acme_step_duration_seconds{step=nonce}":          .15,
			"probe_acme_step_duration_seconds{step=order}":          .15,
			"probe_acme_step_duration_seconds{step=authorization}":  .15,
			"probe_acme_step_duration_seconds{step=validation}":     .15,
			"probe_acme_step_duration_seconds{step=finalization}":   .15,
			"probe_acme_step_duration_seconds{step=download}":       .15,
			"probe_acme_step_duration_seconds{step=certificate}":    .15,
			"probe_acme_request_duration_seconds{call=directory}":   .05,
			"probe_acme_request_duration_seconds{call=new-nonce}":   .05,
			"probe_acme_request_duration_seconds{call=new-order}":   .05,
			"probe_acme_request_duration_seconds{call=authz}":       .09, // the longer one
			"probe_acme_request_duration_seconds{call=challenge}":   .05,
			"probe_acme_request_duration_seconds{call=finalize}":    .05,
			"probe_acme_request_duration_seconds{call=order}":       .05,
			"probe_acme_request_duration_seconds{call=certificate}": .05,
		}},
		"failure, and a clock set back": {probe.Answer{Result: failure}, start, map[string]float64{
			"probe_pending{}":            0,
			"probe_success{}":            0,
			"probe_duration_seconds{}":   2.1,
			"probe_result_age_seconds{}": 0,
			"probe_acme_failure_info{fault=ca,reason=http_5xx,stage=order}": 1,
			"probe_acme_step_duration_seconds{step=setup}":                  .15,
			"probe_acme_step_duration_seconds{step=directory}":              .15,
			"probe_acme_step_duration_seconds{step=nonce}":                  .15,
			"probe_acme_request_duration_seconds{call=directory}":           .05,
			"probe_acme_request_duration_seconds{call=new-nonce}":           .05,
		}},
		"skipped": {probe.Answer{Result: skipped}, start, map[string]float64{
			"probe_pending{}":            0,
			"probe_duration_seconds{}":   2.1,
			"probe_result_age_seconds{}": 0,
			"probe_acme_failure_info{fault=,reason=http_5xx,stage=order}": 1,
			"probe_acme_step_duration_seconds{step=setup}":                .15,
			"probe_acme_step_duration_seconds{step=directory}":            .15,
			"probe_acme_step_duration_seconds{step=nonce}":                .15,
			"probe_acme_request_duration_seconds{call=directory}":         .05,
			"probe_acme_request_duration_seconds{call=new-nonce}":         .05,
			"probe_acme_request_duration_seconds{call=new-order}":         .05,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, values(t, Probe(c.answer, c.now))); diff != "" {
				t.Errorf("series (-want +got):\n%s", diff)
			}
		})
	}
}
