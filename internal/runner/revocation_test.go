package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// watching is a follow-up that watches a revocation, which was made now.
func watching(id string) probe.FollowUp {
	now := time.Now()
	return probe.FollowUp{
		ID: id, Kind: probe.FollowUpWatchRevocation, Created: now, Expires: now.Add(48 * time.Hour),
		Revocation: &probe.Revocation{Serial: "2a", At: now, Via: probe.ViaCRL},
	}
}

// notYet is a look at a revocation that does not show.
func notYet(job Job) probe.Facts {
	f := failed(probe.FailurePending)
	v := *job.FollowUp.Revocation
	f.Revocation = &v
	return f
}

// TestWatchRhythm has a revocation show after 24 h: it is looked for often at first,
// every 10 minutes in the end, and across restarts; the pair's own runs keep their
// time, and of the many looks the last one is kept in memory.
func TestWatchRhythm(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		left := false
		run := func(ctx context.Context, job Job) probe.Facts {
			if job.FollowUp != nil {
				lasting(2*time.Second)(ctx, job)
				return notYet(job)
			}
			if !left {
				left = true
				if err := job.FollowUps.Add(watching("1")); err != nil {
					t.Error(err)
				}
			}
			return lasting(time.Second)(ctx, job)
		}
		h.run = run
		h.start(configured(interval(5 * time.Minute)))
		first := h.firstOf(5 * time.Minute)
		h.sleepTo(first + 12*time.Hour)
		looks, ticks := h.starts(probe.TriggerFollowUp), h.starts(probe.TriggerTick)
		for i, s := range ticks {
			if s-first != time.Duration(i)*5*time.Minute {
				h.t.Fatalf("tick %d was at %s", i, s-first)
			}
		}
		if n := len(h.seen("missed")); n != 0 || len(ticks) != 12*12+1 {
			t.Errorf("%d ticks, %d missed", len(ticks), n)
		}
		if s := h.status(); len(s.Recent) < 10 || len(slices.DeleteFunc(slices.Clone(s.Recent), func(r *probe.Result) bool { return r.FollowUp == "" })) != 1 {
			t.Errorf("recent: %v", s.Recent)
		}

		// The next process goes on.
		h.stop()
		again := newHarness(h.t, Options{Store: store})
		again.begun, again.run = h.begun, run
		if err := again.r.Restore(); err != nil {
			h.t.Fatal(err)
		}
		pending := again.r.Open(probe.FollowUpWatchRevocation)
		if len(pending) != 0 {
			t.Errorf("of a pair that is not configured yet: %v", pending)
		}
		again.start(configured(interval(5 * time.Minute)))
		defer func() { again.stop() }()
		pending = again.r.Open(probe.FollowUpWatchRevocation)
		if len(pending) != 1 || pending[0].Revocation.Serial != "2a" {
			t.Errorf("pending after the restart: %v", pending)
		}
		again.sleepTo(first + 24*time.Hour)
		looks = append(looks, again.starts(probe.TriggerFollowUp)...)

		created := looks[0]
		for i := 1; i < len(looks); i++ {
			age, rest := looks[i-1]+2*time.Second-created, looks[i]-looks[i-1]-2*time.Second
			want := min(max(age/10, 15*time.Second), 10*time.Minute)
			// A tick that comes within 30 s goes first.
			if rest < want-2*time.Second || rest > want+40*time.Second {
				t.Errorf("look %d, %s after the revocation, rested for %s, want %s", i, age, rest, want)
			}
		}
		if n := len(looks); n < 150 || n > 200 {
			t.Errorf("%d looks in 24 h", n)
		}

		// It shows.
		again.mu.Lock()
		again.run = lasting(time.Second)
		again.mu.Unlock()
		again.sleepTo(first + 25*time.Hour)
		if pending := again.r.Open(probe.FollowUpWatchRevocation); len(pending) != 0 || len(store.keys(bucketFollowUps)) != 0 {
			t.Errorf("pending when it shows: %v", pending)
		}
		shown := 0
		for _, e := range again.seen("observe") {
			if e.Result.FollowUp != "" && e.Result.Verdict.Success() {
				shown++
			}
		}
		if shown != 1 {
			t.Errorf("it was seen to show %d times", shown)
		}
	})
}

