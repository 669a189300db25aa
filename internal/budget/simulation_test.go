package budget

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// published is a CA's own bucket, to the nanosecond and without leniency.
type published struct {
	parts, size, interval, at int64
}

func (p *published) take(now int64) bool {
	p.parts = min(p.parts+now-p.at, p.size*p.interval)
	p.at = now
	if p.parts < p.interval {
		return false
	}
	p.parts -= p.interval
	return true
}

// world is a CA and a machine with a ledger, whose clocks may be wrong, and the runs
// that are going on.
type world struct {
	t      *testing.T
	random *rand.Rand
	store  *disk
	ledger *Ledger
	ca     published
	r      Request
	now    time.Duration // true time, since begin
	wall   time.Duration // by how much the machine's clock is wrong
	mono   time.Duration // on the monotonic clock
	runs   []*run

	allowed, denied int
}

// run is one that has reserved.
type run struct {
	res         *Reservation
	counts, end time.Duration // when the CA counts, 0: it does not or has; and when it is over
	nothing     bool          // it comes to nothing
}

// clock returns what the machine's clock shows.
func (w *world) clock() time.Time {
	now := begin.Add(w.now + w.wall)
	w.ledger.begun = now.Add(-w.mono)
	return now
}

// start has the machine begin again.
func (w *world) start() {
	w.ledger, w.mono = NewLedger(w.store), 0
	if err := w.ledger.Load(w.clock()); err != nil {
		w.t.Fatal(err)
	}
}

// step lets d pass, in which the CA counts and runs end.
func (w *world) step(d time.Duration) {
	w.now, w.mono = w.now+d, w.mono+d
	var left []*run
	for _, ru := range w.runs {
		if ru.counts != 0 && ru.counts <= w.now {
			if !w.ca.take(begin.Add(w.now).UnixNano()) {
				w.t.Fatalf("after %v the CA denies what the ledger has allowed", w.now)
			}
			ru.counts = 0
		}
		if ru.end > w.now {
			left = append(left, ru)
			continue
		}
		if err := w.ledger.Settle(w.clock(), ru.res, probe.Spent{NoOrder: ru.nothing}); err != nil {
			w.t.Fatal(err)
		}
	}
	w.runs = left
}

// run tries to begin one.
func (w *world) run() {
	res, denied, err := w.ledger.Reserve(w.clock(), w.r)
	if err != nil {
		w.t.Fatal(err)
	}
	if denied != nil {
		w.denied++
		return
	}
	w.allowed++
	ru := &run{res: res, end: w.now + time.Duration(w.random.IntN(90))*time.Second}
	ru.counts = w.now + time.Duration(w.random.Int64N(int64(ru.end-w.now)+1))
	if w.random.IntN(4) == 0 {
		ru.counts, ru.nothing = 0, true
	}
	w.runs = append(w.runs, ru)
}

// Whatever a greedy machine does, whenever it crashes and however its clock is set
// back and put right again, the CA never denies what the ledger has allowed.
func TestNeverMoreThanTheCAGives(t *testing.T) {
	t.Parallel()
	var allowed, denied int
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			limit := config.Limit{Name: config.LimitNewOrders, Count: 1 + random.IntN(20)}
			each := time.Duration(10+random.IntN(600)) * time.Second
			limit.Period = time.Duration(limit.Count) * each
			w := &world{t: t, random: random, store: newDisk(), r: Request{
				CA: testCA, Account: "1", Limits: []config.Limit{limit}, Share: 1, What: probe.SpendOrder, Confirmation: true,
			}}
			size := int64(limit.Count)
			w.ca = published{parts: size * int64(each), size: size, interval: int64(each), at: begin.UnixNano()}
			w.start()
			for range 3000 {
				w.step(time.Duration(1+random.IntN(15)) * time.Second)
				if random.IntN(3) > 0 {
					w.run()
				}
				switch random.IntN(500) {
				case 0: // kill -9; the CA counts what it has been sent before we are back
					for _, ru := range w.runs {
						if ru.counts != 0 && random.IntN(2) == 0 && !w.ca.take(begin.Add(w.now).UnixNano()) {
							t.Fatalf("after %v the CA denies what was under way in a crash", w.now)
						}
					}
					w.runs = nil
					// One that starts with a clock that is behind cannot know how long it
					// was away: that is the one thing that would be too much to ask.
					w.wall = 0
					w.start()
				case 1: // the clock is set back, by an hour at most
					w.wall -= time.Duration(random.IntN(3600)) * time.Second
					w.wall = max(w.wall, -time.Hour)
				case 2: // and put right
					w.wall = 0
				case 3: // a suspended machine: its monotonic clock stands still
					if len(w.runs) == 0 {
						mono := w.mono
						w.step(time.Duration(random.IntN(24)) * time.Hour)
						w.mono = mono
						w.wall = 0 // it wakes up with the right time, and somebody looks at it
						if _, err := w.ledger.Check(w.clock(), w.r); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			allowed, denied = allowed+w.allowed, denied+w.denied
		})
	}
	if allowed < 10_000 || denied < 10_000 {
		t.Errorf("%d allowed, %d denied: too little was tried", allowed, denied)
	}
}

// An honest machine with all tokens to itself gets nearly all that the CA gives.
func TestNotMuchLess(t *testing.T) {
	limit := config.Limit{Name: config.LimitNewOrders, Count: 10, Period: 10 * time.Minute}
	w := &world{t: t, random: rand.New(rand.NewPCG(1, 1)), store: newDisk(), r: Request{
		CA: testCA, Account: "1", Limits: []config.Limit{limit}, Share: 1, What: probe.SpendOrder,
	}}
	w.ca = published{parts: 10 * int64(time.Minute), size: 10, interval: int64(time.Minute), at: begin.UnixNano()}
	w.start()
	for w.now < day {
		w.step(time.Second)
		res, denied, err := w.ledger.Reserve(w.clock(), w.r)
		if err != nil {
			t.Fatal(err)
		}
		if denied == nil {
			w.allowed++
			w.runs = append(w.runs, &run{res: res, counts: w.now + 5*time.Second, end: w.now + 20*time.Second})
		}
	}
	if most := 10 + 24*60; w.allowed > most || w.allowed < most*97/100 {
		t.Errorf("%d in a day, of %d", w.allowed, most)
	}
}
