package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
	"github.com/acme-exporter/acme_exporter/test/parts"
)

// kills is how often the exporter is killed in a row.
const kills = 200

// atLimits has two accounts at one CA, which share the limits of domains, and more
// modules than the limits have tokens for. Nobody listens where the CA looks for
// tls-alpn-01, so that those validations fail.
const atLimits = `targets:
  ca:
    directory_url: %[1]s
    environment: production
    tls_config: {ca_file: %[2]s}
    account: {contact: ["mailto:test@acme-probe.example"], agree_to_terms: true}
    rate_limits: {%[3]s}
    probes: {random: 0s, several: 0s, pool: 0s, fixed: 0s}
  other:
    directory_url: %[1]s
    environment: production
    tls_config: {ca_file: %[2]s}
    account: {contact: ["mailto:test@acme-probe.example"], agree_to_terms: true}
    rate_limits: {%[3]s}
    probes: {random: 0s, validate: 0s, broken: 0s, hopeless: 0s}
responders:
  http: {listen_address: "127.0.0.1:80"}
  tls_alpn: {listen_address: "127.0.0.1:8443"}
  dns:
    listen_address: "127.0.0.1:53"
    zones: [one.example, two.example, three.example]
    nameserver: ns.one.example
    addresses: [127.0.0.1]
modules:
  random: {prober: issue, min_interval: 100ms, issue: {challenge: http-01, names: {zone: one.example}}}
  several: {prober: issue, min_interval: 100ms, issue: {challenge: dns-01, names: {zone: one.example, count: 2, wildcard: true}}}
  pool: {prober: issue, min_interval: 100ms, issue: {challenge: dns-01, names: {zone: two.example, mode: pool, size: 6}}}
  fixed: {prober: issue, min_interval: 100ms, issue: {challenge: http-01, names: {mode: fixed, list: [fixed.three.example]}}}
  validate: {prober: validate, min_interval: 100ms, validate: {challenge: http-01, names: {zone: three.example}}}
  broken: {prober: validate, min_interval: 100ms, validate: {challenge: tls-alpn-01, names: {zone: three.example}}}
  hopeless: {prober: validate, min_interval: 100ms, validate: {challenge: tls-alpn-01, names: {mode: fixed, list: [hopeless.three.example]}}}
`

// TestKillsAtLimits holds that an exporter which lives at a CA's limits and is killed
// at any moment, again and again, never has the CA deny it anything nor issue more
// than a limit gives, always finds its ledger readable, and leaves nothing undone.
func TestKillsAtLimits(t *testing.T) {
	t.Parallel()
	// In a network of its own nobody takes the ports between two lives.
	n := parts.NewNamespace(t, "127.0.0.1")
	// Of so few tokens none is kept for confirmation runs: our buckets are the CA's.
	limits := []parts.Limit{
		{Name: "new_orders", Count: 4, Period: "1s"},
		{Name: "certificates_per_domain", Count: 3, Period: "3s"},
		{Name: "certificates_per_set", Count: 2, Period: "3s"},
		{Name: "failed_validations", Count: 3, Period: "6s"},
		{Name: "consecutive_failures", Count: 4, Period: "8s"},
		{Name: "new_accounts_per_ip", Count: 2, Period: "2s"},
	}
	configured := make([]string, len(limits))
	for i, l := range limits {
		configured[i] = fmt.Sprintf("%s: {count: %d, period: %s}", l.Name, l.Count, l.Period)
	}
	pebble := parts.StartPebble(t, n.Ports(), "-smooth", parts.RateLimits(limits...))
	exporter := parts.NewExporter(t, n.Ports(), pebble.CA)
	exporter.ListenAt("127.0.0.1:9800")
	exporter.Configure(fmt.Sprintf(atLimits, pebble.DirectoryURL, pebble.RootFile, strings.Join(configured, ", ")))

	lives := liveAndDie(t, pebble, exporter)
	lives.check(t)
	withinLimits(t, pebble, limits)
	doFollowUps(t, exporter)
	nothingValid(t, n, pebble, exporter)
	withinLimits(t, pebble, limits)
	budgetShown(t, exporter, len(limits))
}

