package e2e_test

import (
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// TestRefusedNonces holds that a request that is made again because of its nonce has one
// that is as good as the first: Pebble, which refuses a tenth of all good ones at random,
// refuses no more of those that a retry brings, also where several requests of a run are
// under way and each may have had its nonce refused.
func TestRefusedNonces(t *testing.T) {
	t.Parallel()
	const (
		refusal = 0.1 // Pebble's, of a nonce that is good
		enough  = 2000
	)
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, "-always-valid", "-nonce-reject=10", "-authz-reuse=0", "-validation-sleep=0", "-poll-authz=0", "-poll-order=0")
	exporter := parts.NewExporter(t, ports, pebble.CA)
	exporter.Reconfigure("modules:\n", "modules:\n  hundred: {prober: issue, min_interval: 100ms, timeout: 60s, issue: {challenge: dns-01, names: {count: 100}}}\n")
	exporter.Reconfigure("      issue_dns: 0s\n", "      hundred: 0s\n")
	exporter.Serve()
	var tries, refused [2]float64 // of first requests, and of those that came after a refusal
	for tries[0] < enough {
		result := exporter.RunNow("hundred")
		if v := result.Verdict; !v.Success() && v.Reason != "bad_nonce" {
			t.Fatalf("%+v, failure %+v", v, result.Failure)
		}
		for i := range result.Calls {
			c := &result.Calls[i]
			if c.Method != http.MethodPost {
				continue
			}
			again := 0
			if c.RetryCause == "bad_nonce" {
				again = 1
			}
			tries[again]++
			if c.Problem != nil && strings.HasSuffix(c.Problem.Type, "badNonce") {
				refused[again]++
			}
		}
	}
	for again, n := range tries {
		// Five standard deviations: by chance in one test of a million.
		most := 5 * math.Sqrt(n*refusal*(1-refusal))
		t.Logf("%.0f of %.0f refused, after %d refusals at least", refused[again], n, again)
		if math.Abs(refused[again]-n*refusal) > most {
			t.Errorf("%.0f of %.0f refused, after %d refusals at least; want %.0f, or %.0f more or less", refused[again], n, again, n*refusal, most)
		}
	}
}
