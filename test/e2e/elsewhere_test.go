package e2e_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// Where the name servers of the tests are: ours is at 127.0.0.1.
const (
	hints     = "127.0.0.10" // the root, and what is at a provider
	primary   = "127.0.0.20"
	secondary = "127.0.0.21"
	resolver  = "127.0.0.53" // the CA's, and the machine's
)

// starter starts name servers of a kind.
type starter func(*parts.Namespace, testing.TB, string, ...parts.Zone)

// pairs of name servers: who takes the updates, and who gets them from there.
var nameServers = []struct {
	name               string
	primary, secondary starter
}{
	{"bind9", (*parts.Namespace).StartNamed, (*parts.Namespace).StartKnot},
	{"knot", (*parts.Namespace).StartKnot, (*parts.Namespace).StartNamed},
}

// delegate returns the records by which the root leads to the servers of a zone.
func delegate(zone string, addresses ...string) (records string) {
	for i, address := range addresses {
		records += fmt.Sprintf("%[1]s. NS ns%[2]d.%[1]s.\nns%[2]d.%[1]s. A %[3]s\n", zone, i+1, address)
	}
	return records
}

// apex returns the records at the zone's own end of that.
func apex(addresses ...string) (records string) {
	for i, address := range addresses {
		records += fmt.Sprintf("@ NS ns%[1]d\nns%[1]d A %[2]s\n", i+1, address)
	}
	return records
}

// elsewhere is an exporter and a CA in a network with name servers of others.
type elsewhere struct {
	*parts.Namespace
	pebble   *parts.Pebble
	exporter *parts.Exporter
}

// newElsewhere starts the CA. The responders and modules are added to what the
// exporter is told.
func newElsewhere(t *testing.T, responders, modules string) *elsewhere {
	t.Helper()
	n := parts.NewNamespace(t, resolver)
	e := &elsewhere{Namespace: n, pebble: parts.StartPebble(t, n.Ports(), "-smooth", "-resolver="+resolver+":53")}
	e.exporter = parts.NewExporter(t, n.Ports(), e.pebble.CA)
	probes := ""
	for line := range strings.Lines(modules) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		probes += "      " + name + ": 0s\n"
	}
	e.exporter.Configure(fmt.Sprintf(`targets:
  ca:
    directory_url: %s
    environment: staging
    tls_config: {ca_file: %s}
    rate_limits: none
    issuer_domain_name: pebble.invalid
    account: {contact: ["mailto:test@acme-probe.example"], agree_to_terms: true}
    probes:
%sresolvers: [%s]
responders:
%smodules:
%s`, e.pebble.DirectoryURL, e.pebble.RootFile, probes, resolver, responders, modules))
	return e
}

// internet starts the resolver, and the root with what is at a provider.
func (e *elsewhere) internet(t *testing.T, delegations string, hosted ...parts.Zone) {
	t.Helper()
	root := parts.Zone{Records: "@ NS ns.root.\nns.root. A " + hints + "\n" + delegations}
	e.StartNamed(t, hints, append(hosted, root)...)
	e.StartUnbound(t, resolver, hints)
}

// updates are responders.dns_updates of zones at the primary.
func updates(zones ...string) string {
	text := "  dns_updates:\n"
	for _, zone := range zones {
		text += updateZone(zone, primary, parts.TSIGName, parts.TSIGSecret)
	}
	return text
}

func updateZone(zone, server, key, secret string) string {
	return fmt.Sprintf("    - {zone: %s, server: %s, tsig: {key_name: %s, secret: %s}}\n", zone, server, key, secret)
}

// issued holds that a run has published records, and got a certificate for so many
// names.
func issued(t *testing.T, r *probe.Result, names int) {
	t.Helper()
	checkNames(t, r)
	if !r.Verdict.Success() || r.Certificate == nil {
		t.Fatalf("%s: verdict %+v: %+v", r.Module, r.Verdict, r.Failure)
	}
	if got := len(r.Certificate.Names); got != names {
		t.Errorf("%s: a certificate for %d names, want %d", r.Module, got, names)
	}
	if i := slices.IndexFunc(r.Steps, func(s probe.Step) bool { return s.Name == probe.StepPublication }); i < 0 || !r.Steps[i].OK {
		t.Errorf("%s: nothing was published: %+v", r.Module, r.Steps)
	}
}

