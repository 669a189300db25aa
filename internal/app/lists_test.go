package app

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// TestLists holds that the latest revocation list of each target and URL is known after
// a restart, until it expires, and that one from the future is not.
func TestLists(t *testing.T) {
	dir := t.TempDir()
	session := func(do func(*latestLists)) {
		t.Helper()
		open, err := state.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer open.Close()
		l := newLists(&store{dir: dir, open: open}, slog.New(slog.DiscardHandler))
		if err := l.restore(); err != nil {
			t.Fatal(err)
		}
		do(l)
	}
	now := time.Now().UTC().Truncate(time.Second)
	list := func(number string, left, age time.Duration) probe.LatestCRL {
		return probe.LatestCRL{Issuer: "CN=ca", Number: number, ThisUpdate: now.Add(-age), NextUpdate: now.Add(left), SeenAt: now.Add(-age)}
	}
	const one, other = "http://ca.example/1.crl", "http://ca.example/2.crl"
	session(func(l *latestLists) {
		l.of("le").Keep(one, list("5", time.Hour, time.Minute))
		l.of("le").Keep(one, list("6", time.Hour, time.Second))
		l.of("le").Keep(other, list("9", -time.Second, time.Minute)) // it has expired
		l.of("corp").Keep(other, list("7", time.Hour, -time.Hour))   // our clock was wrong
		if l.of("corp").Latest(one) != nil {
			t.Error("another target's is known")
		}
	})
	for range 2 {
		session(func(l *latestLists) {
			if c := l.of("le").Latest(one); c == nil || *c != list("6", time.Hour, time.Second) {
				t.Errorf("after a restart: %+v", c)
			}
			if c := l.of("le").Latest(other); c != nil {
				t.Errorf("one that has expired: %+v", c)
			}
			if c := l.of("corp").Latest(other); c != nil {
				t.Errorf("one of the future: %+v", c)
			}
		})
	}
	session(func(l *latestLists) {
		for i := range maxLatest + 1 { // and one that is there
			l.of("le").Keep(fmt.Sprint(i), list("1", time.Hour, time.Minute-time.Duration(i)))
		}
		if len(l.latest) != maxLatest {
			t.Errorf("%d lists are remembered", len(l.latest))
		}
	})
	session(func(l *latestLists) {
		if l.of("le").Latest("1") != nil || l.of("le").Latest("2") == nil || l.of("le").Latest(one) == nil {
			t.Error("of too many, others than the first were forgotten")
		}
	})
}
