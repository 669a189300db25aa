package live

import "github.com/acme-exporter/acme_exporter/test/parts"

// scenario is what happens to one CA, and what has to come of it. All of them happen
// at the same time, each to a CA of its own that the same exporters watch.
type scenario struct {
	target  string
	staging bool
	// flags of test/ca; nil: one that is smooth.
	flags []string
	// mode is how the CA fails; empty: it does not.
	mode string
	// early has it fail before anything else begins.
	early bool
	// flaps has it fail and work in turns.
	flaps bool
	// cut is how many locations lose their line to it.
	cut int
	// far says that it is watched by the five exporters that will be killed.
	far bool

	// page is what the description of its only page has to match; empty: nobody is
	// paged. What stops all calls can meet a run at any step.
	page string
	// warnings are the alerts that are warned of, each with its location if it has
	// one; no others.
	warnings []string
}

// env is the environment in the exporters' configuration.
func (s *scenario) env() string {
	if s.staging {
		return "staging"
	}
	return "production"
}

// The targets that the timeline does something to beside what they all have.
const (
	healthy  = "healthy"
	flapping = "flapping"
	slow     = "slow"
	quiet    = "quiet"
)

var scenarios = []scenario{
	{target: "dead", mode: "down", page: `\(fault unreachable\)`},
	{target: "database", mode: "db-down", page: `server_internal in \w+ \(fault ca\)`},
	{target: "validation", mode: "va-down", page: `server_internal in validation \(fault ca\)`},
	{target: "signing", mode: "signing-down", page: `server_internal in finalization \(fault ca\)`},
	{target: "resolver", mode: "resolver-down", page: `validation_dns in validation \(fault ca\)`},
	{target: "cdn", mode: "cdn-error", page: `edge_5xx in \w+ \(fault ca\)`},
	{target: flapping, mode: "down", flaps: true, page: `\(fault unreachable\)`},
	{target: "staging", staging: true, mode: "down", warnings: []string{"AcmeCADegraded"}},
	{target: slow, mode: "slow", early: true, warnings: []string{"AcmeIssuanceSlow"}},
	{target: "one", cut: 1, warnings: []string{"AcmeLocationImpaired fra"}},
	{target: "two", cut: 2, warnings: []string{"AcmeLocationImpaired fra", "AcmeLocationImpaired nyc"}},
	{
		target: "limited", warnings: []string{"AcmeRateLimited"},
		flags: []string{"-smooth", parts.RateLimits(parts.Limit{Name: "new_orders", Count: 5, Period: "1h"})},
	},
	{target: quiet, far: true, warnings: []string{"AcmeLocationsMissing"}},
	// As rough as Pebble is: nonces that are refused, validations and orders that
	// take some seconds.
	{target: healthy, flags: []string{}},
}