// TestWatchDelaysNoRun has the CA's list hang: a look ends before the pair's next
// tick, and one that would begin shortly before it waits.
func TestWatchDelaysNoRun(t *testing.T) {
	for _, every := range []time.Duration{12 * time.Second, 20 * time.Second, time.Minute} {
		t.Run(every.String(), func(t *testing.T) {
			bubble(t, Options{}, func(h *harness) {
				left := false
				h.run = func(ctx context.Context, job Job) probe.Facts {
					if job.FollowUp != nil {
						return lasting(time.Hour)(ctx, job)
					}
					if !left {
						left = true
						if err := job.FollowUps.Add(watching("1")); err != nil {
							t.Error(err)
						}
					}
					return lasting(2*time.Second)(ctx, job)
				}
				h.start(configured(interval(every), func(p *config.Pair) { p.Timeout, p.MinInterval = 90*time.Second, time.Second }))
				first := h.firstOf(every)
				h.sleepTo(first + 20*time.Minute)
				for i, s := range h.starts(probe.TriggerTick) {
					if s-first != time.Duration(i)*every {
						h.t.Fatalf("tick %d was at %s", i, s-first)
					}
				}
				if looks := h.starts(probe.TriggerFollowUp); len(looks) < 10 {
					t.Errorf("%d looks", len(looks))
				}
			})
		})
	}
}

// TestRevocationWaitsForNobody holds that a follow-up that revokes, or watches, does
// not take turns over names, and that a watch is none of a process that stops.
func TestRevocationWaitsForNobody(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		names := func(p *config.Pair) {
			p.Module = &config.Module{Prober: probe.ProberValidate, Validate: &config.Validate{Names: config.Names{Mode: config.NamesFixed, List: []string{"a.example"}}}}
		}
		h.run = func(ctx context.Context, job Job) probe.Facts {
			switch {
			case job.Pair.Pair.Module == "b":
				return lasting(15*time.Second)(ctx, job)
			case job.FollowUp != nil && job.FollowUp.Kind == probe.FollowUpRevoke:
				if err := job.FollowUps.Add(watching("2")); err != nil {
					t.Error(err)
				}
			case job.FollowUp == nil:
				if err := job.FollowUps.Add(probe.FollowUp{ID: "1", Kind: probe.FollowUpRevoke, Revocation: &probe.Revocation{}}); err != nil {
					t.Error(err)
				}
			default:
				return notYet(job)
			}
			return lasting(time.Second)(ctx, job)
		}
		h.start(configured(interval(0), names), configured(interval(0), names, named("ca", "b")))
		h.trigger(time.Minute) // until 1 s; the revocation until 2 s, and the first look
		go h.r.Trigger(h.t.Context(), probe.Pair{Target: "ca", Module: "b"}, probe.TriggerScrape)
		h.sleepTo(3 * time.Second)
		h.stop()
		var got []string
		for _, e := range h.seen("observe") {
			got = append(got, fmt.Sprint(e.At, " ", e.Pair, " ", e.Result.FollowUp))
		}
		if diff := cmp.Diff([]string{"1s ca/a ", "2s ca/a revoke", "2s ca/a watch_revocation", "16s ca/b "}, got); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"2"}, store.keys(bucketFollowUps)); diff != "" {
			t.Error(diff)
		}
	})
}

// TestWatchAfterReload holds that what a look sees is told of the pair as it is
// configured now.
func TestWatchAfterReload(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		h.run = func(ctx context.Context, job Job) probe.Facts {
			if job.FollowUp != nil {
				return notYet(job)
			}
			if err := job.FollowUps.Add(watching("1")); err != nil {
				t.Error(err)
			}
			return probe.Facts{}
		}
		h.start(configured(interval(0)))
		h.trigger(time.Minute)
		h.r.Apply([]config.Pair{configured(interval(0), hash("two"))})
		h.sleepTo(time.Minute)
		observed := h.seen("observe")
		last := observed[len(observed)-1].Result
		if last.FollowUp != probe.FollowUpWatchRevocation || last.ConfigHash != "two" {
			t.Errorf("the last one is %s of %s", last.FollowUp, last.ConfigHash)
		}
		h.r.Apply(nil)
		if open := h.r.Open(probe.FollowUpWatchRevocation); len(open) != 0 {
			t.Errorf("pending of a pair that was removed: %v", open)
		}
	})
}

