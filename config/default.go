package config

import (
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const (
	defaultMinInterval = time.Second
	minTimeout         = 100 * time.Millisecond
	maxTimeout         = time.Hour
)

// probers are those that a module can have, in the order of what they ask of
// the CA, with their default timeouts. A module of each name exists without
// being written.
var probers = []struct {
	name    probe.Prober
	timeout time.Duration
}{
	{probe.ProberDirectory, 10 * time.Second},
	{probe.ProberNonce, 10 * time.Second},
	{probe.ProberAccount, 30 * time.Second},
	{probe.ProberOrder, 30 * time.Second},
	{probe.ProberValidate, 90 * time.Second},
	{probe.ProberIssue, 90 * time.Second},
	{probe.ProberCRL, time.Minute},
	{probe.ProberOCSP, 30 * time.Second},
	{probe.ProberAIA, 30 * time.Second},
	{probe.ProberSite, time.Minute},
	{probe.ProberRenewalInfo, 30 * time.Second},
	{probe.ProberStatusPage, 15 * time.Second},
}

func proberNames() []string {
	names := make([]string, len(probers))
	for i, p := range probers {
		names[i] = string(p.name)
	}
	return names
}

// defaultTimeout is 0 if there is no such prober.
func defaultTimeout(p probe.Prober) time.Duration {
	for _, known := range probers {
		if known.name == p {
			return known.timeout
		}
	}
	return 0
}

// Default is what is probed without a configuration file: the directory and
// the nonces of Let's Encrypt. It needs no account and no inbound port.
func Default() *Config {
	every := model.Duration(30 * time.Second)
	c := &Config{Targets: map[string]*Target{"letsencrypt": {
		Preset: "letsencrypt",
		Probes: map[string]model.Duration{string(probe.ProberDirectory): every, string(probe.ProberNonce): every},
	}}}
	c.complete(newProblems("built-in"), ".")
	return c
}

// complete fills in everything that was not written.
func (c *Config) complete(ps *problems, dir string) {
	if h := c.Responders.HTTP; h != nil && h.ListenAddress == "" {
		h.ListenAddress = ":80"
	}
	if a := c.Responders.TLSALPN; a != nil && a.ListenAddress == "" {
		a.ListenAddress = ":443"
	}
	if d := c.Responders.DNS; d != nil && d.ListenAddress == "" {
		d.ListenAddress = ":53"
	}
	c.Responders.complete(ps, "responders", dir)
	c.completeResolvers(ps)
	c.completeLogList(ps, path("log_list_file"), dir)
	c.Incidents.complete(ps, path("incidents"))
	for _, name := range sortedKeys(c.Targets) {
		at := path("targets").key(name)
		t := c.Targets[name]
		t.complete(ps, at, dir)
		for _, module := range sortedKeys(t.Probes) {
			if c.Modules[module] != nil || !slices.Contains(proberNames(), module) {
				continue
			}
			if c.Modules == nil {
				c.Modules = map[string]*Module{}
			}
			c.Modules[module] = &Module{}
			// What is wrong with a module that is not written is shown where it
			// is used.
			ps.at[path("modules").key(module)] = ps.position(at.keys("probes", module))
		}
	}
	for name, m := range c.Modules {
		m.complete(name, c.Responders, ps, path("modules").key(name))
		m.completeBeside(ps, path("modules").key(name), dir)
	}
}

func (m *Module) complete(name string, r Responders, ps *problems, at path) {
	if m.Prober == "" && slices.Contains(proberNames(), name) {
		m.Prober = probe.Prober(name)
	}
	if m.Timeout == 0 && !ps.written(at.key("timeout")) {
		m.Timeout = model.Duration(defaultTimeout(m.Prober))
		m.timeoutByDefault = true
	}
	if m.MinInterval == 0 && !ps.written(at.key("min_interval")) {
		m.MinInterval = model.Duration(defaultMinInterval)
	}
	if m.IPProtocol == "" {
		m.IPProtocol = IPAny
	}
	if m.Connection == "" {
		m.Connection = ConnectionFresh
	}
	switch m.Prober {
	case probe.ProberOrder:
		if m.Order == nil {
			m.Order = &Order{}
		}
	case probe.ProberValidate:
		if m.Validate == nil {
			m.Validate = &Validate{}
		}
	case probe.ProberIssue:
		if m.Issue == nil {
			m.Issue = &Issue{}
		}
	}
	// The sections of other probers are completed too, so that what is wrong
	// with them is just that they are there.
	if o := m.Order; o != nil {
		o.Names.complete(r, ps, at.keys("order", "names"))
	}
	if v := m.Validate; v != nil {
		v.Names.complete(r, ps, at.keys("validate", "names"))
		v.Challenge = defaultChallenge(v.Challenge, r)
	}
	if i := m.Issue; i != nil {
		i.completeExpect(ps, at.key("issue"))
		i.Names.complete(r, ps, at.keys("issue", "names"))
		if i.Expect == nil || i.Expect.Problem != probe.ProblemRejectedIdentifier {
			i.Challenge = defaultChallenge(i.Challenge, r) // else none is accepted
		}
		if i.Authorization == "" {
			i.Authorization = AuthorizationFresh
		}
		if i.KeyType == "" {
			i.KeyType = KeyECDSAP256
		}
		if i.Revoke != nil {
			i.Revoke.complete(ps, at.keys("issue", "revoke"))
		}
	}
}

func (n *Names) complete(r Responders, ps *problems, at path) {
	if n.Mode == NamesFixed {
		return // the list is all there is
	}
	if n.Zone == "" {
		n.Zone = r.onlyZone()
	}
	if n.Count == 0 && !ps.written(at.key("count")) {
		n.Count = 1
	}
	if n.Mode == "" {
		n.Mode = NamesRandom
	}
}

func defaultChallenge(c probe.ChallengeType, r Responders) probe.ChallengeType {
	switch {
	case c != "":
		return c
	case r.DNS != nil, len(r.DNSUpdates) > 0:
		return probe.DNS01
	case r.HTTP == nil && r.TLSALPN != nil:
		return probe.TLSALPN01
	default:
		return probe.HTTP01
	}
}
