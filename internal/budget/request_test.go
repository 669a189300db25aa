package budget

import (
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
)

func TestDeniedText(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))
	domain := Key{testCA, config.LimitCertificatesPerDomain, "acme-probe.example"}
	for want, d := range map[string]Denied{
		`rate limit certificates_per_domain of "acme-probe.example": all 25 are spent; the next one is due at 2026-03-04T04:06:07Z`:                                 {domain, CauseEmpty, at, 25},
		`rate limit certificates_per_domain of "acme-probe.example": what is left of 25 is kept for confirmation runs; the next one is due at 2026-03-04T04:06:07Z`: {domain, CauseKept, at, 25},
		`rate limit certificates_per_domain of "acme-probe.example": paused until 2026-03-04T04:06:07Z`:                                                             {domain, CausePaused, at, 25},
		`rate limit consecutive_failures of "a.example": paused by the CA until somebody has it lifted`:                                                             {Key{testCA, config.LimitConsecutiveFailures, "1 a.example"}, CausePaused, time.Time{}, 25},
		`rate limit certificates_per_set: the run needs more than the 2 that a full bucket lets it have`:                                                            {Key{testCA, config.LimitCertificatesPerSet, "0123"}, CauseNever, time.Time{}, 2},
	} {
		if got := d.String(); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}
