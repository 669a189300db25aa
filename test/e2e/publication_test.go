package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/verdict"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// TestAliases holds that names at a provider are issued for when their challenge
// names are aliases into a zone of ours, or into one that takes updates, and that
// one which is not is said to need it.
func TestAliases(t *testing.T) {
	t.Parallel()
	e := newElsewhere(t, `  dns:
    zones: [acme-probe.example]
    nameserver: ns1.acme-probe.example
    listen_address: "127.0.0.1:53" # the port is others', too
`+updates("updates.example")+"  dns_aliases: [shop.example]\n",
		`  ours: {prober: issue, issue: {challenge: dns-01, names: {mode: fixed, list: [www.shop.example, "*.www.shop.example"]}}}
  updated: {prober: issue, issue: {challenge: dns-01, names: {mode: fixed, list: [mail.shop.example]}}}
  both: {prober: issue, issue: {challenge: dns-01, names: {mode: fixed, list: [www.shop.example, mail.shop.example]}}}
  random: {prober: issue, issue: {challenge: dns-01, names: {zone: random.shop.example, count: 3}}}
  labelled: {prober: issue, issue: {challenge: dns-account-01, names: {mode: fixed, list: [account.shop.example, "*.account.shop.example"]}}}
  nowhere: {prober: issue, issue: {challenge: dns-01, names: {mode: fixed, list: [nowhere.shop.example]}}}
`)
	e.internet(t, delegate("acme-probe.example", "127.0.0.1")+delegate("updates.example", primary)+delegate("shop.example", hints),
		parts.Zone{Name: "shop.example", Records: apex(hints) + `
_acme-challenge.www CNAME hop
hop CNAME www-shop.acme-probe.example.
_acme-challenge.mail CNAME mail-shop.updates.example.
*.random CNAME random-shop.acme-probe.example.
*._acme-challenge.account CNAME account-shop.updates.example.
`})
	e.StartNamed(t, primary, parts.Zone{Name: "updates.example", Updates: true, Records: apex(primary)})

	e.exporter.Serve()
	for module, names := range map[string]int{"ours": 2, "updated": 1, "both": 2, "random": 3, "labelled": 2} {
		r := e.exporter.RunNow(module)
		issued(t, r, names)
		if (len(r.Visits) > 0) != (module != "updated" && module != "labelled") {
			t.Errorf("%s: %d visits at our responder", module, len(r.Visits))
		}
	}
	unpublished(t, e.exporter.RunNow("nowhere"), verdict.PublicationRefused, probe.FaultClient,
		"_acme-challenge.nowhere.shop.example", "CNAME")
	e.withdrawn(t, "updates.example", nil, primary)
}

// TestServersBehind holds that no challenge is accepted before every server of a
// zone has the record, whichever it is that lacks it.
func TestServersBehind(t *testing.T) {
	t.Parallel()
	const absent = "127.0.0.22"
	zones := []string{"late.example", "never.example", "absent.example"}
	e := newElsewhere(t, updates(zones...),
		`  late: {prober: issue, issue: {challenge: dns-01, names: {zone: late.example}}}
  never: {prober: issue, timeout: 40s, issue: {challenge: dns-01, names: {zone: never.example}}}
  absent: {prober: issue, timeout: 40s, issue: {challenge: dns-01, names: {zone: absent.example}}}
`)
	e.internet(t, delegate("late.example", primary, secondary)+delegate("never.example", primary, secondary)+
		delegate("absent.example", primary, absent))
	// Nobody tells the secondary of late.example, which looks every other second. To
	// that of never.example nothing is transferred, ever.
	e.StartNamed(t, primary,
		parts.Zone{Name: "late.example", Updates: true, Records: apex(primary, secondary)},
		parts.Zone{Name: "never.example", Updates: true, Records: apex(primary, secondary)},
		parts.Zone{Name: "absent.example", Updates: true, Records: apex(primary, absent)})
	e.StartKnot(t, secondary,
		parts.Zone{Name: "late.example", Primary: primary},
		parts.Zone{Name: "never.example", Records: apex(primary, secondary)})

	e.exporter.Serve()
	e.exporter.Trigger("never")
	e.exporter.Trigger("absent")
	issued(t, e.exporter.RunNow("late"), 1)
	unpublished(t, e.exporter.RunNow("never"), verdict.PublicationIncomplete, probe.FaultLocal, secondary)
	unpublished(t, e.exporter.RunNow("absent"), verdict.PublicationUnreachable, probe.FaultLocal, absent)
	for _, zone := range zones {
		e.withdrawn(t, zone, nil, primary)
	}
}

