package runner

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// forbidden returns f as it is where the CA has to refuse what it may find.
func forbidden(f probe.FollowUp) probe.FollowUp {
	f.Forbidden = &probe.Forbidden{Expected: probe.ProblemUnauthorized, Identifier: "a.example"}
	return f
}

// accusing are the facts of a run that has found a certificate or an authorization that
// the CA had to refuse.
func accusing(object string) probe.Facts {
	f := failed(probe.FailureRefusal)
	f.Failure.Object, f.Failure.Refusal = object, probe.RefusalMisissued
	return f
}

// keeping is an observer that stores, with a function.
type keeping struct {
	observer
	keep func()
}

func (k keeping) Keep() { k.keep() }

// TestTold holds that what the CA had to refuse is told of, and whoever counts it has
// stored that, before it is stored that it was told; that the follow-up that has found
// it then does what it was left for, at once; and that nobody tells of it again.
func TestTold(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  string // what the run itself accuses the CA of; empty: nothing
		// finds is what follow-ups accuse it of while they may, by their kind.
		finds map[probe.FollowUpKind]string
		want  []string // the follow-ups that are done, "+" for those that may accuse
		told  int
	}{
		{"a certificate, after the run", "", map[probe.FollowUpKind]string{probe.FollowUpRevoke: "certificate", probe.FollowUpDeactivateAuthz: "authorization"}, []string{"1+", "1", "2", "3"}, 1},
		{"an authorization, after the run", "", map[probe.FollowUpKind]string{probe.FollowUpDeactivateAuthz: "authorization"}, []string{"1+", "2+", "2", "3"}, 1},
		{"a certificate", "certificate", nil, []string{"1", "2", "3"}, 1},
		{"an authorization", "authorization", nil, []string{"1+", "2", "3"}, 1},
		{"an authorization, and then a certificate", "authorization", map[probe.FollowUpKind]string{probe.FollowUpRevoke: "certificate"}, []string{"1+", "1", "2", "3"}, 2},
		{"nothing", "", nil, []string{"1+", "2+", "3"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := newMemory()
			told := 0
			var done []string
			asBefore := func(what string) {
				for _, id := range store.keys(bucketFollowUps) {
					if f := store.followUp(t, id).Forbidden; told == 0 && f != nil && f.Told {
						t.Errorf("%s: of %s it is stored that it was told, before it was", what, id)
					}
				}
			}
			o := Options{Store: store, Observers: []Observer{keeping{observer{func(*probe.Result) {}}, func() { asBefore("counted") }}}}
			o.Incidents = func(r *probe.Result) bool {
				asBefore("tracked")
				if r.Misissued() != "" {
					told++
				}
				return false
			}
			bubble(t, o, func(h *harness) {
				h.run = func(_ context.Context, job Job) probe.Facts {
					if job.FollowUp == nil {
						for _, f := range []probe.FollowUp{forbidden(seeking("1")), forbidden(authz("2")), authz("3")} {
							if err := job.FollowUps.Add(f); err != nil {
								t.Error(err)
							}
						}
						if tt.run != "" {
							return accusing(tt.run)
						}
						return probe.Facts{}
					}
					id, known := job.FollowUp.ID, job.FollowUp.Forbidden
					if known == nil || known.Told {
						done = append(done, id)
						return probe.Facts{}
					}
					done = append(done, id+"+")
					if object := tt.finds[job.FollowUp.Kind]; object != "" {
						return accusing(object)
					}
					return probe.Facts{}
				}
				h.start(configured(interval(0)))
				h.trigger(time.Minute)
				h.sleepTo(time.Second)
				if !slices.Equal(done, tt.want) {
					t.Errorf("done %v, want %v", done, tt.want)
				}
				if told != tt.told {
					t.Errorf("the incidents were told %d times, want %d", told, tt.told)
				}
				if left := store.keys(bucketFollowUps); len(left) != 0 {
					t.Errorf("left: %v", left)
				}
			})
		})
	}
}

// TestToldAgain has the process die when whoever counts what was found has not stored
// it: the next one finds it again.
func TestToldAgain(t *testing.T) {
	store := newMemory()
	run := func(_ context.Context, job Job) probe.Facts {
		switch {
		case job.FollowUp == nil:
			if err := job.FollowUps.Add(forbidden(authz("1"))); err != nil {
				t.Error(err)
			}
		case !job.FollowUp.Forbidden.Told:
			return accusing("authorization")
		}
		return probe.Facts{}
	}
	var died *memory
	bubble(t, Options{Store: store, Incidents: func(r *probe.Result) bool {
		if r.FollowUp != "" {
			died = newMemory()
			if err := died.Put(bucketFollowUps, "1", store.followUp(t, "1")); err != nil {
				t.Error(err)
			}
		}
		return false
	}}, func(h *harness) {
		h.run = run
		h.start(configured(interval(0)))
		h.trigger(time.Minute)
		h.sleepTo(time.Second)
		if died == nil {
			t.Fatal("nobody was told")
		}
		h.stop()
		again := newHarness(h.t, Options{Store: died})
		again.run = run
		if err := again.r.Restore(); err != nil {
			t.Fatal(err)
		}
		again.start(configured(interval(0), func(p *config.Pair) { p.MinInterval = time.Second }))
		defer func() { again.stop() }()
		again.sleepTo(time.Second)
		var outcomes []bool
		for _, e := range again.seen("observe") {
			outcomes = append(outcomes, e.Result.Misissued() != "")
		}
		if !slices.Equal(outcomes, []bool{true, false}) {
			t.Errorf("told of it: %v, want once, and then nothing", outcomes)
		}
	})
}
