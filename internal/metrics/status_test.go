package metrics

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

var saying = probe.Pair{Target: "corp", Module: "status_page"}

// said is a run that has read a status page with incidents that were published then,
// and one that is over.
func said(at time.Time, overall probe.ServiceState, published ...time.Time) *probe.Result {
	page := &probe.StatusPage{
		Overall:       overall,
		Components:    []probe.Component{{Name: "ACME", State: probe.ServiceDegraded, Watched: true}, {Name: "Mail", State: probe.ServiceMajor}},
		Announcements: []probe.Announcement{{Name: "over", Start: time.Unix(9000, 0), End: time.Unix(9001, 0)}},
	}
	for _, p := range published {
		page.Announcements = append(page.Announcements, probe.Announcement{Name: "open", Start: p})
	}
	return &probe.Result{
		Version: probe.Version, ID: probe.NewID(at), Pair: saying, Prober: probe.ProberStatusPage, Trigger: probe.TriggerTick, ConfigHash: "1", Start: at,
		Verdict: probe.Verdict{Outcome: probe.OutcomeSuccess}, Facts: probe.Facts{StatusPage: page},
	}
}

// TestStatus holds what is shown of a status page: the watched components only, the
// latest of the open incidents, and nothing that the page does not say.
func TestStatus(t *testing.T) {
	m, reg := newMetricsOf(t, Options{Histograms: Classic})
	m.Apply([]config.Pair{beside(saying, probe.ProberStatusPage)})
	names := []string{"acme_status_overall", "acme_status_component_state", "acme_status_incidents", "acme_status_incident_start_timestamp_seconds"}
	if got := values(t, reg, names...); len(got) > 0 {
		t.Errorf("there before anything was read: %v", got)
	}
	m.Observe(said(start, probe.ServiceMajor, time.Unix(1000, 0), time.Unix(3000, 0), time.Unix(2000, 0)))
	m.Restore(said(start.Add(-time.Minute), probe.ServiceOperational))
	unread := said(start.Add(time.Minute), "")
	unread.StatusPage = nil
	m.Observe(unread)
	want := map[string]float64{"acme_status_incidents{}": 3, "acme_status_incident_start_timestamp_seconds{}": 3000}
	states := func(family, more string, now probe.ServiceState) {
		for _, s := range probe.ServiceStates() {
			value := 0.0
			if s == now {
				value = 1
			}
			want[family+"{"+more+"state="+string(s)+"}"] = value
		}
	}
	states("acme_status_overall", "", probe.ServiceMajor)
	states("acme_status_component_state", "component=ACME,", probe.ServiceDegraded)
	if diff := cmp.Diff(want, values(t, reg, names...)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	m.Observe(said(start.Add(2*time.Minute), ""))
	want = map[string]float64{"acme_status_incidents{}": 0}
	states("acme_status_component_state", "component=ACME,", probe.ServiceDegraded)
	if diff := cmp.Diff(want, values(t, reg, names...)); diff != "" {
		t.Errorf("after the incidents, of a page without an overall state: -want +got:\n%s", diff)
	}
}
