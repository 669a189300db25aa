//go:build !race

package web

// mostAllocations bounds what the index takes: it is 10,000.
const mostAllocations = 13_300
