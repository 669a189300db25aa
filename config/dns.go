package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	promconfig "github.com/prometheus/common/config"
)

// dnsPort is where name servers listen (RFC 1035 §4.2).
const dnsPort = "53"

// defaultResolvers belong to two operators, so that one of them is no control of
// itself.
func defaultResolvers() []string { return []string{"1.1.1.1:53", "9.9.9.9:53"} }

// ResolversFor are those that see names of ours as the CA's validators have to: the
// ones that are written, or, of a public CA, the public ones that are the default. A
// CA of one's own may well look into zones that the world does not see.
func (c *Config) ResolversFor(t *Target) []string {
	if (t.Preset == "" || t.OwnCA) && slices.Equal(c.Resolvers, defaultResolvers()) {
		return nil
	}
	return c.Resolvers
}

// completeResolvers writes resolvers as ip:port. What is none is left for the
// validation to tell of.
func (c *Config) completeResolvers(ps *problems) {
	if len(c.Resolvers) == 0 && !ps.written("resolvers") {
		c.Resolvers = defaultResolvers()
	}
	for i, r := range c.Resolvers {
		if a, err := parseResolver(r); err == nil {
			c.Resolvers[i] = a.String()
		}
	}
}

// parseResolver reads an IP address with or without a port.
func parseResolver(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	return netip.ParseAddrPort(s)
}

// complete writes the servers as host:port, and resolves files against dir.
func (r *Responders) complete(ps *problems, at path, dir string) {
	for i := range r.DNSUpdates {
		u := &r.DNSUpdates[i]
		u.Server = withPort(u.Server)
		if t := u.TSIG; t != nil {
			t.complete(ps, at.key("dns_updates").index(i).key("tsig"), dir)
		}
	}
}

// withPort adds the port of name servers to a host without one.
func withPort(server string) string {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(server, "["), "]")); err == nil {
		return net.JoinHostPort(a.String(), dnsPort)
	}
	if server == "" || strings.Contains(server, ":") {
		return server
	}
	return net.JoinHostPort(server, dnsPort)
}

func (t *TSIG) complete(ps *problems, at path, dir string) {
	if t.Algorithm == "" && !ps.written(at.key("algorithm")) {
		t.Algorithm = HMACSHA256
	}
	if t.SecretFile == "" {
		return
	}
	t.SecretFile = promconfig.JoinDir(dir, t.SecretFile)
	if _, err := readFile(t.SecretFile); err != nil {
		file := at.key("secret_file")
		ps.add(file, "%q: %s", t.SecretFile, err)
		ps.broken[file] = true
	}
}

// Key returns the secret in base64, from the file if it is in one, which is read
// anew each time. Its error never quotes it.
func (t *TSIG) Key() (secret string, err error) {
	secret = string(t.Secret)
	if t.SecretFile != "" {
		data, err := readFile(t.SecretFile)
		if err != nil {
			return "", fmt.Errorf("%q: %w", t.SecretFile, err)
		}
		secret = string(data)
	}
	secret = strings.TrimSpace(secret)
	switch key, err := base64.StdEncoding.DecodeString(secret); {
	case err != nil:
		return "", errors.New("the TSIG secret is not base64")
	case len(key) == 0:
		return "", errors.New("the TSIG secret is empty")
	}
	return secret, nil
}

// publish reports whether there is a zone in which records can be published.
func (r *Responders) publish() bool { return r.DNS != nil || len(r.DNSUpdates) > 0 }

// zones lists every domain for whose names dns-01 can be answered, in the order of
// the schema.
func (r *Responders) zones() (zones []string) {
	if r.DNS != nil {
		zones = append(zones, r.DNS.Zones...)
	}
	for i := range r.DNSUpdates {
		zones = append(zones, r.DNSUpdates[i].Zone)
	}
	return append(zones, r.DNSAliases...)
}

// hostZones lists the zones of ours in which there can be random names. A zone
// such as _acme-challenge.www.corp.example holds no hosts.
func (r *Responders) hostZones() []string {
	own := Responders{DNS: r.DNS, DNSUpdates: r.DNSUpdates}
	return slices.DeleteFunc(own.zones(), func(zone string) bool { return strings.Contains(zone, "_") })
}

// onlyZone returns the zone in which random names lie if nothing is said; empty:
// there is none, or a choice.
func (r *Responders) onlyZone() string {
	if zones := r.hostZones(); len(zones) == 1 {
		return zones[0]
	}
	return ""
}

// unreadZones reports whether a zone could not be read or is missing, so that
// nothing can be said of which names are whose.
func (c *Config) unreadZones(ps *problems) bool {
	at := path("responders")
	if d := c.Responders.DNS; d != nil && len(d.Zones) == 0 {
		return true
	}
	return ps.unread(at.keys("dns", "zones")) || ps.unread(at.key("dns_updates")) || ps.unread(at.key("dns_aliases")) ||
		slices.Contains(c.Responders.zones(), "")
}

// whereZones returns "file:line:column" of the first list of zones.
func (c *Config) whereZones(ps *problems) string {
	switch {
	case c.Responders.DNS != nil:
		return ps.where(path("responders").keys("dns", "zones"))
	case len(c.Responders.DNSUpdates) > 0:
		return ps.where(path("responders").key("dns_updates"))
	default:
		return ps.where(path("responders").key("dns_aliases"))
	}
}
