package e2e_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// watched is a configuration with every prober on a schedule, short for a test. The
// controls and the resolver are its own.
const watched = `
targets:
  ca:
    directory_url: %[1]s
    environment: production
    tls_config: {ca_file: %[2]s}
    rate_limits: none
    account: {agree_to_terms: true}
    probes: {directory: 2s, nonce: 2s, account: 2s, validate: 4s, issue: 4s}
responders:
  dns:
    listen_address: "127.0.0.1:%[3]d"
    zones: [acme-probe.example]
    nameserver: ns.acme-probe.example
    addresses: [127.0.0.1]
resolvers: ["127.0.0.1:%[3]d"]
controls: {urls: [%[4]q]}
modules:
  directory: {timeout: 5s}
  nonce: {timeout: 5s}
  account: {timeout: 5s}
  validate: {timeout: 20s, validate: {challenge: dns-01}}
  issue: {timeout: 20s, issue: {challenge: dns-01}}
`

// watch returns a CA and an exporter that is to watch it.
func watch(t *testing.T) (*parts.Pebble, *parts.Exporter) {
	t.Helper()
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, smooth...)
	exporter := parts.NewExporter(t, ports, pebble.CA)
	control, err := url.Parse(pebble.ControlURL())
	must(t, err)
	control.Host = "localhost:" + control.Port() // any other host than the CA's
	exporter.Configure(fmt.Sprintf(watched, pebble.DirectoryURL, pebble.RootFile, ports.DNS, control))
	return pebble, exporter
}

// TestDetection holds that each outage makes the target down, for the right
// reason, in the time that docs/detection.md has, and that it is up again after it.
func TestDetection(t *testing.T) {
	t.Parallel()
	const free, issuing = 10 * time.Second, 4*time.Second + time.Minute
	for _, tt := range []struct {
		mode    string
		modules []string // whichever of them is down first
		reason  string
		fault   string
		within  time.Duration // from the start of the first failed run
		green   []string      // modules that go on to succeed
	}{
		{"db-down", []string{"account", "validate", "issue"}, "server_internal", "ca", free, []string{"directory", "nonce"}},
		{"va-down", []string{"validate", "issue"}, "server_internal", "ca", issuing, []string{"directory", "nonce", "account"}},
		{"resolver-down", []string{"validate", "issue"}, "validation_dns", "ca", issuing, []string{"directory", "nonce", "account"}},
		{"signing-down", []string{"issue"}, "server_internal", "ca", issuing, []string{"directory", "nonce", "account", "validate"}},
		{"cdn-error", nil, "edge_5xx", "ca", free, nil},
		{"down", nil, "", "unreachable", 5*time.Second + free, nil},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			t.Parallel()
			pebble, exporter := watch(t)
			exporter.Serve()
			state := func(name string) bool { return exporter.Metrics().Sum("acme_target_state", "state", name) == 1 }
			succeeded := func(module string) float64 {
				return exporter.Metrics().Sum("acme_probes_total", "module", module, "outcome", "success")
			}
			parts.Until(t, "everything has passed twice", func() bool {
				return state("up") && !slices.ContainsFunc([]string{"directory", "nonce", "account", "validate", "issue"}, func(m string) bool { return succeeded(m) < 2 })
			})

			pebble.Outage(tt.mode)
			switched := time.Now()
			parts.Until(t, "the target is down", func() bool { return state("down") })
			seen := time.Now()
			metrics := exporter.Metrics()
			began := time.UnixMilli(int64(1000 * metrics.Sum("acme_incident_start_timestamp_seconds")))
			if took := seen.Sub(began); took > tt.within {
				t.Errorf("down after %v, want %v", took, tt.within)
			}
			t.Logf("%s: down %.1f s after the first failed run began, %.1f s after the switch", tt.mode, seen.Sub(began).Seconds(), seen.Sub(switched).Seconds())
			labels := incidentLabels(metrics)
			faults := []string{tt.fault}
			if tt.fault == "unreachable" {
				faults = silent(t, exporter)
			}
			if labels["kind"] != "down" || !slices.Contains(faults, labels["fault"]) || tt.reason != "" && labels["reason"] != tt.reason {
				t.Errorf("incident %v, want fault %v, reason %s", labels, faults, tt.reason)
			}
			if n := metrics.Sum("acme_incidents_total", "kind", "down"); n != 1 {
				t.Errorf("%v incidents", n)
			}
			for _, module := range tt.green {
				before := succeeded(module)
				parts.Until(t, module+" passes in the outage", func() bool { return succeeded(module) > before })
			}
			if !state("down") {
				t.Error("successes of others have closed it")
			}

			exporter.Kill()
			exporter.Serve()
			if !state("down") && !state("unknown") {
				t.Error("the incident was lost in a crash")
			}
			parts.Until(t, "the target is down again", func() bool { return state("down") })
			again := time.UnixMilli(int64(1000 * exporter.Metrics().Sum("acme_incident_start_timestamp_seconds")))
			if again.After(began) { // earlier: another module's first failure has turned out to be one
				t.Errorf("after a crash it began at %v, before it at %v", again, began)
			}

			pebble.Outage("off")
			parts.Until(t, "the target is up", func() bool { return state("up") })
			metrics = exporter.Metrics()
			end := time.UnixMilli(int64(1000 * metrics.Sum("acme_incident_end_timestamp_seconds")))
			began = time.UnixMilli(int64(1000 * metrics.Sum("acme_incident_start_timestamp_seconds")))
			if downtime := metrics.Sum("acme_downtime_seconds_total", "kind", "down"); end.Before(began) || downtime < end.Sub(began).Seconds()-1 || downtime > end.Sub(began).Seconds()+1 {
				t.Errorf("from %v to %v, and a downtime of %v s", began, end, downtime)
			}
			exporter.Terminate()
			exporter.Ended(parts.Timeout)
		})
	}
}

// silent holds whose fault it is that the CA does not answer: where it had answered a
// call of the same run the path to it was there, and the fault is the CA's; else it is
// unreachable. It returns the faults of the incidents.
func silent(t *testing.T, exporter *parts.Exporter) (faults []string) {
	t.Helper()
	for _, incident := range pairIncidents(t, exporter) {
		var whole struct{ Evidence probe.Evidence }
		get(t, exporter, "/api/v1/incidents/"+incident.ID, &whole)
		first := whole.Evidence.First.Result
		want := probe.FaultUnreachable
		reached := strings.HasPrefix(string(first.Verdict.Reason), "no_answer_") || strings.HasPrefix(string(first.Verdict.Reason), "body_")
		if reached && slices.ContainsFunc(first.Calls, func(c probe.Call) bool { return c.Answered() }) {
			want = probe.FaultCA
		}
		if first.Verdict.Fault != want || incident.Fault != want {
			t.Errorf("incident of %s: fault %s, its first run %+v, want %s", incident.Module, incident.Fault, first.Verdict, want)
		}
		faults = append(faults, string(want))
	}
	return faults
}

// incidentLabels returns those of acme_incident_info.
func incidentLabels(m parts.Metrics) map[string]string {
	labels := map[string]string{}
	for _, metric := range m["acme_incident_info"].GetMetric() {
		for _, l := range metric.GetLabel() {
			labels[l.GetName()] = strings.TrimSpace(l.GetValue())
		}
	}
	return labels
}