// TestFollowUpIsSettledFirst holds that nobody is told of what a follow-up has seen
// before it is stored that it is done: it must not be seen again after a crash.
func TestFollowUpIsSettledFirst(t *testing.T) {
	store := newMemory()
	told := false
	bubble(t, Options{Store: store, Observers: []Observer{observer{func(r *probe.Result) {
		if r.FollowUp != "" {
			told = true
			if keys := store.keys(bucketFollowUps); len(keys) != 0 {
				t.Errorf("stored when it is told: %v", keys)
			}
		}
	}}}}, func(h *harness) {
		h.run = adding(t, lasting(0), "1")
		h.start(configured(interval(0)))
		h.trigger(time.Minute)
		h.sleepTo(time.Minute)
		if !told {
			t.Error("nobody was told")
		}
	})
}

// seeking is a follow-up that looks for a certificate by its order.
func seeking(id string) probe.FollowUp {
	return probe.FollowUp{ID: id, Kind: probe.FollowUpRevoke, URL: "https://ca.example/order/" + id, Revocation: &probe.Revocation{}}
}

// TestDeactivationWaits holds that a run's authorizations stay while it is looked what
// has become of its order, but not for ever; and that the first such look comes before
// the next tick.
func TestDeactivationWaits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		found time.Duration // after which the order says what has become of it
		until time.Duration
		want  string
	}{
		{"at once", 0, time.Hour, "1s revoke, 2s deactivate_authz"},
		{"later", 2 * time.Minute, time.Hour, "1s revoke, 1m2s revoke, 3m3s revoke, 3m4s deactivate_authz"},
		{"never", 100 * time.Hour, 30 * time.Hour, "23h0m1s deactivate_authz"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, Options{}, func(h *harness) {
				h.run = func(ctx context.Context, job Job) probe.Facts {
					lasting(time.Second)(ctx, job)
					switch {
					case job.FollowUp == nil:
						for _, f := range []probe.FollowUp{seeking("1"), authz("2")} {
							if err := job.FollowUps.Add(f); err != nil {
								t.Error(err)
							}
						}
					case job.FollowUp.Kind == probe.FollowUpRevoke && time.Since(job.FollowUp.Created) < tt.found:
						return failed(probe.FailureTimeout)
					}
					return probe.Facts{}
				}
				h.start(configured(interval(0)))
				h.trigger(time.Minute)
				h.sleepTo(tt.until)
				var got []string
				for _, e := range h.seen("observe") {
					r := e.Result
					if r.FollowUp == probe.FollowUpDeactivateAuthz || r.FollowUp != "" && tt.until == time.Hour {
						got = append(got, fmt.Sprint(r.Start.Sub(h.begun).Truncate(time.Second), " ", r.FollowUp))
					}
				}
				if got := strings.Join(got, ", "); got != tt.want {
					t.Errorf("got %s, want %s", got, tt.want)
				}
			})
		})
	}
}

// TestSeekingYieldsNot has a tick come soon after a run: what looks for a certificate
// goes before it, and what tries it again lets the tick go first.
func TestSeekingYieldsNot(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		left := false
		h.run = func(ctx context.Context, job Job) probe.Facts {
			lasting(time.Second)(ctx, job)
			if job.FollowUp != nil {
				return failed(probe.FailureTimeout)
			}
			if !left {
				left = true
				if err := job.FollowUps.Add(seeking("1")); err != nil {
					t.Error(err)
				}
			}
			return probe.Facts{}
		}
		h.start(configured(interval(20 * time.Second)))
		first := h.firstOf(20 * time.Second)
		h.sleepTo(first + 15*time.Second)
		if looks := h.starts(probe.TriggerFollowUp); len(looks) != 1 || looks[0] != first+time.Second {
			t.Errorf("looked at %v, want %v", looks, first+time.Second)
		}
	})
}