// unpublished holds that a run has failed because of its records, with the words,
// and that no challenge was accepted.
func unpublished(t *testing.T, r *probe.Result, reason probe.Reason, fault probe.Fault, words ...string) {
	t.Helper()
	checkNames(t, r)
	if r.Verdict.Stage != probe.StepPublication || r.Verdict.Reason != reason || r.Verdict.Fault != fault {
		t.Errorf("%s: verdict %+v, want %s, fault %s: %+v", r.Module, r.Verdict, reason, fault, r.Failure)
		return
	}
	text := r.Failure.Detail + "; " + r.Failure.Advice
	for _, want := range words {
		if !strings.Contains(text, want) {
			t.Errorf("%s: %q does not say %q", r.Module, text, want)
		}
	}
	if strings.Contains(fmt.Sprintf("%+v", r), parts.TSIGSecret) {
		t.Errorf("%s: the secret is in the result", r.Module)
	}
	if n := count(r, probe.CallChallenge); n != 0 {
		t.Errorf("%s: %d challenges were accepted", r.Module, n)
	}
}

// withdrawn waits until the servers have no TXT records of the zone but those.
func (e *elsewhere) withdrawn(t *testing.T, zone string, left map[string][]string, servers ...string) {
	t.Helper()
	for _, server := range servers {
		parts.Until(t, server+" has no record of a run's", func() bool {
			return maps.EqualFunc(e.Transfer(t, server, zone), left, slices.Equal)
		})
	}
}

// TestUpdates holds that what records answer is issued for names in a zone that takes
// updates, that the records are at each of its servers, and that they are gone
// afterwards, and nobody else's.
func TestUpdates(t *testing.T) {
	t.Parallel()
	const modules = `  one: {prober: issue, issue: {challenge: dns-01}}
  several: {prober: issue, issue: {challenge: dns-01, names: {count: 3, wildcard: true}}}
  fixed: {prober: issue, issue: {challenge: dns-01, names: {mode: fixed, list: [updates.example, "*.updates.example"]}}}
  labelled: {prober: issue, issue: {challenge: dns-account-01, names: {count: 2, wildcard: true}}}
  persist: {prober: issue, issue: {challenge: dns-persist-01, names: {count: 2, wildcard: true}, persist_policy: wildcard}}
`
	for _, kind := range nameServers {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			e := newElsewhere(t, updates("updates.example"), modules)
			e.internet(t, delegate("updates.example", primary, secondary))
			kind.primary(e.Namespace, t, primary, parts.Zone{
				Name: "updates.example", Updates: true, Secondary: secondary,
				Records: apex(primary, secondary) + "_acme-challenge TXT \"somebody else's\"\n",
			})
			kind.secondary(e.Namespace, t, secondary, parts.Zone{Name: "updates.example", Primary: primary})

			e.exporter.Serve()
			for module, names := range map[string]int{"one": 1, "several": 6, "fixed": 2, "labelled": 4, "persist": 4} {
				issued(t, e.exporter.RunNow(module), names)
			}
			e.withdrawn(t, "updates.example",
				map[string][]string{"_acme-challenge.updates.example": {"somebody else's"}}, primary, secondary)
			parts.Until(t, "the follow-ups are done", func() bool {
				return e.exporter.Metrics().Sum("acme_follow_ups_total", "kind", "withdraw_records", "outcome", "success") == 5
			})
		})
	}
}

