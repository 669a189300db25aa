package budget

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Targets of a preset share their address's pace; others have one for each
// directory, even if nothing is published for it.
func TestBookPacer(t *testing.T) {
	b := NewBook(newDisk())
	staging := &config.Target{Preset: "letsencrypt-staging", DirectoryURL: "https://a.example/"}
	again := &config.Target{Preset: "letsencrypt-staging", DirectoryURL: "https://b.example/"}
	production := &config.Target{Preset: "letsencrypt", DirectoryURL: "https://a.example/"}
	own := &config.Target{Preset: "letsencrypt", OwnCA: true, DirectoryURL: "https://own.example/"}
	other := &config.Target{DirectoryURL: "https://own.example/"}
	another := &config.Target{DirectoryURL: "https://another.example/"}
	for _, tt := range []struct {
		a, b *config.Target
		same bool
	}{{staging, staging, true}, {staging, again, true}, {staging, production, false}, {production, own, false}, {own, other, true}, {other, another, false}} {
		if p := b.Pacer(tt.a); p == nil || (p == b.Pacer(tt.b)) != tt.same {
			t.Errorf("%s %s and %s %s: the same is not %v", tt.a.Preset, tt.a.DirectoryURL, tt.b.Preset, tt.b.DirectoryURL, tt.same)
		}
	}
}

// Each target at which something is ordered that has limits is told once, with a
// set's limit as it is for the pair that has least of it.
func TestBudgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newDisk()
		b := open(t, store)
		random := plannedProduction().issue("a-random", time.Hour, randomNames())
		both := plannedProduction().issue("a-random", time.Hour, randomNames()).issue("b-fixed", time.Hour, fixedNames("www.acme-probe.example"))
		free := plannedAt("", config.Production).issue("issue", time.Hour, randomNames())
		looks := plannedProduction().probe("nonce", probe.ProberNonce, time.Hour, config.Names{})
		p := b.Purse(random.pair(t, "a-random"), false)
		ordered(t, p, issuing, "a.acme-probe.example")
		perSet := func(cfg planned) probe.Level {
			t.Helper()
			got := b.Budgets(time.Now(), cfg.Pairs())
			if len(got) != 1 || got[0].Target != "ca" || got[0].Environment != "production" || len(got[0].Levels) != len(cfg.target.Limits()) {
				t.Fatalf("%+v", got)
			}
			for i, name := range config.LimitNames() {
				if got[0].Levels[i].Limit != string(name) {
					t.Errorf("level %d is that of %s, want %s", i, got[0].Levels[i].Limit, name)
				}
			}
			return got[0].Levels[2]
		}
		if got := perSet(random); got.Capacity != 5 || got.Remaining != 4 {
			t.Errorf("nobody else knows the names: %+v", got)
		}
		if got := perSet(both); got.Capacity != 2 || got.Remaining != 1 {
			t.Errorf("others spend as well: %+v", got)
		}
		if both.pair(t, "a-random").Target.Limits()[2].Shared != true || both.target.Limits()[0].Shared {
			t.Error("the configuration's own limits were changed")
		}
		for name, cfg := range map[string]planned{"no limits": free, "no orders": looks} {
			if got := b.Budgets(time.Now(), cfg.Pairs()); len(got) != 0 {
				t.Errorf("%s: %+v", name, got)
			}
		}
		store.broken = errors.New("read: input/output error")
		b = NewBook(store)
		if err := b.Load(time.Now()); err == nil {
			t.Fatal("it was read")
		}
		want := []probe.Budget{{Target: "ca", Environment: "production"}}
		if diff := cmp.Diff(want, b.Budgets(time.Now(), random.Pairs())); diff != "" {
			t.Error(diff)
		}
	})
}
