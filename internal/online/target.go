package online

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// protocolReading is a directory as it was read over one IP protocol.
type protocolReading struct {
	protocol config.IPProtocol
	Reading
}

// targets lists the targets, sorted.
func (c *checker) targets() []string {
	var targets []string
	for name := range c.Config.Targets {
		targets = append(targets, name)
	}
	slices.Sort(targets)
	return targets
}

// readDirectories reads the directory of each target over each IP protocol that
// its pairs use.
func (c *checker) readDirectories(ctx context.Context) {
	c.readings = make(map[string][]protocolReading)
	for _, target := range c.targets() {
		protocols := []config.IPProtocol{}
		for i := range c.pairs {
			if p := c.pairs[i].Module.IPProtocol; c.pairs[i].Pair.Target == target && !slices.Contains(protocols, p) {
				protocols = append(protocols, p)
			}
		}
		slices.Sort(protocols)
		for _, p := range protocols {
			c.readings[target] = append(c.readings[target], protocolReading{protocol: p})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, topicTimeout)
	defer cancel()
	free := make(chan struct{}, maxTopics)
	var reading sync.WaitGroup
	for target, list := range c.readings {
		for i := range list {
			reading.Go(func() {
				free <- struct{}{}
				defer func() { <-free }()
				list[i].Reading = c.Directory(ctx, target, list[i].protocol)
			})
		}
	}
	reading.Wait()
	for target, list := range c.readings {
		i := slices.IndexFunc(list, func(r protocolReading) bool { return r.Directory != nil })
		if i >= 0 {
			c.directories[target] = list[i].Directory
		}
	}
}

// checkTarget tells how a target's directory was read, and holds what it says
// against the configuration of the account.
func (c *checker) checkTarget(_ context.Context, t *topic, target string) {
	configured := c.Config.Targets[target]
	for _, r := range c.readings[target] {
		over := ""
		if r.protocol != config.IPAny {
			over = " over " + string(r.protocol)
		}
		if r.Verdict.Success() {
			t.ok("its directory was read%s", over)
		} else {
			t.wrong("its directory cannot be read%s: %s", over, strings.TrimSuffix(r.Verdict.Summary, "."))
		}
	}
	d := c.directories[target]
	if d == nil {
		return
	}
	signs := slices.ContainsFunc(c.pairs, func(p config.Pair) bool {
		return p.Pair.Target == target && p.Module.Prober.Signs()
	})
	if signs {
		c.checkAccount(t, target, configured, d)
	}
	c.checkIssuer(t, configured, d)
}

// checkAccount tells whether the CA would make an account.
func (c *checker) checkAccount(t *topic, target string, configured *config.Target, d *probe.Directory) {
	account, binding := c.Account(target), configured.Account.ExternalAccountBinding
	sound := true
	if binding != nil {
		if _, err := binding.Key(); err != nil {
			sound = false
			t.wrong("account.external_account_binding: %s", err)
		}
	}
	switch {
	case account != "":
		if sound {
			t.ok("it has the account %s", account)
		}
		return
	case d.ExternalAccountRequired && binding == nil:
		sound = false
		t.wrong("the CA makes no account without an external account binding: set account.external_account_binding%s", bindingFrom(configured))
	case d.TermsOfService != "" && !configured.Account.AgreeToTerms:
		sound = false
		t.wrong("the CA makes no account for who does not agree to its terms: read %s and set account.agree_to_terms", terms(d))
	}
	if sound {
		t.ok("it has no account yet: `acme_exporter account register %s`, or the first run that signs, makes one", target)
	}
}

// bindingFrom says where the values of a binding come from, if that is known.
func bindingFrom(t *config.Target) string {
	for _, p := range config.Presets() {
		if p.Name == t.Preset && p.EABFrom != "" {
			return "; key_id and hmac_key come from " + p.EABFrom
		}
	}
	return ""
}

// terms is where the terms are, if that is a URL.
func terms(d *probe.Directory) string {
	if u, err := url.Parse(d.TermsOfService); err != nil || u.Host == "" {
		return "them"
	}
	return d.TermsOfService
}

// checkIssuer holds issuer_domain_name against the directory.
func (c *checker) checkIssuer(t *topic, configured *config.Target, d *probe.Directory) {
	own := configured.IssuerDomainName
	switch {
	case own == "":
	case len(d.CAAIdentities) == 0:
		t.warn("the directory has no caaIdentities, so that issuer_domain_name, %s, cannot be compared", own)
	case !slices.ContainsFunc(d.CAAIdentities, func(id string) bool { return strings.EqualFold(id, own) }):
		t.wrong("issuer_domain_name is %s, and the directory's caaIdentities are %s: set the one that the CA's documentation gives", own, strings.Join(d.CAAIdentities, ", "))
	default:
		t.ok("issuer_domain_name, %s, is among the directory's caaIdentities", own)
	}
}

// checkPair checks what a pair orders: the profile, what is known of challenge and
// identifiers, and the records at its names that have to be there.
func (c *checker) checkPair(ctx context.Context, t *topic, p *config.Pair) {
	o, _ := order(p)
	list := names(p)
	d := c.directories[p.Pair.Target]
	if o.profile != "" && d != nil {
		if slices.Contains(d.Profiles, o.profile) {
			t.ok("the CA offers the profile %s", o.profile)
		} else {
			t.wrong("the CA does not offer the profile %s: its directory has %s", o.profile, cmp.Or(strings.Join(d.Profiles, ", "), "none"))
		}
	}
	if unknown := c.unknown(p, &o, list); unknown != "" {
		t.ok("not known before the first run: %s", unknown)
	}
	if o.challenge == "" {
		return // nothing is validated
	}
	c.checkCAA(ctx, t, p, &o, list, d)
	if o.challenge == probe.DNSPersist01 {
		c.checkStanding(ctx, t, p, &o, list)
	}
}

// unknown says what a directory does not tell and the preset does not know.
func (c *checker) unknown(p *config.Pair, o *ordered, list []name) string {
	var what []string
	if slices.ContainsFunc(list, func(n name) bool { return n.ip.IsValid() }) && !takesAddresses(p.Target, o.profile) {
		what = append(what, "whether the CA takes IP addresses")
	}
	if o.challenge != "" {
		what = append(what, fmt.Sprintf("whether the CA offers %s for these names", o.challenge))
	}
	return strings.Join(what, ", and ")
}

// takesAddresses reports whether the CA is known to take IP addresses with a
// profile; an empty one is the default.
func takesAddresses(t *config.Target, profile string) bool {
	for _, p := range config.Presets() {
		if p.Name != t.Preset {
			continue
		}
		for _, known := range p.Profiles() {
			if profile == "" || known.Name == profile {
				return known.Addresses // the default is the first
			}
		}
	}
	return false
}