// TestUpdatesPage holds that the configurations of the page make a name server take
// the exporter's updates.
func TestUpdatesPage(t *testing.T) {
	t.Parallel()
	const zone = "dyn.acme-probe.example"
	content, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(content), "\n### Zones that take updates\n")
	ours := regexp.MustCompile("(?s)```yaml\nresponders:\n(.*?)```").FindStringSubmatch(section)
	if ours == nil {
		t.Fatal("the page has no block of YAML")
	}
	_, section, _ = strings.Cut(section, ours[0])
	texts := regexp.MustCompile(`(?m)(?:^ {4}.*\n)+`).FindAllString(section, 2)
	if len(texts) != 2 {
		t.Fatalf("the page has not two texts that are indented: %q", texts)
	}
	for i, kind := range nameServers {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			excerpt := strings.NewReplacer("…", "SECRET", "/var/lib/bind", "DIR", "\n    ", "\n").Replace("\n" + texts[i])
			e := newElsewhere(t, ours[1], "  issue: {prober: issue, issue: {challenge: dns-01}}\n")
			if err := os.WriteFile(filepath.Join(filepath.Dir(e.exporter.ConfigFile()), "tsig.secret"), []byte(parts.TSIGSecret+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			e.internet(t, delegate(zone, primary)+"ns1.acme-probe.example. A "+primary+"\n")
			kind.primary(e.Namespace, t, primary, parts.Zone{Name: zone, Records: apex(primary), Excerpt: excerpt})
			r := e.exporter.Probe("issue")
			issued(t, r, 1)
			// Which lets nobody transfer the zone.
			if left := e.TXT(t, primary, "_acme-challenge."+r.Certificate.Names[0]); len(left) != 0 {
				t.Errorf("the record is still there: %q", left)
			}
		})
	}
}

// TestUpdatesRefused holds that a name server which does not let us write is the
// configuration's fault, in words that say what is wrong with it.
func TestUpdatesRefused(t *testing.T) {
	t.Parallel()
	// As long as the right one.
	const wrong = "bm9ib2R5IGtub3dzIHVzIGJ5IHRoaXMgc2VjcmV0IQ=="
	for _, kind := range nameServers {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			zones := []string{"secret.example", "key.example", "policy.example", "nobodys.example"}
			responders, modules, delegations := "  dns_updates:\n", "", ""
			for _, zone := range zones {
				key, secret := parts.TSIGName, parts.TSIGSecret
				switch zone {
				case "secret.example":
					secret = wrong
				case "key.example":
					key = "somebody-else"
				}
				responders += updateZone(zone, primary, key, secret)
				modules += "  " + strings.TrimSuffix(zone, ".example") + ": {prober: issue, issue: {challenge: dns-01, names: {zone: " + zone + "}}}\n"
				delegations += delegate(zone, primary)
			}
			e := newElsewhere(t, responders, modules)
			// That zone is there, and not at the server that is to take its updates.
			delegations = strings.ReplaceAll(delegations, delegate("nobodys.example", primary), delegate("nobodys.example", hints))
			e.internet(t, delegations, parts.Zone{Name: "nobodys.example", Records: apex(hints)})
			kind.primary(e.Namespace, t, primary,
				parts.Zone{Name: "secret.example", Updates: true, Records: apex(primary)},
				parts.Zone{Name: "key.example", Updates: true, Records: apex(primary)},
				parts.Zone{Name: "policy.example", Records: apex(primary)})

			e.exporter.Serve()
			refused := verdict.PublicationRefused
			for module, says := range map[string]string{
				"secret": "another secret", "key": "knows no key", "policy": "", "nobodys": "is not the primary",
			} {
				r := e.exporter.RunNow(module)
				unpublished(t, r, refused, probe.FaultClient, primary, says)
				if len(r.FollowUps) > 0 {
					t.Errorf("%s: follow-ups are left: %+v", module, r.FollowUps)
				}
			}
			for _, zone := range zones[:3] {
				e.withdrawn(t, zone, nil, primary)
			}
			// Nothing was written, and so nothing is left to be removed for a week.
			if n := e.exporter.Metrics().Sum("acme_follow_ups_total"); n != 0 {
				t.Errorf("%v follow-ups were tried", n)
			}
		})
	}
}
