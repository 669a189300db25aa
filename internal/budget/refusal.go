package budget

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// For how long a refusal makes us wait: least, where the CA does not say or says
// that it is over, and at most, whatever it says.
const (
	leastPause        = time.Minute // of what we have no numbers of
	mostPause         = 7 * day     // of a limit with a longer period
	mostUnknownPause  = day
	mostRequestsPause = time.Hour
)

// problemRateLimited is the type of RFC 8555 §6.7.
const problemRateLimited = "rateLimited"

// anchors are those of Let's Encrypt's documentation of its limits, with the names
// that some of them had before identifiers could be addresses.
var anchors = map[string]config.LimitName{
	"new-orders-per-account":                                        config.LimitNewOrders,
	"new-certificates-per-registered-domain":                        config.LimitCertificatesPerDomain,
	"new-certificates-per-exact-set-of-identifiers":                 config.LimitCertificatesPerSet,
	"new-certificates-per-exact-set-of-hostnames":                   config.LimitCertificatesPerSet,
	"authorization-failures-per-identifier-per-account":             config.LimitFailedValidations,
	"authorization-failures-per-hostname-per-account":               config.LimitFailedValidations,
	"consecutive-authorization-failures-per-identifier-per-account": config.LimitConsecutiveFailures,
	"consecutive-authorization-failures-per-hostname-per-account":   config.LimitConsecutiveFailures,
	"new-registrations-per-ip-address":                              config.LimitNewAccountsPerIP,
	"new-registrations-per-ipv6-range":                              config.LimitNewAccountsPerNetwork,
}

// refusal is what an answer that says that we come too often concerns.
type refusal struct {
	limit config.LimitName // empty: the CA did not say, or it is one that we do not know
	keys  []Key            // empty: the requests that its edge counts
	human bool             // only a human can lift it
}

// Refused is told of an answer that says that we come too often. What it concerns,
// and nothing else, is paused for as long as the CA says, within bounds: the
// limit's buckets of the run's names, or the one that the answer names; the account,
// where the limit is not known; or the requests that its edge counts together.
//
// It must be called before Settle.
func (p *Purse) Refused(call *probe.Call) *probe.RateLimit {
	now := time.Now()
	r := p.concerns(call)
	out := &probe.RateLimit{Limit: string(r.limit), Refused: true, Paused: r.human}
	if !r.human {
		out.Until = now.Add(p.pauseFor(&r, call.RetryAfter))
	}
	if len(r.keys) == 0 {
		out.Limit = probe.LimitRequests
		p.book.Pacer(p.pair.Target).Pause(call.Name, out.Until)
		out.Detail = r.text(out.Until)
		return out
	}
	if len(r.keys) == 1 {
		out.What = r.keys[0].what()
	}
	out.Unexpected = !r.human && p.unexpected(now, &r)
	// The CA counts what we took for exempt.
	var counted Key
	if r.limit == config.LimitCertificatesPerDomain {
		counted = setKey(p.request.CA, p.request.Names)
	}
	// An error changes nothing of what the CA has said; the ledger knows of it.
	_ = p.book.ledger.pause(now, out.Until, counted, r.keys...)
	out.Detail = r.text(out.Until)
	return out
}

// concerns reads the answer.
func (p *Purse) concerns(call *probe.Call) refusal {
	problem := call.Problem
	if problem == nil || problem.Type != problemRateLimited {
		return refusal{} // the CA behind the edge would say it in its own words
	}
	r := refusal{limit: anchors[problem.Anchor]}
	if r.limit == "" && problem.Anchor == "" && call.RetryAfter == nil && speaksOfPause(problem.Detail) {
		r.limit, r.human = config.LimitConsecutiveFailures, true
	}
	if r.limit != "" {
		if r.keys = named(p.keys(r.limit), problem.Detail); len(r.keys) > 0 {
			return r
		}
	}
	// Whatever it is: what the run wanted is what it must not ask for.
	switch call.Name {
	case probe.CallNewOrder, probe.CallFinalize:
		return refusal{keys: p.keys(config.LimitNewOrders)}
	case probe.CallNewAccount:
		return refusal{keys: p.keys(config.LimitNewAccountsPerIP)}
	default:
		return refusal{}
	}
}

