package budget

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
)

// begin is the moment at which these tests begin.
var begin = time.Date(2026, 2, 3, 4, 5, 6, 7, time.UTC)

// The example in Boulder's documentation of its rate limits: 20 requests per
// second.
func TestBoulderDocumentation(t *testing.T) {
	b, err := NewBucket(config.Limit{Name: config.LimitNewOrders, Count: 20, Period: time.Second}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if b.Interval != 50*time.Millisecond {
		t.Errorf("a token comes back in %v, want 50ms", b.Interval)
	}
	now := begin.UnixNano()
	first := b.decide(0, now, 1, 0)
	if !first.allowed || first.remaining != 19 || time.Duration(first.tat-now) != 50*time.Millisecond {
		t.Errorf("first request: %+v, want 19 left and full in 50 ms", first)
	}
	// Another one 5 ms later, and 18 over the next 44 ms.
	tat := b.decide(first.tat, now+int64(5*time.Millisecond), 1, 0).tat
	for i := range 18 {
		d := b.decide(tat, now+int64(time.Duration(5+44*(i+1)/18)*time.Millisecond), 1, 0)
		if !d.allowed {
			t.Fatalf("request %d: %+v", i+3, d)
		}
		tat = d.tat
	}
	d := b.decide(tat, now+int64(49*time.Millisecond), 1, 0)
	if d.allowed || d.remaining != 0 || d.wait != time.Millisecond || d.tat != tat {
		t.Errorf("the 21st within 50 ms: %+v, want to wait 1 ms", d)
	}
	// And then one each 50 ms, indefinitely.
	for i := range 100 {
		at := now + int64(time.Duration(50+50*i)*time.Millisecond)
		if d := b.decide(tat, at-1, 1, 0); d.allowed || d.wait != 1 {
			t.Fatalf("a nanosecond before %d: %+v", i, d)
		}
		d := b.decide(tat, at, 1, 0)
		if !d.allowed {
			t.Fatalf("request %d after the burst: %+v", i, d)
		}
		tat = d.tat
	}
}

// The steps of Boulder's own test of its algorithm: 10 tokens, one a second.
func TestBoulderSteps(t *testing.T) {
	b := Bucket{Interval: time.Second, Size: 10}
	now := begin.UnixNano()
	var tat int64
	for i, step := range []struct {
		after     time.Duration
		cost      int
		allowed   bool
		remaining int
		wait      time.Duration
		full      time.Duration
	}{
		{0, 1, true, 9, 0, time.Second},
		{0, 9, true, 0, 0, 10 * time.Second},
		{0, 1, false, 0, time.Second, 10 * time.Second},
		{time.Second, 1, true, 0, 0, 10 * time.Second},
		{0, 10, false, 0, 10 * time.Second, 10 * time.Second},
		{10 * time.Second, 10, true, 0, 0, 10 * time.Second},
		{5 * time.Second, 6, false, 5, time.Second, 5 * time.Second},
		{0, 11, false, 5, never, 5 * time.Second},
		{time.Hour, 0, true, 10, 0, 0},
		{0, 1, true, 9, 0, time.Second},
	} {
		now += int64(step.after)
		d := b.decide(tat, now, step.cost, 0)
		if d.allowed != step.allowed || d.remaining != step.remaining || d.wait != step.wait || time.Duration(d.tat-now) != step.full {
			t.Errorf("step %d: %+v, full in %v; want %+v", i, d, time.Duration(d.tat-now), step)
		}
		tat = d.tat
	}
}

// drip is a token bucket as one would do it by hand: in each nanosecond one part of
// a token drips into it.
type drip struct {
	parts, interval, size int
}

func (d *drip) pass(ns int) {
	for range ns {
		d.parts = min(d.parts+1, d.size*d.interval)
	}
}

func (d *drip) take(cost, kept int) bool {
	if d.parts < (cost+kept)*d.interval {
		return false
	}
	d.parts -= cost * d.interval
	return true
}

// The decision is that of a token bucket, what it says of waiting is exact, and so
// is what remains.
func TestDecideIsATokenBucket(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 0))
		b := Bucket{Interval: time.Duration(1 + random.IntN(40)), Size: 1 + random.IntN(12)}
		b.Kept = random.IntN(b.Size)
		real := &drip{parts: b.Size * int(b.Interval), interval: int(b.Interval), size: b.Size}
		now, tat := begin.UnixNano(), int64(0)
		for i := range 300 {
			passed := random.IntN(2 * int(b.Interval))
			if random.IntN(20) == 0 {
				passed *= b.Size
			}
			now += int64(passed)
			real.pass(passed)
			cost, kept := random.IntN(b.Size+2), b.Kept*random.IntN(2)
			d := b.decide(tat, now, cost, kept)
			before := real.parts / int(b.Interval)
			want := real.take(cost, kept)
			if d.allowed != want {
				t.Fatalf("seed %d, step %d: %+v of %+v, want %v", seed, i, d, b, want)
			}
			tat = d.tat
			if left := real.parts / int(b.Interval); d.remaining != left || !want && left != before {
				t.Fatalf("seed %d, step %d: %d remain, want %d", seed, i, d.remaining, left)
			}
			switch {
			case want:
				if d.wait != 0 {
					t.Fatalf("seed %d, step %d: allowed, and to wait %v", seed, i, d.wait)
				}
			case cost+kept > b.Size:
				if d.wait != never {
					t.Fatalf("seed %d, step %d: to wait %v for what never is", seed, i, d.wait)
				}
			default:
				later := *real
				later.pass(int(d.wait) - 1)
				if early := later; early.take(cost, kept) {
					t.Fatalf("seed %d, step %d: %v is too long to wait", seed, i, d.wait)
				}
				later.pass(1)
				if !later.take(cost, kept) {
					t.Fatalf("seed %d, step %d: %v is too short to wait", seed, i, d.wait)
				}
			}
		}
	}
}

