package app

import (
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// bucketFailedChecks has, for each pair that had a certificate fail a check, how many.
const bucketFailedChecks = "failed_checks"

// failedChecks is how many certificates of a pair failed each check, ever, and how often
// the CA gave what it had to refuse. It is also the stored form.
type failedChecks struct {
	probe.Pair
	Environment string                 `json:"environment"`
	Failed      map[probe.Check]uint64 `json:"failed"`
	// Misissued are those of certificates, Misauthorized of authorizations.
	Misissued     uint64 `json:"misissued,omitempty"`
	Misauthorized uint64 `json:"misauthorized,omitempty"`
	// Missing are revocations that never showed.
	Missing map[probe.RevocationVia]uint64 `json:"missing,omitempty"`
}

// misissued returns by kind how often the CA gave what it had to refuse.
func (f *failedChecks) misissued() map[probe.Misissuance]uint64 {
	return map[probe.Misissuance]uint64{
		probe.MisissuedCertificate: f.Misissued, probe.MisissuedAuthorization: f.Misauthorized,
	}
}

// counts keeps over restarts how many certificates failed a check, and how often a CA
// gave what it had to refuse: that is rare, and must not be lost because the process ends before the next scrape. It is an observer,
// and comes after the metrics, which have counted what it stores.
type counts struct {
	*behind
	// show has a pair's counters start with what is kept of it.
	show func(p probe.Pair, failed map[probe.Check]uint64, misissued map[probe.Misissuance]uint64)
	// showMissing does so for revocations that never showed; nil: nobody counts them.
	showMissing func(p probe.Pair, missing map[probe.RevocationVia]uint64)

	mu           sync.Mutex                   // guards the fields below
	environments map[probe.Pair]string        // of the configured pairs
	kept         map[probe.Pair]*failedChecks // of pairs that had a failure
	shown        map[probe.Pair]bool          // those whose counters say what is kept
}

func newCounts(s *store, logger *slog.Logger, show func(probe.Pair, map[probe.Check]uint64, map[probe.Misissuance]uint64)) *counts {
	return &counts{behind: newBehind(s, logger, "counts of failed checks"), show: show, kept: make(map[probe.Pair]*failedChecks), shown: make(map[probe.Pair]bool)}
}

// restore reads what the store has. It must be called before the pairs are applied
// that it is about.
func (c *counts) restore() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.store.All(bucketFailedChecks, func(key string, value []byte) error {
		f := new(failedChecks)
		if err := json.Unmarshal(value, f); err != nil || f.Pair.String() != key || f.Failed == nil {
			c.logger.Error("A stored count of failed checks is not readable, and left alone", "key", key, "err", err)
			return nil
		}
		if c.kept[f.Pair] == nil {
			c.kept[f.Pair] = f
		}
		return nil
	})
}

// Apply implements runner.Configured: new pairs go on where they were before the
// start. What is kept of removed ones is forgotten, as their series are; one whose
// environment has changed is a new one.
func (c *counts) Apply(pairs []config.Pair) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.environments = make(map[probe.Pair]string, len(pairs))
	for _, p := range pairs {
		c.environments[p.Pair] = string(p.Target.Environment)
	}
	var gone []state.Change
	for p, f := range c.kept {
		environment, configured := c.environments[p]
		switch {
		case !configured || environment != f.Environment:
			delete(c.kept, p)
			delete(c.shown, p)
			gone = append(gone, state.Change{Bucket: bucketFailedChecks, Key: p.String()})
		case !c.shown[p]:
			c.show(p, f.Failed, f.misissued())
			if c.showMissing != nil {
				c.showMissing(p, f.Missing)
			}
			c.shown[p] = true
		}
	}
	c.later(gone...)
}

// Observe implements runner.Observer.
func (c *counts) Observe(r *probe.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	environment, configured := c.environments[r.Pair]
	missing := r.MissingRevocation()
	if !configured {
		return
	}
	var failed []probe.Check
	if r.Certificate != nil {
		for _, check := range r.Certificate.Checks {
			if !check.Passed {
				failed = append(failed, check.Check)
			}
		}
	}
	if len(failed) == 0 && r.Misissued() == "" && missing == "" {
		return
	}
	kept := c.kept[r.Pair]
	if kept == nil {
		kept = &failedChecks{Pair: r.Pair, Environment: environment, Failed: make(map[probe.Check]uint64)}
		c.kept[r.Pair], c.shown[r.Pair] = kept, true
	}
	for _, check := range failed {
		kept.Failed[check]++
	}
	if missing != "" {
		if kept.Missing == nil {
			kept.Missing = make(map[probe.RevocationVia]uint64)
		}
		kept.Missing[missing]++
	}
	switch r.Misissued() {
	case probe.MisissuedCertificate:
		kept.Misissued++
	case probe.MisissuedAuthorization:
		kept.Misauthorized++
	}
	c.later(state.Change{Bucket: bucketFailedChecks, Key: r.Pair.String(), Value: kept})
}

// Restore implements runner.Observer: what a Result of before the start failed is
// counted already.
func (c *counts) Restore(*probe.Result) {}

// Schedule implements runner.Observer.
func (c *counts) Schedule(probe.Pair, time.Time, bool) {}
