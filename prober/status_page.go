package prober

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/statuspage"
)

// objectStatusPage is what a failure can be about.
const objectStatusPage = "status page"

// probeStatusPage reads what the CA says of itself. That it says that it is down is no
// failure: a run that has learnt it has done what it is for.
func probeStatusPage(ctx context.Context, r *run) error {
	m := r.Pair.Module.StatusPage
	return r.step(probe.StepStatusPage, "", func() error {
		res, err := r.getOnce(ctx, fetch{call: probe.CallStatusPage, url: m.URL, chosen: true, limit: statuspage.MaxPage})
		if err != nil {
			return err
		}
		page, missing, err := statuspage.Read(m.URL, res.Body, m.Components, time.Now())
		if err != nil {
			return r.broken(objectStatusPage, "%s", quoted(err.Error()))
		}
		r.facts.StatusPage = page
		if len(missing) > 0 {
			return unknownComponents(page, missing)
		}
		return nil
	})
}

// unknownComponents is the failure of a module whose components the page does not have.
func unknownComponents(page *probe.StatusPage, missing []string) error {
	var there []string
	for _, c := range page.Components {
		there = append(there, fmt.Sprintf("%q", c.Name))
	}
	f := fail(probe.FailureClient, objectStatusPage, bounded(fmt.Sprintf("it has no component %q", missing[0])))
	f.Advice = "name one that it has: " + quoted(strings.Join(there, ", "))
	if len(there) == 0 {
		f.Advice = "remove components: the page has none"
	}
	return f
}
