package challenge

import (
	"net/http"
	"net/netip"
	"testing"
)

// FuzzForwardedFor reads whatever somebody sends as X-Forwarded-For, and as Host.
func FuzzForwardedFor(f *testing.F) {
	f.Add("203.0.113.9", "probe.example:80")
	f.Add("10.0.0.1, [2001:db8::1]:443, 192.0.2.1", "[2001:db8::1]")
	f.Add(",,fe80::1%eth0,", "A.Example.")
	proxy, stranger := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	trusted := &proxies{networks: []netip.Prefix{netip.PrefixFrom(proxy, 32)}}
	f.Fuzz(func(t *testing.T, value, host string) {
		header := http.Header{"X-Forwarded-For": {value}}
		if from := trusted.forwardedFor(stranger, header); from != stranger {
			t.Errorf("%q is believed from a stranger: %s", value, from)
		}
		if from := trusted.forwardedFor(proxy, header); !from.IsValid() || from.Zone() != "" || from.Is4In6() {
			t.Errorf("%q is %s", value, from)
		}
		if ip, err := netip.ParseAddr(host); err == nil && requestHost(host) != ip.String() {
			t.Errorf("%q is %q", host, requestHost(host))
		}
	})
}
