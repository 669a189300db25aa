package budget

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// In no second are there more requests than half of what is published, however
// many want to, and in the long run there are not many less.
func TestHalf(t *testing.T) {
	for _, published := range []float64{5, 20, 40, 250, 300} {
		synctest.Test(t, func(t *testing.T) {
			p := NewPacer(map[probe.CallName]float64{probe.CallNewOrder: published})
			const workers, seconds = 7, 10
			ctx, cancel := context.WithTimeout(t.Context(), seconds*time.Second)
			defer cancel()
			var (
				group sync.WaitGroup
				mu    sync.Mutex // guards sent
				sent  []time.Time
			)
			for range workers {
				group.Go(func() {
					for p.Wait(ctx, probe.CallNewOrder, nil) == nil {
						mu.Lock()
						sent = append(sent, time.Now())
						mu.Unlock()
					}
				})
			}
			group.Wait()
			if least := int(published / 2 * seconds / 2); len(sent) < least {
				t.Errorf("%v/s published: %d requests in %d s, want at least %d", published, len(sent), seconds, least)
			}
			for i, first := range sent {
				n := 0
				for _, at := range sent[i:] {
					if at.Sub(first) < time.Second {
						n++
					}
				}
				if float64(n) > published/2 {
					t.Fatalf("%v/s published: %d requests in the second from %v on", published, n, first)
				}
			}
		})
	}
}

// Each published rate is one of its own, the rest share one, and what is not
// published is not paced.
func TestCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := NewPacer(map[probe.CallName]float64{probe.CallNewNonce: 4, "": 4})
		for _, call := range []probe.CallName{probe.CallNewNonce, probe.CallAuthz} {
			if err := p.Wait(t.Context(), call, nil); err != nil || time.Since(start) != 0 {
				t.Errorf("%s: %v after %v", call, err, time.Since(start))
			}
		}
		if err := p.Wait(t.Context(), probe.CallChallenge, nil); err != nil || time.Since(start) != time.Second {
			t.Errorf("challenge after authz: %v after %v", err, time.Since(start))
		}
		start = time.Now()
		for _, free := range []*Pacer{nil, NewPacer(nil), NewPacer(map[probe.CallName]float64{probe.CallNewNonce: 1})} {
			for range 1000 {
				if err := free.Wait(t.Context(), probe.CallAuthz, nil); err != nil || time.Since(start) != 0 {
					t.Fatalf("%v after %v", err, time.Since(start))
				}
			}
		}
	})
}

// Who cannot be served in time is told at once, and takes nobody's turn.
func TestNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := NewPacer(map[probe.CallName]float64{"": 4})
		if err := p.Wait(t.Context(), probe.CallOrder, nil); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if err := p.Wait(short, probe.CallOrder, nil); !errors.Is(err, ErrNoTime) || time.Since(start) != 0 {
			t.Errorf("got %v after %v, want ErrNoTime at once", err, time.Since(start))
		}
		canceled, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second/4, stop)
		if err := p.Wait(canceled, probe.CallOrder, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want Canceled", err)
		}
		if err := p.Wait(t.Context(), probe.CallOrder, nil); err != nil || time.Since(start) != time.Second {
			t.Errorf("the next: %v after %v, want 1s", err, time.Since(start))
		}
	})
}

// Let's Encrypt's published numbers, as presets carry them.
func TestPresets(t *testing.T) {
	rates := (&config.Target{Preset: "letsencrypt-staging"}).RequestRates()
	if rates[probe.CallNewOrder] != 20 || rates[probe.CallNewNonce] != 20 || rates[""] != 20 {
		t.Errorf("staging %v", rates)
	}
	rates = (&config.Target{Preset: "letsencrypt"}).RequestRates()
	if rates[probe.CallNewOrder] != 300 || rates[probe.CallNewNonce] != 20 || rates[""] != 250 {
		t.Errorf("production %v", rates)
	}
	for _, target := range []config.Target{{}, {Preset: "letsencrypt", OwnCA: true}, {Preset: "google"}} {
		if rates := target.RequestRates(); len(rates) != 0 {
			t.Errorf("%+v: %v", target, rates)
		}
	}
}

// A pause holds back what the edge counts together, and nothing else. It ends in
// time, cannot be shortened, and whom it outlasts is told so at once.
func TestPacerPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPacer(map[probe.CallName]float64{probe.CallNewNonce: 20, "": 250})
		begin := time.Now()
		p.Pause(probe.CallOrder, begin.Add(time.Minute))
		p.Pause(probe.CallAuthz, begin.Add(time.Second))
		wait := func(call probe.CallName, most time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), most)
			defer cancel()
			return p.Wait(ctx, call, nil)
		}
		if err := wait(probe.CallNewNonce, time.Second); err != nil || time.Since(begin) != 0 {
			t.Errorf("another class waited for %v: %v", time.Since(begin), err)
		}
		for _, most := range []time.Duration{time.Second, time.Minute} { // of the class of the rest
			err := wait(probe.CallFinalize, most)
			held, ok := errors.AsType[*probe.HeldError](err)
			if !ok || !held.Until.Equal(begin.Add(time.Minute)) || time.Since(begin) != 0 {
				t.Errorf("with %v left, after %v: %v, want it held at once", most, time.Since(begin), err)
			}
		}
		if err := wait(probe.CallFinalize, time.Hour); err != nil || time.Since(begin) < time.Minute || time.Since(begin) > 61*time.Second {
			t.Errorf("waited for %v: %v, want it to wait for the end of the pause", time.Since(begin), err)
		}
		p.Pause(probe.CallOrder, time.Now().Add(time.Hour))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		if err := p.Wait(ctx, probe.CallOrder, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
	})
}

// Those who wait for their turn when a pause begins wait for its end as well; where
// nothing is published, all calls are paused together.
func TestPacerPauseMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, begin := NewPacer(map[probe.CallName]float64{probe.CallNewOrder: 2}), time.Now()
		for range 2 { // the second one waits for its turn
			if err := p.Wait(t.Context(), probe.CallNewOrder, nil); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Millisecond, func() { p.Pause(probe.CallNewOrder, begin.Add(time.Hour)) })
		}
		if waited := time.Since(begin); waited < time.Hour {
			t.Errorf("waited for %v", waited)
		}
		unpublished := NewPacer(nil)
		unpublished.Pause(probe.CallDirectory, time.Now().Add(time.Hour))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, ok := errors.AsType[*probe.HeldError](unpublished.Wait(ctx, probe.CallNewOrder, nil)); !ok {
			t.Error("let through what the CA has asked to hold back")
		}
		(*Pacer)(nil).Pause(probe.CallDirectory, time.Now().Add(time.Hour))
	})
}
