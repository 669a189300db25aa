package config

import (
	"fmt"
	"maps"
	"net/mail"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	promconfig "github.com/prometheus/common/config"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// validate looks at the whole configuration after it was completed, whether a
// section is written or not.
func (c *Config) validate(ps *problems) {
	if len(c.Targets) == 0 {
		ps.add(path("targets"), "missing: name at least one CA to probe")
	}
	for _, name := range sortedKeys(c.Targets) {
		at := path("targets").key(name)
		if err := checkLabel(name); err != nil {
			ps.add(at, "%s", err)
		}
		c.validateTarget(ps, at, c.Targets[name])
	}
	c.Responders.validate(ps, path("responders"))
	c.validateResolvers(ps, path("resolvers"))
	c.Controls.validate(ps, path("controls"))
	c.Incidents.validate(ps, path("incidents"))
	for _, name := range sortedKeys(c.Modules) {
		at := path("modules").key(name)
		if err := checkLabel(name); err != nil {
			ps.add(at, "%s", err)
		}
		c.validateModule(ps, at, name, c.Modules[name])
	}
}

func (c *Config) validateTarget(ps *problems, at path, t *Target) {
	preset := presetNamed(t.Preset)
	if t.Preset != "" && preset == nil {
		ps.add(at.key("preset"), "there is no preset %q: %s", t.Preset, hint(t.Preset, presetNames()))
	}
	validateDirectory(ps, at, t)
	switch {
	case t.Environment != Production && t.Environment != Staging:
		ps.add(at.key("environment"), "want production or staging, got %q", t.Environment)
	case preset != nil && t.Environment != preset.Environment:
		ps.add(at.key("environment"), "the preset %s is %s: remove this, or the preset", preset.Name, preset.Environment)
	}
	t.validateRateLimits(ps, at.key("rate_limits"), preset)
	if t.IssuerDomainName != "" {
		if err := checkDomain(t.IssuerDomainName); err != nil {
			ps.add(at.key("issuer_domain_name"), "%s", err)
		}
	}
	validateConnection(ps, at, t)
	t.Account.validate(ps, at.key("account"), preset)
	c.validateProbes(ps, at, t, preset)
}

func validateDirectory(ps *problems, at path, t *Target) {
	at, named := at.key("directory_url"), at.key("preset")
	if t.DirectoryURL == "" {
		if t.Preset == "" && !ps.isBroken(named) {
			ps.add(at, "missing: give the URL of the CA's ACME directory, or a preset (%s)", strings.Join(presetNames(), ", "))
		}
		return
	}
	u, err := url.Parse(t.DirectoryURL)
	switch {
	case err != nil:
		ps.add(at, "not a URL: want one such as https://ca.corp.example/acme/directory")
	case u.User != nil:
		ps.add(at, "a user name or password in the URL would be shown in many places: remove it")
	case u.Scheme != "https":
		ps.add(at, "want an https URL, got %q: RFC 8555 §6.1 allows no other", t.DirectoryURL)
	case u.Hostname() == "":
		ps.add(at, "the URL has no host: want one such as https://ca.corp.example/acme/directory")
	case u.Fragment != "":
		ps.add(at, "a fragment is never sent to the CA: remove %q", "#"+u.Fragment)
	case t.Preset == "" && !t.OwnCA:
		if names := presetsAt(u); len(names) > 0 {
			ps.add(at, "%s is a public CA's: add preset: %s (or own_ca: true, if this CA is yours)", u.Hostname(), strings.Join(names, " or "))
		}
	case presetNamed(t.Preset) != nil:
		// Else what is spent there would be taken for another CA's.
		if names := presetsAt(u); len(names) > 0 && !slices.Contains(names, t.Preset) {
			ps.add(at, "this is the directory of the preset %s, and the preset is %s: remove this, or change the preset", strings.Join(names, " or "), t.Preset)
		}
	}
}

func validateConnection(ps *problems, at path, t *Target) {
	files := at.key("tls_config")
	// Without the files that cannot be read anyway the rest would be misjudged.
	unreadable := slices.ContainsFunc([]string{"ca_file", "cert_file", "key_file"}, func(k string) bool {
		return ps.isBroken(files.key(k))
	})
	if !unreadable {
		if _, err := t.TLS(); err != nil {
			ps.add(files, "%s", err)
		}
	}
	validateProxy(ps, at, &t.ProxyConfig)
	validateNetworks(ps, at.key("allow_networks"), t.AllowNetworks)
}

func validateProxy(ps *problems, at path, p *promconfig.ProxyConfig) {
	if err := p.Validate(); err != nil {
		key := "no_proxy"
		switch {
		case len(p.ProxyConnectHeader) > 0 && p.ProxyURL.URL == nil && !p.ProxyFromEnvironment:
			key = "proxy_connect_header"
		case p.ProxyFromEnvironment:
			key = "proxy_from_environment"
		}
		ps.add(at.key(key), "%s", err)
	}
	if u := p.ProxyURL.URL; u != nil {
		switch {
		case !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme):
			ps.add(at.key("proxy_url"), "want a URL of http, https or socks5")
		case u.Hostname() == "":
			ps.add(at.key("proxy_url"), "the URL has no host")
		case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
			ps.add(at.key("proxy_url"), "a proxy has no path: want scheme, host and port only")
		}
	}
	// The function is made once, here, and only read later by whoever probes.
	p.Proxy()
}

