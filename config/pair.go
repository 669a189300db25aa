package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"gopkg.in/yaml.v3"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Pairs returns what is to be probed, sorted by target and module.
func (c *Config) Pairs() []Pair {
	var pairs []Pair
	for _, target := range sortedKeys(c.Targets) {
		for _, module := range sortedKeys(c.Targets[target].Probes) {
			if p, ok := c.Pair(probe.Pair{Target: target, Module: module}); ok {
				pairs = append(pairs, p)
			}
		}
	}
	return pairs
}

// Pair returns what is in force for p; ok is false if it is not configured.
func (c *Config) Pair(p probe.Pair) (pair Pair, ok bool) {
	t, m := c.Targets[p.Target], c.Modules[p.Module]
	if t == nil || m == nil {
		return Pair{}, false
	}
	interval, ok := t.Probes[p.Module]
	if !ok {
		return Pair{}, false
	}
	own := *m
	if preset := presetNamed(t.Preset); preset != nil {
		if own.timeoutByDefault && preset.Timeout(m.Prober) != 0 {
			own.Timeout = model.Duration(preset.Timeout(m.Prober))
		}
		if !t.OwnCA {
			own.MinInterval = max(own.MinInterval, model.Duration(preset.Floor(m.Prober)))
		}
	}
	own.completeStatusPage(t)
	if own.Expected() != "" && !t.OwnCA {
		own.MinInterval = max(own.MinInterval, model.Duration(expectEvery))
	}
	return Pair{
		Pair: p, Target: t, Module: &own,
		Interval:    time.Duration(interval),
		MinInterval: time.Duration(own.MinInterval),
		Timeout:     time.Duration(own.Timeout),
		Hash:        hash(t, &own, interval),
	}, true
}

// Names are those that the pair orders; nil: it orders nothing.
func (p *Pair) Names() *Names {
	names, _, _ := p.Module.orders()
	return names
}

// FixedNames are the names that the pair orders in every run; empty: it orders
// nothing, or names that are new each time.
func (p *Pair) FixedNames() []string {
	if names, _, _ := p.Module.orders(); names != nil && names.Mode == NamesFixed {
		return names.List
	}
	return nil
}

// Challenge is the one that the pair's runs solve; empty: none.
func (p *Pair) Challenge() probe.ChallengeType {
	challenge, _ := p.Module.solves()
	return challenge
}

// Lookup returns the pair that somebody asks for by name; its error lists those
// that are configured.
func (c *Config) Lookup(target, module string) (Pair, error) {
	t := c.Targets[target]
	if t == nil {
		return Pair{}, fmt.Errorf("unknown target %q: configured are %s", target, strings.Join(sortedKeys(c.Targets), ", "))
	}
	p, ok := c.Pair(probe.Pair{Target: target, Module: module})
	if !ok {
		return Pair{}, fmt.Errorf("the target %q has no probe %q: configured are %s", target, module, strings.Join(sortedKeys(t.Probes), ", "))
	}
	return p, nil
}

// hash digests what is in force for a pair: the target without its other
// probes, the module without what is made of its runs, the interval, its limits,
// and what the target's files and long secrets hold. The hash is published; so the proxy's user, password and
// headers, which could be guessed from it, are left out.
func hash(t *Target, m *Module, interval model.Duration) string {
	target := redactTarget(t)
	target.Probes, target.RateLimits = nil, nil
	// Only what spends is held by limits; what is not written counts as what is.
	var limits []any
	if m.Prober.Orders() {
		limits = []any{t.Limits(), t.Share()}
	}
	secrets := []string{string(t.TLSConfig.Key)}
	if b := t.Account.ExternalAccountBinding; b != nil {
		secrets = append(secrets, string(b.HMACKey))
	}
	digest := sha256.New()
	enc := yaml.NewEncoder(digest)
	own := *m
	own.Critical = nil
	values := []any{target, &own, interval, t.files, secrets, limits}
	if len(m.files) > 0 {
		values = append(values, m.files)
	}
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			panic(fmt.Sprintf("config: encode: %v", err)) // every type is our own
		}
	}
	_ = enc.Close() // what it writes to does not fail
	return hex.EncodeToString(digest.Sum(nil))[:16]
}
