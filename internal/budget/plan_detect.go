package budget

import (
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// FaultKind is a kind of thing that breaks at a CA.
type FaultKind string

// The kinds, in the order of how much it takes to see them.
const (
	FaultEdge       FaultKind = "edge"       // what stands before the CA: nothing answers, or something else
	FaultDatabase   FaultKind = "database"   // what is signed cannot be looked up
	FaultValidation FaultKind = "validation" // validators, or their resolvers, do not work
	FaultSigning    FaultKind = "signing"    // certificates are not made, or not logged
)

// faultKinds lists every kind.
func faultKinds() []FaultKind {
	return []FaultKind{FaultEdge, FaultDatabase, FaultValidation, FaultSigning}
}

// Detection says how soon a fault of one kind makes a run fail.
type Detection struct {
	Fault FaultKind `json:"fault"`
	// Module is the one that sees it first; empty: none of them ever does.
	Module string `json:"module,omitempty"`
	// Within is the worst case: it breaks just when a run is over, and the next one
	// takes until its timeout to fail. A run that confirms it is not in it.
	Within time.Duration `json:"within_ns,omitempty"`
	// UntilFilled is the worst case, by whatever module, as long as pools are not
	// full; 0: the same.
	UntilFilled time.Duration `json:"until_filled_ns,omitempty"`
}

// detect says for each kind of fault which ticking pair of a target sees it
// first.
func detect(pairs []config.Pair, pools []PoolPlan) (list []Detection) {
	for _, kind := range faultKinds() {
		d := Detection{Fault: kind}
		var filling time.Duration // the least that is true while pools are filled
		for i := range pairs {
			p := &pairs[i]
			if p.Interval == 0 || !sees(p, kind) {
				continue
			}
			within := p.Interval + p.Timeout
			if d.Module == "" || within < d.Within {
				d.Module, d.Within = p.Pair.Module, within
			}
			for _, pool := range pools {
				if pool.Module == p.Pair.Module {
					within = max(within, pool.FillEvery+p.Timeout)
				}
			}
			if filling == 0 || within < filling {
				filling = within
			}
		}
		if filling > d.Within {
			d.UntilFilled = filling
		}
		list = append(list, d)
	}
	return list
}

// sees reports whether a run of the pair fails when that is broken. A CA's
// directory and nonces are there as long as its edge is.
func sees(p *config.Pair, kind FaultKind) bool {
	prober := p.Module.Prober
	switch kind {
	case FaultEdge:
		return true
	case FaultDatabase:
		return prober.Signs()
	case FaultValidation:
		// Where a valid authorization is taken as it is, nothing is validated, unless
		// the name is new.
		reused := prober == probe.ProberIssue && p.Module.Issue.Authorization == config.AuthorizationReuse
		return p.Module.Solves() && (!reused || p.Names().Mode == config.NamesRandom)
	default:
		return prober == probe.ProberIssue && p.Module.Expected() == ""
	}
}