// TestUpdateKilled holds that a record which was there when the exporter was killed
// is removed at the next start.
func TestUpdateKilled(t *testing.T) {
	t.Parallel()
	for _, kind := range nameServers {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			e := newElsewhere(t, updates("updates.example"),
				"  issue: {prober: issue, issue: {challenge: dns-01, names: {count: 2}}}\n")
			e.internet(t, delegate("updates.example", primary))
			kind.primary(e.Namespace, t, primary, parts.Zone{Name: "updates.example", Updates: true, Records: apex(primary)})

			run(t, e.exporter, 0, "account", "register", parts.Target)
			e.exporter.Serve()
			e.pebble.Hold("/chalZ/", 0)
			e.exporter.Trigger("issue")
			parts.Until(t, "a challenge is about to be accepted", func() bool { return e.pebble.Held() > 0 })
			e.exporter.Kill()
			e.pebble.Release()
			if left := e.Transfer(t, primary, "updates.example"); len(left) != 2 {
				t.Errorf("after the kill the server has %v, want two records", left)
			}

			e.exporter.Serve()
			e.withdrawn(t, "updates.example", nil, primary)
			parts.Until(t, "the follow-up is done", func() bool {
				return e.exporter.Metrics().Sum("acme_follow_ups_total", "kind", "withdraw_records", "outcome", "success") == 1
			})
		})
	}
}

// TestStanding holds that names at a provider are issued for when somebody has put
// the record of dns-persist-01 there once, and that a record which does not say what
// it has to is told of, with the one that would.
func TestStanding(t *testing.T) {
	t.Parallel()
	names := []string{"good", "alias", "lasting", "none", "stranger", "expired", "narrow"}
	modules := ""
	for _, name := range names {
		list, policy := name+".shop.example", ""
		if name == "good" || name == "narrow" {
			list, policy = list+`, "*.`+list+`"`, ", persist_policy: wildcard"
		}
		modules += fmt.Sprintf("  %s: {prober: issue, issue: {challenge: dns-persist-01, names: {mode: fixed, list: [%s]}%s}}\n", name, list, policy)
	}
	e := newElsewhere(t, "  http: {}\n", modules)
	run(t, e.exporter, 0, "account", "register", parts.Target)
	account := show(t, e.exporter).AccountURL
	record := func(name, value string) string {
		return fmt.Sprintf("_validation-persist.%s TXT %q\n", name, value)
	}
	ours := "pebble.invalid; accounturi=" + account
	e.internet(t, delegate("shop.example", primary, secondary))
	zone := parts.Zone{Name: "shop.example", Secondary: secondary, Records: apex(primary, secondary) + strings.Join([]string{
		record("good", "somebody-else.invalid"),
		record("good", ours+"; policy=wildcard"),
		"_validation-persist.alias CNAME elsewhere\n",
		fmt.Sprintf("elsewhere TXT %q\n", ours),
		record("lasting", fmt.Sprintf("%s; persistUntil=%d", ours, time.Now().Add(24*time.Hour).Unix())),
		record("stranger", strings.Replace(ours, account, account+"0", 1)),
		record("expired", ours+"; persistUntil=1000000000"),
		record("narrow", ours),
	}, "")}
	e.StartNamed(t, primary, zone)
	e.StartKnot(t, secondary, parts.Zone{Name: "shop.example", Primary: primary})

	e.exporter.Serve()
	for _, name := range names {
		r := e.exporter.RunNow(name)
		if slices.Contains([]string{"good", "alias", "lasting"}, name) {
			issued(t, r, map[string]int{"good": 2, "alias": 1, "lasting": 1}[name])
			continue
		}
		unpublished(t, r, verdict.PublicationRefused, probe.FaultClient,
			"_validation-persist."+name+".shop.example", "accounturi="+account)
	}
	if got := e.exporter.Metrics().Sum("acme_follow_ups_total", "kind", "withdraw_records"); got != 0 {
		t.Errorf("%v follow-ups that remove records which are not ours", got)
	}
}
