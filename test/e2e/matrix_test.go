package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// offer is what a CA has of what can be asked of it.
type offer struct {
	name  string
	start func(testing.TB, parts.Ports) parts.CA
	// account is configured beside contact and terms.
	account    string
	challenges []probe.ChallengeType
	// profile says that there is one, called default.
	profile bool
	// keeps says that a valid authorization is good for the next order, too.
	keeps bool
	// alone says that it is asked for one certificate at a time. When two orders of
	// an account meet, step-ca, which is in Caddy too, says "failed to commit badger
	// transaction: Transaction Conflict. Please retry" to itself, and 500 to us.
	alone bool
}

// offers is the matrix's first dimension. What a CA does not have is skipped as
// unsupported there.
var offers = []offer{
	{
		name: "pebble", start: pebbleKeeping(),
		challenges: probe.ChallengeTypes(), profile: true, keeps: true,
	},
	{
		name: "pebble bound", start: pebbleKeeping("-external-account=kid-1=" + bindingKey), account: binding,
		challenges: probe.ChallengeTypes(), profile: true, keeps: true,
	},
	{
		name:       "step-ca",
		start:      func(tb testing.TB, p parts.Ports) parts.CA { return *parts.StartStepCA(tb, p) },
		challenges: commonChallenges,
		alone:      true,
	},
	{
		name: "step-ca bound",
		start: func(tb testing.TB, p parts.Ports) parts.CA {
			return *parts.StartBindingStepCA(tb, p, "kid-1", bindingKey)
		},
		account:    binding,
		challenges: commonChallenges,
		alone:      true,
	},
	{
		name:       "caddy",
		start:      func(tb testing.TB, p parts.Ports) parts.CA { return *parts.StartCaddy(tb, p.Namespace) },
		challenges: commonChallenges,
		alone:      true,
	},
}

// commonChallenges are those of RFC 8555 and RFC 8737.
var commonChallenges = []probe.ChallengeType{probe.HTTP01, probe.TLSALPN01, probe.DNS01}

const binding = ", external_account_binding: {key_id: kid-1, hmac_key: " + bindingKey + "}"

// pebbleKeeping is Pebble without roughness, which takes each valid authorization
// for the next order.
func pebbleKeeping(flags ...string) func(testing.TB, parts.Ports) parts.CA {
	return func(tb testing.TB, p parts.Ports) parts.CA {
		return parts.StartPebble(tb, p, append([]string{
			"-nonce-reject=0", "-validation-sleep=0", "-poll-authz=0", "-poll-order=0", "-authz-reuse=100",
		}, flags...)...).CA
	}
}

// The names that can be asked for; those of %s are the cell's own, so that cells
// do not have to take turns.
var matrixNames = []struct{ kind, names string }{
	{"one", "{count: 1}"},
	{"three", "{count: 3}"},
	{"wildcard", "{count: 2, wildcard: true}"},
	{"fixed", "{mode: fixed, list: [%[1]s.acme-probe.example, www.%[1]s.acme-probe.example]}"},
	{"ip4", "{mode: fixed, list: [127.0.0.1]}"},
	{"ip6", `{mode: fixed, list: ["::1"]}`},
}

// wantNames is how many names a certificate for each kind has.
var wantNames = map[string]int{"one": 1, "three": 3, "wildcard": 4, "fixed": 2, "ip4": 1, "ip6": 1}

// fits says which names each challenge can be asked for; the configuration
// refuses the others.
func fits(c probe.ChallengeType, kind string) bool {
	switch kind {
	case "wildcard":
		return c.DNS()
	case "ip4", "ip6":
		return !c.DNS()
	}
	return true
}

// cell is one combination: a module.
type cell struct {
	module        string
	challenge     probe.ChallengeType
	kind          string // of names
	authorization string
	profile       string
	settings      string // of the module, beside its prober
	skipped       bool   // the CA does not have it
}

// cells are the combinations for a CA: each challenge with all names that fit it,
// fresh and reusing authorizations, with the small keys in turn; each with a
// profile that there may be and one that there is not; and one with the big key.
func (o *offer) cells() (list []cell) {
	keys := []string{"ecdsa-p256", "ecdsa-p384", "rsa-2048"}
	add := func(c probe.ChallengeType, kind, names, authorization, key, profile string) {
		cell := cell{challenge: c, kind: kind, authorization: authorization, profile: profile}
		cell.module = strings.Join([]string{string(c), kind, authorization, key}, "-")
		if profile != "" {
			cell.module += "-" + profile
		}
		label := strings.ReplaceAll(cell.module, "_", "-")
		if strings.Contains(names, "%") {
			names = fmt.Sprintf(names, label)
		}
		cell.settings = fmt.Sprintf("{challenge: %s, names: %s, authorization: %s, key_type: %s", c, names, authorization, key)
		if profile != "" {
			cell.settings += ", profile: " + profile
		}
		if c == probe.DNSPersist01 && kind == "wildcard" {
			cell.settings += ", persist_policy: wildcard"
		}
		cell.settings += "}"
		cell.skipped = !slices.Contains(o.challenges, c) || profile != "" && (profile != "default" || !o.profile)
		list = append(list, cell)
	}
	for _, c := range probe.ChallengeTypes() {
		for _, n := range matrixNames {
			for _, authorization := range []string{"fresh", "reuse"} {
				if fits(c, n.kind) {
					add(c, n.kind, n.names, authorization, keys[len(list)%len(keys)], "")
				}
			}
		}
		for _, profile := range []string{"default", "nobody-has-it"} {
			add(c, "one", "{count: 1}", "fresh", "ecdsa-p256", profile)
		}
	}
	// The key is nothing to a challenge, and takes seconds to make.
	add(probe.DNS01, "one", "{count: 1}", "fresh", "rsa-4096", "")
	return list
}

