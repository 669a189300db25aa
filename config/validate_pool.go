package config

import "github.com/acme-exporter/acme_exporter/internal/probe"

// maxSets bounds a pool: at a renewal of each set every 33.6 hours that is more
// than one each two seconds.
const maxSets = 100_000

// validatePool checks what is special about the names of a pool; the rest is as
// for random ones.
func (n *Names) validatePool(ps *problems, at path) {
	size := at.key("size")
	switch {
	case n.Mode != NamesPool && ps.written(size):
		ps.add(size, "this is for pools: remove it, or say mode: pool")
	case n.Mode != NamesPool:
	case n.Sets == 0 && !ps.written(size):
		ps.add(size, "missing: say how many sets of names take turns; `check config` says how many an interval needs")
	case n.Sets < 1 || n.Sets > maxSets:
		ps.add(size, "want 1 to %d, got %d", maxSets, n.Sets)
	}
}

// validateNoPool tells of a pool where no certificate is issued: it is that of a
// name set that makes the next one exempt.
func (n *Names) validateNoPool(ps *problems, at path, p probe.Prober) {
	if n.Mode == NamesPool {
		ps.add(at.key("mode"), "a pool spares certificates, and the prober %s has none issued: choose random or fixed", p)
	}
}
