package budget

import (
	"net/netip"
	"time"

	"golang.org/x/net/publicsuffix"
)

const (
	// reserved is the part of each limit that ticks leave.
	reserved = 0.2
	// restAfterFailure is how long an identifier rests after a failed validation.
	restAfterFailure = 12 * time.Minute
)

// planDomain is what the limit by registered domain counts a name by: its
// registered domain; an IPv4 address itself; an IPv6 address's /64.
func planDomain(name string) string {
	if a, err := netip.ParseAddr(name); err == nil {
		if a.Is6() {
			return netip.PrefixFrom(a, 64).Masked().String()
		}
		return a.String()
	}
	if d, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		return d
	}
	return name
}
