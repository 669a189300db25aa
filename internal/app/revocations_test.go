package app

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

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
		all := newRevocations(kept, nil)
		one, other := all.of(probe.Pair{Target: "ca", Module: "issue"}), all.of(probe.Pair{Target: "ca", Module: "other"})
		want := func(p pairRevocations, due bool) {
			t.Helper()
			if got := p.Due(24 * time.Hour); got != due {
				t.Errorf("%s after %s: due %v, want %v", p.pair, time.Since(all.last[p.pair].Begun), got, due)
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
		all = newRevocations(kept, nil)
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
	if newRevocations(kept, nil).of(p).Due(time.Minute) {
		t.Error("due, with a time that cannot be read")
	}
	commit(lastRevocation{Begun: time.Now().Add(1000 * time.Hour)})
	if !newRevocations(kept, nil).of(p).Due(time.Minute) {
		t.Error("not due, by a time that is yet to come")
	}
	broken := newRevocations(&store{broken: errors.New("damaged")}, nil).of(p)
	if broken.Due(time.Minute) {
		t.Error("due, with a damaged store")
	}
	if err := broken.Begin(); err == nil || !broken.all.last[p].Begun.IsZero() {
		t.Errorf("begun %s, error %v", broken.all.last[p].Begun, err)
	}
}

// TestLastRevocation holds that what has come of a pair's last revocation is known,
// over restarts, and that of the one before it changes nothing.
func TestLastRevocation(t *testing.T) {
	dir := t.TempDir()
	kept := &store{dir: dir}
	if err := kept.take(probe.ProberIssue); err != nil {
		t.Fatal(err)
	}
	p := probe.Pair{Target: "ca", Module: "issue"}
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	result := func(kind probe.FollowUpKind, outcome probe.Outcome, v probe.Revocation, left ...probe.RevocationVia) *probe.Result {
		r := &probe.Result{Pair: p, FollowUp: kind, Verdict: probe.Verdict{Outcome: outcome}}
		r.Revocation = &v
		for _, via := range left {
			r.Facts.FollowUps = append(r.Facts.FollowUps, probe.FollowUp{Revocation: &probe.Revocation{Via: via}})
		}
		return r
	}
	all := newRevocations(kept, nil)
	want := func(what string, wanted *probe.LastRevocation) {
		t.Helper()
		all.Keep()
		if diff := cmp.Diff(wanted, all.Last(p)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	if err := all.of(p).Begin(); err != nil {
		t.Fatal(err)
	}
	want("before the CA has taken it", nil)
	all.Observe(result(probe.FollowUpRevoke, probe.OutcomeFailure, probe.Revocation{Serial: "2a"}))
	want("after the CA has refused it", nil)
	all.Observe(result(probe.FollowUpRevoke, probe.OutcomeSuccess, probe.Revocation{Serial: "2a", Reason: "superseded", At: at}, "crl", "ocsp"))
	all.Observe(result(probe.FollowUpWatchRevocation, probe.OutcomeSkipped, probe.Revocation{Serial: "2a", At: at, Via: "crl"}))
	last := &probe.LastRevocation{Serial: "2a", Reason: "superseded", At: at, Watched: []probe.WatchedRevocation{{Via: "crl"}, {Via: "ocsp"}}}
	want("pending", last)

	if err := kept.close(); err != nil {
		t.Fatal(err)
	}
	kept = &store{dir: dir}
	if err := kept.take(probe.ProberIssue); err != nil {
		t.Fatal(err)
	}
	defer kept.close()
	all = newRevocations(kept, nil)
	want("after a restart", last)
	if all.of(p).Due(time.Hour) {
		t.Error("another one is due")
	}
	all.Observe(result(probe.FollowUpWatchRevocation, probe.OutcomeSuccess, probe.Revocation{Serial: "29", At: at, Via: "crl", Shown: at}))
	want("after the one before shows", last)
	all.Observe(result(probe.FollowUpWatchRevocation, probe.OutcomeSuccess, probe.Revocation{Serial: "2a", At: at, Via: "ocsp", Shown: at.Add(time.Minute)}))
	missing := result(probe.FollowUpWatchRevocation, probe.OutcomeFailure, probe.Revocation{Serial: "2a", At: at, Via: "crl", GivenUp: true})
	missing.Verdict.Reason = "revocation_missing"
	all.Observe(missing)
	last.Watched = []probe.WatchedRevocation{{Via: "crl", GivenUp: "revocation_missing"}, {Via: "ocsp", Shown: at.Add(time.Minute)}}
	want("at the end", last)
}

// TestRevocationsStoredLater holds that what came of a revocation while the state
// directory was broken is stored when it is not, in its order.
func TestRevocationsStoredLater(t *testing.T) {
	var said strings.Builder
	all := newRevocations(&store{broken: errors.New("damaged")}, slog.New(slog.NewTextHandler(&said, nil)))
	p := probe.Pair{Target: "ca", Module: "issue"}
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	tell := func(kind probe.FollowUpKind, outcome probe.Outcome, v probe.Revocation) {
		r := &probe.Result{Pair: p, FollowUp: kind, Verdict: probe.Verdict{Outcome: outcome}}
		r.Revocation = &v
		if kind == probe.FollowUpRevoke {
			r.Facts.FollowUps = []probe.FollowUp{{Revocation: &probe.Revocation{Via: probe.ViaCRL}}}
		}
		all.Observe(r)
		all.Keep()
	}
	tell(probe.FollowUpRevoke, probe.OutcomeSuccess, probe.Revocation{Serial: "2a", At: at})
	for range 100 {
		tell(probe.FollowUpWatchRevocation, probe.OutcomeSkipped, probe.Revocation{Serial: "2a", At: at, Via: probe.ViaCRL})
	}
	tell(probe.FollowUpWatchRevocation, probe.OutcomeSuccess, probe.Revocation{Serial: "2a", At: at, Via: probe.ViaCRL, Shown: at.Add(time.Hour)})
	if n := strings.Count(said.String(), "is not stored; it is tried again later"); n != 1 || len(all.ended) != 2 {
		t.Errorf("%d Results wait, said %d times:\n%s", len(all.ended), n, said.String())
	}
	kept := &store{dir: t.TempDir()}
	if err := kept.take(probe.ProberIssue); err != nil {
		t.Fatal(err)
	}
	defer kept.close()
	all.store = kept
	all.Keep()
	want := &probe.LastRevocation{Serial: "2a", At: at, Watched: []probe.WatchedRevocation{{Via: probe.ViaCRL, Shown: at.Add(time.Hour)}}}
	if diff := cmp.Diff(want, newRevocations(kept, nil).Last(p)); diff != "" || len(all.ended) != 0 {
		t.Errorf("%d Results wait; -want +got:\n%s", len(all.ended), diff)
	}
}
