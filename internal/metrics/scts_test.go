package metrics

import (
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// TestObserveSCTs holds that the last certificate's SCTs are counted, and absent where
// nothing is known of them.
func TestObserveSCTs(t *testing.T) {
	m, reg := newMetrics(t, "")
	m.Apply([]config.Pair{configured(issuing, "1")})
	for i, tt := range []struct {
		seen *probe.Transparency
		want []float64
	}{
		{&probe.Transparency{Count: 2}, []float64{2}},
		{nil, nil},
		{&probe.Transparency{}, []float64{0}},
		{&probe.Transparency{Count: 1, Unreadable: true}, nil},
	} {
		r := issuance(issuing, "1", start.Add(time.Duration(i)*time.Minute))
		r.Certificate.Transparency = tt.seen
		m.Observe(r)
		got, ok := values(t, reg)["acme_certificate_scts{}"]
		if ok != (len(tt.want) == 1) || ok && got != tt.want[0] {
			t.Errorf("%+v: %v, %t, want %v", tt.seen, got, ok, tt.want)
		}
	}
}
