package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// incidentsOf are those of the target, the newest first.
func incidentsOf(t *testing.T, e *parts.Exporter) []probe.Incident {
	t.Helper()
	var answer struct{ Incidents []probe.Incident }
	must(t, json.Unmarshal(parts.Do(t, http.MethodGet, e.URL+"/api/v1/incidents"), &answer))
	return answer.Incidents
}

// TestStatusPageLead holds that an outage has beside it what the CA tells of it, and
// how much earlier we knew, over a restart too; and that a status page itself, whatever
// it says, and whether or not it is there, changes nothing of how the CA is.
func TestStatusPageLead(t *testing.T) {
	t.Parallel()
	ports := parts.NewPorts(t)
	pebble := parts.StartPebble(t, ports, "-smooth")
	status := parts.StartStatusPage(t)
	exporter := parts.NewExporter(t, ports, pebble.CA)
	exporter.Reconfigure(pebble.RootFile, status.Roots(t, pebble.RootFile))
	exporter.Reconfigure("directory: 0s\n", "directory: 500ms\n      status: 500ms\n")
	exporter.Reconfigure("modules:\n", fmt.Sprintf(`modules:
  directory: {prober: directory, min_interval: 100ms}
  status: {prober: status_page, min_interval: 100ms, status_page: {url: %q, components: [acme]}}
`, status.URL+"?key=secret"))
	exporter.Serve()
	target := func(state string) bool { return exporter.Metrics().Sum("acme_target_state", "state", state) == 1 }
	component := func(state string) bool {
		return exporter.Metrics().Sum("acme_status_component_state", "module", "status", "component", "ACME", "state", state) == 1
	}
	parts.Until(t, "the target is up", func() bool { return target("up") && component("operational") })

	// They say so, and it is not true.
	earlier := time.Now().Add(-3 * time.Hour)
	status.Say("major_outage", &earlier)
	parts.Until(t, "the status page is read", func() bool { return component("major_outage") })
	if !target("up") || len(incidentsOf(t, exporter)) != 0 {
		t.Error("what the CA says has made an incident")
	}
	if got := exporter.Metrics().Sum("acme_status_incident_start_timestamp_seconds"); got != float64(earlier.Unix()) {
		t.Errorf("acme_status_incident_start_timestamp_seconds %v", got)
	}

	status.Say("operational", nil)
	pebble.Outage("cdn-error")
	parts.Until(t, "the target is down", func() bool { return target("down") })
	down := incidentsOf(t, exporter)[0]
	if down.Official != nil || exporter.Metrics().Has("acme_incident_official_start_timestamp_seconds") {
		t.Errorf("nobody has told of it: %+v", down.Official)
	}
	published := down.Start.Add(11 * time.Minute).Truncate(time.Second)
	status.Say("major_outage", &published)
	parts.Until(t, "the incident has what the CA says", func() bool { return incidentsOf(t, exporter)[0].Official != nil })
	exporter.Kill()
	// The page is gone, and what was read of it stays.
	status.Fail()
	exporter.Serve()
	official := incidentsOf(t, exporter)[0].Official
	if official == nil || !official.Start.Equal(published) || official.Name != "ACME fails" || official.Lead != published.Sub(down.Start) {
		t.Errorf("after a restart: %+v, published %s", official, published)
	}
	m := exporter.Metrics()
	if lead := m.Sum("acme_incident_official_start_timestamp_seconds") - m.Sum("acme_incident_start_timestamp_seconds"); lead < 658 || lead > 661 {
		t.Errorf("a lead of %v s by the metrics", lead)
	}
	page := string(parts.Do(t, http.MethodGet, exporter.URL+"/incidents/"+down.ID))
	if !strings.Contains(page, "detected here 1") || !strings.Contains(page, `<a href="https://status.example/1"`) {
		t.Errorf("the page does not say it:\n%s", page)
	}

	pebble.Outage("off")
	parts.Until(t, "the target is up again", func() bool { return target("up") })
	parts.Until(t, "the status page was not there", func() bool {
		return exporter.Metrics().Sum("acme_probe_failures_total", "module", "status", "stage", "status_page", "reason", "status_page_unavailable") > 5
	})
	if !target("up") || len(incidentsOf(t, exporter)) != 1 {
		t.Errorf("a status page that is not there has made an incident: %+v", incidentsOf(t, exporter))
	}
	if text := string(parts.Do(t, http.MethodGet, exporter.URL+"/")); strings.Contains(text, "secret") {
		t.Error("the page shows the query of the status page's URL")
	}
}
