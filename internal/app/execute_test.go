package app

import (
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/budget"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/runner"
)

const elsewhere = `targets: {ca: {directory_url: 'https://127.0.0.1:1/dir', environment: staging, probes: {directory: 0s}}}
resolvers: [127.0.0.1:1]
responders: {dns_updates: [{zone: ZONE, server: '127.0.0.1:1', tsig: {key_name: probe, secret: c2VjcmV0}}]}
`

// TestElsewhere holds that a run writes to the zones of the configuration that is
// in force: a record is withdrawn at the server of its zone, and nowhere once the
// zone has left the configuration.
func TestElsewhere(t *testing.T) {
	e := &executor{book: budget.NewBook(new(store))}
	for zone, want := range map[string]string{
		"probe.test": "update of zone probe.test: name server 127.0.0.1:1: ",
		"other.test": "_acme-challenge.x.probe.test lies in no zone of responders.dns_updates",
	} {
		cfg, err := config.Load(write(t, strings.ReplaceAll(elsewhere, "ZONE", zone)))
		if err != nil {
			t.Fatal(err)
		}
		made, err := e.prepare(cfg)
		if err != nil {
			t.Fatal(err)
		}
		e.swap(made)
		start := time.Now()
		facts := e.execute(t.Context(), runner.Job{
			ID: probe.NewID(start), Start: start, Pair: cfg.Pairs()[0],
			FollowUp: &probe.FollowUp{
				Kind: probe.FollowUpWithdrawRecords, Records: []probe.Record{{Name: "_acme-challenge.x.probe.test", Value: "v"}},
			},
		})
		if facts.Failure == nil || !strings.HasPrefix(facts.Failure.Detail, want) {
			t.Errorf("%s: got %+v, want %q", zone, facts.Failure, want)
		}
	}
	e.swap(inForce{})
}
