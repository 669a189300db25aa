package budget

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// RemedyKind is what to change.
type RemedyKind string

// The kinds of remedies.
const (
	RemedyInterval RemedyKind = "interval" // a longer interval
	RemedyPool     RemedyKind = "pool"     // mode: pool, with so many sets
	RemedyValidate RemedyKind = "validate" // the prober validate instead of issue
	RemedyDomains  RemedyKind = "domains"  // so many registered domains in all
	RemedyAccounts RemedyKind = "accounts" // so many accounts in all
	RemedyShare    RemedyKind = "share"    // a larger share
	RemedyStaging  RemedyKind = "staging"  // the CA's staging environment
)

// Remedy is a change with which the limit is kept.
type Remedy struct {
	Kind RemedyKind `json:"kind"`
	// Count is that of sets, domains or accounts; Interval and Share are the least
	// that fit.
	Count    int           `json:"count,omitempty"`
	Interval time.Duration `json:"interval_ns,omitempty"`
	// Times is how many times as long the intervals of several modules must be.
	Times float64 `json:"times,omitempty"`
	Share float64 `json:"share,omitempty"`
	Text  string  `json:"text"`
}

// tooLong is how long a pool may take to fill before it is no advice anymore.
const tooLong = 365 * day

// advice gathers what would fit instead of what one bucket cannot give.
type advice struct {
	*bucket
	name    string // of the target
	target  *config.Target
	buckets []*bucket // all that the target spends from
	share   float64
}

// remedies returns what would fit, the mildest first.
func (a *advice) remedies() (list []Remedy) {
	add := func(r Remedy, format string, args ...any) {
		r.Text = fmt.Sprintf(format, args...)
		list = append(list, r)
	}
	load := a.load(a.share)
	if len(active(a.bucket, a.name)) == 1 {
		least := wholeSeconds(time.Duration(float64(a.spends[0].pair.Interval) * load))
		add(Remedy{Kind: RemedyInterval, Interval: least}, "an interval of %s or more", exact(least))
	} else {
		add(Remedy{Kind: RemedyInterval, Times: upTo(load, 10)}, "intervals %s times as long", number(upTo(load, 10)))
	}
	if pool, ok := a.pool(); ok {
		list = append(list, pool)
	}
	count := ceil(load)
	switch a.limit.Name {
	case config.LimitCertificatesPerDomain:
		add(Remedy{Kind: RemedyDomains, Count: count}, "zones of %d registered domains instead of one", count)
	case config.LimitNewOrders:
		add(Remedy{Kind: RemedyAccounts, Count: count}, "%d accounts, each with a target of its own, that divide the runs", count)
	}
	if a.validate() {
		add(Remedy{Kind: RemedyValidate}, "prober: validate instead of issue, which takes no certificate")
	}
	if least := upTo(a.load(1), 100); a.limit.Shared && least <= 1 {
		add(Remedy{Kind: RemedyShare, Share: least}, "rate_limits: {share: %s}, where others need no more than the rest", number(least))
	}
	if staging := stagingOf(a.target); staging != "" {
		there := config.Target{Preset: staging, Environment: config.Staging}
		if limit := limitNamed(there.Limits(), a.limit.Name); limit == nil || a.perDay <= given(*limit, there.Share()) {
			add(Remedy{Kind: RemedyStaging}, "preset: %s", staging)
		}
	}
	return list
}

// pool says which pool of names would keep the limit: a larger one, or one
// instead of random names.
func (a *advice) pool() (Remedy, bool) {
	if a.limit.Name == config.LimitCertificatesPerSet {
		if a.spends[0].pair.Names().Mode != config.NamesPool {
			return Remedy{}, false
		}
		count := setsNeeded(a.limit, a.spends[0].pair.Interval)
		return Remedy{Kind: RemedyPool, Count: count, Text: fmt.Sprintf("names: {size: %d}", count)}, true
	}
	if !a.limit.Exempt {
		return Remedy{}, false
	}
	sets, text := 0, []string{}
	var instead []*config.Pair
	for _, s := range a.spends {
		set := limitNamed(s.pair.Limits(), config.LimitCertificatesPerSet)
		if s.pair.Module.Prober != probe.ProberIssue || s.perDay == 0 || set == nil {
			continue
		}
		count := setsNeeded(*set, s.pair.Interval)
		instead = append(instead, s.pair)
		sets += count
		text = append(text, fmt.Sprintf("names: {mode: pool, size: %d}", count))
		if len(active(a.bucket, a.name)) > 1 {
			text[len(text)-1] += " for " + s.name(a.name)
		}
	}
	filled := a.filled(sets, instead)
	if sets == 0 || filled > tooLong {
		return Remedy{}, false
	}
	return Remedy{
		Kind: RemedyPool, Count: sets,
		Text: fmt.Sprintf("%s, which is full after %s", strings.Join(text, ", "), about(filled)),
	}, true
}

// filled is how long it takes until so many sets have had a certificate, when the
// pairs spend nothing else.
func (a *advice) filled(sets int, instead []*config.Pair) (longest time.Duration) {
	for _, b := range a.buckets {
		rest, touched := b.perDay, false
		for _, s := range b.spends {
			if slices.Contains(instead, s.pair) {
				rest -= s.perDay
				touched = true
			}
		}
		if !touched || !b.limit.Exempt {
			continue
		}
		left := given(b.limit, a.share) - max(rest, 0)
		if left <= 0 {
			return math.MaxInt64
		}
		longest = max(longest, days(float64(sets+b.once)/left))
	}
	return longest
}

// validate reports whether the limit is one of certificates and the target's
// orders fit when those that spend most of it only validate.
func (a *advice) validate() bool {
	if a.limit.Name != config.LimitCertificatesPerDomain && a.limit.Name != config.LimitCertificatesPerSet {
		return false
	}
	for _, b := range a.buckets {
		if b.limit.Name != config.LimitNewOrders {
			continue
		}
		orders := b.perDay
		for _, s := range b.spends {
			if s.perDay == 0 && slices.ContainsFunc(a.spends, func(o spend) bool { return o.pair == s.pair }) {
				orders += runsPerDay(s.pair) // it was exempt
			}
		}
		return orders <= given(b.limit, a.share)*(1+tolerance)
	}
	return true
}

// stagingOf is the preset of the CA's staging environment; empty: there is none.
func stagingOf(t *config.Target) string {
	for _, preset := range config.Presets() {
		if preset.Name == t.Preset {
			return preset.Staging
		}
	}
	return ""
}

// ceil rounds up to whole ones, but for what floating-point numbers are off.
func ceil(x float64) int { return int(math.Ceil(x * (1 - tolerance))) }

// upTo rounds up to whole parts of one.
func upTo(x, parts float64) float64 { return math.Ceil(x*parts*(1-tolerance)) / parts }

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) time.Duration {
	return time.Duration(ceil(d.Seconds())) * time.Second
}
