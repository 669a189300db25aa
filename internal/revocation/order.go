package revocation

import (
	"math/big"
	"slices"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// leastLag is for how long after a list was first seen an older one may still be there.
// Lists come through caches, of which each has what it fetched last, so that for a
// while one answers so and the next one otherwise. An older list that is still valid
// breaks no rule by itself (RFC 5280 §3.3 expects clients to cache lists), but who gets
// it does not see the latest revocations.
// Where the answer says that caches may have it for longer, it may be so for that long,
// but not for more than mostLag.
const (
	leastLag = time.Hour
	mostLag  = 24 * time.Hour
)

// usualLifetime is for how long a list is remembered that names no nextUpdate.
const usualLifetime = 7 * 24 * time.Hour

// Order compares a list that was checked with the latest one that its URL has had; nil:
// none is known. "CRL issuers conforming to this profile MUST include this extension in
// all CRLs": a number that never falls (RFC 5280 §5.2.3), and so do the times of
// thisUpdate. Order adds a flaw, or that the list is an older one, and returns the
// latest from now on.
//
// Numbers are those of one issuer and scope, so that another issuer begins anew. What
// may be another's list, or is not valid, is not compared and not remembered; and what
// was remembered is forgotten at its nextUpdate, for then nobody uses it any more.
func Order(f *probe.CRL, latest *probe.LatestCRL, now time.Time) *probe.LatestCRL {
	if latest != nil && !now.Before(latest.NextUpdate) {
		latest = nil
	}
	if slices.ContainsFunc(f.Flaws, func(w probe.Flaw) bool {
		return w.Flaw != probe.FlawCRLContentType && w.Flaw != probe.FlawCRLNumber
	}) || f.ThisUpdate.IsZero() {
		return latest
	}
	newer := &probe.LatestCRL{Issuer: f.Issuer, Number: f.Number, ThisUpdate: f.ThisUpdate, NextUpdate: f.NextUpdate, SeenAt: now}
	if newer.NextUpdate.IsZero() {
		newer.NextUpdate = now.Add(usualLifetime)
	}
	if latest == nil || latest.Issuer != f.Issuer {
		return newer
	}
	add := func(format string, args ...any) {
		f.Flaws = append(f.Flaws, flaw(probe.FlawCRLRollback, format, args...))
	}
	maxLag := min(max(leastLag, f.Lifetime), mostLag)
	was := latest.ThisUpdate.UTC().Format(time.RFC3339)
	number, known := compareNumbers(f.Number, latest.Number)
	since := f.ThisUpdate.Compare(latest.ThisUpdate)
	switch {
	case known && number > 0 && since < 0:
		add("its number is higher than %s, and its thisUpdate is before that list's, %s", latest.Number, was)
	case known && number < 0 && since > 0:
		add("its number is lower than %s, and its thisUpdate is after that list's, %s", latest.Number, was)
	case known && number == 0 && since != 0:
		add("there was another list with its number, of %s", was)
	case number > 0 || since > 0:
		return newer
	case number == 0 && since == 0:
	case now.Sub(latest.SeenAt) > maxLag:
		add("it is older than the list of %s, which was here more than %s ago, at %s", was, maxLag, latest.SeenAt.UTC().Format(time.RFC3339))
	default:
		f.Older = true
	}
	return latest
}

// compareNumbers compares two numbers of lists; not known: one has none.
func compareNumbers(a, b string) (order int, known bool) {
	x, ok := new(big.Int).SetString(a, 10)
	if !ok {
		return 0, false
	}
	y, ok := new(big.Int).SetString(b, 10)
	if !ok {
		return 0, false
	}
	return x.Cmp(y), true
}