func (a *Account) validate(ps *problems, at path, preset *Preset) {
	for i, contact := range a.Contact {
		if err := checkContact(contact, preset); err != nil {
			ps.add(at.key("contact").index(i), "%s", err)
		}
	}
	only(ps, at.key("key_type"), a.KeyType, KeyECDSAP256, KeyECDSAP384, KeyRSA2048, KeyRSA4096)
	b := a.ExternalAccountBinding
	if b == nil {
		return
	}
	at = at.key("external_account_binding")
	if b.KeyID == "" {
		ps.add(at.key("key_id"), "missing: give the key identifier that the CA gave you")
	}
	switch {
	case b.HMACKey == "" && b.HMACKeyFile == "":
		if !ps.isBroken(at.key("hmac_key_file")) {
			ps.add(at.key("hmac_key"), "missing: give the HMAC key that the CA gave you, or hmac_key_file")
		}
	case b.HMACKey != "" && b.HMACKeyFile != "":
		ps.add(at.key("hmac_key_file"), "there is hmac_key already: remove one of the two")
	default:
		key := "hmac_key"
		if b.HMACKeyFile != "" {
			key = "hmac_key_file"
		}
		if _, err := b.Key(); err != nil {
			ps.add(at.key(key), "%s: copy it again from where the CA showed it", err)
		}
	}
}

// checkContact checks a contact's form (RFC 8555 §7.3: one address, no header
// fields) and that a public CA would take it.
func checkContact(contact string, preset *Preset) error {
	address, ok := strings.CutPrefix(contact, "mailto:")
	if !ok {
		if strings.Contains(contact, "@") && !strings.Contains(contact, ":") {
			return fmt.Errorf("%q is not a URL: write %q", contact, "mailto:"+contact)
		}
		return fmt.Errorf("%q is not a mailto URL: want one such as mailto:pki@corp.example", contact)
	}
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address || strings.ContainsAny(address, "?,%") {
		return fmt.Errorf("%q is not one e-mail address and nothing else: want one such as mailto:pki@corp.example", contact)
	}
	domain := address[strings.LastIndex(address, "@")+1:]
	if preset != nil && reserved(domain) {
		return fmt.Errorf("%q: the domain %s is reserved for documentation, and public CAs refuse it: give an address that you read", contact, domain)
	}
	return nil
}

func (c *Config) validateProbes(ps *problems, at path, t *Target, preset *Preset) {
	probes := at.key("probes")
	if len(t.Probes) == 0 {
		ps.add(probes, "missing: say what to probe, such as probes: {directory: 30s, nonce: 30s}")
	}
	var signing []string
	for _, name := range sortedKeys(t.Probes) {
		at := probes.key(name)
		m := c.Modules[name]
		if m == nil {
			if !ps.isBroken(path("modules")) {
				known := append(slices.Collect(maps.Keys(c.Modules)), proberNames()...)
				slices.Sort(known)
				ps.add(at, "there is no module %q: %s", name, hint(name, slices.Compact(known)))
			}
			continue
		}
		validateInterval(ps, at, t, preset, name, m)
		validateLimits(ps, at, preset, name, m)
		validateIssuer(ps, at, t, name, m)
		validateRevoke(ps, at, t, preset, name, m)
		c.validateIssued(ps, at, t, name, m)
		if m.Prober.Orders() && t.Environment == Production && !t.RateLimits.none() && len(t.Limits()) == 0 {
			// It might lock out the domains that the CA is there for.
			ps.add(at, "the prober %s spends what CAs limit, and of this one's production no rate limits are known: %s", m.Prober, wayOut(preset, t))
		}
		if defaultTimeout(m.Prober) != 0 && m.Prober.Signs() {
			signing = append(signing, name)
		}
	}
	if len(signing) == 0 || preset == nil {
		return
	}
	account := at.key("account")
	if !t.Account.AgreeToTerms {
		ps.add(account.key("agree_to_terms"), "missing, and needed for %s: read the terms of service of %s, then say true", strings.Join(signing, ", "), preset.CA)
	}
	if preset.EAB && t.Account.ExternalAccountBinding == nil {
		ps.add(account.key("external_account_binding"), "missing, and needed for %s: %s creates no account without one; key_id and hmac_key come from %s", strings.Join(signing, ", "), preset.CA, preset.EABFrom)
	}
}

// wayOut says what to do where a production's limits are not known.
func wayOut(preset *Preset, t *Target) string {
	if preset != nil && !t.OwnCA {
		return "write what " + preset.CA + " gives its customers in rate_limits"
	}
	return "write them in rate_limits, or say rate_limits: none if it has none"
}

