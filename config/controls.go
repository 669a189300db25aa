package config

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	promconfig "github.com/prometheus/common/config"
	"golang.org/x/net/publicsuffix"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// maxControls bounds each list of controls: all are asked at once.
const maxControls = 20

// Controls are asked when a CA was not reached, to find out whether our own line
// works. The directories of the other targets are controls too.
type Controls struct {
	// URLs are of http or https; any answer will do.
	URLs []string `yaml:"urls,omitempty"`
	// Names are asked of Config.Resolvers.
	Names []string `yaml:"names,omitempty"`
	// ProxyConfig is how URLs are reached, as for targets.
	ProxyConfig promconfig.ProxyConfig `yaml:",inline"`
}

// Control is one of those that tell about a target.
type Control struct {
	Kind probe.ControlKind
	// Host is that of the URL, or the name: in lower case, without brackets.
	Host string
	URL  string // empty for a name
	// Target is the one whose directory it is; empty: it is written in Controls.
	Target string
	Proxy  *promconfig.ProxyConfig // how the URL is reached; nil for a name
}

// ControlsOf returns what is to be asked when the target was not reached: what is
// written in Controls, then the directories of the other targets, sorted by the
// targets' names. Nothing at the target's own host is among them, and no
// directory within its registered domain: that is the same operator's, and may well
// be down for the same reason.
func (c *Config) ControlsOf(target string) []Control {
	t := c.Targets[target]
	if t == nil {
		return nil
	}
	own := hostOf(t.DirectoryURL)
	var list []Control
	add := func(one Control) {
		twice := slices.ContainsFunc(list, func(other Control) bool {
			return one.Kind == other.Kind && one.URL == other.URL && one.Host == other.Host
		})
		if one.Host != own && !twice {
			list = append(list, one)
		}
	}
	for _, u := range c.Controls.URLs {
		add(Control{Kind: probe.ControlURL, Host: hostOf(u), URL: u, Proxy: &c.Controls.ProxyConfig})
	}
	for _, name := range c.Controls.Names {
		add(Control{Kind: probe.ControlName, Host: name})
	}
	for _, name := range sortedKeys(c.Targets) {
		other := c.Targets[name]
		if host := hostOf(other.DirectoryURL); operator(host) != operator(own) {
			add(Control{Kind: probe.ControlURL, Host: host, URL: other.DirectoryURL, Target: name, Proxy: &other.ProxyConfig})
		}
	}
	return list
}

// hostOf returns the host of a URL in lower case; empty: it has none.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// operator returns the registered domain of a host, or the host itself where that
// is none's: an address, or a name without a dot.
func operator(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	if domain, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return domain
	}
	return host
}

// Warnings returns what can be kept, and should not be: one for each target
// without a control. They are sorted by the targets' names.
func (c *Config) Warnings() []*Error {
	var list []*Error
	for _, name := range sortedKeys(c.Targets) {
		if len(c.ControlsOf(name)) == 0 {
			list = append(list, c.Mistake("has no control: when this CA cannot be reached, nothing tells whether our own line works, and the fault is unknown: add controls.urls or controls.names", "targets", name))
		}
	}
	return list
}

func (k *Controls) validate(ps *problems, at path) {
	tooMany(ps, at.key("urls"), len(k.URLs))
	for i, u := range k.URLs {
		at := at.key("urls").index(i)
		if err := checkControlURL(u); err != nil {
			ps.add(at, "%s", err)
		} else if slices.Index(k.URLs, u) < i {
			ps.add(at, "%q is there twice: remove one", u)
		}
	}
	tooMany(ps, at.key("names"), len(k.Names))
	for i, name := range k.Names {
		at := at.key("names").index(i)
		if err := checkDomain(name); err != nil {
			ps.add(at, "%s", err)
		} else if slices.Index(k.Names, name) < i {
			ps.add(at, "%q is there twice: remove one", name)
		}
	}
	validateProxy(ps, at, &k.ProxyConfig)
}

func tooMany(ps *problems, at path, n int) {
	if n > maxControls {
		ps.add(at, "want at most %d, got %d: a few at different operators tell as much", maxControls, n)
	}
}

// checkControlURL checks a URL that is asked as it is. Its error quotes nothing
// that could be secret.
func checkControlURL(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return errors.New("not a URL: want one such as https://www.example.org/")
	case u.User != nil:
		return errors.New("a user name or password in the URL would be shown in many places: remove it")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("want a URL of https or http, such as https://www.example.org/")
	case u.Hostname() == "":
		return errors.New("the URL has no host: want one such as https://www.example.org/")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("any answer will do: remove what begins with ? or #")
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		return checkUnicast(a)
	}
	return nil
}
