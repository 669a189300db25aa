package e2e_test

import (
	"net/url"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// familyModules are the same probe over each family.
const familyModules = `modules:
  issue_4: {prober: issue, min_interval: 100ms, ip_protocol: ip4, issue: {challenge: http-01}}
  issue_6: {prober: issue, min_interval: 100ms, ip_protocol: ip6, issue: {challenge: http-01}}
`

// TestFamilies holds that where a CA has both families and one of them is dead,
// the pair that uses it says so and does not blame the CA, and the other pair is
// fine.
func TestFamilies(t *testing.T) {
	t.Parallel()
	ports := parts.NewNamespace(t, "127.0.0.1").Ports()
	ca := parts.StartPebble(t, ports, "-smooth", "-address=127.0.0.2:14000").CA
	directory, err := url.Parse(ca.DirectoryURL)
	if err != nil {
		t.Fatal(err)
	}
	directory.Host = "localhost:14000"
	ca.DirectoryURL = directory.String()

	exporter := parts.NewExporter(t, ports, ca)
	exporter.Reconfigure("modules:\n", familyModules)
	exporter.Reconfigure("      issue_dns: 0s\n", "      issue_dns: 0s\n      issue_4: 0s\n      issue_6: 0s\n")
	exporter.Serve()
	listening := map[string]string{"issue_4": "127.0.0.1:14000", "issue_6": "[::1]:14000"}
	relays := map[string]*parts.Relay{}
	for module, address := range listening {
		relays[module] = ports.Namespace.StartRelay(t, address, "127.0.0.2:14000")
	}
	fine := func(module string) {
		t.Helper()
		result := exporter.RunNow(module)
		checkNames(t, result)
		checkSteps(t, result)
	}
	fine("issue_4")
	fine("issue_6")
	for dead, relay := range relays {
		relay.Close()
		r := exporter.RunNow(dead)
		if r.Verdict.Stage != probe.StepDirectory || r.Verdict.Reason != verdict.ConnectRefused || r.Verdict.Fault == probe.FaultCA {
			t.Errorf("%s, dead: verdict %+v, want connect_refused at the directory", dead, r.Verdict)
		}
		for module := range relays {
			if module != dead {
				fine(module)
			}
		}
		ports.Namespace.StartRelay(t, listening[dead], "127.0.0.2:14000")
		fine(dead)
	}
}
