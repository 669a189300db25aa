package app

import (
	"encoding/json"
	"log/slog"
	"maps"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// TestCounts holds that a certificate that failed a check is counted for ever: over a
// restart, and once.
func TestCounts(t *testing.T) {
	dir := t.TempDir()
	pair := probe.Pair{Target: "corp", Module: "issue"}
	configured := func(e config.Environment) []config.Pair {
		return []config.Pair{{Pair: pair, Target: &config.Target{Environment: e}}}
	}
	misissued := func() *probe.Result {
		r := &probe.Result{Pair: pair}
		r.Failure = &probe.Failure{Kind: probe.FailureRefusal, Refusal: probe.RefusalMisissued}
		return r
	}
	var more map[probe.Misissuance]uint64 // what is shown of these
	var missing map[probe.RevocationVia]uint64
	failed := func(checks ...probe.Check) *probe.Result {
		r := &probe.Result{Pair: pair}
		r.Certificate = &probe.Certificate{Checks: []probe.CheckResult{{Check: probe.CheckValidity, Passed: true}}}
		for _, c := range checks {
			r.Certificate.Checks = append(r.Certificate.Checks, probe.CheckResult{Check: c})
		}
		return r
	}
	// start begins with what is in the directory, and tells what is shown of it.
	start := func(t *testing.T, pairs []config.Pair) (c *counts, shown *map[probe.Check]uint64, stop func()) {
		t.Helper()
		open, err := state.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		s := &store{dir: dir, open: open}
		shown = new(map[probe.Check]uint64)
		c = newCounts(s, slog.New(slog.DiscardHandler), func(p probe.Pair, f map[probe.Check]uint64, misissued map[probe.Misissuance]uint64) {
			if p != pair || *shown != nil {
				t.Errorf("%s is shown, after %v", p, *shown)
			}
			*shown, more = maps.Clone(f), misissued
		})
		c.showMissing = func(_ probe.Pair, m map[probe.RevocationVia]uint64) { missing = maps.Clone(m) }
		if err := c.restore(); err != nil {
			t.Fatal(err)
		}
		c.Apply(pairs)
		c.Apply(pairs) // a reload shows nothing again
		return c, shown, func() {
			c.Keep()
			if err := s.close(); err != nil {
				t.Error(err)
			}
		}
	}
	expect := func(t *testing.T, shown *map[probe.Check]uint64, want map[probe.Check]uint64) {
		t.Helper()
		if !maps.Equal(*shown, want) {
			t.Errorf("shown after a start: %v, want %v", *shown, want)
		}
	}

	c, shown, stop := start(t, configured(config.Staging))
	expect(t, shown, nil)
	c.Observe(failed(probe.CheckKey, probe.CheckTrust))
	c.Observe(failed(probe.CheckKey))
	c.Observe(failed())
	c.Observe(&probe.Result{Pair: pair}) // nothing was issued
	c.Observe(&probe.Result{Pair: probe.Pair{Target: "gone", Module: "issue"}, Facts: failed(probe.CheckKey).Facts})
	c.Restore(failed(probe.CheckKey)) // which was counted when it happened
	c.Schedule(pair, time.Time{}, false)
	c.Apply(configured(config.Staging))
	expect(t, shown, nil) // the metrics have counted these themselves
	stop()

	c, shown, stop = start(t, configured(config.Staging))
	expect(t, shown, map[probe.Check]uint64{probe.CheckKey: 2, probe.CheckTrust: 1})
	c.Observe(failed(probe.CheckKey))
	missed := &probe.Result{Pair: pair, FollowUp: probe.FollowUpWatchRevocation, Verdict: probe.Verdict{Outcome: probe.OutcomeFailure}}
	missed.Revocation = &probe.Revocation{Via: probe.ViaCRL}
	c.Observe(missed) // the next look may tell
	missed.Revocation = &probe.Revocation{Via: probe.ViaCRL, GivenUp: true}
	c.Observe(missed)
	c.Observe(misissued())
	unproven := misissued()
	unproven.Failure.Refusal = probe.RefusalUnproven
	c.Observe(unproven)
	unproven.Failure.Refusal = probe.RefusalMisauthorized
	for range 3 {
		c.Observe(unproven)
	}
	stop()
	c, shown, stop = start(t, configured(config.Staging))
	expect(t, shown, map[probe.Check]uint64{probe.CheckKey: 3, probe.CheckTrust: 1})
	if missing[probe.ViaCRL] != 1 || len(missing) != 1 {
		t.Errorf("revocations that never showed, after a start: %v, want 1 on lists", missing)
	}
	if more[probe.MisissuedCertificate] != 1 || more[probe.MisissuedAuthorization] != 3 {
		t.Errorf("misissued, after a start: %v, want 1 certificate and 3 authorizations", more)
	}
	later := misissued()
	later.FollowUp = probe.FollowUpRevoke
	c.Observe(later)
	stop()
	_, shown, stop = start(t, configured(config.Staging))
	expect(t, shown, map[probe.Check]uint64{probe.CheckKey: 3, probe.CheckTrust: 1})
	if more[probe.MisissuedCertificate] != 2 || more[probe.MisissuedAuthorization] != 3 {
		t.Errorf("misissued, after two starts: %v, want 2 certificates and 3 authorizations", more)
	}
	stop()

	_, shown, stop = start(t, configured(config.Production)) // other series
	expect(t, shown, nil)
	stop()
	c, shown, stop = start(t, configured(config.Staging))
	expect(t, shown, nil)
	c.Observe(failed(probe.CheckKey))
	c.Apply(nil) // the series go, and so does what is kept
	stop()
	c, shown, stop = start(t, configured(config.Staging))
	expect(t, shown, nil)
	if err := c.store.Commit(state.Change{Bucket: bucketFailedChecks, Key: pair.String(), Value: json.RawMessage(`{"failed":1}`)}); err != nil {
		t.Fatal(err)
	}
	stop()
	_, shown, stop = start(t, configured(config.Staging)) // unreadable, and nobody's fault
	expect(t, shown, nil)
	stop()
}
