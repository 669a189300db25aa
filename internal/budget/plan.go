package budget

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Plan says what a configuration will spend of what its CAs give, how soon it
// will notice what breaks, and what of it cannot be kept.
//
// It counts the ticks. What a scrape of /probe or a person starts beside them is
// not known before; the ledger holds that within the limits.
type Plan struct {
	Targets []TargetPlan `json:"targets"`
}

// TargetPlan is the plan of one target.
type TargetPlan struct {
	Target      string             `json:"target"`
	Environment config.Environment `json:"environment"`
	// Share is how much of the limits that others spend from too is ours.
	Share float64 `json:"share"`
	// Limits are those that the target's probes spend from, each for its tightest
	// key. Empty: nothing is spent, or no limits are known.
	Limits    []LimitPlan `json:"limits,omitempty"`
	Pools     []PoolPlan  `json:"pools,omitempty"`
	Detection []Detection `json:"detection"`
	// UnknownLimits: it orders from a CA whose limits are not known.
	UnknownLimits bool `json:"unknown_limits,omitempty"`
	// OnDemand are modules that spend and have no interval: they are not counted.
	OnDemand []string `json:"on_demand,omitempty"`
	// Refusals are what cannot be kept; empty: all can.
	Refusals []Refusal `json:"refusals,omitempty"`
}

// LimitPlan is what is spent of one limit.
type LimitPlan struct {
	Limit config.LimitName `json:"limit"`
	// Key is what the tightest bucket is for, such as a registered domain.
	Key     string   `json:"key"`
	Modules []string `json:"modules"` // those that spend, the most hungry one first
	// Capacity are the tokens of our part of the bucket.
	Capacity    int     `json:"capacity"`
	SpentPerDay float64 `json:"spent_per_day"`
	GivenPerDay float64 `json:"given_per_day"`
	// Once are tokens that are spent once beside that: by a pool that is filled, or
	// for an account.
	Once int `json:"once,omitempty"`
	// OnFailure: only failed validations spend, and SpentPerDay is for when all fail.
	OnFailure bool `json:"on_failure,omitempty"`
	// DryAfter is when the ticks' part of a full bucket is spent; 0: never.
	DryAfter time.Duration `json:"dry_after_ns,omitempty"`
}

// PoolPlan is how a pool of names is filled and renewed.
type PoolPlan struct {
	Module string `json:"module"`
	Sets   int    `json:"sets"`
	// Needed is how many sets the interval needs; 0: there is no interval, or no limit.
	Needed int `json:"needed,omitempty"`
	// RenewEvery is the time between two certificates for one set; 0: no interval.
	RenewEvery time.Duration `json:"renew_every_ns,omitempty"`
	// FilledAfter is how long it takes until each set has had a certificate; 0: never.
	FilledAfter time.Duration `json:"filled_after_ns"`
	// FillEvery is the time between two new sets.
	FillEvery time.Duration `json:"fill_every_ns"`
}

// spend is what one pair spends of one limit for one key.
type spend struct {
	target, module string
	limit          config.Limit
	scope          string // together with limit and key it is one bucket
	key            string
	perDay         float64
	once           int
	onFailure      bool
	pair           *config.Pair
}

// bucketID tells buckets apart.
type bucketID struct {
	limit      config.LimitName
	scope, key string
}

// bucket is what is spent from one bucket, by all targets.
type bucket struct {
	limit  config.Limit
	key    string
	spends []spend // the most hungry one first
	perDay float64
	once   int
}

// NewPlan returns the plan of a configuration.
func NewPlan(cfg *config.Config) *Plan {
	pairs := cfg.Pairs()
	buckets := gather(pairs)
	plan := &Plan{}
	names := make([]string, 0, len(cfg.Targets))
	for name := range cfg.Targets {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		var own []config.Pair
		for i := range pairs {
			if pairs[i].Pair.Target == name {
				own = append(own, pairs[i])
			}
		}
		plan.Targets = append(plan.Targets, planTarget(name, cfg.Targets[name], own, buckets))
	}
	return plan
}

// Refused reports whether there is something that cannot be kept.
func (p *Plan) Refused() bool {
	return slices.ContainsFunc(p.Targets, func(t TargetPlan) bool { return len(t.Refusals) > 0 })
}

func planTarget(name string, t *config.Target, pairs []config.Pair, buckets []*bucket) TargetPlan {
	plan := TargetPlan{Target: name, Environment: t.Environment, Share: t.Share()}
	own := slices.DeleteFunc(slices.Clone(buckets), func(b *bucket) bool {
		return !slices.ContainsFunc(b.spends, func(s spend) bool { return s.target == name })
	})
	for _, limit := range config.LimitNames() {
		var tightest *bucket
		for _, b := range own {
			if b.limit.Name == limit && (tightest == nil || b.tighter(tightest, plan.Share)) {
				tightest = b
			}
		}
		if tightest != nil {
			plan.Limits = append(plan.Limits, tightest.plan(name, plan.Share))
		}
	}
	for i := range pairs {
		p := &pairs[i]
		if p.Module.Prober.Orders() && p.Interval == 0 {
			plan.OnDemand = append(plan.OnDemand, p.Pair.Module)
		}
		if p.Module.Prober.Orders() && len(t.Limits()) == 0 && !t.OwnCA && (t.RateLimits == nil || !t.RateLimits.None) {
			plan.UnknownLimits = true
		}
		if names := p.Names(); names != nil && names.Mode == config.NamesPool {
			plan.Pools = append(plan.Pools, planPool(p, names, own, plan.Share))
		}
	}
	plan.Detection = detect(pairs, plan.Pools)
	plan.Refusals = refuse(name, t, own, plan.Share)
	return plan
}

