package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Profile is a certificate profile of a public CA (draft-aaron-acme-profiles),
// and what it takes in one order.
type Profile struct {
	Name      string
	MaxNames  int  // wildcards and IP addresses are names too
	Addresses bool // IP addresses (RFC 8738)
}

// letsEncryptProfiles are from the CA's page on profiles; the default first.
var letsEncryptProfiles = []Profile{
	{Name: "classic", MaxNames: 100},
	{Name: "tlsserver", MaxNames: 25},
	{Name: "shortlived", MaxNames: 25, Addresses: true},
}

// otherCalls is the key of the calls that have no rate of their own.
const otherCalls probe.CallName = ""

// The requests per second and address that Let's Encrypt publishes, for
// production and for staging.
var (
	letsEncryptRates = map[probe.CallName]float64{
		probe.CallDirectory:   40,
		probe.CallNewNonce:    20,
		probe.CallNewAccount:  5,
		probe.CallNewOrder:    300,
		probe.CallRevokeCert:  10,
		probe.CallRenewalInfo: 1000,
		otherCalls:            250,
	}
	letsEncryptStagingRates = map[probe.CallName]float64{
		probe.CallDirectory:   40,
		probe.CallNewNonce:    20,
		probe.CallNewAccount:  5,
		probe.CallNewOrder:    20,
		probe.CallRevokeCert:  10,
		probe.CallRenewalInfo: 1000,
		otherCalls:            20,
	}
)

// Profiles are the profiles of which something is known, the default first.
func (s *Preset) Profiles() []Profile { return slices.Clone(s.profiles) }

// profile returns the profile of that name, the default one for an empty name;
// nil: nothing is known of it.
func (s *Preset) profile(name string) *Profile {
	if s == nil {
		return nil
	}
	for i := range s.profiles {
		if name == "" || s.profiles[i].Name == name {
			return &s.profiles[i]
		}
	}
	return nil
}

// instead says which profiles to choose instead; empty: there are none.
func (s *Preset) instead(fit func(Profile) bool) string {
	var names []string
	for _, p := range s.profiles {
		if fit(p) {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return ", or choose profile: " + strings.Join(names, " or ")
}

// RequestRates are the requests per second that the CA allows one address, by
// call; those of the empty name are for the rest together. Nil: none are known,
// or own_ca lifts them.
func (t *Target) RequestRates() map[probe.CallName]float64 {
	preset := presetNamed(t.Preset)
	if preset == nil || t.OwnCA {
		return nil
	}
	return maps.Clone(preset.rates)
}