// lives is what became of an exporter that was killed again and again.
type lives struct {
	inFlight  int            // kills that left something reserved
	succeeded int            // runs that were made and passed
	denied    map[string]int // runs, by limit
}

// liveAndDie starts the exporter and kills it, until it has been killed often enough
// and enough was issued.
func liveAndDie(t *testing.T, pebble *parts.Pebble, exporter *parts.Exporter) lives {
	t.Helper()
	const issuances = 20
	l := lives{denied: map[string]int{}}
	defer exporter.ScrapeOften("ca/random", "ca/several", "ca/pool", "ca/fixed",
		"other/random", "other/validate", "other/broken", "other/hopeless")()
	successes := regexp.MustCompile(`"Probe succeeded" .*trigger=scrape`)
	denials := regexp.MustCompile(`reason=budget .*rate limit ([a-z_]+)`)
	for i := 0; i < kills || len(pebble.Spent().Issuances) < issuances; i++ {
		life := rand.N(350 * time.Millisecond)
		if i%4 == 0 { // long enough for a whole issuance, on a slow machine at last
			life = time.Duration(1+max(0, i-kills))*300*time.Millisecond + rand.N(600*time.Millisecond)
		}
		log := exporter.ServeFor(life)
		if strings.Contains(log, "level=ERROR") || strings.Contains(log, "reason=rate_limited") {
			t.Fatalf("life %d, of %s:\n%s", i, life, log)
		}
		if reserved(t, exporter) > 0 {
			l.inFlight++
		}
		l.succeeded += len(successes.FindAllString(log, -1))
		for _, match := range denials.FindAllStringSubmatch(log, -1) {
			l.denied[match[1]]++
		}
	}
	return l
}

// check holds that the exporter was at the limits, and at work when it was killed.
func (l lives) check(t *testing.T) {
	t.Helper()
	t.Logf("%d runs succeeded, %d kills left something reserved, runs denied: %v", l.succeeded, l.inFlight, l.denied)
	if l.inFlight < kills/10 {
		t.Errorf("%d of %d kills left something reserved", l.inFlight, kills)
	}
	for _, limit := range []string{"new_orders", "certificates_per_domain", "failed_validations"} {
		if l.denied[limit] == 0 {
			t.Errorf("no run was denied by %s", limit)
		}
	}
}

// openStore returns the store as the last process left it: a copy, so that nothing
// is mended before the next one sees it. Nil: there is none yet.
func openStore(t *testing.T, exporter *parts.Exporter) *state.Store {
	t.Helper()
	content, err := os.ReadFile(exporter.State("store.db"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	must(t, err)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "store.db"), content, 0o600))
	store, err := state.Open(dir)
	must(t, err)
	return store
}

// reserved is how many entries of the ledger have reservations that are not settled.
func reserved(t *testing.T, exporter *parts.Exporter) (n int) {
	t.Helper()
	store := openStore(t, exporter)
	if store == nil {
		return 0
	}
	must(t, store.All("ledger", func(_ string, value []byte) error {
		var entry struct{ Open int }
		err := json.Unmarshal(value, &entry)
		if entry.Open > 0 {
			n++
		}
		return err
	}))
	must(t, store.Close())
	return n
}

// withinLimits holds that the CA has denied nothing, and that no limit was exceeded.
func withinLimits(t *testing.T, pebble *parts.Pebble, limits []parts.Limit) {
	t.Helper()
	s := pebble.Spent()
	if s.Limited() != 0 || len(s.Paused) != 0 {
		t.Errorf("the CA has denied %v, and paused %v", s.Denied, s.Paused)
	}
	spent := map[string]int{}
	for _, b := range s.Buckets {
		spent[b.Limit] += b.Spent
		if b.Over != 0 || b.Denied != 0 {
			t.Errorf("over the limit: %+v", b)
		}
	}
	for _, limit := range limits {
		if spent[limit.Name] == 0 {
			t.Errorf("nothing was spent of %s", limit.Name)
		}
	}
	exempt := 0
	for _, issuance := range s.Issuances {
		if len(issuance.Over) != 0 {
			t.Errorf("issued over the limit: %+v", issuance)
		}
		if issuance.Exempt {
			exempt++
		}
	}
	t.Logf("%d certificates, %d of them exempt; spent: %v", len(s.Issuances), exempt, spent)
}

