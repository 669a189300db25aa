//go:build race

package web

// mostAllocations bounds what the index takes. The race detector empties the pools of
// others at random: it takes 14,200 with it.
const mostAllocations = 18_900
