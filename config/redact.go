package config

import (
	"bytes"
	"fmt"
	"net/url"

	promconfig "github.com/prometheus/common/config"
	"gopkg.in/yaml.v3"
)

// Redacted returns the configuration as it is in force, as YAML that may be
// shown: secrets are <secret>, and what identifies us to a proxy is xxxxx.
func (c *Config) Redacted() []byte {
	shown := Config{
		Targets: map[string]*Target{}, Responders: c.Responders, Modules: map[string]*Module{},
		Resolvers: c.Resolvers, Controls: c.Controls, Incidents: c.Incidents,
		LogListFile: c.LogListFile,
	}
	redactProxy(&shown.Controls.ProxyConfig)
	for name, t := range c.Targets {
		shown.Targets[name] = redactTarget(t)
	}
	for name, m := range c.Modules {
		own := *m
		if own.timeoutByDefault {
			own.Timeout = 0 // left out: a preset's may be in force instead
		}
		shown.Modules[name] = &own
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(shown); err != nil {
		panic(fmt.Sprintf("config: encode: %v", err)) // every type is our own
	}
	_ = enc.Close() // what it writes to does not fail
	return b.Bytes()
}

// redactTarget returns a copy whose YAML form holds no secret.
func redactTarget(t *Target) *Target {
	own := *t
	redactProxy(&own.ProxyConfig)
	return &own
}

// redactProxy changes p, whose URL others may share.
func redactProxy(p *promconfig.ProxyConfig) {
	if u := p.ProxyURL.URL; u != nil && u.User != nil {
		plain := *u
		plain.User = url.User("xxxxx")
		p.ProxyURL = promconfig.URL{URL: &plain}
	}
}