// followUps are those that the stopped exporter still has to do.
func followUps(t *testing.T, store *state.Store) (list []probe.FollowUp) {
	t.Helper()
	must(t, store.All("follow_ups", func(_ string, value []byte) error {
		var f probe.FollowUp
		err := json.Unmarshal(value, &f)
		list = append(list, f)
		return err
	}))
	return list
}

// doFollowUps holds that the next life does all that is left to be done.
func doFollowUps(t *testing.T, exporter *parts.Exporter) {
	t.Helper()
	store, err := state.Open(filepath.Dir(exporter.State("store.db")))
	must(t, err)
	list := followUps(t, store)
	for _, f := range list {
		// As long ago as it takes until an authorization that is pending, since its run
		// died before it accepted the challenge, is let be.
		f.Created, f.NotBefore = f.Created.Add(-time.Hour), time.Time{}
		must(t, store.Put("follow_ups", f.ID, f))
	}
	must(t, store.Close())
	t.Logf("%d follow-ups were left", len(list))

	exporter.Serve()
	if ok := exporter.Metrics().Sum("acme_budget_ledger_ok"); ok != 1 {
		t.Errorf("acme_budget_ledger_ok is %v", ok)
	}
	parts.Until(t, "the follow-ups are done", func() bool {
		return exporter.Metrics().Sum("acme_follow_ups_total", "outcome", "success") >= float64(len(list))
	})
	exporter.Terminate()
	exporter.Ended(grace)
	store = openStore(t, exporter)
	if list := followUps(t, store); len(list) != 0 {
		t.Errorf("still to be done: %+v", list)
	}
	must(t, store.Close())
	if n := reserved(t, exporter); n != 0 {
		t.Errorf("%d entries of the ledger have reservations that nobody will settle", n)
	}
}

// nothingValid holds that no authorization is valid that the CA has ever found so.
func nothingValid(t *testing.T, n *parts.Namespace, pebble *parts.Pebble, exporter *parts.Exporter) {
	t.Helper()
	accounts := state.NewAccounts(filepath.Dir(exporter.State("store.db")))
	var clients []*plainClient
	for _, target := range []string{"ca", "other"} {
		c := newClient(t, pebble.CA)
		keys, err := accounts.Read(target, new(struct{}))
		must(t, err)
		c.Key = keys.Current
		c.HTTPClient.Transport.(*http.Transport).DialContext = n.Dial
		clients = append(clients, c)
	}
	base, _, _ := strings.Cut(pebble.DirectoryURL, "/dir")
	matches := regexp.MustCompile(`authz (\S+) set VALID`).FindAllStringSubmatch(pebble.Log(), -1)
	for _, match := range matches {
		var authz *acme.Authorization
		read := slices.ContainsFunc(clients, func(c *plainClient) bool {
			var err error
			authz, err = c.GetAuthorization(t.Context(), base+parts.PebbleAuthz+match[1])
			return err == nil
		})
		if !read {
			t.Fatalf("no account of ours has the authorization %s", match[1])
		}
		if authz.Status != acme.StatusDeactivated {
			t.Errorf("the authorization for %s is %s", authz.Identifier.Value, authz.Status)
		}
	}
	t.Logf("%d authorizations had been valid", len(matches))
	if len(matches) == 0 {
		t.Error("the CA has validated nothing")
	}
}

// budgetShown holds that what is left can be told after all that.
func budgetShown(t *testing.T, exporter *parts.Exporter, limits int) {
	t.Helper()
	var shown struct {
		Targets []struct {
			Target string
			Limits []struct{ Limit string }
		}
	}
	must(t, json.Unmarshal([]byte(run(t, exporter, 0, "budget", "show", "--output=json")), &shown))
	if len(shown.Targets) != 2 || len(shown.Targets[0].Limits) != limits || len(shown.Targets[1].Limits) != limits {
		t.Errorf("budget show: %+v", shown)
	}
}