// gather returns the buckets that the pairs spend from, in a stable order.
func gather(pairs []config.Pair) []*bucket {
	var order []*bucket
	known := map[bucketID]*bucket{}
	accounts := map[string]bool{}
	add := func(s spend) {
		id := bucketID{s.limit.Name, s.scope, s.key}
		b := known[id]
		if b == nil {
			b = &bucket{limit: s.limit, key: s.key}
			known[id] = b
			order = append(order, b)
		}
		b.spends = append(b.spends, s)
		b.perDay += s.perDay
		b.once += s.once
	}
	for i := range pairs {
		p := &pairs[i]
		for _, s := range spends(p) {
			add(s)
		}
		if p.Module.Prober.Signs() && !accounts[p.Pair.Target] {
			accounts[p.Pair.Target] = true
			for _, s := range accountSpends(p) {
				add(s)
			}
		}
	}
	for _, b := range order {
		slices.SortStableFunc(b.spends, func(x, y spend) int {
			return cmp.Or(cmp.Compare(y.perDay, x.perDay), cmp.Compare(y.once, x.once))
		})
	}
	return order
}

// bucketOf is our part of a limit's bucket. Limits and shares that were loaded make
// one; of others nothing is ever given.
func bucketOf(limit config.Limit, share float64) Bucket {
	b, err := NewBucket(limit, share)
	if err != nil {
		return Bucket{Interval: math.MaxInt64, Size: 1}
	}
	return b
}

// given is how many tokens of our part come back in a day.
func given(limit config.Limit, share float64) float64 {
	return float64(day) / float64(bucketOf(limit, share).Interval)
}

// load is how much of what comes back is spent; above 1 it cannot be kept.
func (b *bucket) load(share float64) float64 { return b.perDay / given(b.limit, share) }

// tighter reports whether more of b is spent than of other, or as much, and not only
// where something fails.
func (b *bucket) tighter(other *bucket, share float64) bool {
	fails := func(s spend) bool { return s.onFailure }
	mine, others := b.load(share), other.load(share)
	return mine > others ||
		mine == others && slices.ContainsFunc(other.spends, fails) && !slices.ContainsFunc(b.spends, fails)
}

// tolerance is what sums of floating-point numbers may be off.
const tolerance = 1e-9

func (b *bucket) plan(target string, share float64) LimitPlan {
	ours := bucketOf(b.limit, share)
	p := LimitPlan{
		Limit: b.limit.Name, Key: b.key, Capacity: ours.Size,
		SpentPerDay: b.perDay, GivenPerDay: given(b.limit, share), Once: b.once,
	}
	for _, s := range b.spends {
		p.OnFailure = p.OnFailure || s.onFailure
		p.Modules = append(p.Modules, s.name(target))
	}
	p.Modules = slices.Compact(p.Modules)
	if p.SpentPerDay > p.GivenPerDay*(1+tolerance) {
		// What ticks may take of a full bucket, and what flows in meanwhile.
		p.DryAfter = days(float64(ours.Size-ours.Kept) / (p.SpentPerDay - p.GivenPerDay))
	}
	return p
}

// name is that of who spends, as seen from a target.
func (s *spend) name(target string) string {
	if s.target == target {
		return s.module
	}
	return probe.Pair{Target: s.target, Module: s.module}.String()
}

// days returns d days, at most what a duration can be.
func days(d float64) time.Duration {
	return time.Duration(min(d*float64(day), float64(1<<62)))
}

// planPool says how a pool is filled. Sets are new for the limits only once, so
// that all pools beneath one key share what nothing else spends there.
func planPool(p *config.Pair, names *config.Names, buckets []*bucket, share float64) PoolPlan {
	plan := PoolPlan{Module: p.Pair.Module, Sets: names.Sets}
	if p.Interval > 0 {
		plan.RenewEvery = p.Interval * time.Duration(names.Sets)
		if set := limitNamed(p.Limits(), config.LimitCertificatesPerSet); set != nil {
			plan.Needed = setsNeeded(*set, p.Interval)
		}
	}
	plan.FillEvery = p.Interval
	for _, b := range buckets {
		if b.once == 0 || !slices.ContainsFunc(b.spends, func(s spend) bool { return s.target == p.Pair.Target && s.module == p.Pair.Module && s.once > 0 }) {
			continue
		}
		left := given(b.limit, share) - b.perDay
		if left <= 0 {
			plan.FillEvery = 0
			return plan
		}
		// Each pool fills in proportion to its size.
		plan.FillEvery = max(plan.FillEvery, days(float64(b.once)/left/float64(names.Sets)))
	}
	plan.FilledAfter = plan.FillEvery * time.Duration(names.Sets)
	return plan
}

// setsNeeded is how many sets must take turns so that each gets a certificate no
// more often than the limit of exact sets lets.
func setsNeeded(set config.Limit, interval time.Duration) int {
	each := set.Period / time.Duration(set.Count)
	return max(1, int((each+interval-1)/interval))
}

// limitNamed returns nil if there is none of that name.
func limitNamed(limits []config.Limit, name config.LimitName) *config.Limit {
	i := slices.IndexFunc(limits, func(l config.Limit) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return &limits[i]
}
