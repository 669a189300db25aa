package e2e_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// TestCheckOnline holds that the records which check config --online prints are
// those that are missing: with them it finds nothing to be done, whether the
// exporter runs or not, and each module gets its certificate.
func TestCheckOnline(t *testing.T) {
	t.Parallel()
	const (
		before         = "127.0.0.11" // the root, before somebody has added the records
		beforeResolver = "127.0.0.54"
	)
	e := newElsewhere(t, `  http: {}
  tls_alpn: {}
  dns: {listen_address: "127.0.0.1:53", zones: [acme-probe.example, inside.example], nameserver: ns.inside.example, addresses: [127.0.0.1]}
`+updates("updates.example")+"  dns_aliases: [shop.example]\n",
		`  ours: {prober: issue, issue: {challenge: dns-01, names: {zone: acme-probe.example}}}
  web: {prober: issue, issue: {challenge: http-01, names: {zone: inside.example, count: 2}}}
  tls: {prober: issue, issue: {challenge: tls-alpn-01, names: {mode: fixed, list: [www.shop.example]}}}
  updated: {prober: issue, issue: {challenge: dns-01, names: {zone: updates.example, wildcard: true}}}
  aliased: {prober: issue, issue: {challenge: dns-01, names: {mode: fixed, list: [www.shop.example, "*.www.shop.example"]}}}
  persistent: {prober: issue, issue: {challenge: dns-persist-01, names: {mode: fixed, list: [provider.example]}}}
`)
	run(t, e.exporter, 0, "account", "register", parts.Target)
	// world has the zones that are not ours at one server, with more records in them.
	world := func(server, resolver string, more map[string]string) {
		e.StartNamed(t, server,
			parts.Zone{Records: "@ NS ns.root.\nns.root. A " + server + "\n" + delegate("example", server)},
			parts.Zone{Name: "example", Records: apex(server) + delegate("updates.example", primary) + delegate("shop.example", server) + more["example"]},
			parts.Zone{Name: "shop.example", Records: apex(server) + more["shop.example"]})
		e.StartUnbound(t, resolver, server)
	}
	world(before, beforeResolver, nil)
	e.exporter.Reconfigure("resolvers: ["+resolver+"]", "resolvers: ["+beforeResolver+"]")
	e.StartNamed(t, primary, parts.Zone{Name: "updates.example", Updates: true, Records: apex(primary)})

	first, stderr, status := e.exporter.Run("check", "config", "--online", e.exporter.ConfigFile())
	if status != 1 || stderr != "" {
		t.Fatalf("exit status %d, want 1\n%s%s", status, first, stderr)
	}
	found := missing(first)
	for zone, records := range map[string][]string{
		"example":      {"acme-probe.example. 3600 IN NS ns.inside.example.", "inside.example. 3600 IN NS ns.inside.example.", "ns.inside.example. 3600 IN A 127.0.0.1", "provider.example. 300 IN TXT"},
		"shop.example": {"www.shop.example. 300 IN A 127.0.0.1", "_acme-challenge.www.shop.example. 300 IN CNAME"},
	} {
		for _, record := range records {
			if !strings.Contains(found[zone], record) {
				t.Errorf("it does not tell that %q is missing in %s:\n%s", record, zone, first)
			}
		}
	}

	world(hints, resolver, found)
	e.exporter.Reconfigure("resolvers: ["+beforeResolver+"]", "resolvers: ["+resolver+"]")
	check := func(words ...string) {
		t.Helper()
		said := run(t, e.exporter, 0, "check", "config", "--online", e.exporter.ConfigFile())
		if !strings.Contains(said, ", 0 warning, 0 missing, 0 wrong\n") {
			t.Errorf("there is more to say:\n%s", said)
		}
		for _, want := range words {
			if !strings.Contains(said, want) {
				t.Errorf("it does not say %q:\n%s", want, said)
			}
		}
	}
	check("a TXT record of ours was seen", "was written, was seen at every authoritative server, and was removed",
		"was answered at 127.0.0.1:80", "was answered at 127.0.0.1:443")
	e.withdrawn(t, "updates.example", nil, primary)

	e.exporter.Serve()
	check("presumably by the exporter that runs")
	for _, module := range []string{"ours", "web", "tls", "updated", "aliased", "persistent"} {
		if r := e.exporter.RunNow(module); !r.Verdict.Success() {
			t.Errorf("%s: verdict %+v: %+v", module, r.Verdict, r.Failure)
		}
	}
}

// missing returns the records that check config --online prints, by zone.
func missing(said string) map[string]string {
	found, zone := map[string]string{}, ""
	heading := regexp.MustCompile(`^ {9}into the zone (\S+):\n$`)
	for line := range strings.Lines(said) {
		switch m := heading.FindStringSubmatch(line); {
		case m != nil:
			zone = m[1]
		case strings.HasPrefix(line, strings.Repeat(" ", 11)):
			found[zone] += strings.TrimSpace(line) + "\n"
		}
	}
	return found
}
