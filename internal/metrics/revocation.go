package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Revocations knows which of them do not show yet. It is asked at every scrape.
type Revocations interface {
	// Pending returns the follow-ups that revoke certificates, and those that watch what
	// comes of it.
	Pending() []probe.FollowUp
}

// revocationFamilies are about certificates that we have the CA revoke.
type revocationFamilies struct {
	propagation *prometheus.HistogramVec
	missing     *prometheus.CounterVec
	pending     *prometheus.Desc
}

// namePending is the family whose name stands for all that its collector makes.
const namePending = "acme_revocation_oldest_pending_timestamp_seconds"

func declareRevocations(d *declarer) revocationFamilies {
	return revocationFamilies{
		propagation: d.histogram(ofPair, "acme_revocation_propagation_seconds", revocationBounds,
			"Time from the CA's word that a certificate of ours is revoked until all of the lists (crl) or responders (ocsp) that the certificate names were seen to say so. It is looked for every 15 s at first, then after each tenth of the time that has passed, at least every 10 min. Only where the module has `revoke` or `expect`. Once for each revocation, restarts included; not where nobody could see for 20 min before that it does not show, nor where it is not known when the CA has revoked.",
			"via"),
		missing: d.counter(ofPair, "acme_revocations_missing_total",
			"Revocations that the CA has not taken within 24 h (api), and those that it has taken and that did not show within 24 h on the lists (crl) or by the responders (ocsp), or within 48 h where these could not be asked, so that nobody asks or looks any more. Only where the module has `revoke` or `expect`. It goes on after a restart.",
			"via"),
		pending: d.scraped(ofPair, "gauge", namePending,
			"When the oldest revocation was made that does not show yet, on the lists (crl) or by the responders (ocsp); of those that the CA was asked for in vain (api), when the certificate was first to be revoked. Absent where all show, and when it is given up: after 24 h, or 48 h where nothing could be asked. Only where the module has `revoke` or `expect`.",
			"via"),
	}
}

// revocationCollector shows what is pending at the time of the scrape.
type revocationCollector struct {
	metrics     *Metrics
	revocations Revocations
}

// Describe implements prometheus.Collector.
func (c *revocationCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- c.metrics.f.revoked.pending
}

// Collect implements prometheus.Collector.
func (c *revocationCollector) Collect(out chan<- prometheus.Metric) {
	type series struct {
		pair probe.Pair
		via  probe.RevocationVia
	}
	oldest := map[series]time.Time{}
	for _, f := range c.revocations.Pending() {
		if f.Revocation == nil {
			continue
		}
		s, since := series{f.Pair, f.Revocation.Via}, f.Revocation.At
		if f.Kind == probe.FollowUpRevoke {
			if f.Attempts == 0 {
				continue // its turn is to come, or the certificate
			}
			s.via, since = probe.ViaAPI, f.Created
		}
		if at, ok := oldest[s]; !ok || since.Before(at) {
			oldest[s] = since
		}
	}
	c.metrics.mu.Lock()
	defer c.metrics.mu.Unlock()
	for s, at := range oldest {
		if p := c.metrics.pairs[s.pair]; p != nil && p.revokes {
			out <- gaugeOf(c.metrics.f.revoked.pending, seconds(at), p.labels(string(s.via))...)
		}
	}
}