// speaksOfPause reports whether a problem's detail is about names for which a human
// has to do something.
func speaksOfPause(detail string) bool {
	detail = strings.ToLower(detail)
	return slices.ContainsFunc([]string{"temporarily prevented", "paused", "unpause"}, func(s string) bool {
		return strings.Contains(detail, s)
	})
}

// keys are those by which the limit counts the run; none, if that is by names and
// it has none.
func (p *Purse) keys(limit config.LimitName) []Key {
	switch limit {
	case config.LimitNewOrders, config.LimitNewAccountsPerIP, config.LimitNewAccountsPerNetwork:
	default:
		if len(p.request.Names) == 0 {
			return nil
		}
	}
	return p.request.Keys(limit)
}

// named returns those of the keys that the text names; all, if it names none. What
// stands in a URL is not named.
func named(keys []Key, text string) []Key {
	words := map[string]bool{}
	for word := range strings.FieldsFuncSeq(strings.ToLower(text), func(r rune) bool {
		return strings.ContainsRune(" \"'()[]<>,;", r) // a URL stays one word
	}) {
		words[word] = true // an address may end with a colon
		words[strings.TrimPrefix(strings.TrimRight(word, ".:"), wildcardPrefix)] = true
	}
	var some []Key
	for _, key := range keys {
		if what := key.what(); what != "" && words[what] {
			some = append(some, key)
		}
	}
	if len(some) == 0 {
		return keys
	}
	return some
}

// pauseFor is for how long it makes us wait when the CA asks for retryAfter; nil: it
// has not said.
func (p *Purse) pauseFor(r *refusal, retryAfter *time.Duration) time.Duration {
	least, most := leastPause, mostUnknownPause
	limit := p.request.limit(r.limit)
	switch {
	case len(r.keys) == 0:
		most = mostRequestsPause
	case limit != nil:
		least = limit.Period / time.Duration(limit.Count)
		most = min(max(limit.Period, leastPause), mostPause)
	}
	if retryAfter == nil || *retryAfter <= 0 {
		return min(least, most)
	}
	return min(*retryAfter, most)
}

// unexpected reports whether the ledger says that the CA cannot have come to this:
// the limit is known, we alone spend from it, the ledger has allowed what the run
// does, and it has all that can still count.
func (p *Purse) unexpected(now time.Time, r *refusal) bool {
	limit := p.request.limit(r.limit)
	if limit == nil || limit.Shared {
		return false
	}
	switch r.limit {
	case config.LimitNewOrders, config.LimitFailedValidations, config.LimitConsecutiveFailures, config.LimitCertificatesPerSet:
	default:
		return false // others spend from it whom we do not know
	}
	spends, looks := (&Request{What: p.what}).touches(r.limit)
	ledger := p.book.ledger
	return (spends || looks) && len(p.reserved) > 0 &&
		ledger.Watched(now, p.request.CA) >= limit.Period && !ledger.paused(now, r.keys)
}

// text says it in one sentence.
func (r *refusal) text(until time.Time) string {
	what := "a rate limit that it does not name"
	switch {
	case len(r.keys) == 0:
		what = "its limit of requests"
	case r.limit != "":
		what = "rate limit " + string(r.limit)
	}
	var of []string
	for _, key := range r.keys {
		if w := key.what(); w != "" {
			of = append(of, fmt.Sprintf("%q", w))
		}
	}
	const most = 3
	if n := len(of); n > most {
		of = append(of[:most], fmt.Sprintf("%d more", n-most))
	}
	if len(of) > 0 {
		what += " of " + strings.Join(of, ", ")
	}
	if r.human {
		return what + ": paused by the CA until somebody has it lifted"
	}
	return fmt.Sprintf("%s: refused by the CA, and paused until %s", what, until.UTC().Format(time.RFC3339))
}
