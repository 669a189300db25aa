package prober

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/acme-exporter/acme_exporter/config"
	"github.com/acme-exporter/acme_exporter/internal/acmehttp"
	"github.com/acme-exporter/acme_exporter/internal/probe"
)

func TestDelay(t *testing.T) {
	const plenty = math.MaxInt64
	for _, tt := range []struct {
		name                        string
		retryAfter, remaining, want time.Duration
	}{
		{"first", 0, plenty, 250 * time.Millisecond},
		{"asked for", 3 * time.Second, plenty, 3 * time.Second},
		{"asked for a millisecond", time.Millisecond, plenty, time.Millisecond},
		{"a day", 86400 * time.Second, plenty, 10 * time.Second},
		{"in the past", -time.Hour, plenty, 250 * time.Millisecond},
		{"a third of the rest", 10 * time.Second, 9 * time.Second, 3 * time.Second},
		{"a day and little time", 86400 * time.Second, 6 * time.Second, 2 * time.Second},
		{"the end", 10 * time.Second, 300 * time.Millisecond, 250 * time.Millisecond},
		{"over", 10 * time.Second, -time.Second, 250 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p pacer
			if got := p.delay(tt.retryAfter, tt.remaining); got != tt.want {
				t.Errorf("delay(%v, %v) = %v, want %v", tt.retryAfter, tt.remaining, got, tt.want)
			}
		})
	}
}

func TestDelayGrows(t *testing.T) {
	var p pacer
	var got []time.Duration
	for i := range 9 {
		if i == 2 {
			p.delay(time.Second, math.MaxInt64) // what is asked for is not growth
		}
		got = append(got, p.delay(0, math.MaxInt64).Truncate(time.Millisecond))
	}
	const ms = time.Millisecond
	wantList(t, "delays", got, []time.Duration{250 * ms, 375 * ms, 562 * ms, 843 * ms, 1265 * ms, 1898 * ms, 2847 * ms, 3000 * ms, 3000 * ms})
}

// poller returns a run that can poll, and nothing else.
func poller(t *testing.T) *run {
	t.Helper()
	transport, err := acmehttp.NewTransport(acmehttp.Options{DirectoryURL: "https://ca.example/directory"})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	return newRun(Request{Start: start, HTTP: transport.Session(start), Pair: config.Pair{Target: &config.Target{}}})
}

func TestPoll(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name       string
		retryAfter time.Duration
		timeout    time.Duration
		done       int // the look that finds it done; 0: none does
		err        error
		looks      int
		took       time.Duration
		detail     string
	}{
		{name: "first look", timeout: time.Minute, done: 1, looks: 1, took: 250 * time.Millisecond},
		{name: "third look", timeout: time.Minute, done: 3, looks: 3, took: 1187500 * time.Microsecond},
		{name: "as asked for", retryAfter: 4 * time.Second, timeout: time.Minute, done: 2, looks: 2, took: 8 * time.Second},
		{name: "an error", timeout: time.Minute, err: broken, looks: 1, took: 250 * time.Millisecond},
		{
			name: "a day", retryAfter: 86400 * time.Second, timeout: 20 * time.Second, looks: 11, took: 20 * time.Second,
			detail: "the order was still processing after 11 polls",
		},
		{
			name: "the past", retryAfter: -time.Hour, timeout: 1100 * time.Millisecond, looks: 4, took: 1100 * time.Millisecond,
			detail: "the order was still processing after 4 polls",
		},
		{
			name: "hardly any time", timeout: 100 * time.Millisecond, took: 100 * time.Millisecond,
			detail: "the order was still processing after 0 polls",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := poller(t)
				ctx, cancel := context.WithTimeout(t.Context(), tt.timeout)
				defer cancel()
				looks := 0
				err := r.poll(ctx, objectOrder, "processing", tt.retryAfter, func(context.Context) (string, time.Duration, error) {
					if looks++; looks == tt.done || tt.err != nil {
						return "", 0, tt.err
					}
					return "processing", tt.retryAfter, nil
				})
				if looks != tt.looks {
					t.Errorf("%d looks, want %d", looks, tt.looks)
				}
				if took := time.Since(r.Start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if tt.detail == "" {
					if !errors.Is(err, tt.err) {
						t.Errorf("error %v, want %v", err, tt.err)
					}
					return
				}
				r.fail(err)
				wantFailure(t, r.facts, probe.StepSetup, probe.FailureTimeout, "order", tt.detail)
			})
		})
	}
}

func TestPollCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := poller(t)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err := r.poll(ctx, objectAuthorization, "pending", 0, func(context.Context) (string, time.Duration, error) {
			return "pending", 0, nil
		})
		if took := time.Since(r.Start); took != time.Second {
			t.Errorf("took %v, want 1s", took)
		}
		r.fail(err)
		wantFailure(t, r.facts, probe.StepSetup, probe.FailureCanceled, "authorization", "still pending")
	})
}
