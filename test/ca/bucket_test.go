package main

import (
	"math/rand/v2"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// TestBucket takes what Boulder's documentation of its limits works through: 20
// requests per second from one address.
func TestBucket(t *testing.T) {
	t.Parallel()
	b := newBucket(limit{Count: 20, Period: duration(time.Second), Burst: 20}, start)
	if !b.take(start) || b.remaining(start) != 19 {
		t.Errorf("%d tokens left of 20 after one", b.remaining(start))
	}
	if now := start.Add(5 * time.Millisecond); !b.take(now) || b.remaining(now) != 18 {
		t.Errorf("%d tokens left after two, want 18", b.remaining(now))
	}
	for range 18 {
		if !b.take(start.Add(49 * time.Millisecond)) {
			t.Fatal("denied before the bucket was empty")
		}
	}
	if b.take(start.Add(49 * time.Millisecond)) {
		t.Error("allowed by an empty bucket")
	}
	if wait := b.wait(start.Add(49 * time.Millisecond)); wait != time.Millisecond {
		t.Errorf("wait %s for the token of 50ms", wait)
	}
	for i := range 40 {
		if now := start.Add(time.Duration(i+1) * 50 * time.Millisecond); !b.take(now) || b.take(now) {
			t.Fatalf("not exactly one token at %s", now.Sub(start))
		}
	}
	if n := b.remaining(start.Add(time.Hour)); n != 20 {
		t.Errorf("%d tokens after an hour, want a full bucket", n)
	}
}

// TestBucketNeverOver holds, for any limit and any requests, that each window
// has no more than a full bucket and what comes back meanwhile, that the wait
// is exact, and that nobody waits in vain.
func TestBucketNeverOver(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		l := limit{Count: 1 + random.IntN(50), Period: duration(1+random.Int64N(int64(100*time.Hour))) + 1000, Burst: 1 + random.IntN(50)}
		interval := float64(l.Period) / float64(l.Count)
		b, now := newBucket(l, start), start
		var taken []time.Time
		for range 300 {
			now = now.Add(time.Duration(random.Float64() * 1.5 * interval)).Truncate(time.Microsecond)
			wait := b.wait(now)
			if b.take(now) != (wait == 0) {
				t.Fatalf("%+v: wait %s, and take says otherwise", l, wait)
			}
			if wait > 0 {
				if wait > time.Microsecond && b.wait(now.Add(wait-time.Microsecond)) == 0 {
					t.Fatalf("%+v: a wait of %s is too long", l, wait)
				}
				if now = now.Add(wait); !b.take(now) {
					t.Fatalf("%+v: waited %s in vain", l, wait)
				}
			}
			taken = append(taken, now)
		}
		for i := range taken {
			for j := i; j < len(taken); j++ {
				most := float64(l.Burst) + float64(taken[j].Sub(taken[i])+time.Duration(len(taken))*time.Microsecond)/interval
				if n := j - i + 1; float64(n) > most+1e-6 {
					t.Fatalf("%+v: %d within %s, at most %f", l, n, taken[j].Sub(taken[i]), most)
				}
			}
		}
	}
}

func TestReadLimits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`[{"name": "a", "count": 3, "period": "10s"}]`:                                                             "",
		`[{"name": "a", "count": 30000, "period": "168h"}, {"name": "b", "count": 1, "period": "1h", "burst": 9}]`: "",
		`{"a": 3}`:                     `read limits, as in [{"name": "a", "count": 3, "period": "10s"}]: json: cannot unmarshal object into Go value of type []main.limit`,
		`[{"name": "a", "tokens": 3}]`: `read limits, as in [{"name": "a", "count": 3, "period": "10s"}]: json: unknown field "tokens"`,
		`[] []`:                        `read limits: there is more behind the list`,
		`[{"name": "c", "count": 3, "period": "10s"}]`:                                             `limit "c" is none of ["a" "b"]`,
		`[{"name": "a", "count": 3}]`:                                                              `limit "a": want a count, a burst and a period in microseconds of at least 1`,
		`[{"name": "a", "count": 0, "period": "10s"}]`:                                             `limit "a": want a count, a burst and a period in microseconds of at least 1`,
		`[{"name": "a", "count": 1, "period": "10s"}, {"name": "a", "count": 1, "period": "10s"}]`: `limit "a" is there twice`,
		`[{"name": "a", "count": 1000000000, "period": "10000h"}]`:                                 `limit "a" is too large`,
	} {
		limits, err := readLimits(text, []string{"a", "b"})
		if got := message(err); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
		if err == nil && (limits["a"].Burst != limits["a"].Count || limits["b"].Burst != 9 && limits["b"].Count != 0) {
			t.Errorf("%s: %+v", text, limits)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
