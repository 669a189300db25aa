package app

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/probe"
	"github.com/acme-exporter/acme_exporter/internal/state"
)

// TestRevocationsTakeTheirTime holds that a pair begins one revocation in its time,
// also after a restart, and whatever other pairs do.
func TestRevocationsTakeTheirTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		kept := &store{dir: dir}
		if err := kept.take(probe.ProberIssue); err != nil {
			t.Fatal(err)
		}
		all := newRevocations(kept)
		one, other := all.of(probe.Pair{Target: "ca", Module: "issue"}), all.of(probe.Pair{Target: "ca", Module: "other"})
		want := func(p pairRevocations, due bool) {
			t.Helper()
			if got := p.Due(24 * time.Hour); got != due {
				t.Errorf("%s after %s: due %v, want %v", p.pair, time.Since(all.begun[p.pair]), got, due)
			}
		}
		begin := func(p pairRevocations) {
			t.Helper()
			if err := p.Begin(); err != nil {
				t.Fatal(err)
			}
		}
		want(one, true)
		begin(one)
		want(one, false)
		want(other, true)
		time.Sleep(24*time.Hour - time.Second)
		want(one, false)
		begin(other)

		if err := kept.close(); err != nil {
			t.Fatal(err)
		}
		kept = &store{dir: dir}
		if err := kept.take(probe.ProberIssue); err != nil {
			t.Fatal(err)
		}
		defer kept.close()
		all = newRevocations(kept)
		one, other = all.of(one.pair), all.of(other.pair)
		want(one, false)
		want(other, false)
		time.Sleep(time.Second)
		want(one, true)
		want(other, false)
	})
}

// TestRevocationsWithDamage holds that nothing is revoked while it is not known what
// was, and that a clock that was wrong does not stop it for ever.
func TestRevocationsWithDamage(t *testing.T) {
	kept := &store{dir: t.TempDir()}
	if err := kept.take(probe.ProberIssue); err != nil {
		t.Fatal(err)
	}
	defer kept.close()
	p := probe.Pair{Target: "ca", Module: "issue"}
	commit := func(value any) {
		t.Helper()
		if err := kept.Commit(state.Change{Bucket: bucketRevocations, Key: p.String(), Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	commit("yesterday")
	if newRevocations(kept).of(p).Due(time.Minute) {
		t.Error("due, with a time that cannot be read")
	}
	commit(lastRevocation{time.Now().Add(1000 * time.Hour)})
	if !newRevocations(kept).of(p).Due(time.Minute) {
		t.Error("not due, by a time that is yet to come")
	}
	broken := newRevocations(&store{broken: errors.New("damaged")}).of(p)
	if broken.Due(time.Minute) {
		t.Error("due, with a damaged store")
	}
	if err := broken.Begin(); err == nil || !broken.all.begun[p].IsZero() {
		t.Errorf("begun %s, error %v", broken.all.begun[p], err)
	}
}
