package prober

import (
	"crypto/x509"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// lookIntoSCTs keeps in f what the SCTs of the chain's leaf say, and the check of
// them, if it can be told.
func (r *run) lookIntoSCTs(f *probe.Certificate, chain []*x509.Certificate) {
	if r.Logs == nil {
		return
	}
	seen, result := r.Logs.Check(r.Pair.Target, chain, time.Now())
	f.Transparency = seen
	if result != nil {
		f.Checks = append(f.Checks, *result)
	}
}
