package budget

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
)

func TestRegisteredDomain(t *testing.T) {
	for name, want := range map[string]string{
		"acme-probe.example":         "acme-probe.example",
		"a.b.acme-probe.example":     "acme-probe.example",
		"*.a.acme-probe.example":     "acme-probe.example",
		"*.acme-probe.example":       "acme-probe.example",
		"A.ACME-Probe.Example":       "acme-probe.example",
		"x.y.example.co.uk":          "example.co.uk",
		"x.example.github.io":        "example.github.io", // the private part of the list
		"co.uk":                      "co.uk",             // a suffix counts as it is
		"xn--bcher-kva.example":      "xn--bcher-kva.example",
		"192.0.2.7":                  "192.0.2.7",
		"::ffff:192.0.2.7":           "192.0.2.7",
		"2001:db8:1:2:3:4:5:6":       "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::1":       "2001:db8:1:2::/64",
		"name.in-addr.arpa.example":  "arpa.example",
		"one.two.three.four.invalid": "four.invalid",
	} {
		if got := registeredDomain(name); got != want {
			t.Errorf("%s counts as %s, want %s", name, got, want)
		}
	}
}

func TestSet(t *testing.T) {
	set := setOf([]string{"a.example", "*.a.example", "b.example"})
	for _, same := range [][]string{{"b.example", "A.example", "*.a.example"}, {"a.example", "b.example", "a.example", "*.a.example"}} {
		if setOf(same) != set {
			t.Errorf("%v is another set", same)
		}
	}
	for _, other := range [][]string{{"a.example", "b.example"}, {"a.example", "*.b.example", "b.example"}, nil} {
		if setOf(other) == set {
			t.Errorf("%v is the same set", other)
		}
	}
}

func TestCosts(t *testing.T) {
	names := []string{"b.one.example", "*.b.one.example", "a.one.example", "two.example", "2001:db8::1", "2001:db8::2"}
	for limit, want := range map[config.LimitName][]cost{
		config.LimitNewOrders:             {{"acct", 1}},
		config.LimitCertificatesPerDomain: {{"2001:db8::/64", 1}, {"one.example", 1}, {"two.example", 1}},
		config.LimitCertificatesPerSet:    {{setOf(names), 1}},
		config.LimitFailedValidations: {
			{"acct 2001:db8::1", 1}, {"acct 2001:db8::2", 1}, {"acct a.one.example", 1}, {"acct b.one.example", 2}, {"acct two.example", 1},
		},
		config.LimitNewAccountsPerIP: {{"", 1}},
	} {
		if diff := cmp.Diff(want, costs(limit, "acct", names), cmp.AllowUnexported(cost{})); diff != "" {
			t.Errorf("%s: %s", limit, diff)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, key := range []Key{
		{"https://ca.example/directory", config.LimitNewOrders, "https://ca.example/acct/1"},
		{"https://ca.example/directory", config.LimitFailedValidations, "1 a.example"},
		{"https://ca.example/directory", config.LimitNewAccountsPerIP, ""},
	} {
		if got, err := parseKey(key.String()); err != nil || got != key {
			t.Errorf("%q: %+v, %v", key, got, err)
		}
	}
	for _, bad := range []string{"", " ", "clock", "ca new_orders", "ca new_order 1", " new_orders 1", strings.Repeat("x", 10)} {
		if key, err := parseKey(bad); err == nil {
			t.Errorf("%q: %+v", bad, key)
		}
	}
}
