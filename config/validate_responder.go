package config

import (
	"net/netip"
	"slices"
)

func (h *HTTPResponder) validate(ps *problems, at path) {
	if err := checkListen(h.ListenAddress); err != nil {
		ps.add(at.key("listen_address"), "%s", err)
	}
	validateProxies(ps, at.key("trusted_proxies"), h.TrustedProxies)
}

func (a *TLSALPNResponder) validate(ps *problems, at path) {
	if err := checkListen(a.ListenAddress); err != nil {
		ps.add(at.key("listen_address"), "%s", err)
	}
	validateProxies(ps, at.key("proxy_protocol"), a.ProxyProtocol)
}

// validateAddresses checks that no responder stands in another's way. All of
// them listen over TCP.
func (r *Responders) validateAddresses(ps *problems, at path) {
	type listener struct{ key, address string }
	var all []listener
	if r.HTTP != nil {
		all = append(all, listener{"http", r.HTTP.ListenAddress})
	}
	if r.TLSALPN != nil {
		all = append(all, listener{"tls_alpn", r.TLSALPN.ListenAddress})
	}
	if r.DNS != nil {
		all = append(all, listener{"dns", r.DNS.ListenAddress})
	}
	for i, one := range all {
		j := slices.IndexFunc(all[:i], func(other listener) bool { return collide(other.address, one.address) })
		if j >= 0 {
			ps.add(at.keys(one.key, "listen_address"), "%q is taken by responders.%s (%s): choose another port or address",
				one.address, all[j].key, ps.where(at.keys(all[j].key, "listen_address")))
		}
	}
}

// validateProxies checks the networks of those who may say on whose behalf they
// come.
func validateProxies(ps *problems, at path, networks []netip.Prefix) {
	validateNetworks(ps, at, networks)
	for i, n := range networks {
		switch {
		case !n.IsValid(): // the decoder has told of it
		case n.Bits() == 0:
			ps.add(at.index(i), "with %q anybody could pretend to be somebody else: name the proxies' own networks", n)
		case slices.Index(networks, n) < i:
			ps.add(at.index(i), "%q is there twice: remove one", n)
		}
	}
}

// validateNetworks checks how networks are written.
func validateNetworks(ps *problems, at path, networks []netip.Prefix) {
	for i, n := range networks {
		switch {
		case !n.IsValid(): // the decoder has told of it
		case n.Addr().Is4In6():
			ps.add(at.index(i), "%q is an IPv4 network in IPv6's form: write it as IPv4", n)
		case n != n.Masked():
			ps.add(at.index(i), "%q has bits set beyond its length: write %q", n, n.Masked())
		}
	}
}
