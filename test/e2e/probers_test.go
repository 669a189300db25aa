package e2e_test

import (
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// TestProbers holds that every prober that does not issue succeeds at each CA
// as it is by default, and knows what each of its calls is for.
func TestProbers(t *testing.T) {
	t.Parallel()
	for _, authority := range authorities {
		t.Run(authority.name, func(t *testing.T) {
			t.Parallel()
			ports := parts.NewPorts(t)
			exporter := parts.NewExporter(t, ports, authority.start(t, ports))
			for _, test := range []struct {
				module string
				last   probe.StepName
			}{
				{"directory", probe.StepDirectory},
				{"nonce", probe.StepNonce},
				{"account", probe.StepAccount},
				{"order", probe.StepAuthorization},
				{"validate", probe.StepValidation},
			} {
				result := exporter.Probe(test.module)
				checkNames(t, result)
				if len(result.Steps) == 0 {
					t.Errorf("%s: no steps", test.module)
					continue
				}
				if last := result.Steps[len(result.Steps)-1]; last.Name != test.last || !last.OK {
					t.Errorf("%s: the last step is %+v, want %s", test.module, last, test.last)
				}
			}
		})
	}
}

// TestCounted holds that a CA in front of a dead database is found out by what
// posts to it, and only by that, and that it is counted as the CA's fault.
func TestCounted(t *testing.T) {
	t.Parallel()
	pebble, exporter := setUp(t)
	pebble.Outage("db-down")
	exporter.Scrape("directory")
	exporter.Scrape("order")
	pebble.Outage("off")
	exporter.Scrape("account")

	m := exporter.Metrics()
	for _, test := range []struct{ module, outcome, fault string }{
		{"directory", "success", ""},
		{"order", "failure", "ca"},
		{"account", "success", ""},
	} {
		got := m.Sum("acme_probes_total", "module", test.module, "outcome", test.outcome, "fault", test.fault)
		if got != 1 {
			t.Errorf("acme_probes_total of %+v: %v, want 1", test, got)
		}
	}
	if got := m.Sum("acme_probe_failures_total", "module", "order", "stage", "order", "reason", "server_internal"); got != 1 {
		t.Errorf("acme_probe_failures_total of server_internal: %v, want 1", got)
	}
}
