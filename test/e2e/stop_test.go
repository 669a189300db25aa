package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// grace is what stopping may take beyond the grace period: clean-up, closing
// the responders and the pages, and a slow machine.
const grace = 15 * time.Second

// setUp starts a Pebble without roughness and acme_exporter beside it.
func setUp(t *testing.T, flags ...string) (*parts.Pebble, *parts.Exporter) {
	t.Helper()
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, "-smooth")
	exporter := parts.NewExporter(t, ports, pebble.CA)
	exporter.Probe("account")
	exporter.Serve(flags...)
	return pebble, exporter
}

// TestKill holds that what a killed run has left at the CA is undone at the next
// start: the authorization that had become valid is deactivated.
func TestKill(t *testing.T) {
	t.Parallel()
	pebble, exporter := setUp(t)
	holdValidated(t, pebble, exporter)
	exporter.Kill()
	// Else the CA may answer a request whose client it has not yet seen go.
	parts.Until(t, "the CA knows that its client has gone", func() bool { return pebble.Held() == 0 })
	pebble.Release()
	before := pebble.Answered(parts.PebbleAuthz)

	exporter.Serve()
	parts.Until(t, "the follow-up is done", func() bool {
		return exporter.Metrics().Sum("acme_follow_ups_total", "kind", "deactivate_authz", "outcome", "success") == 1
	})
	m := exporter.Metrics()
	if got := m.Sum("acme_requests_total", "call", "deactivate-authz", "code", "200"); got != 1 {
		t.Errorf("requests that deactivate: %v, want 1", got)
	}
	// The CA has seen two requests: the look, and the deactivation.
	if got := pebble.Answered(parts.PebbleAuthz) - before; got != 2 {
		t.Errorf("the CA has answered %d requests about the authorization, want 2", got)
	}
	// A follow-up is no probe of the pair.
	if got := m.Sum("acme_probes_total"); got != 0 {
		t.Errorf("acme_probes_total: %v, want 0", got)
	}
	exporter.Terminate()
	exporter.Ended(grace)

	// What is done is not done again.
	exporter.Serve()
	if got := exporter.Metrics().Sum("acme_follow_ups_total"); got != 0 {
		t.Errorf("follow-ups at the third start: %v, want 0", got)
	}
}

// TestTerminateEndsRun holds that SIGTERM lets the run in flight end.
func TestTerminateEndsRun(t *testing.T) {
	t.Parallel()
	pebble, exporter := setUp(t)
	pebble.Hold(parts.PebbleFinalize, 0)
	exporter.Trigger("issue_dns")
	parts.Until(t, "the run finalizes", func() bool { return pebble.Held() == 1 })
	exporter.Terminate()
	pebble.Release()
	exporter.Ended(parts.Timeout)
	if got := pebble.Answered(parts.PebbleCert); got != 1 {
		t.Errorf("certificates downloaded: %d, want 1", got)
	}
}

// TestTerminateCutsRun holds that a run which does not end is cut when the grace
// period is over, and that this is a good end: what it has left at the CA, which
// does not answer for that either, is undone at the next start.
func TestTerminateCutsRun(t *testing.T) {
	t.Parallel()
	const gracePeriod = time.Second
	pebble, exporter := setUp(t, "--shutdown.grace-period="+gracePeriod.String())
	holdValidated(t, pebble, exporter)
	start := time.Now()
	exporter.Terminate()
	exporter.Ended(gracePeriod + grace)
	if took := time.Since(start); took < gracePeriod {
		t.Errorf("stopped after %s, before the grace period of %s was over", took, gracePeriod)
	}
	pebble.Release()

	exporter.Serve()
	parts.Until(t, "the follow-up is done", func() bool {
		return exporter.Metrics().Sum("acme_requests_total", "call", "deactivate-authz", "code", "200") == 1
	})
}

// holdValidated starts an issuance and returns when the CA has validated the
// challenge and keeps the answer to itself.
func holdValidated(t *testing.T, pebble *parts.Pebble, exporter *parts.Exporter) {
	t.Helper()
	// The first look at the authorization passes, the second one is held: the
	// challenge has been accepted by then.
	pebble.Hold(parts.PebbleAuthz, 1)
	exporter.Trigger("issue_http")
	parts.Until(t, "the run polls its authorization", func() bool { return pebble.Held() == 1 })
	parts.Until(t, "the authorization is valid", func() bool { return strings.Contains(pebble.Log(), "set VALID") })
}
