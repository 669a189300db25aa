package config

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestControlsOf holds which controls tell about a target.
func TestControlsOf(t *testing.T) {
	const (
		le      = "letsencrypt: {preset: letsencrypt, probes: {directory: 1m}}\n"
		staging = "staging: {preset: letsencrypt-staging, probes: {directory: 1m}}\n"
		again   = "again: {preset: letsencrypt, probes: {nonce: 1m}}\n"
		zerossl = "zerossl: {preset: zerossl, proxy_url: 'http://proxy.corp.example', probes: {directory: 1m}}\n"
		corp    = "corp: {directory_url: 'https://ca.corp.example/acme', probes: {directory: 1m}}\n"
		other   = "other: {directory_url: 'https://CA2.corp.example:9000/acme', probes: {directory: 1m}}\n"
		ip      = "ip: {directory_url: 'https://[2001:db8::1]/acme', probes: {directory: 1m}}\n"
		port    = "port: {directory_url: 'https://[2001:db8::1]:9000/acme', probes: {directory: 1m}}\n"
		ip2     = "ip2: {directory_url: 'https://[2001:db8::2]/acme', probes: {directory: 1m}}\n"
	)
	const leURL, zeroURL = "https://acme-v02.api.letsencrypt.org/directory", "https://acme.zerossl.com/v2/DV90"
	for _, test := range []struct {
		name, controls string
		targets        []string
		of             string
		want           []string
	}{
		{"nothing", "", []string{corp}, "corp", nil},
		{"no such target", "{names: [example.org]}", []string{corp}, "le", nil},
		{"written", "{urls: [http://b.example/, https://a.example/], names: [d.example, c.example]}", []string{corp}, "corp",
			[]string{"http://b.example/", "https://a.example/", "d.example", "c.example"}},
		{"others' directories", "{names: [example.org]}", []string{zerossl, corp, le}, "corp",
			[]string{"example.org", leURL + " letsencrypt", zeroURL + " zerossl via http://proxy.corp.example"}},
		{"one directory of two targets", "", []string{le, again, corp}, "corp", []string{leURL + " again"}},
		{"the same CA", "", []string{le, again}, "letsencrypt", nil},
		{"the same operator", "", []string{le, staging}, "letsencrypt", nil},
		{"the same domain", "", []string{corp, other}, "corp", nil},
		{"the same domain, written", "{urls: ['https://ca2.corp.example:9000/acme']}", []string{corp, other}, "corp",
			[]string{"https://ca2.corp.example:9000/acme"}},
		{"the CA itself, written", "{urls: ['http://CA.corp.example/', 'https://ca.corp.example:8443/'], names: [ca.corp.example, corp.example]}",
			[]string{corp}, "corp", []string{"corp.example"}},
		{"an address", "", []string{ip, port, ip2}, "ip", []string{"https://[2001:db8::2]/acme ip2"}},
		{"written and added", "{urls: ['" + leURL + "']}", []string{le, corp}, "corp", []string{leURL}},
		{"the controls' proxy", "{urls: [http://a.example/], names: [b.example], proxy_url: 'http://proxy.corp.example'}", []string{corp}, "corp",
			[]string{"http://a.example/ via http://proxy.corp.example", "b.example"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := "targets:\n"
			for _, target := range test.targets {
				text += "  " + target
			}
			if test.controls != "" {
				text += "controls: " + test.controls + "\n"
			}
			c := parse(t, text)
			var got []string
			for _, k := range c.ControlsOf(test.of) {
				one := k.URL
				if one == "" {
					one = k.Host
				}
				if k.Target != "" {
					one += " " + k.Target
				}
				if k.Proxy != nil && k.Proxy.ProxyURL.URL != nil {
					one += " via " + k.Proxy.ProxyURL.String()
				}
				got = append(got, one)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestWarnings holds who is warned, and where.
func TestWarnings(t *testing.T) {
	const warning = ": has no control: when this CA cannot be reached, nothing tells whether our own line works, and the fault is unknown: add controls.urls or controls.names"
	for _, test := range []struct {
		name string
		c    *Config
		want []string
	}{
		{"built in", Default(), []string{"built-in: targets.letsencrypt" + warning}},
		{"one operator", parse(t, "targets:\n  le: {preset: letsencrypt, probes: {directory: 1m}}\n  a: {preset: letsencrypt-staging, probes: {directory: 1m}}\n"),
			[]string{"test.yml:3:3: targets.a" + warning, "test.yml:2:3: targets.le" + warning}},
		{"two operators", parse(t, "targets:\n  le: {preset: letsencrypt, probes: {directory: 1m}}\n  z: {preset: zerossl, probes: {directory: 1m}}\n"), nil},
		{"a name", parse(t, "targets: {le: {preset: letsencrypt, probes: {directory: 1m}}}\ncontrols: {names: [example.org]}\n"), nil},
		{"the CA's own name", parse(t, "targets: {ca: {directory_url: 'https://ca.corp.example/', probes: {directory: 1m}}}\ncontrols: {names: [ca.corp.example]}\n"),
			[]string{"test.yml:1:11: targets.ca" + warning}},
	} {
		var got []string
		for _, w := range test.c.Warnings() {
			w.File = filepath.Base(w.File)
			got = append(got, w.Error())
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.name, diff)
		}
	}
}