// TestWatchMakesWay has the CA's list hang for a pair that is only scraped: a scrape
// in the middle of a look gets its run after patientTimeout of it, or at once. The
// next look comes, and nothing is told of the CA.
func TestWatchMakesWay(t *testing.T) {
	for after, waits := range map[time.Duration]time.Duration{time.Second: 4 * time.Second, 10 * time.Second: 0} {
		t.Run(after.String(), func(t *testing.T) {
			bubble(t, Options{}, func(h *harness) {
				left := false
				h.run = func(ctx context.Context, job Job) probe.Facts {
					if job.FollowUp != nil {
						<-ctx.Done()
						return failed(probe.FailureCanceled)
					}
					if !left {
						left = true
						if err := job.FollowUps.Add(watching("1")); err != nil {
							t.Error(err)
						}
					}
					return lasting(time.Second)(ctx, job)
				}
				h.start(configured(interval(0), func(p *config.Pair) { p.Timeout, p.MinInterval = time.Minute, time.Second }))
				h.trigger(time.Minute) // until 1 s, when the first look begins
				h.sleepTo(time.Second + after)
				// One that goes away, and two that are joined.
				gone, cancel := context.WithCancel(h.t.Context())
				go func() { _, _ = h.r.Trigger(gone, pairA, probe.TriggerScrape) }()
				synctest.Wait()
				cancel()
				if a, took := h.trigger(time.Minute); !a.Fresh || took != waits+time.Second {
					t.Errorf("fresh %v after %s, want %s", a.Fresh, took, waits+time.Second)
				}
				if looks := h.starts(probe.TriggerFollowUp); len(looks) != 1 {
					t.Errorf("looks at %s", looks)
				}
				h.sleepTo(5 * time.Minute)
				looks := h.starts(probe.TriggerFollowUp)
				if len(looks) < 5 || looks[1]-looks[0] < watchRestLeast {
					t.Errorf("looks at %s", looks)
				}
				if open := h.r.Open(probe.FollowUpWatchRevocation); len(open) != 1 {
					t.Errorf("pending: %v", open)
				}
			})
		})
	}
}

// TestRevocationIsNotCut holds that a scrape does not cut off the call that revokes.
func TestRevocationIsNotCut(t *testing.T) {
	bubble(t, Options{}, func(h *harness) {
		left := false
		h.run = func(ctx context.Context, job Job) probe.Facts {
			if job.FollowUp == nil && !left {
				left = true
				if err := job.FollowUps.Add(probe.FollowUp{ID: "1", Kind: probe.FollowUpRevoke, Revocation: &probe.Revocation{}}); err != nil {
					t.Error(err)
				}
			}
			return lasting(15*time.Second)(ctx, job)
		}
		h.start(configured(interval(0)))
		h.trigger(time.Minute)
		h.sleepTo(16 * time.Second)
		if a, took := h.trigger(time.Minute); !a.Fresh || took != 29*time.Second {
			t.Errorf("fresh %v after %s", a.Fresh, took)
		}
		if n := len(h.r.Open(probe.FollowUpRevoke)); n != 0 {
			t.Error("it was cut")
		}
	})
}

// TestNoteStays holds that what a follow-up notes is there when it is tried again, and
// on disk when it is noted.
func TestNoteStays(t *testing.T) {
	store := newMemory()
	bubble(t, Options{Store: store}, func(h *harness) {
		var asked []bool
		h.run = func(_ context.Context, job Job) probe.Facts {
			if job.FollowUp == nil {
				if err := job.FollowUps.Add(seeking("1")); err != nil {
					t.Error(err)
				}
				return probe.Facts{}
			}
			v := *job.FollowUp.Revocation
			asked = append(asked, !v.Asked.IsZero())
			v.Asked = time.Now()
			if err := job.FollowUps.Note(v); err != nil {
				t.Error(err)
			}
			if f := store.followUp(t, "1"); !f.Revocation.Asked.Equal(v.Asked) || f.Attempts != len(asked)-1 {
				t.Errorf("stored %+v", f)
			}
			return failed(probe.FailureCall)
		}
		h.start(configured(interval(0)))
		h.trigger(time.Minute)
		h.sleepTo(90 * time.Second)
		if !slices.Equal(asked, []bool{false, true}) {
			t.Errorf("noted before: %v", asked)
		}
	})
}
