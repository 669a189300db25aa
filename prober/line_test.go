package prober

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/fakeca"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Every piece is done once, at most maxParallel at a time, and the failure is
// that of the first piece which has one.
func TestParallel(t *testing.T) {
	owner := &line{last: 3}
	var done [100]atomic.Int32
	var flying atomic.Int32
	var mu sync.Mutex // guards most
	var most int32
	err := owner.parallel(len(done), func(l *line, i int) error {
		if l == owner {
			t.Error("a piece is done on the owner's line")
		}
		n := flying.Add(1)
		mu.Lock()
		most = max(most, n)
		mu.Unlock()
		time.Sleep(time.Millisecond)
		flying.Add(-1)
		done[i].Add(1)
		l.last = max(l.last, i)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for i := range done {
		if n := done[i].Load(); n != 1 {
			t.Errorf("piece %d was done %d times", i, n)
		}
	}
	if most > maxParallel || most < 2 {
		t.Errorf("%d at a time, want 2 to %d", most, maxParallel)
	}
	if owner.last != len(done)-1 {
		t.Errorf("the last call is %d", owner.last)
	}

	var begun atomic.Int32
	err = owner.parallel(1000, func(_ *line, i int) error {
		begun.Add(1)
		time.Sleep(time.Duration(maxParallel-i) * time.Millisecond)
		return fmt.Errorf("piece %d", i)
	})
	if n := begun.Load(); err == nil || err.Error() != "piece 0" || n > maxParallel {
		t.Errorf("got %v after %d pieces, want that of piece 0", err, n)
	}
	if err := owner.parallel(1, func(l *line, _ int) error {
		if l != owner {
			t.Error("a single piece is not done on the owner's line")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := owner.parallel(0, func(*line, int) error { return errors.New("called") }); err != nil {
		t.Error(err)
	}
}

// A panic in parallel work is the owner's, who makes a failure of it.
func TestParallelPanic(t *testing.T) {
	defer func() {
		if v := recover(); v != "s3cret" {
			t.Errorf("recovered %v", v)
		}
	}()
	_ = (&line{}).parallel(5, func(_ *line, i int) error {
		if i == 2 {
			panic("s3cret")
		}
		return nil
	})
	t.Error("no panic")
}

// What our own pace takes is in no call's and no step's duration.
func TestPace(t *testing.T) {
	const each = 200 * time.Millisecond // far longer than a call takes on a busy machine
	b := newBench(t, fakeca.Options{SyncValidation: true}).known()
	paced := func(pace func(context.Context, probe.CallName) error) Request {
		waiting := func(ctx context.Context, call probe.CallName, waiting func()) error {
			waiting()
			return pace(ctx, call)
		}
		transport, err := acmehttp.NewTransport(acmehttp.Options{DirectoryURL: b.target.DirectoryURL, TLSConfig: b.ca.TLSConfig(), Pace: waiting})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(transport.Close)
		req := b.ordering(probe.ProberValidate, fixed("a.probe.example", "b.probe.example", "c.probe.example", "d.probe.example"))
		req.HTTP = transport.Session(req.Start)
		t.Cleanup(req.HTTP.Close)
		return req
	}
	turn := make(chan struct{}, 1)
	var waits atomic.Int32
	facts := runFor(t, 10*time.Second, paced(func(context.Context, probe.CallName) error {
		turn <- struct{}{} // one after the other
		defer func() { <-turn }()
		waits.Add(1)
		time.Sleep(each)
		return nil
	}))
	wantSuccess(t, facts)
	if n := int(waits.Load()); n != len(facts.Calls) {
		t.Errorf("asked %d times for %d calls", n, len(facts.Calls))
	}
	for _, c := range facts.Calls {
		if took := c.End - c.Start; took > each {
			t.Errorf("%s took %v", c.Name, took)
		}
	}
	for i, s := range facts.Steps {
		if s.Name == probe.StepSetup {
			continue
		}
		// At least the first request of the step had nothing else in flight.
		if s.Paced < each*9/10 || s.Duration > each && s.Name != probe.StepValidation {
			t.Errorf("%s took %v, and %v for our own pace", s.Name, s.Duration, s.Paced)
		}
		if i+1 < len(facts.Steps) && s.End() > facts.Steps[i+1].Start {
			t.Errorf("%s ends at %v, after the next begins", s.Name, s.End())
		}
	}
	if s := facts.Steps[3]; s.Name != probe.StepAuthorization || s.Paced < 3*each {
		t.Errorf("four requests of one step: %+v", s)
	}

	// What would wait for too long is not the CA's failure, and not sent.
	facts = runFor(t, 10*time.Second, paced(func(_ context.Context, call probe.CallName) error {
		if call == probe.CallNewOrder {
			return errors.New("it would have to wait beyond its deadline")
		}
		return nil
	}))
	f := wantFailure(t, facts, probe.StepOrder, probe.FailureClient, "", "below half of what the CA publishes")
	wantList(t, "calls", names(facts.Calls), []probe.CallName{"directory", "new-nonce"})
	if f.Call != -1 {
		t.Errorf("evidence %d", f.Call)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	facts = Run(ctx, paced(func(ctx context.Context, call probe.CallName) error {
		if call == probe.CallNewOrder {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}))
	wantFailure(t, facts, probe.StepOrder, probe.FailureTimeout, "", "before the next request")
}