func TestNewBucket(t *testing.T) {
	week := 7 * day
	for name, test := range map[string]struct {
		limit config.Limit
		share float64
		want  Bucket
	}{
		"orders":              {config.Limit{Count: 300, Period: 3 * time.Hour}, 0.5, Bucket{36 * time.Second, 300, 60}},
		"domain, all of it":   {config.Limit{Count: 50, Period: week, Shared: true}, 1, Bucket{12096 * time.Second, 50, 10}},
		"domain, half of it":  {config.Limit{Count: 50, Period: week, Shared: true}, 0.5, Bucket{24192 * time.Second, 25, 5}},
		"domain, a quarter":   {config.Limit{Count: 50, Period: week, Shared: true}, 0.25, Bucket{48384 * time.Second, 12, 2}},
		"set":                 {config.Limit{Count: 5, Period: week}, 0.5, Bucket{120960 * time.Second, 5, 1}},
		"failures in a row":   {config.Limit{Count: 1152, Period: 1152 * day}, 1, Bucket{day, 1152, 230}},
		"a part of one token": {config.Limit{Count: 1, Period: time.Hour, Shared: true}, 0.1, Bucket{10 * time.Hour, 1, 0}},
		"rounded up":          {config.Limit{Count: 3, Period: 10 * time.Nanosecond}, 1, Bucket{4, 3, 0}},
	} {
		if got, err := NewBucket(test.limit, test.share); err != nil || got != test.want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, test.want)
		}
	}
	for _, test := range []struct {
		limit config.Limit
		share float64
	}{
		{config.Limit{Period: time.Hour}, 1}, {config.Limit{Count: 1}, 1}, {config.Limit{Count: 1, Period: -1}, 1},
		{config.Limit{Count: 1, Period: 1, Shared: true}, 0}, {config.Limit{Count: 1, Period: 1, Shared: true}, 1.1},
	} {
		if b, err := NewBucket(test.limit, test.share); err == nil {
			t.Errorf("%+v: %+v", test, b)
		}
	}
	// The longest there may be neither overflows nor spends.
	b, err := NewBucket(config.Limit{Count: 1 << 30, Period: 1<<63 - 1, Shared: true}, 1e-9)
	if err != nil {
		t.Fatal(err)
	}
	now := begin.UnixNano()
	if d := b.decide(0, now, b.Size, 0); !d.allowed || d.tat <= now || b.decide(d.tat, now, 1, 0).allowed {
		t.Errorf("%+v: %+v", b, d)
	}
}

// What is reserved does not come back before it is settled.
func TestHold(t *testing.T) {
	b := Bucket{Interval: time.Second, Size: 5}
	now := begin.UnixNano()
	tat := b.decide(0, now, 2, 0).tat
	now += int64(time.Hour)
	if left := b.remaining(b.hold(tat, now, 2), now); left != 3 {
		t.Errorf("%d remain, want 3", left)
	}
	if left := b.remaining(b.hold(tat, now, 0), now); left != 5 {
		t.Errorf("%d remain, want 5", left)
	}
}
