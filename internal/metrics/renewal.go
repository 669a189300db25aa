package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// renewalFamilies are about when a CA wants certificates to be renewed.
type renewalFamilies struct {
	due, start, end *prometheus.GaugeVec
}

func declareRenewals(d *declarer) renewalFamilies {
	return renewalFamilies{
		due: d.gauge(ofPair, "acme_renewal_due",
			"Certificates whose suggested renewal window (RFC 9773) had begun when the CA was asked last: of the last certificate that was issued to us, or of those that the module names, and for which there was an answer."),
		start: d.gauge(ofPair, "acme_renewal_window_start_timestamp_seconds",
			"Start of the renewal window that the CA suggests; of several certificates, of the window that starts first. One that moves into the past long before the certificate ends announces its revocation."),
		end: d.gauge(ofPair, "acme_renewal_window_end_timestamp_seconds",
			"End of that window."),
	}
}

// gauges are all of them.
func (f *renewalFamilies) gauges() []*prometheus.GaugeVec {
	return []*prometheus.GaugeVec{f.due, f.start, f.end}
}

// showRenewals sets the pair's gauges to what the CA said. A run without an answer
// leaves them as they were.
func (m *Metrics) showRenewals(p *pair, r *probe.Result) {
	if len(r.Renewals) == 0 || !newer(&p.renewalsAt, r.End()) {
		return
	}
	first, due := &r.Renewals[0], 0
	for i := range r.Renewals {
		one := &r.Renewals[i]
		if one.Start.Before(first.Start) {
			first = one
		}
		if one.Due {
			due++
		}
	}
	m.f.renewals.due.WithLabelValues(p.labels()...).Set(float64(due))
	m.f.renewals.start.WithLabelValues(p.labels()...).Set(seconds(first.Start))
	m.f.renewals.end.WithLabelValues(p.labels()...).Set(seconds(first.End))
}
