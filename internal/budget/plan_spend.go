package budget

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	day = 24 * time.Hour
	// restAfterFailure is how long an identifier rests after a failed validation.
	restAfterFailure = 12 * time.Minute
)

// What buckets are for, where that is nothing with a name.
const (
	keyAccount = "the account"
	keyAddress = "our address"
	keyNetwork = "our network"
)

// spends returns what the ticks of a pair spend.
func spends(p *config.Pair) (list []spend) {
	names := p.Names()
	if names == nil {
		return nil
	}
	runs := runsPerDay(p)
	refused := p.Module.Expected() // with which problem the CA is to; empty: it is not
	issues := p.Module.Prober == probe.ProberIssue && refused == ""
	for _, limit := range p.Limits() {
		s := spend{target: p.Pair.Target, module: p.Pair.Module, limit: limit, perDay: runs, pair: p}
		if issues && limit.Exempt && exempt(p, names) {
			// In the long run all are for sets that had one; only the first of each counts.
			s.perDay, s.once = 0, max(1, names.Sets)
		}
		switch limit.Name {
		case config.LimitNewOrders:
			s.scope, s.key = "account "+s.target, keyAccount
			list = append(list, s)
		case config.LimitCertificatesPerDomain:
			if issues {
				s.scope = p.Target.DirectoryURL
				list = append(list, each(s, registeredDomains(names))...)
			}
		case config.LimitCertificatesPerSet:
			if issues {
				list = append(list, setSpend(s, p, names))
			}
		case config.LimitFailedValidations, config.LimitConsecutiveFailures:
			if p.Module.Solves() {
				s.scope, s.onFailure, s.once = "account "+s.target, refused == "", 0
				list = append(list, failures(s, names)...)
			}
		}
	}
	return list
}

// runsPerDay is how often a pair ticks.
func runsPerDay(p *config.Pair) float64 {
	if p.Interval == 0 {
		return 0
	}
	return float64(day) / float64(p.Interval)
}

// exempt reports whether the pair's certificates, but for the first of each set,
// are for sets that had one lately.
func exempt(p *config.Pair, names *config.Names) bool {
	switch names.Mode {
	case config.NamesFixed:
		return p.Interval <= config.ExemptFor
	case config.NamesPool:
		return p.Interval*time.Duration(names.Sets) <= config.ExemptFor
	default:
		return false
	}
}

// setSpend is what is spent of the limit of exact sets.
func setSpend(s spend, p *config.Pair, names *config.Names) spend {
	s.scope = p.Pair.String()
	switch names.Mode {
	case config.NamesFixed:
		list := slices.Sorted(slices.Values(names.List))
		s.scope, s.key = p.Target.DirectoryURL+" "+strings.Join(list, " "), list[0]
		if more := len(list) - 1; more > 0 {
			s.key += " and " + strconv.Itoa(more) + " more"
		}
	case config.NamesPool:
		s.key = "each of " + strconv.Itoa(names.Sets) + " sets"
		s.perDay /= float64(max(1, names.Sets))
	default:
		s.key, s.perDay, s.once = "each new set", 0, 1
	}
	return s
}

// failures is what is spent when all validations fail, of each identifier: it
// rests after a failure.
func failures(s spend, names *config.Names) (list []spend) {
	switch names.Mode {
	case config.NamesFixed:
		runs := min(s.perDay, float64(day)/float64(restAfterFailure))
		for _, c := range costs(s.limit.Name, "", names.List) {
			s.key, s.perDay = strings.TrimSpace(c.id), runs*float64(c.tokens)
			list = append(list, s)
		}
		return list
	case config.NamesPool:
		s.scope, s.key = s.scope+" "+s.module, "each name of the pool"
		s.perDay = min(s.perDay/float64(max(1, names.Sets)), float64(day)/float64(restAfterFailure))
	default:
		s.scope, s.key = s.scope+" "+s.module, "each new name"
		s.perDay, s.once = 0, 1
	}
	return []spend{s}
}

// accountSpends is what the account of the pair's target costs, once.
func accountSpends(p *config.Pair) (list []spend) {
	for _, limit := range p.Target.Limits() {
		s := spend{target: p.Pair.Target, module: p.Pair.Module, limit: limit, scope: p.Target.DirectoryURL, once: 1, pair: p}
		switch limit.Name {
		case config.LimitNewAccountsPerIP:
			s.key = keyAddress
		case config.LimitNewAccountsPerNetwork:
			s.key = keyNetwork
		default:
			continue
		}
		list = append(list, s)
	}
	return list
}

// each returns s for each key.
func each(s spend, keys []string) (list []spend) {
	for _, key := range keys {
		s.key = key
		list = append(list, s)
	}
	return list
}

// registeredDomains are the keys of the limit by registered domain that an order
// for the names touches, sorted.
func registeredDomains(names *config.Names) []string {
	if names.Mode != config.NamesFixed {
		return []string{registeredDomain("name." + names.Zone)}
	}
	var keys []string
	for _, name := range names.List {
		if key := registeredDomain(name); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
