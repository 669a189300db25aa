package prober

import (
	"slices"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// countPerspectives counts the networks from which validators fetched the answers of
// our responders, if that is wanted. Where one of them has an address that is not
// public, nothing is known: behind what translates addresses all come from one.
func (r *run) countPerspectives(tasks []*task) {
	minimum := r.Pair.Module.MinimumNetworks()
	if minimum == 0 {
		return
	}
	private := func(v probe.Visit) bool { return v.OK && !acmehttp.Public(v.Remote) }
	if slices.ContainsFunc(r.facts.Visits, private) {
		return
	}
	fewest := &probe.Perspectives{Networks: -1, Minimum: minimum}
	for _, t := range tasks {
		networks := map[int]bool{} // they are numbered for each name
		for _, v := range r.facts.Visits {
			if v.OK && v.Identifier == t.base() {
				networks[v.Network] = true
			}
		}
		if n := len(networks); fewest.Networks < 0 || n < fewest.Networks {
			fewest.Networks, fewest.Identifier = n, t.name
		}
	}
	r.facts.Perspectives = fewest
}
