package online

import (
	"net/netip"
	"strings"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const wildcardPrefix = "*."

// ordered is what a pair orders.
type ordered struct {
	names     config.Names
	profile   string
	challenge probe.ChallengeType // empty: none is solved
	policy    string              // of dns-persist-01's record
}

func order(p *config.Pair) (o ordered, ok bool) {
	switch m := p.Module; {
	case m.Prober == probe.ProberOrder && m.Order != nil:
		return ordered{names: m.Order.Names, profile: m.Order.Profile}, true
	case m.Prober == probe.ProberValidate && m.Validate != nil:
		v := m.Validate
		return ordered{v.Names, v.Profile, v.Challenge, v.PersistPolicy}, true
	case m.Prober == probe.ProberIssue && m.Issue != nil:
		i := m.Issue
		return ordered{i.Names, i.Profile, i.Challenge, i.PersistPolicy}, true
	}
	return ordered{}, false
}

// name is a name that a pair orders, or one like those.
type name struct {
	text     string // without a wildcard's "*."
	wildcard bool
	zone     string     // the zone beneath which it is random; empty: it is fixed
	ip       netip.Addr // valid: it is an IP address
}

// String returns the name, or what stands for random ones.
func (n name) String() string {
	text := n.text
	if n.zone != "" {
		text = "NAME." + n.zone
	}
	if n.wildcard {
		return wildcardPrefix + text
	}
	return text
}

// owner is the name's own part of a record's owner: for random names, those of a
// wildcard record.
func (n name) owner(label string) string {
	if n.zone != "" {
		return wildcardPrefix + n.zone
	}
	return label + n.text
}

// names returns the fixed names of a pair, or one random name, and with it its
// wildcard, that stands for all. Of nothing: nil.
func names(p *config.Pair) []name {
	o, ok := order(p)
	if !ok {
		return nil
	}
	if o.names.Mode != config.NamesFixed {
		n := name{text: randomLabel() + "." + o.names.Zone, zone: o.names.Zone}
		if o.names.Wildcard {
			return []name{n, {text: n.text, zone: n.zone, wildcard: true}}
		}
		return []name{n}
	}
	list := make([]name, len(o.names.List))
	for i, text := range o.names.List {
		list[i].text, list[i].wildcard = strings.CutPrefix(text, wildcardPrefix)
		if ip, err := netip.ParseAddr(text); err == nil {
			list[i].ip = ip
		}
	}
	return list
}

// parent returns the domain above name; "." above one of a single label.
func parent(name string) string {
	if _, above, ok := strings.Cut(name, "."); ok && above != "" {
		return above
	}
	return "."
}
