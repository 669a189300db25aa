package metrics

import (
	"math/big"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// besideFamilies are about what a CA publishes beside its API.
type besideFamilies struct {
	crlRead, crlThisUpdate, crlNextUpdate, crlNumber, crlEntries, crlSize *prometheus.GaugeVec
	ocspThisUpdate, ocspNextUpdate, ocspRevoked                           *prometheus.GaugeVec
}

func declareBeside(d *declarer) besideFamilies {
	return besideFamilies{
		crlRead: d.gauge(ofPair, "acme_crl_read_timestamp_seconds",
			"When the run ended that read a revocation list last: the other acme_crl_ metrics are as old."),
		crlThisUpdate: d.gauge(ofPair, "acme_crl_this_update_timestamp_seconds",
			"When the revocation list that was read last says that it was made; of several lists, the oldest."),
		crlNextUpdate: d.gauge(ofPair, "acme_crl_next_update_timestamp_seconds",
			"When the revocation list says that the next one is due at the latest; of several lists, the earliest."),
		crlNumber: d.gauge(ofPair, "acme_crl_number",
			"Number of the revocation list, which never falls; of several lists, the lowest. Numbers from 2^53 on are rounded."),
		crlEntries: d.gauge(ofPair, "acme_crl_entries",
			"Certificates on the revocation list; of several lists, on all of them together."),
		crlSize: d.gauge(ofPair, "acme_crl_size_bytes",
			"Size of the revocation list; of several lists, of the largest."),
		ocspThisUpdate: d.gauge(ofPair, "acme_ocsp_this_update_timestamp_seconds",
			"When the OCSP answer that was read last says that it was known to be right; of several answers, the oldest."),
		ocspNextUpdate: d.gauge(ofPair, "acme_ocsp_next_update_timestamp_seconds",
			"When the OCSP answer says that a newer one is there at the latest; of several answers, the earliest. Absent where none says so."),
		ocspRevoked: d.gauge(ofPair, "acme_ocsp_certificate_revoked",
			"Whether an OCSP answer says that the certificate is revoked: 1 or 0."),
	}
}

// gauges are all of them.
func (f *besideFamilies) gauges() []*prometheus.GaugeVec {
	return []*prometheus.GaugeVec{
		f.crlRead, f.crlThisUpdate, f.crlNextUpdate, f.crlNumber, f.crlEntries, f.crlSize,
		f.ocspThisUpdate, f.ocspNextUpdate, f.ocspRevoked,
	}
}

// showBeside sets the pair's gauges to what r read of CRLs and OCSP answers.
func (m *Metrics) showBeside(p *pair, r *probe.Result) {
	f := &m.f.beside
	set := func(g *prometheus.GaugeVec, value float64, known bool) {
		if g.DeletePartialMatch(p.match()); known {
			g.WithLabelValues(p.labels()...).Set(value)
		}
	}
	var crls, answers summary
	var entries int
	var size int64
	var number *big.Int
	for i := range r.CRLs {
		c := &r.CRLs[i]
		if c.ThisUpdate.IsZero() {
			continue // it could not be read
		}
		crls.add(c.ThisUpdate, c.NextUpdate)
		entries += c.Entries
		size = max(size, c.Bytes)
		if n, ok := new(big.Int).SetString(c.Number, 10); ok && (number == nil || n.Cmp(number) < 0) {
			number = n
		}
	}
	if crls.n > 0 && p.prober == probe.ProberCRL && newer(&p.listedAt, r.End()) {
		set(f.crlRead, seconds(r.End()), true)
		set(f.crlThisUpdate, seconds(crls.from), true)
		set(f.crlNextUpdate, seconds(crls.until), !crls.until.IsZero())
		set(f.crlEntries, float64(entries), true)
		set(f.crlSize, float64(size), true)
		value := 0.0
		if number != nil {
			value, _ = number.Float64()
		}
		set(f.crlNumber, value, number != nil)
	}
	revoked := false
	for i := range r.OCSP {
		if a := &r.OCSP[i]; a.Status != "" {
			answers.add(a.ThisUpdate, a.NextUpdate)
			revoked = revoked || a.Status == probe.OCSPRevoked
		}
	}
	if answers.n > 0 && p.prober == probe.ProberOCSP && newer(&p.answeredAt, r.End()) {
		set(f.ocspThisUpdate, seconds(answers.from), true)
		set(f.ocspNextUpdate, seconds(answers.until), !answers.until.IsZero())
		set(f.ocspRevoked, truth(revoked), true)
	}
}

// summary is the worst of several things that are good for a time.
type summary struct {
	n           int
	from, until time.Time // the earliest; zero: none says
}

func (s *summary) add(from, until time.Time) {
	s.n++
	if s.from.IsZero() || from.Before(s.from) {
		s.from = from
	}
	if !until.IsZero() && (s.until.IsZero() || until.Before(s.until)) {
		s.until = until
	}
}