// configuration has the cells as pairs with the CA.
func (o *offer) configuration(ca parts.CA, cells []cell) string {
	var modules, probes strings.Builder
	for _, c := range cells {
		fmt.Fprintf(&modules, "  %s: {prober: issue, timeout: 5m, min_interval: 100ms, issue: %s}\n", c.module, c.settings)
		fmt.Fprintf(&probes, "      %s: 0s\n", c.module)
	}
	return fmt.Sprintf(`targets:
  ca:
    directory_url: %s
    environment: staging
    tls_config: {ca_file: %s}
    rate_limits: none
    issuer_domain_name: pebble.invalid
    account: {contact: ["mailto:test@acme-probe.example"], agree_to_terms: true%s}
    probes:
%sresponders:
  http: {}
  tls_alpn: {}
  dns:
    zones: [acme-probe.example]
    nameserver: ns.acme-probe.example
    addresses: [127.0.0.1, "::1"]
modules:
%s`, ca.DirectoryURL, ca.RootFile, o.account, probes.String(), modules.String())
}

// TestMatrix holds that each combination of challenge, names, key, profile,
// external account and authorization is issued by each CA that has it all, and is
// skipped as unsupported at each that has not. No CA is ever blamed.
func TestMatrix(t *testing.T) {
	t.Parallel()
	for _, o := range offers {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			ports := parts.NewNamespace(t, "127.0.0.1").Ports()
			ca := o.start(t, ports)
			exporter := parts.NewExporter(t, ports, ca)
			cells := o.cells()
			exporter.Configure(o.configuration(ca, cells))
			exporter.Serve()

			// Where the names are the same, what the first run leaves is the second's.
			var workers sync.WaitGroup
			queue, parallel := make(chan cell, len(cells)), 4
			if o.alone {
				parallel = 1
			}
			for _, c := range cells {
				queue <- c
			}
			close(queue)
			for range parallel {
				workers.Go(func() {
					for c := range queue {
						o.check(t, &c, exporter.RunNow(c.module), false)
						if c.kind == "fixed" {
							o.check(t, &c, exporter.RunNow(c.module), true)
						}
					}
				})
			}
			workers.Wait()
		})
	}
}

// TestMatrixRefused holds that the configuration refuses the combinations that the
// matrix leaves out: wildcards where no record answers, and addresses where one does.
func TestMatrixRefused(t *testing.T) {
	t.Parallel()
	var refused []cell
	for _, c := range probe.ChallengeTypes() {
		for _, n := range matrixNames {
			if !fits(c, n.kind) {
				module := string(c) + "-" + n.kind
				refused = append(refused, cell{module: module, settings: fmt.Sprintf("{challenge: %s, names: %s}", c, n.names)})
			}
		}
	}
	exporter := parts.NewExporter(t, parts.NewPorts(t), parts.CA{DirectoryURL: "https://127.0.0.1/dir"})
	exporter.Configure(new(offer).configuration(parts.CA{DirectoryURL: "https://127.0.0.1/dir", RootFile: exporter.ConfigFile()}, refused))
	text := run(t, exporter, 2, "check", "config", exporter.ConfigFile())
	for _, c := range refused {
		if !strings.Contains(text, "modules."+c.module+".") {
			t.Errorf("%s is not refused:\n%s", c.module, text)
		}
	}
}

// check holds that a run of the cell has ended as the table says.
func (o *offer) check(t *testing.T, c *cell, r *probe.Result, again bool) {
	t.Helper()
	checkNames(t, r)
	if c.skipped {
		if r.Verdict.Outcome != probe.OutcomeSkipped || r.Verdict.Reason != verdict.Unsupported {
			t.Errorf("%s: verdict %+v, want it skipped as unsupported", c.module, r.Verdict)
		}
		return
	}
	if !r.Verdict.Success() || r.Certificate == nil {
		t.Errorf("%s: verdict %+v, want success: %+v", c.module, r.Verdict, r.Failure)
		return
	}
	if got := len(r.Certificate.Names); got != wantNames[c.kind] {
		t.Errorf("%s: the certificate has %d names, want %d", c.module, got, wantNames[c.kind])
	}
	// What is left over from another cell is known of names that are nobody else's.
	kept := o.keeps && c.authorization == "reuse" && c.kind == "fixed" && again
	if c.authorization == "reuse" && strings.HasPrefix(c.kind, "ip") {
		return
	}
	validated := slices.ContainsFunc(r.Steps, func(s probe.Step) bool { return s.Name == probe.StepValidation })
	if validated == kept {
		t.Errorf("%s: validated %t, second run %t", c.module, validated, again)
	}
}
