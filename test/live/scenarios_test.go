package live

import "github.com/acme-exporter/acme_exporter/test/parts"

// scenario is what happens to one CA, and what has to come of it. All of them happen
// at the same time, each to a CA of its own that a group of exporters watches.
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
	// by is who watches it.
	by group
	// published says that it signs as a public CA does, and that all there is to see of
	// it is watched.
	published bool
	// told says that its status page tells of it, after a while.
	told bool

	// page is what everything that was met has to match, by the description of its only
	// page; empty: nobody is paged.
	page string
	// warnings are the alerts that are warned of, each with its location if it has
	// one; no others.
	warnings []string
}

// group is some of the exporters.
type group int

const (
	near group = iota // five locations that watch most CAs
	far               // five that watch one, of which four are killed
	side              // four that watch two, the first of which loses its line to everything
)

// env is the environment in the exporters' configuration.
func (s *scenario) env() string {
	if s.staging {
		return "staging"
	}
	return "production"
}

// The targets that the timeline does something to beside what they all have.
const (
	healthy   = "healthy"
	flapping  = "flapping"
	slow      = "slow"
	quiet     = "quiet"
	database  = "database"
	published = "published"
)

// The steps at which a run can be when something begins to fail: all that ask the CA,
// and those of them that sign, which are all that ask its database.
const (
	signs = `(account|order|authorization|validation|finalization|download)`
	asks  = `(directory|nonce|account|order|authorization|validation|finalization|download)`
	// gone is what is met where nobody answers: by a run that begins, and by one whose
	// connection is there. Of one that had an answer before, it is the CA's fault
	// (docs/verdicts.md).
	gone = `(connect|tls)_failed in directory \(fault unreachable\)|no_answer_(closed|failed) in ` + asks + ` \(fault (unreachable|ca)\)`
)

var scenarios = []scenario{
	{target: "dead", mode: "down", page: gone},
	{target: database, mode: "db-down", told: true, page: `server_internal in ` + signs + ` \(fault ca\)`},
	{target: "validation", mode: "va-down", page: `server_internal in validation \(fault ca\)`},
	{target: "signing", mode: "signing-down", page: `server_internal in finalization \(fault ca\)`},
	{target: "resolver", mode: "resolver-down", page: `validation_dns in validation \(fault ca\)`},
	{target: "cdn", mode: "cdn-error", page: `edge_5xx in ` + asks + ` \(fault ca\)`},
	{target: flapping, mode: "down", flaps: true, page: gone},
	{target: "staging", staging: true, mode: "down", warnings: []string{"AcmeCADegraded"}},
	{target: slow, mode: "slow", early: true, warnings: []string{"AcmeIssuanceSlow"}},
	{target: "one", cut: 1, warnings: []string{"AcmeLocationImpaired fra"}},
	{target: "two", cut: 2, warnings: []string{"AcmeLocationImpaired fra", "AcmeLocationImpaired nyc"}},
	{
		target: "limited", warnings: []string{"AcmeRateLimited"},
		flags: []string{"-smooth", parts.RateLimits(parts.Limit{Name: "new_orders", Count: 5, Period: "1h"})},
	},
	{target: quiet, by: far, warnings: []string{"AcmeLocationsMissing"}},
	// What one location does not see any more, for it sees nothing.
	{target: "plain", by: side, cut: 1, warnings: []string{"AcmeLocationImpaired lis"}},
	{target: published, by: side, cut: 1, published: true, warnings: []string{"AcmeLocationImpaired lis"}},
	// As rough as Pebble is: nonces that are refused, validations and orders that
	// take some seconds.
	{target: healthy, flags: []string{}},
}