func validateInterval(ps *problems, at path, t *Target, preset *Preset, name string, m *Module) {
	interval := time.Duration(t.Probes[name])
	if interval <= 0 || ps.isBroken(at) {
		return
	}
	if preset != nil && !t.OwnCA && interval < preset.Floor(m.Prober) {
		ps.add(at, "%s is too often for %s, which others use as well: choose %s or more (or own_ca: true, if this CA is yours)",
			t.Probes[name], preset.CA, duration(preset.Floor(m.Prober)))
		return
	}
	if m.Expected() != "" && !t.OwnCA && interval < expectEvery {
		ps.add(at, "%s is too often for the module %s, of which each run is a failure in the CA's books (issue.expect): choose %s or more (or own_ca: true, if this CA is yours)",
			t.Probes[name], name, duration(expectEvery))
		return
	}
	if interval < time.Duration(m.MinInterval) {
		ps.add(at, "%s is shorter than the min_interval of the module %s, %s: make one of them fit the other", t.Probes[name], name, m.MinInterval)
	}
}

func (r *Responders) validate(ps *problems, at path) {
	if r.HTTP != nil {
		r.HTTP.validate(ps, at.key("http"))
	}
	if r.TLSALPN != nil {
		r.TLSALPN.validate(ps, at.key("tls_alpn"))
	}
	if r.DNS != nil {
		r.DNS.validate(ps, at.key("dns"))
	}
	r.validateElsewhere(ps, at)
	r.validateAddresses(ps, at)
}

func (d *DNSResponder) validate(ps *problems, at path) {
	if err := checkListen(d.ListenAddress); err != nil {
		ps.add(at.key("listen_address"), "%s", err)
	}
	zones := at.key("zones")
	if len(d.Zones) == 0 {
		ps.add(zones, "missing: name the zones that are delegated to this server")
	}
	for i, zone := range d.Zones {
		if err := checkDomain(zone); err != nil {
			ps.add(zones.index(i), "%s", err)
			continue
		}
		for j, other := range d.Zones {
			switch {
			case j < i && zone == other:
				ps.add(zones.index(i), "%q is there twice: remove one", zone)
			case zone != other && other != "" && beneath(zone, other):
				ps.add(zones.index(i), "%q lies within the zone %q: remove one, every name beneath a zone is served", zone, other)
			}
		}
	}
	if d.Nameserver == "" {
		ps.add(at.key("nameserver"), "missing: give the name of this server, as the delegation's NS record has it")
	} else if err := checkDomain(d.Nameserver); err != nil {
		ps.add(at.key("nameserver"), "%s", err)
	}
	for i, a := range d.Addresses {
		if err := checkAddress(a); err != nil {
			ps.add(at.key("addresses").index(i), "%s", err)
		}
		if slices.Index(d.Addresses, a) < i {
			ps.add(at.key("addresses").index(i), "%q is there twice: remove one", a)
		}
	}
	for i, r := range d.CAA {
		r.validate(ps, at.key("caa").index(i))
	}
}

func checkAddress(a netip.Addr) error {
	switch {
	case !a.IsValid():
		return nil // the decoder has told of it
	case a.IsUnspecified(), a.IsMulticast(), a.Zone() != "", a.Is4In6():
		return fmt.Errorf("%q cannot be in an A or AAAA record: want the address at which the CA's validators reach this host", a)
	}
	return nil
}

func (r *CAA) validate(ps *problems, at path) {
	if r.Flag != 0 && r.Flag != 128 {
		ps.add(at.key("flag"), "want 0, or 128 for critical (RFC 8659 §4.1), got %d", r.Flag)
	}
	plain := !strings.ContainsFunc(r.Tag, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') })
	if r.Tag == "" || len(r.Tag) > 255 || !plain {
		ps.add(at.key("tag"), "want a tag such as issue, issuewild or iodef in lower case (RFC 8659 §4.1), got %q", r.Tag)
	}
	if strings.ContainsFunc(r.Value, func(c rune) bool { return c < ' ' || c > '~' }) || len(r.Value) > 1024 {
		ps.add(at.key("value"), "want at most 1024 printable ASCII characters")
	}
}

// only tells of a value that is not among those known.
func only[S ~string](ps *problems, at path, got S, known ...S) {
	if !slices.Contains(known, got) {
		ps.add(at, "want %s, got %q", oneOf(known), got)
	}
}

// oneOf lists what there is to choose from: "a, b or c".
func oneOf[S ~string](known []S) string {
	list := texts(known)
	if n := len(list) - 1; n > 0 {
		list = append(list[:n-1], list[n-1]+" or "+list[n])
	}
	return strings.Join(list, ", ")
}

// proberKnown reports whether there is such a prober.
func proberKnown(p probe.Prober) bool { return defaultTimeout(p) != 0 }
