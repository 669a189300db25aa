package config

import (
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// LimitName names a rate limit of a CA. The list is closed; it becomes a label.
type LimitName string

// The rate limits, each with what it is counted by.
const (
	LimitNewOrders             LimitName = "new_orders"               // the account
	LimitCertificatesPerDomain LimitName = "certificates_per_domain"  // the registered domain
	LimitCertificatesPerSet    LimitName = "certificates_per_set"     // the exact set of identifiers
	LimitFailedValidations     LimitName = "failed_validations"       // the account and the identifier
	LimitConsecutiveFailures   LimitName = "consecutive_failures"     // the account and the identifier
	LimitNewAccountsPerIP      LimitName = "new_accounts_per_ip"      // our address
	LimitNewAccountsPerNetwork LimitName = "new_accounts_per_network" // our IPv6 /48
)

// LimitNames lists every rate limit.
func LimitNames() []LimitName {
	return []LimitName{
		LimitNewOrders, LimitCertificatesPerDomain, LimitCertificatesPerSet, LimitFailedValidations,
		LimitConsecutiveFailures, LimitNewAccountsPerIP, LimitNewAccountsPerNetwork,
	}
}

// ExemptFor is how long a certificate makes another one for the same set of
// identifiers exempt from the limits that say so.
const ExemptFor = 120 * 24 * time.Hour

// Limit is a rate limit: a bucket of tokens that fills evenly.
type Limit struct {
	Name   LimitName
	Count  int           // tokens of a full bucket; at least 1
	Period time.Duration // in which that many come back, evenly: one each Period/Count
	// Shared: others spend from it too, so that only [Target.Share] of it is ours.
	Shared bool
	// Exempt: what is for a set of identifiers that had a certificate within
	// [ExemptFor] does not count.
	Exempt bool
	// Pauses: when it is empty, the CA pauses the key until a human lifts that.
	Pauses bool
}

// RateLimits is what a file says of a CA's rate limits: "none", or what differs
// from the preset.
type RateLimits struct {
	// None: the CA has no limits. Nothing else is said then.
	None bool `yaml:"-"`
	// Share is how much of the limits that others spend from too is ours, above 0
	// and at most 1; 0: the default, see [Target.Share].
	Share                 float64    `yaml:"share,omitempty"`
	NewOrders             *LimitSize `yaml:"new_orders,omitempty"` // nil, here and below: as the preset says
	CertificatesPerDomain *LimitSize `yaml:"certificates_per_domain,omitempty"`
	CertificatesPerSet    *LimitSize `yaml:"certificates_per_set,omitempty"`
	FailedValidations     *LimitSize `yaml:"failed_validations,omitempty"`
	ConsecutiveFailures   *LimitSize `yaml:"consecutive_failures,omitempty"`
	NewAccountsPerIP      *LimitSize `yaml:"new_accounts_per_ip,omitempty"`
	NewAccountsPerNetwork *LimitSize `yaml:"new_accounts_per_network,omitempty"`
}

// LimitSize is how much a limit gives.
type LimitSize struct {
	Count  int            `yaml:"count,omitempty"`  // 0: as the preset says
	Period model.Duration `yaml:"period,omitempty"` // 0: as the preset says
}

// rateLimitsNone is the one word that rate_limits can be.
const rateLimitsNone = "none"

const day = 24 * time.Hour

// letsEncryptLimits and letsEncryptStagingLimits are what Let's Encrypt
// publishes.
var (
	letsEncryptLimits = []Limit{
		{Name: LimitNewOrders, Count: 300, Period: 3 * time.Hour},
		{Name: LimitCertificatesPerDomain, Count: 50, Period: 7 * day},
		{Name: LimitCertificatesPerSet, Count: 5, Period: 7 * day},
		{Name: LimitFailedValidations, Count: 5, Period: time.Hour},
		{Name: LimitConsecutiveFailures, Count: 1152, Period: 1152 * day},
		{Name: LimitNewAccountsPerIP, Count: 10, Period: 3 * time.Hour},
		{Name: LimitNewAccountsPerNetwork, Count: 500, Period: 3 * time.Hour},
	}
	letsEncryptStagingLimits = []Limit{
		{Name: LimitNewOrders, Count: 1500, Period: 3 * time.Hour},
		{Name: LimitCertificatesPerDomain, Count: 30000, Period: time.Second}, // as good as none
		{Name: LimitCertificatesPerSet, Count: 30000, Period: 7 * day},
		{Name: LimitFailedValidations, Count: 200, Period: time.Hour},
		{Name: LimitConsecutiveFailures, Count: 3600, Period: 6 * time.Hour},
		{Name: LimitNewAccountsPerIP, Count: 50, Period: 3 * time.Hour},
		{Name: LimitNewAccountsPerNetwork, Count: 500, Period: 3 * time.Hour},
	}
)

// limitsOf are the limits of a preset's CA by the preset's name; of the others
// none are known.
var limitsOf = map[string][]Limit{
	"letsencrypt":         letsEncryptLimits,
	"letsencrypt-staging": letsEncryptStagingLimits,
}

// plainRateLimits is RateLimits without its own form.
type plainRateLimits RateLimits

// MarshalYAML implements yaml.Marshaler.
func (r RateLimits) MarshalYAML() (any, error) {
	if r.None {
		return rateLimitsNone, nil
	}
	return plainRateLimits(r), nil
}

// size returns what is written of a limit; nil: nothing.
func (r *RateLimits) size(name LimitName) *LimitSize {
	if r == nil {
		return nil
	}
	return map[LimitName]*LimitSize{
		LimitNewOrders:             r.NewOrders,
		LimitCertificatesPerDomain: r.CertificatesPerDomain,
		LimitCertificatesPerSet:    r.CertificatesPerSet,
		LimitFailedValidations:     r.FailedValidations,
		LimitConsecutiveFailures:   r.ConsecutiveFailures,
		LimitNewAccountsPerIP:      r.NewAccountsPerIP,
		LimitNewAccountsPerNetwork: r.NewAccountsPerNetwork,
	}[name]
}

// Limits are the rate limits in force, in the order of [LimitNames]: the
// preset's, unless own_ca lifts them, with what is written in their place. Nil:
// none, or none are known.
//
// A limit of the exact set of identifiers is Shared here; where nobody else can
// know the names, it is not: see [Pair.Limits].
func (t *Target) Limits() (limits []Limit) {
	if t.RateLimits != nil && t.RateLimits.None {
		return nil
	}
	known := t.presetLimits()
	for _, name := range LimitNames() {
		limit := Limit{Name: name}
		if i := slices.IndexFunc(known, func(l Limit) bool { return l.Name == name }); i >= 0 {
			limit = known[i]
			// The exemption is this CA's; other CAs may have none.
			limit.Exempt = name == LimitNewOrders || name == LimitCertificatesPerDomain
		}
		if size := t.RateLimits.size(name); size != nil {
			if size.Count != 0 {
				limit.Count = size.Count
			}
			if size.Period != 0 {
				limit.Period = time.Duration(size.Period)
			}
		}
		if limit.Count < 1 || limit.Period <= 0 {
			continue
		}
		limit.Pauses = name == LimitConsecutiveFailures
		limit.Shared = name == LimitCertificatesPerDomain || name == LimitCertificatesPerSet
		limits = append(limits, limit)
	}
	return limits
}

// knows reports whether limits have one of that name.
func knows(limits []Limit, name LimitName) bool {
	return slices.ContainsFunc(limits, func(l Limit) bool { return l.Name == name })
}

// presetLimits are those of the preset, unless own_ca lifts them.
func (t *Target) presetLimits() []Limit {
	if t.OwnCA {
		return nil
	}
	return limitsOf[t.Preset]
}

// Share is how much of the limits that others spend from too is ours, above 0
// and at most 1: by default one half at a public CA's production, all elsewhere.
func (t *Target) Share() float64 {
	switch {
	case t.RateLimits != nil && t.RateLimits.Share != 0:
		return t.RateLimits.Share
	case t.Preset != "" && t.Environment == Production && !t.OwnCA:
		return 0.5
	default:
		return 1
	}
}

// Limits are the rate limits in force for the pair's runs. Random names and
// those of a pool are our own making, so that nobody else spends from the limit
// of their exact set.
func (p *Pair) Limits() []Limit {
	limits := p.Target.Limits()
	names, _, _ := p.Module.orders()
	if names == nil || names.Mode == NamesFixed {
		return limits
	}
	for i := range limits {
		if limits[i].Name == LimitCertificatesPerSet {
			limits[i].Shared = false
		}
	}
	return limits
}
